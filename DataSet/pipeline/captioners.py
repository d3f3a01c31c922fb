"""Captioners: what a recording, picture or clip is, in words. One protocol, and the step that runs it over the ledger's items.

Kinds: `mumu` (any checkpoint of ours), `truth` (what is known of a made item, or the text that its source brings), `chat`, `blip` and
`vision_encoder_decoder` (stock classes of transformers), `address` (a server with OpenAI's API, such as vLLM or SGLang).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from DataSet.pipeline.address_captioner import AddressCaptioner
from DataSet.pipeline.caption_request import Captioner, CaptionRequest, as_caption, whole_sentences
from DataSet.pipeline.chat_client import ChatClient
from DataSet.pipeline.guards import Expectation, check
from DataSet.pipeline.isolation import call_isolated, loading
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


class CaptionStep:
    """The step "music_caption" (audio) or "vision_caption" (image, video): {"text"}, or why there is none.

    folder: of the ledger, in which the segments lie. medium: audio, image or video. It needs the step "segment" before it, unless
    the captioner is `truth` or the items are whole files. The model is loaded at the first batch; ModelError, which ends the run, says
    why it does not load.
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
            with loading():
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


def build_captioner(config: CaptionerConfig, prompt: PromptFile | None) -> Captioner:
    """The captioner of a configuration, its model loaded. Raises ValueError or FileNotFoundError in one sentence."""
    if config.kind == "truth":
        return TruthCaptioner()
    load = (config.model, config.revision, config.dtype, config.device)
    if config.kind == "blip":
        from DataSet.pipeline.vision_captioners import BlipCaptioner

        return BlipCaptioner(*load, config.decoding, prompt.text if prompt else "")
    if config.kind == "vision_encoder_decoder":
        from DataSet.pipeline.vision_captioners import VisionEncoderDecoderCaptioner

        return VisionEncoderDecoderCaptioner(*load, config.decoding, config.components)
    assert prompt is not None, "the other kinds have a prompt of their own"
    if config.kind == "chat":
        from DataSet.pipeline.chat_captioner import ChatCaptioner

        return ChatCaptioner(*load, prompt)
    if config.kind == "address":
        client = ChatClient(config.url, config.model, key_variable=config.key_variable, timeout=config.timeout, concurrency=config.concurrency)
        return AddressCaptioner(client, prompt)
    return MuMuCaptioner(config, prompt)


class TruthCaptioner:
    """The caption that follows from what is known of a made item, or the text that the item's source brings."""

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        return [true_caption(request.item, request.medium) for request in items]


class MuMuCaptioner:
    """A checkpoint of ours that listens or looks, asked in the words of a prompt file; without music."""

    def __init__(self, config: CaptionerConfig, prompt: PromptFile) -> None:
        import llama
        from DataSet.pipeline.text_models import torch_dtype

        dtype = None if config.dtype == "auto" else torch_dtype(config.dtype)
        components: dict[str, Any] = dict(config.components)
        self.model = llama.load(config.model, device=config.device, dtype=dtype, **components)
        self.prompt = prompt

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        """Greedy text is decoded in one batch; sampled text item by item, each with its own seed."""
        from llama import GenerationOptions, Turn

        decoding = self.prompt.decoding
        media: list[dict[str, Any]] = [{request.medium: request.path} for request in items]
        turns = [Turn(self.prompt.text, **medium) for medium in media]
        options = GenerationOptions(decoding.max_tokens, decoding.temperature, decoding.top_p, music=False)
        if decoding.temperature == 0:
            replies = self.model.respond(turns, options)
        else:
            replies = [self.model.respond(turn, replace(options, seed=request.seed)) for turn, request in zip(turns, items, strict=True)]
        return [whole_sentences(reply.text, reply.finish != "length") for reply in replies]
