"""Captioners: what a recording, picture or clip is, in words. One protocol, and the step that runs it over the ledger's items.

Kinds: `mumu` (any checkpoint of ours), `truth` (what is known of a made item, or the text that its source brings), `chat`, `blip` and
`vision_encoder_decoder` (stock classes of transformers), `address` (a server with OpenAI's API, such as vLLM or SGLang).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from DataSet.pipeline.guards import Expectation, check, tidy
from DataSet.pipeline.isolation import call_isolated
from DataSet.pipeline.item import Item
from DataSet.pipeline.model_identity import identity
from DataSet.pipeline.prompt_files import PromptFile, read_prompt
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from DataSet.pipeline.true_captions import true_caption
from llama.errors import quoted, sentence
from llama.ranges import check_choice, check_keys

VERSION = 1
KINDS = ("mumu", "truth", "chat", "blip", "vision_encoder_decoder", "address")
MEDIA = ("audio", "image", "video")
MIN_WORDS, MAX_WORDS = 2, 200  # of a caption
_SENTENCES = re.compile(r"^.*[.!?](?=\s|$)", re.S)


@dataclass(frozen=True)
class CaptionerConfig:
    """A captioner. model: a folder, a hub name, or the name that a server knows. dtype: a torch dtype's name, or "auto".

    prompt: a YAML file or a name in DataSet/pipeline/prompts; "" takes that of the kind and medium. decoding: options that override
    the prompt's. components: for checkpoints that need folders beside them, such as llama_dir and mert_path. url, key_variable (the NAME
    of an environment variable with the key), timeout (seconds), concurrency (requests at a time): of an address.
    """

    kind: str
    model: str = ""
    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    prompt: str = ""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    components: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    key_variable: str = ""
    timeout: float = 120.0
    concurrency: int = 8

    def __post_init__(self) -> None:
        check_choice("The captioner's kind", self.kind, KINDS)
        if self.kind != "truth" and not self.model:
            raise ValueError(f"The captioner {self.kind} has no model; give a folder, a hub name, or the server's name for it.")
        if self.kind == "address" and not self.url:
            raise ValueError("The captioner address has no url; give the server's, such as http://localhost:8000/v1.")
        if self.kind == "mumu" and self.revision:
            raise ValueError("The captioner mumu takes no revision; give a folder, or a hub name alone.")

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> CaptionerConfig:
        """The captioner of a configuration's mapping. Raises ValueError for an unknown key."""
        check_keys("The captioner", cls, values)
        return cls(**values)


@dataclass(frozen=True)
class CaptionRequest:
    """One medium to describe. path: its file. seed: of text that is sampled."""

    item: Item
    medium: str
    path: Path
    seed: int


class Captioner(Protocol):
    """Describes media. It may raise ValueError or FileNotFoundError for a batch with a file that cannot be read."""

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        """One caption for each item, in their order; the same for an item alone as in a batch."""
        ...


class CaptionStep:
    """The step "music_caption" (audio) or "vision_caption" (image, video): {"text"}, or why there is none.

    folder: of the ledger, in which the segments lie. medium: audio, image or video. It needs the step "segment" before it, unless
    the captioner is `truth` or the items are whole files. The model is loaded at the first batch.
    """

    def __init__(self, config: CaptionerConfig, folder: str | Path, medium: str) -> None:
        check_choice("The medium of a caption", medium, MEDIA)
        self.config, self.folder, self.medium = config, Path(folder), medium
        self.prompt = None if config.kind in ("truth", "blip", "vision_encoder_decoder") and not config.prompt else read_prompt(
            config.prompt or default_prompt(config.kind, medium), config.decoding)
        self.spec = StepSpec("music_caption" if medium == "audio" else "vision_caption", VERSION, self._settings())
        self._captioner: Captioner | None = None

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"kind": self.config.kind, "medium": self.medium}
        if self.config.kind != "truth":
            local = self.config.kind != "address"
            settings |= {**identity(self.config.model, self.config.revision, local=local), "dtype": self.config.dtype}
            settings |= {"decoding": dict(self.config.decoding)} if self.prompt is None else {"prompt": self.prompt.settings()}
        if self.config.components:
            settings["components"] = {name: identity(path, None, local=True) for name, path in sorted(self.config.components.items())}
        return settings

    def __call__(self, batch: Sequence[StepInput]) -> list[Outcome]:
        if self._captioner is None:
            self._captioner = build_captioner(self.config, self.prompt)
        outcomes: dict[int, Outcome] = {}
        requests: dict[int, CaptionRequest] = {}
        for place, given in enumerate(batch):
            try:
                requests[place] = self._request(given)
            except (ValueError, FileNotFoundError) as error:
                outcomes[place] = Rejection("error", sentence(error))
        captions = call_isolated(self._captioner.describe, list(requests.values()))
        outcomes |= {place: _outcome(caption) for place, caption in zip(requests, captions, strict=True)}
        return [outcomes[place] for place in range(len(batch))]

    def _request(self, given: StepInput) -> CaptionRequest:
        path = Path() if self.config.kind == "truth" else media_path(given, self.medium, self.folder)
        return CaptionRequest(given.item, self.medium, path, given.seed)


def default_prompt(kind: str, medium: str) -> str:
    """The name of the prompt file of a kind of captioner and a medium."""
    return f"{'mumu' if kind == 'mumu' else 'chat'}_{medium}"


def media_path(given: StepInput, medium: str, folder: Path) -> Path:
    """The file of an item: its segment's, or the source's own where it is a whole file. Raises ValueError where it has none."""
    segment, item = given.results.get("segment"), given.item
    if segment is not None:
        if segment.get(medium):
            return folder / segment[medium]
        raise ValueError(f"The segment of {quoted(item.key)} has no {medium}; caption what it has, or leave the item out.")
    if medium not in item.media:
        raise ValueError(f"The item {quoted(item.key)} has no {medium}; caption what it has, or leave it out.")
    if item.start is not None or item.end is not None:
        raise ValueError(f"The item {quoted(item.key)} is a part of a file; run the step that cuts segments before this one.")
    return Path(item.media[medium])


def _outcome(caption: str | Exception) -> Outcome:
    if isinstance(caption, Exception):
        return Rejection("error", sentence(caption))
    text = as_caption(caption)
    if refused := check(text, Expectation(MIN_WORDS, MAX_WORDS)):
        return Rejection("caption", f"The caption is not taken by the rule {refused.rule}: {refused.why}")
    return {"text": text}


def as_caption(text: str) -> str:
    """A caption in one line that begins with a capital and ends with a mark, as some captioners leave out."""
    text = " ".join(tidy(text).split())
    text = text[:1].upper() + text[1:]
    return f"{text}." if text and text[-1].isalnum() else text


def whole_sentences(text: str) -> str:
    """The sentences of a text that was cut at a limit, without the last, unfinished one; "" if not one is whole."""
    match = _SENTENCES.match(text.strip())
    return match[0] if match else ""


def build_captioner(config: CaptionerConfig, prompt: PromptFile | None) -> Captioner:
    """The captioner of a configuration, its model loaded."""
    match config.kind:
        case "truth":
            return TruthCaptioner()
        case "mumu":
            assert prompt is not None
            return MuMuCaptioner(config, prompt)
    raise ValueError(f"The captioner {config.kind} is not built here.")


class TruthCaptioner:
    """The caption that follows from what is known of a made item, or the text that the item's source brings."""

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        return [true_caption(request.item, request.medium) for request in items]


class MuMuCaptioner:
    """A checkpoint of ours that listens or looks, asked in the words of a prompt file; without music."""

    def __init__(self, config: CaptionerConfig, prompt: PromptFile) -> None:
        import llama

        dtype = None if config.dtype == "auto" else torch_dtype(config.dtype)
        components: dict[str, Any] = dict(config.components)
        self.model = llama.load(config.model, device=config.device, dtype=dtype, **components)
        self.prompt = prompt

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        """Greedy text is decoded in one batch; sampled text item by item, each with its own seed."""
        from llama import GenerationOptions, Turn

        decoding = self.prompt.decoding
        turns = [Turn(self.prompt.text, **{request.medium: request.path}) for request in items]
        options = GenerationOptions(decoding.max_tokens, decoding.temperature, decoding.top_p, music=False)
        if decoding.temperature == 0:
            replies = self.model.respond(turns, options)
        else:
            from dataclasses import replace

            replies = [self.model.respond(turn, replace(options, seed=request.seed)) for turn, request in zip(turns, items, strict=True)]
        return [whole_sentences(reply.text) if reply.finish == "length" else reply.text for reply in replies]


def torch_dtype(name: str) -> Any:
    """The torch dtype of that name. Raises ValueError for another name."""
    import torch

    check_choice("dtype", name, ("float32", "bfloat16", "float16"))
    return getattr(torch, name)
