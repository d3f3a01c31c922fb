"""Common parts of the music decoders: protocols, the synthesis request and its checks, and folders on disk."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from llama.component_config import check_component_folder
from llama.config import MAX_MUSIC_SECONDS
from llama.decoders.recording_edits import edited_seconds
from llama.hf import library_errors
from llama.media.audio import Waveform
from llama.media.score import Score

if TYPE_CHECKING:
    from llama.decoders.edit_plan import EditPlan
    from llama.decoders.musicgen.audio_stream import AudioStreamer
    from llama.decoders.musicgen.continuous_batch import CodeBatch
    from llama.decoders.musicgen.sampling import Grammar
    from llama.media.edit import Edit

__all__ = [
    "MAX_GUIDANCE", "AudioGenerator", "BatchableDecoder", "CodeRecomposition", "CodecStream", "EditableCodec", "MusicDecoder",
    "PlayableCodec", "RequestBuilder", "ScoreEditor", "StoredDecoder", "StreamingCodec", "SymbolicCodec", "SynthesisRequest",
    "check_folder", "pad_or_trim", "reading",
]  # fmt: skip

MAX_GUIDANCE = 50.0
NO_EDITS = "This music decoder makes sound without notes, so it cannot keep those of a piece; load a model whose decoder writes notes."

AudioGenerator: TypeAlias = "Generator[Tensor, None, list[Score] | None]"  # chunks; then the scores of a symbolic codec


@runtime_checkable
class MusicDecoder(Protocol):
    """Generates music from a condition.

    `condition_shape` is (tokens, width) of the condition, on the scale of the decoder's text encoder. `streams`: chunks
    come while the music is generated.
    """

    sample_rate: int
    channels: int
    condition_shape: tuple[int, int]
    streams: bool

    def embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text states [B, tokens, width] of captions and their mask [B, tokens]: the regression target of training."""
        ...

    def request(
        self,
        condition: Tensor,
        seconds: float,
        *,
        mask: Tensor | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        seeds: Sequence[int],
        prompt: Waveform | None = None,
        source: Score | Waveform | None = None,
        edit: Edit | None = None,
    ) -> SynthesisRequest:
        """A checked request, with the decoder's own guidance and temperature where none is given; see SynthesisRequest."""
        ...

    def check_edit(self, edit: Edit, source: Score | Waveform) -> None:
        """Raises ValueError in one sentence, before any work, for an edit that this decoder cannot make of the source."""
        ...

    def synthesize(self, request: SynthesisRequest, progress: Callable[[float], None] | None = None) -> AudioGenerator:
        """Chunks [B, channels, n] float32, round(seconds * sample_rate) samples in all.

        A decoder with a symbolic codec returns a score for each row after the last chunk. `progress` is called with the
        finished share, 0 to 1, by a decoder that does not stream; an exception that it raises ends the work.
        """
        ...


@runtime_checkable
class StoredDecoder(MusicDecoder, Protocol):
    """A music decoder that is read from files and written to them; llama/decoders/registry.py names its kinds."""

    @classmethod
    def from_folder(cls, path: str | Path, dtype: torch.dtype | Literal["auto"] = ...) -> Self:
        """From a folder that `save` wrote, or a hub name. dtype "auto": as the weights are stored."""
        ...

    def export_state(self) -> dict[str, Tensor]:
        """The weights under their published names; empty for a decoder that published checkpoints never contain."""
        ...

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes a folder; files are replaced atomically. dtype: of the stored weights; None stores them as they are."""
        ...


@runtime_checkable
class BatchableDecoder(MusicDecoder, Protocol):
    """A music decoder with continuous batching: requests are added to and removed from its batch between two steps."""

    @property
    def device(self) -> torch.device: ...

    def frames(self, request: SynthesisRequest) -> int:
        """Frames of codes that the request needs."""
        ...

    def grammar(self, frames: int) -> Grammar | None:
        """The rules of a symbolic codec for so many frames; None for a codec of sound."""
        ...

    def code_batch(self) -> CodeBatch:
        """An empty batch of code sequences."""
        ...

    def audio_streamer(self, request: SynthesisRequest) -> AudioStreamer:
        """The decoder of the request's codes to sound."""
        ...


class CodecStream(Protocol):
    """Decodes codes to sound while they grow; the pieces joined equal the whole."""

    def feed(self, codes: Tensor, last: bool) -> Tensor:
        """New sound [B, C, n] of codes [B, K, m], m growing from call to call; `last`: no more codes follow, return all sound."""
        ...


@runtime_checkable
class StreamingCodec(Protocol):
    """A codec that can decode codes while they grow, once it knows how many frames the whole piece has."""

    def stream(self, frames: int) -> CodecStream:
        """The decoder of a piece of so many frames whose codes are still growing."""
        ...


@runtime_checkable
class SymbolicCodec(Protocol):
    """A codec whose codes are notes: it knows which codes may follow, and can return the notes themselves."""

    def grammar(self, frames: int) -> Grammar:
        """The rules for a piece of so many frames."""
        ...

    def notes(self, audio_codes: Tensor) -> list[Score]:
        """A score for each row of codes [B, K, F]."""
        ...


class CodeRecomposition(Protocol):
    """How the codes of a piece are sampled of which some parts are composed anew, and the score that they give."""

    @property
    def frames(self) -> int: ...

    @property
    def grammar(self) -> Grammar: ...

    def merge(self, codes: Tensor) -> Score:
        """The score of sampled codes [K, frames]; notes that are kept are the source's own."""
        ...


@runtime_checkable
class EditableCodec(SymbolicCodec, Protocol):
    """A symbolic codec that can keep a piece's notes, compose parts of it anew, and play any score."""

    def recomposition(self, score: Score, edit: Edit) -> CodeRecomposition | None:
        """What an edit composes anew in a piece; None if it composes nothing."""
        ...

    def render(self, score: Score) -> Tensor:
        """Sound [channels, n] of a score."""
        ...

    def seconds_of_bars(self, codes: Tensor, bar_count: int) -> float:
        """Length of a piece of so many bars whose first frame has codes [K]."""
        ...


@runtime_checkable
class PlayableCodec(Protocol):
    """A symbolic codec that plays a score whole, part by part, as a loop, and in blocks; sound is [channels, n]."""

    def render(self, score: Score) -> Tensor: ...

    def render_stems(self, score: Score) -> dict[str, Tensor]: ...

    def render_loop(self, score: Score, first: int, last: int) -> Tensor: ...

    def render_stream(self, score: Score) -> Iterator[Tensor]: ...


@runtime_checkable
class ScoreEditor(Protocol):
    """A music decoder that may be able to edit a piece whose notes are known, and to play it.

    `edits_scores`: whether it is. Playing raises ValueError if the decoder has no notes.
    """

    @property
    def edits_scores(self) -> bool: ...

    def render(self, score: Score) -> Waveform:
        """The sound of a score."""
        ...

    def render_stems(self, score: Score) -> dict[str, Waveform]:
        """The sound of each part by its name; all are equally long, and their sum is `render(score)` within 1e-4."""
        ...

    def render_loop(self, score: Score, first: int, last: int) -> Waveform:
        """Bars `first` to `last`, from 1, exactly as long as these bars; what rings at the end sounds at the beginning."""
        ...

    def render_stream(self, score: Score) -> Iterator[Waveform]:
        """The sound of a score in blocks; joined they equal `render(score)`."""
        ...

    def seconds_of_bars(self, request: SynthesisRequest, bar_count: int) -> float:
        """Length of the new piece of a request if it has so many bars."""
        ...

    def edit_plan(self, source: Score, edit: Edit) -> EditPlan:
        """What an edit of a piece samples, and the score that results. Raises ValueError if the decoder has no notes."""
        ...


@dataclass(frozen=True)
class SynthesisRequest:
    """The checked arguments of `synthesize`. Raises ValueError that names the value and what is allowed."""

    condition: Tensor  # [B, tokens, width]
    seconds: float
    mask: Tensor | None  # [B, tokens] of the condition; None attends to all of it
    guidance: float  # scale of classifier-free guidance, up to 1 for none
    temperature: float  # 0 takes the likeliest code; multiplies the temperatures of a symbolic codec
    seeds: tuple[int, ...]  # one for each row
    shape: tuple[int, int]  # the decoder's (tokens, width)
    prompt: Waveform | None = None  # recording to continue; its own sound is not returned
    source: Score | Waveform | None = None  # notes or recording to be edited; the music is as long as the edit makes it
    edit: Edit | None = None  # of the source

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
        self._check_source()

    def _check_source(self) -> None:
        if (self.source is None) != (self.edit is None) or self.edit is not None and len(self.seeds) != 1:
            raise ValueError("An edit is made of one piece at a time; give one row, with both the source and the edit.")
        if self.source is not None and not isinstance(self.source, Score | Waveform):
            raise ValueError(f"The source of an edit was given as {type(self.source).__name__}; give a Score or a Waveform.")
        if self.source is not None and self.prompt is not None:
            raise ValueError("A prompt and the source of an edit were given; to continue a recording give it as one of the two.")

    def _check_numbers(self) -> None:
        if not math.isfinite(self.seconds) or not 0 < self.seconds <= MAX_MUSIC_SECONDS:
            raise ValueError(f"seconds is {self.seconds}; ask for more than 0 and at most {MAX_MUSIC_SECONDS:g} seconds.")
        if not math.isfinite(self.guidance) or not 0 <= self.guidance <= MAX_GUIDANCE:
            raise ValueError(f"guidance is {self.guidance}; give 0 to {MAX_GUIDANCE:g} (up to 1 turns it off).")
        if not math.isfinite(self.temperature) or not 0 <= self.temperature <= 10:
            raise ValueError(f"temperature is {self.temperature}; give 0 (always the likeliest code) to 10.")

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance is on."""
        return self.guidance > 1

    def samples(self, sample_rate: int) -> int:
        """Exact length of the sound in samples; at least one."""
        return max(1, round(self.seconds * sample_rate))


class RequestBuilder:
    """Mixin of the decoders: builds requests with the decoder's own guidance and temperature where none is given."""

    condition_shape: tuple[int, int]
    guidance: float
    temperature: float

    @property
    def edits_scores(self) -> bool:
        """Whether the decoder can keep the notes of a piece."""
        return False

    def check_edit(self, edit: Edit, source: Score | Waveform) -> None:
        """Raises ValueError in one sentence, before any work, for an edit that this decoder cannot make of the source."""
        raise ValueError(NO_EDITS)

    def request(
        self,
        condition: Tensor,
        seconds: float,
        *,
        mask: Tensor | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        seeds: Sequence[int],
        prompt: Waveform | None = None,
        source: Score | Waveform | None = None,
        edit: Edit | None = None,
    ) -> SynthesisRequest:
        """A checked request; the arguments are fields of SynthesisRequest. Raises ValueError.

        seconds: of the music; an edit by a decoder of sound has the length of its source, with what continues it.
        """
        if edit is not None and source is not None:
            self.check_edit(edit, source)
            seconds = seconds if self.edits_scores else edited_seconds(edit, source)
        return SynthesisRequest(
            condition=condition,
            seconds=seconds,
            mask=mask,
            guidance=self.guidance if guidance is None else guidance,
            temperature=self.temperature if temperature is None else temperature,
            seeds=tuple(seeds),
            shape=self.condition_shape,
            prompt=prompt,
            source=source,
            edit=edit,
        )


def pad_or_trim(sound: Tensor, samples: int) -> Tensor:
    """Cut `sound` [..., n] to exactly `samples`, or pad it with silence."""
    return functional.pad(sound, (0, max(0, samples - sound.shape[-1])))[..., :samples]


def check_folder(path: str | Path, needed: str = "") -> Path | None:
    """`path` as a local folder, or None if it is a hub name. FileNotFoundError if it is neither or lacks the file `needed`."""
    folder = Path(path)
    if folder.is_dir():
        if needed and not (folder / needed).is_file():
            raise FileNotFoundError(f"The music decoder's folder {path} has no {needed}; give a folder made by save_pretrained.")
        return folder
    if folder.exists() or not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", str(path)):
        raise FileNotFoundError(f"The music decoder {path} is not a folder; give one made by save_pretrained, or a hub name.")
    return None


@contextmanager
def reading(kind: str, path: str | Path) -> Iterator[None]:
    """Checks the configurations in `path` and turns errors of the libraries into FileNotFoundError or ValueError, one sentence each."""
    check_component_folder(path)
    with library_errors(kind, path, "give a folder made by save_pretrained, or copy it again"):
        yield
