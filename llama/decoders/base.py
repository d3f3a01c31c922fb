"""What every music decoder has in common: the protocol, the checks of a request, and its folder on disk."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from llama.media.audio import Waveform

if TYPE_CHECKING:
    from llama.media.score import Score

__all__ = [
    "MAX_GUIDANCE", "MAX_SECONDS", "MusicDecoder", "SynthesisRequest", "AudioGenerator", "check_folder",
    "draft_folder", "pad_or_trim", "read_json",
    "reading",
]  # fmt: skip

MAX_SECONDS = 600.0  # ten minutes: past this the attention windows have forgotten the beginning many times over
MAX_GUIDANCE = 50.0


AudioGenerator: TypeAlias = "Generator[Tensor, None, list[Score] | None]"


@runtime_checkable
class MusicDecoder(Protocol):
    """Turns a condition into sound. `condition_shape` is (tokens, width), on the scale of the decoder's text encoder."""

    sample_rate: int
    channels: int
    condition_shape: tuple[int, int]
    streams: bool

    def embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text states [B, tokens, width] and their mask [B, tokens]: the regression target of training."""
        ...

    def synthesize(
        self,
        condition: Tensor,
        seconds: float,
        *,
        mask: Tensor | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        seeds: Sequence[int],
        prompt: Waveform | None = None,
    ) -> AudioGenerator:
        """Chunks [B, channels, n] float32, round(seconds * sample_rate) samples in all.

        A decoder whose codes are notes returns a score a row when the last chunk is out.
        """
        ...


@dataclass(frozen=True)
class SynthesisRequest:
    """One call of `synthesize`, checked once: ValueError sentences name what was given and what is allowed."""

    condition: Tensor  # [B, tokens, width]
    seconds: float
    mask: Tensor | None  # [B, tokens]
    guidance: float
    temperature: float
    seeds: tuple[int, ...]
    shape: tuple[int, int]  # the decoder's (tokens, width)

    def __post_init__(self) -> None:
        self._check_numbers()
        rows, (tokens, width) = self.condition.shape[:1], self.shape
        if self.condition.dim() != 3 or tuple(self.condition.shape[1:]) != self.shape:
            raise ValueError(
                f"The condition has shape {list(self.condition.shape)}, but this music decoder takes "
                f"[batch, {tokens}, {width}]; choose the decoder that the checkpoint was trained with."
            )
        if self.mask is not None and tuple(self.mask.shape) != (*rows, tokens):
            raise ValueError(
                f"The condition's mask has shape {list(self.mask.shape)}; it must be {[*rows, tokens]}, one entry a token."
            )
        if len(self.seeds) != rows[0]:
            raise ValueError(f"{len(self.seeds)} seeds were given for {rows[0]} rows; give one seed a row.")

    def _check_numbers(self) -> None:
        if not math.isfinite(self.seconds) or not 0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds is {self.seconds}; ask for more than 0 and at most {MAX_SECONDS:g} seconds.")
        if not math.isfinite(self.guidance) or not 0 <= self.guidance <= MAX_GUIDANCE:
            raise ValueError(f"guidance is {self.guidance}; give 0 to {MAX_GUIDANCE:g} (up to 1 turns it off).")
        if not math.isfinite(self.temperature) or not 0 <= self.temperature <= 10:
            raise ValueError(f"temperature is {self.temperature}; give 0 (always the likeliest code) to 10.")

    @property
    def guided(self) -> bool:
        return self.guidance > 1

    def samples(self, sample_rate: int) -> int:
        """The exact length of the answer, in samples; at least one."""
        return max(1, round(self.seconds * sample_rate))


def pad_or_trim(sound: Tensor, samples: int) -> Tensor:
    """`sound` [..., n] cut, or padded with silence, to exactly `samples`."""
    return functional.pad(sound, (0, max(0, samples - sound.shape[-1])))[..., :samples]


def check_folder(path: str | Path, needed: str = "") -> Path | None:
    """The local folder `path`, None if it is a name on the hub; FileNotFoundError if it can be neither or lacks `needed`."""
    folder = Path(path)
    if folder.is_dir():
        if needed and not (folder / needed).is_file():
            raise FileNotFoundError(f"The music decoder's folder {path} has no {needed}; give a folder made by save_pretrained.")
        return folder
    if folder.exists() or not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", str(path)):
        raise FileNotFoundError(f"The music decoder {path} is not a folder; give one made by save_pretrained, or a hub name.")
    return None


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file; ValueError if it is none."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:  # also bytes that are no text
        raise ValueError(f"{path} is not a configuration in JSON ({error}); copy the folder again.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a configuration in JSON (no names in it); copy the folder again.")
    return found


@contextmanager
def reading(kind: str, path: str | Path) -> Iterator[None]:
    """Errors of the libraries within become one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise FileNotFoundError(f"No {kind} could be read from {path}: {str(error).splitlines()[0]}") from error
    except SafetensorError as error:
        raise ValueError(f"The weights in {path} are damaged ({error}); copy the folder again.") from error


@contextmanager
def draft_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder to write into; its files move into `folder` when all of them are there, each by one rename."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        draft = Path(name)
        yield draft
        for file in sorted(path for path in draft.rglob("*") if path.is_file()):
            target = folder / file.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
