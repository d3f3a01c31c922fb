"""The written form of a score: notes on a grid of the beat, in bars, as a staff shows them.

A score holds what sounds, in seconds: notes are shorter than they are written, and off-beats of swing come late. Here its notes
get their written lengths back. Legend: all positions are exact fractions of a beat from the begin of the piece.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from llama.media.score import GATES, TRACKS, Note, Score, Timeline, closing_bars, timeline

GRIDS = (2, 4, 3, 6, 8, 12, 16, 24, 48)  # parts of a beat; the first that all notes begin on is taken, else the last
CLOSE = 1 / 250  # beats; MIDI files round to 1/96 to 1/960
SWUNG = {Fraction(0): Fraction(0), Fraction(2, 3): Fraction(1, 2)}  # place in the beat -> where swing writes it
NEAR = Fraction(1, 8)  # beats: an end that is on no grid is moved to the next note's begin from so far
FEET = (35, 36, 44)  # drums that a foot plays: they are a voice of their own


@dataclass(frozen=True)
class WrittenNote:
    """A note as a staff shows it."""

    start: Fraction
    length: Fraction
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Notation:
    """parts: notes of each part that has some, by begin and pitch; bar_count: bars with the ending; grid: parts of a beat on which
    notes begin; swing: eighths are written, and off-beats are played at two thirds of the beat."""

    parts: Mapping[str, tuple[WrittenNote, ...]]
    metre: int
    bar_count: int
    grid: int
    swing: bool


@dataclass(frozen=True)
class Section:
    """A phrase of the form. bar: its first, from 0; name: "A", "B" ... by its music, and "Ending"."""

    bar: int
    name: str


def write_notation(score: Score) -> Notation:
    """The written form. Begins are exact where the piece has a grid of up to 48 in a beat, else within 1/96 of a beat.

    Ends are what the style's articulation shortened, or the nearest quarter of a beat; the last notes end on a whole beat.
    """
    beats = score.attributes.tempo / 60
    starts = sorted({note.start * beats for name in TRACKS for note in score.track(name)})
    swing = score.attributes.swing and all(_swung(start) is not None for start in starts)
    grid = 2 if swing else next((grid for grid in GRIDS if all(_on(start, grid) for start in starts)), GRIDS[-1])
    parts = {name: _written_part(score, name, grid, swing) for name in TRACKS if score.track(name)}
    end = max((note.start + note.length for notes in parts.values() for note in notes), default=Fraction(0))
    metre = score.attributes.metre
    return Notation(parts, metre, max(math.ceil(end / metre), len(score.chords), 1), grid, swing)


def _on(place: float, grid: int) -> bool:
    return abs(place * grid - round(place * grid)) <= CLOSE * grid


def _swung(place: float) -> Fraction | None:
    """Where swing writes what sounds at this place; None for a place that is neither on the beat nor at two thirds of it."""
    third = Fraction(round(place * 3), 3)
    off = third % 1
    return third - off + SWUNG[off] if off in SWUNG and abs(place - third) <= CLOSE else None


def _place(place: float, grid: int, swing: bool) -> Fraction:
    return (_swung(place) if swing else None) or Fraction(round(place * grid), grid)


def _written_part(score: Score, name: str, grid: int, swing: bool) -> tuple[WrittenNote, ...]:
    beats = score.attributes.tempo / 60
    starts = [_place(note.start * beats, grid, swing) for note in score.track(name)]
    if name == "drums":
        return tuple(_strokes(score.drums, starts))
    gate = GATES[score.attributes.style].get(name, 1.0)
    line = timeline(score.attributes, score.seconds)
    ordered, fine = sorted(set(starts)), math.lcm(grid, 4)
    notes = []
    for note, start in zip(score.track(name), starts, strict=True):
        end = (note.start + note.duration) * beats
        if note.start + note.duration >= line.end - 1e-3:
            last = Fraction(max(round(end), math.floor(start) + 1))
        else:
            shortened = (note.start + note.duration / gate) * beats
            last = _exact_end(shortened, end, fine, swing) or _near_end(end, start, ordered, fine)
        notes.append(WrittenNote(start, max(last - start, Fraction(1, fine)), note.pitch, note.velocity))
    return tuple(sorted(notes, key=lambda note: (note.start, note.pitch)))


def _exact_end(shortened: float, end: float, grid: int, swing: bool) -> Fraction | None:
    """The written end of a note that its style shortened, or of one that sounds as it is written."""
    for place in (shortened, end):
        if swing and (written := _swung(place)) is not None:
            return written
        if not swing and _on(place, grid):
            return Fraction(round(place * grid), grid)
    return None


def _near_end(end: float, start: Fraction, starts: Sequence[Fraction], grid: int) -> Fraction:
    """The begin of the part's next note if it is near, else the nearest quarter of a beat."""
    index = bisect.bisect_right(starts, start)
    if index < len(starts) and abs(starts[index] - Fraction(end)) <= NEAR:
        return starts[index]
    last = Fraction(round(end * 4), 4)
    return last if last > start else start + Fraction(1, grid)


def _strokes(notes: Sequence[Note], starts: Sequence[Fraction]) -> Iterator[WrittenNote]:
    """Drums have no length: each is written up to the next stroke of hands or feet, at most to the end of its beat."""
    pairs = sorted(zip(notes, starts, strict=True), key=lambda pair: (pair[1], pair[0].pitch))
    voices = {foot: sorted({start for note, start in pairs if (note.pitch in FEET) is foot}) for foot in (False, True)}
    for note, start in pairs:
        places = voices[note.pitch in FEET]
        index = bisect.bisect_right(places, start)
        beat = Fraction(math.floor(start) + 1)
        yield WrittenNote(start, min([beat, *places[index : index + 1]]) - start, note.pitch, note.velocity)


# -- form -------------------------------------------------------------------------------------------------------------


def find_sections(score: Score) -> tuple[Section, ...]:
    """Phrases and the ending, by bar. Phrases that begin alike, in chords and melody, have one letter.

    A phrase of which only the bars that lead to the ending are there has no letter of its own.
    """
    line = timeline(score.attributes, score.seconds)
    body, melody = line.bar_count - closing_bars(line), _melody_by_bar(score, line)
    sections, phrases = list[Section](), list[int]()  # first bars of the phrases that have letters
    for first in range(0, line.bar_count, line.phrase):
        bars = min(max(1, line.phrase // 2), body - first)
        if bars < 1 and sections:
            break
        letter = next((k for k, other in enumerate(phrases) if _alike(score, melody, first - other, other, bars)), len(phrases))
        if letter == len(phrases):
            phrases.append(first)
        sections.append(Section(first, _letter(letter)))
    return (*sections, Section(line.bar_count, "Ending"))


def _melody_by_bar(score: Score, line: Timeline) -> dict[int, set[tuple[int, int]]]:
    """Bar -> (place in 1/48 of a beat, pitch class) of the melody's notes."""
    melody = defaultdict[int, set[tuple[int, int]]](set)
    for note in score.lead:
        bar, place = divmod(round(note.start / line.beat * 48), 48 * line.metre)
        melody[bar].add((place, note.pitch % 12))
    return melody


def _alike(score: Score, melody: Mapping[int, set[tuple[int, int]]], shift: int, first: int, bars: int) -> bool:
    """Whether so many bars from `first` have the chords of those `shift` bars later, and half of their melody in common."""
    common = longest = 0
    for bar in range(first, first + bars):
        one, other = score.chords[bar], score.chords[bar + shift]
        if (one.root, one.quality) != (other.root, other.quality):
            return False
        here, there = melody.get(bar, set()), melody.get(bar + shift, set())
        common, longest = common + len(here & there), longest + max(len(here), len(there))
    return 2 * common >= longest


def _letter(index: int) -> str:
    """A to Z, then AA, AB ..."""
    times, place = divmod(index, 26)
    return (_letter(times - 1) if times else "") + chr(ord("A") + place)
