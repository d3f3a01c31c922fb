"""What a file of notes says, before it becomes a score: the common form of the readers of MIDI and of MusicXML.

Any number of parts, tempi and metres. Legend: all positions and lengths are in quarter notes from the begin of the file, whatever
its metre; tempi are in quarter notes a minute. `llama.media.score_builder` makes a score of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")

DEFAULT_TEMPO = 120.0  # quarter notes a minute, where a file states none


@dataclass(frozen=True)
class RawPart:
    """A voice of the file: a staff, or a track with its channel. program: of General MIDI, 0..127; percussion has none (0)."""

    name: str = ""
    program: int = 0
    is_drum: bool = False


@dataclass(frozen=True)
class RawNote:
    """A note. part: index in `RawScore.parts`; pitch: MIDI, for percussion the General MIDI key; velocity: 1..127; ties are joined."""

    part: int
    start: float
    length: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class RawTempo:
    """The tempo from `start` on."""

    start: float
    tempo: float


@dataclass(frozen=True)
class RawMetre:
    """The time signature from `start` on: `beats` of a `unit`th note each."""

    start: float
    beats: int
    unit: int


@dataclass(frozen=True)
class RawKey:
    """The key signature from `start` on. fifths: sharps if positive, flats if negative; mode None where the file does not say."""

    start: float
    fifths: int
    mode: Literal["major", "minor"] | None = None


@dataclass(frozen=True)
class RawChord:
    """A chord symbol, which holds until the next. root: pitch class; quality: key of `score.QUALITIES`, the nearest one."""

    start: float
    root: int
    quality: str


@dataclass(frozen=True)
class RawMarker:
    """A text at a place: a section, a rehearsal mark."""

    start: float
    text: str


@dataclass(frozen=True)
class RawScore:
    """A file of notes. Notes lie in any order; all other tuples in the order of `start`.

    length: end of the file, at least of its last note. upbeat: length of an incomplete first bar that the file marks as one,
    0 without. texts: what the file says about itself (title, comments, the description that our own files carry). faults:
    sentences for a person about what of the file was mended or left out.
    """

    parts: tuple[RawPart, ...]
    notes: tuple[RawNote, ...]
    length: float
    tempi: tuple[RawTempo, ...] = ()
    metres: tuple[RawMetre, ...] = ()
    keys: tuple[RawKey, ...] = ()
    chords: tuple[RawChord, ...] = ()
    markers: tuple[RawMarker, ...] = ()
    upbeat: float = 0.0
    texts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def mean_tempo(tempi: Sequence[RawTempo], length: float) -> float:
    """Quarter notes by minutes from the begin of the piece to `length`, its end."""
    tempi = (RawTempo(0.0, DEFAULT_TEMPO), *tempi)
    if length <= 0:
        return tempi[-1].tempo
    ends = [*(tempo.start for tempo in tempi[1:]), length]
    spans = ((max(min(end, length) - tempo.start, 0.0), tempo.tempo) for tempo, end in zip(tempi, ends, strict=True))
    return length / sum(quarters / tempo for quarters, tempo in spans)


def spans(changes: Iterable[tuple[float, T]], length: float) -> dict[T, float]:
    """How long each value holds, of values and the places from which on they do, until the end of the piece at `length`."""
    changes, total = list(changes), dict[T, float]()
    for (start, value), end in zip(changes, [*(later for later, _ in changes[1:]), length], strict=False):
        total[value] = total.get(value, 0.0) + max(min(end, length) - start, 0.0)
    return total
