"""Voices, bars and note values: how notes of any begin and length are divided into the symbols that a staff can show.

Legend: positions and lengths are exact fractions of a beat, which is a quarter note.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from llama.media.notation import WrittenNote

BEAT = Fraction(1)
HALF = Fraction(1, 2)
WHOLE_BEATS = (4, 3, 2, 1)  # lengths of whole beats that have a symbol
PLAIN, DOTTED = {Fraction(1, 2**k) for k in range(1, 5)}, {Fraction(3, 4), Fraction(3, 8)}
TRIPLETS = {Fraction(2, 3 * 2**k) for k in range(6)}
IN_BEAT = tuple(sorted(PLAIN | DOTTED | TRIPLETS, reverse=True))  # lengths below a beat that have a symbol


@dataclass(frozen=True)
class WrittenChord:
    """Notes of one begin and one length, low to high."""

    start: Fraction
    length: Fraction
    notes: tuple[WrittenNote, ...]

    @property
    def end(self) -> Fraction:
        return self.start + self.length


@dataclass(frozen=True)
class Symbol:
    """A note, chord or rest (without notes) of a bar. start: within the bar; tied: to the symbol before, to the one after it."""

    start: Fraction
    length: Fraction
    notes: tuple[WrittenNote, ...] = ()
    tied: tuple[bool, bool] = (False, False)


def divide_voices(notes: Sequence[WrittenNote]) -> list[list[WrittenChord]]:
    """Voices in which no two chords overlap; as few as the notes need, higher notes first."""
    groups: dict[tuple[Fraction, Fraction], list[WrittenNote]] = {}
    for note in notes:
        groups.setdefault((note.start, note.length), []).append(note)
    chords = [WrittenChord(start, length, tuple(sorted(group, key=lambda note: note.pitch))) for (start, length), group in groups.items()]
    voices: list[list[WrittenChord]] = []
    for chord in sorted(chords, key=lambda chord: (chord.start, -chord.notes[-1].pitch, chord.length)):
        free = next((voice for voice in voices if voice[-1].end <= chord.start), None)
        if free is None:
            voices.append([chord])
        else:
            free.append(chord)
    return voices


def divide_bars(voice: Sequence[WrittenChord], metre: int, bar_count: int) -> list[list[Symbol]]:
    """The symbols of each bar, without gaps; a bar without notes is empty."""
    bars: list[list[Symbol]] = [[] for _ in range(bar_count)]
    for chord in voice:
        pieces = list(_pieces(chord.start, chord.length, metre, rest=False))
        for index, (start, length) in enumerate(pieces):
            tied = (index > 0, index < len(pieces) - 1)
            bars[start // metre].append(Symbol(start % metre, length, chord.notes, tied))
    return [_with_rests(bar, metre) if bar else [] for bar in bars]


def _with_rests(bar: Sequence[Symbol], metre: int) -> list[Symbol]:
    symbols, now = list[Symbol](), Fraction(0)
    for symbol in bar:
        symbols += [Symbol(*piece) for piece in _pieces(now, symbol.start - now, metre, rest=True)]
        symbols.append(symbol)
        now = symbol.start + symbol.length
    return symbols + [Symbol(*piece) for piece in _pieces(now, metre - now, metre, rest=True)]


def _pieces(start: Fraction, length: Fraction, metre: int, rest: bool) -> Iterator[tuple[Fraction, Fraction]]:
    """(start, length) of the symbols that together last `length`: none crosses a bar line or hides the beat."""
    while length > 0:
        piece = _symbol_length(start % metre, min(length, metre - start % metre), metre, rest)
        yield start, piece
        start, length = start + piece, length - piece


def _symbol_length(place: Fraction, length: Fraction, metre: int, rest: bool) -> Fraction:
    """The longest symbol at this place of the bar."""
    middle = Fraction(metre, 2) if metre == 4 else Fraction(metre)
    if place.denominator == 1:
        if rest and 0 < place < middle:
            length = min(length, middle - place)
        if rest and metre == 3 and length < metre:
            length = min(length, BEAT)
        if length == 1 + HALF and not rest:
            return length
        if length >= 1:
            return next(Fraction(value) for value in WHOLE_BEATS if value <= length)
    elif place % 1 == HALF and not rest:  # a syncopation may go past one beat, but not past the middle of the bar
        limit = min(length, (middle if place < middle else Fraction(metre)) - place)
        if limit in (1, 1 + HALF):
            return limit
    inside = min(length, math.floor(place) + 1 - place)
    return next(value for value in IN_BEAT if value <= inside)
