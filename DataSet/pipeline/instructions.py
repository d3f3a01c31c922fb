"""Instructions and answers from captions: what a person asks, and what the model says before its music.

Every text passes the guards. A writer has a bounded number of tries; then our own template stands in, and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DataSet.pipeline.chat_writers import AddressWriter, TransformersWriter
from DataSet.pipeline.edit_words import EditFacts, edit_facts
from DataSet.pipeline.faulty_writer import FaultyWriter
from DataSet.pipeline.guards import Expectation, Refusal, check, tidy
from DataSet.pipeline.isolation import call_isolated, loading
from DataSet.pipeline.model_identity import identity
from DataSet.pipeline.prompt_files import Decoding, PromptFile, read_prompt
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from DataSet.pipeline.templates import Template, edit_summary, templates
from DataSet.pipeline.writers import TemplateWriter, Writer, WriterConfig, WritingTask
from llama.errors import quoted, sentence
from llama.ranges import check_choice

VERSION = 1
FORMS = ("mucaps", "muimage", "muvideo", "muedit")
PARTS = ("human", "gpt")
OPENING = ("Here is",)  # as published, of every answer
MAX_QUOTE = 300  # characters of a refused text that an outcome keeps
MAX_WORDS, FRAME_WORDS = 120, 40  # of a turn; of what a template says beside the captions, where these are longer
CAPTIONS = {"mucaps": ("music_caption",), "muimage": ("music_caption", "vision_caption"), "muvideo": ("music_caption", "vision_caption"), "muedit": ()}


@dataclass
class _Text:
    """One text in the making: the human's or the model's turn of the item at `place`."""

    place: int
    part: str
    prompt: PromptFile | None
    asked: str  # the prompt with its fields filled
    template: Template
    expectation: Expectation
    seed: int
    tries: int = 0
    text: str | None = None
    refused: list[dict[str, str]] = field(default_factory=list)

    def task(self) -> WritingTask:
        decoding = self.prompt.decoding if self.prompt else Decoding()
        return WritingTask(self.asked, self.template, _seed(self.seed, self.part, self.tries), decoding)

    def take(self, said: str | Exception) -> None:
        self.tries += 1
        if isinstance(said, Exception):
            self.refused.append({"rule": "error", "part": self.part, "why": sentence(said), "text": ""})
            return
        text = tidy(said)
        if refusal := check(text, self.expectation):
            self.refused.append({"rule": refusal.rule, "part": self.part, "why": refusal.why, "text": text[:MAX_QUOTE]})
        else:
            self.text = text


def _seed(seed: int, part: str, attempt: int) -> int:
    """Another seed for each text of an item and each try, the same in every run."""
    return int(np.random.SeedSequence([seed, PARTS.index(part), attempt]).generate_state(2, np.uint32).astype(np.uint64) @ [1, 2**31]) % 2**63


class InstructionStep:
    """The step "instruction" of a set: {"human", "gpt", "writer", "tries", "refused"}.

    form: mucaps needs the results of "music_caption" before it; muimage and muvideo "music_caption" and "vision_caption"; muedit the
    values `asked` of "edit" (see `edit_words`). writer: who wrote BOTH turns; if one of them was refused on every try, both are the template's and
    `refused` says why. tries: texts that were written for the item. refused: {"rule", "part", "why", "text"} of each refused one.
    """

    def __init__(self, config: WriterConfig, form: str) -> None:
        check_choice("The set of instructions", form, FORMS)
        self.config, self.form = config, form
        self.prompts: dict[str, PromptFile] = {}
        if config.uses_prompts:
            names = {part: config.prompts.get(part, f"{form}_{part}") for part in PARTS}
            self.prompts = {part: read_prompt(name, config.decoding) for part, name in names.items()}
        self.spec = StepSpec("instruction", VERSION, self._settings())
        self._writer: Writer | None = None

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"form": self.form, "writer": self.config.kind}
        if self.config.kind != "template":
            settings["tries"] = self.config.tries
        if self.config.has_model:
            settings |= {**identity(self.config.model, self.config.revision, local=self.config.kind == "transformers"), "dtype": self.config.dtype}
        if self.config.uses_prompts:
            settings["prompts"] = {part: prompt.settings() for part, prompt in self.prompts.items()}
        return settings

    def __call__(self, batch: Sequence[StepInput]) -> list[Outcome]:
        if self._writer is None:
            with loading():
                self._writer = build_writer(self.config)
        outcomes: dict[int, Outcome] = {}
        texts: dict[int, list[_Text]] = {}
        for place, given in enumerate(batch):
            try:
                texts[place] = self._texts(place, given)
            except ValueError as error:
                outcomes[place] = Rejection("error", sentence(error))
        every = [text for pair in texts.values() for text in pair]
        for _ in range(self.config.tries):
            _write(self._writer, [text for text in every if text.text is None and not _is_lost(texts[text.place], self.config.tries)])
        outcomes |= {place: _outcome(pair, self.config.kind) for place, pair in texts.items()}
        return [outcomes[place] for place in range(len(batch))]

    def _texts(self, place: int, given: StepInput) -> list[_Text]:
        facts, asked = self._facts(given)
        edit = edit_facts(asked) if self.form == "muedit" else None
        texts = []
        own_facts = {**facts, "tags": ", ".join(given.item.tags)}  # templates leave out tags that are not there
        for part, template in zip(PARTS, templates(self.form, own_facts, asked), strict=True):
            prompt = self.prompts.get(part)
            texts.append(_Text(place, part, prompt, prompt.filled(facts) if prompt else "", template, self._expectation(part, facts, edit), given.seed))
        return texts

    def _facts(self, given: StepInput) -> tuple[dict[str, str], Mapping[str, Any]]:
        """What prompts and templates may use: caption, vision_caption, tags, edit; and the fields of the edit."""
        for name in CAPTIONS[self.form]:
            if name not in given.results:
                raise ValueError(f"The item {quoted(given.item.key)} has no {name}; run that step before this one.")
        results = {name: str(given.results[name]["text"]) for name in ("music_caption", "vision_caption") if name in given.results}
        facts = {"caption": results.get("music_caption", ""), "vision_caption": results.get("vision_caption", ""), "tags": ", ".join(given.item.tags)}
        if self.form != "muedit":
            return {**facts, "tags": facts["tags"] or "none"} if self.prompts else facts, {}
        if "edit" not in given.results:
            raise ValueError(f"The item {quoted(given.item.key)} has no edit; run that step before this one.")
        asked = given.results["edit"]["asked"]
        edit_facts(asked)  # its errors come before those of words for it
        return {**facts, "edit": edit_summary(asked)}, asked

    def _expectation(self, part: str, facts: Mapping[str, str], edit: EditFacts | None) -> Expectation:
        wording = self.prompts[part].wording if self.prompts else ""
        longest = max(MAX_WORDS, FRAME_WORDS + sum(len(fact.split()) for fact in facts.values()))
        return Expectation(2, longest, OPENING if part == "gpt" else (), wording, edit, tuple(facts.values()))


def build_writer(config: WriterConfig) -> Writer:
    """The writer of a configuration, its model loaded. Raises ValueError or FileNotFoundError in one sentence."""
    match config.kind:
        case "transformers":
            return TransformersWriter(config)
        case "address":
            return AddressWriter(config)
        case "faulty":
            return FaultyWriter()
    return TemplateWriter()


def _write(writer: Writer, texts: Sequence[_Text]) -> None:
    for text, said in zip(texts, call_isolated(writer.write, [text.task() for text in texts]), strict=True):
        text.take(said)


def _is_lost(pair: Iterable[_Text], tries: int) -> bool:
    """Whether one of the two turns has used its tries: then both will be the template's."""
    return any(text.text is None and text.tries >= tries for text in pair)


def _outcome(pair: Sequence[_Text], writer: str) -> Outcome:
    refused = [entry for text in pair for entry in text.refused]
    record = {"tries": sum(text.tries for text in pair), "refused": refused}
    if all(text.text is not None for text in pair):
        return {**{text.part: text.text for text in pair}, "writer": writer, **record}
    said = {text.part: tidy(WritingTask("", text.template, _seed(text.seed, text.part, 0)).from_template()) for text in pair}
    for text in pair:
        if refusal := check(said[text.part], text.expectation):
            return _unusable(text, refusal)
    return {**said, "writer": "template", **record}


def _unusable(text: _Text, refusal: Refusal) -> Rejection:
    """The template's own text was refused: what the item brings, such as a caption in another language, cannot be used."""
    return Rejection("instruction", f"The {text.part}'s turn is not taken by the rule {refusal.rule}, not even the template's: {refusal.why}")
