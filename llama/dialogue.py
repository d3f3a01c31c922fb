"""Requests and replies of the model as frozen dataclasses, and the prompt template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL.Image import Image
from torch import Tensor

from llama.media.audio import Waveform
from llama.media.score import Score

if TYPE_CHECKING:
    from llama.media.edit_report import EditReport

STOP_MARK = "\n###"  # start of the template's next section: generation stops there
PROMPT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)  # Alpaca's template, which the published weights were trained with

MEDIA: dict[str, tuple[type, ...]] = {"audio": (Waveform,), "image": (Image,), "video": (np.ndarray, Tensor)}

Finish = Literal["stop", "length", "music"]


@dataclass(frozen=True)
class Turn:
    """One request: a text and at most one medium of each kind, since each kind enters its own band of layers.

    text: characters that are no Unicode (lone surrogates) become question marks, as over HTTP; the tokenizer fails on them.
    audio: a `Waveform` or a path; image: a PIL image or a path; video: a path or uint8 frames [T, H, W, 3].
    score: the notes of a piece, as in `Reply.score`, or the path of a file of notes (.mid, .musicxml). The model hears them played
    if there is no audio; edits keep them. transcribed: whether the model wrote them down from the audio; it sets this itself.
    system: what stands before the text in the prompt, such as a server's instructions; edits are read from the text alone.
    """

    text: str = ""
    audio: Waveform | str | Path | None = None
    image: Image | str | Path | None = None
    video: np.ndarray | Tensor | str | Path | None = None
    score: Score | str | Path | None = None
    transcribed: bool = False
    system: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "system"):
            words = getattr(self, name)
            if not isinstance(words, str):
                raise ValueError(f"A turn's {name} must be a string, not {type(words).__name__}; pass the instruction as text.")
            object.__setattr__(self, name, words.encode("utf-8", "replace").decode("utf-8"))
        for name, kinds in MEDIA.items():
            medium = getattr(self, name)
            if medium is not None and not isinstance(medium, (str, Path, *kinds)):
                allowed = " or ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"The {name} of a turn was given as {type(medium).__name__}; give a path or {allowed}.")
            if isinstance(medium, str) and not medium:
                raise ValueError(f"The path of the {name} is empty; give a file or leave {name} out.")
            if isinstance(medium, Path):
                object.__setattr__(self, name, str(medium))
        if self.score is not None and not isinstance(self.score, (Score, str, Path)):
            given = type(self.score).__name__
            raise ValueError(f"The score of a turn was given as {given}; give a Score, such as a reply's, or the path of a file of notes.")
        if self.score == "":
            raise ValueError("The path of the score is empty; give a file or leave score out.")


@dataclass(frozen=True)
class Reply:
    """One answer. text: without special tokens; tokens: all generated ids; music: a `Waveform` or None.

    score: the notes of the music, if the decoder is symbolic (`llama.media.midi` writes them to a file).
    edit: what an edit of `Turn.score` changed and what it kept.
    finish: "music" after the eight audio tokens, "stop" at an end mark, "length" at max_tokens.
    """

    text: str
    tokens: tuple[int, ...]
    music: Waveform | None = None
    finish: Finish = "stop"
    score: Score | None = None
    edit: EditReport | None = None


def format_prompt(instruction: str) -> str:
    """The prompt for an instruction, in the template of the training texts; the answer follows the colon directly."""
    return PROMPT.format(instruction=instruction)
