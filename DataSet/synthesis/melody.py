"""Melodies built from a few motifs, which return in sequence, inverted and ornamented.

A motif is a rhythm, a movement from one strong beat to the next, and figures between them. Strong beats take chord tones (or an
appoggiatura from above), the notes between move by steps. The same motif over another chord is therefore a sequence.

Legend: degrees count the steps of the scale from the lead's lowest tonic (7 is the octave); times are eighths in the bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from DataSet.synthesis.grooves import CELLS, CLOSES, HALVES, PACES
from llama.media.score import SCALES, Attributes

LOWEST, HIGHEST = 2, 15  # degrees a melody moves within
MIDDLE = 8
STEPS = (-3, -2, -1, 0, 1, 2, 3)
STEP_WEIGHTS = (0.05, 0.16, 0.42, 0.05, 1.0, 0.22, 0.06)  # away from the goal .. towards it
DRIFTS, DRIFT_WEIGHTS = (-4, -2, -1, 0, 1, 2, 4), (0.1, 0.26, 0.11, 0.08, 0.11, 0.24, 0.1)
APPOGGIATURA_RATE = 0.2  # of the strong beats take the tone above their chord tone first
QUESTIONS = ("abac", "aabc", "abbc", "aaac", "abac")  # motifs of four bars; the last is a close
ANSWERS = ("ac", "bc")
BRIDGES = ("baac", "babc", "bbac", "ddac", "dabc")


@dataclass(frozen=True)
class Tone:
    """One melody note in written form; times are eighths within the bar."""

    start: int
    length: int
    degree: int
    raised: bool = False


@dataclass(frozen=True)
class Motif:
    """A rhythm with a contour."""

    cell: tuple[int, ...]  # lengths in eighths; negative for rests
    drifts: tuple[int, ...]  # steps from one strong beat to the next
    draws: tuple[float, ...]  # selects the figures between strong beats, 0..1
    appoggiaturas: tuple[bool, ...]  # by strong beat
    up: bool
    home: tuple[int, ...] = ()  # for a close: scale degrees allowed for its longest note

    def inverted(self) -> Motif:
        """The motif with an inverted contour."""
        return replace(self, drifts=tuple(-drift for drift in self.drifts), up=not self.up)

    def with_close(self, home: tuple[int, ...]) -> Motif:
        """The motif as a close on one of these degrees."""
        return replace(self, home=home, appoggiaturas=(False,) * len(self.appoggiaturas))


@dataclass(frozen=True)
class Ideas:
    """The material of a piece's melody."""

    motifs: dict[str, Motif]
    closes: tuple[tuple[int, ...], ...]
    chromatic: float  # share of lower neighbours that are raised to half a step


@lru_cache(maxsize=64)
def rhythm_cells(style: str, metre: int) -> tuple[tuple[int, ...], ...]:
    """All rhythms of a bar in a style."""
    rhythms = CELLS[style, metre] + tuple(a + b for a, b in product(HALVES[style, metre][0], HALVES[style, metre][1]))
    return tuple(dict.fromkeys(rhythms))


def find_ideas(rng: np.random.Generator, attributes: Attributes) -> Ideas:
    """Random motifs a (the main one), b, and d (a inverted), with rhythms that suit style and tempo."""
    note_count = PACES[attributes.style] * attributes.metre * 60 / attributes.tempo * rng.uniform(0.8, 1.25)
    note_count = float(np.clip(note_count, 2.6, attributes.metre * 1.9))
    rhythms = rhythm_cells(attributes.style, attributes.metre)
    counts = np.array([sum(length > 0 for length in cell) for cell in rhythms])
    weights = np.exp(-np.abs(counts - note_count) / 0.55)
    weights /= weights.sum()
    first = _motif(rng, rhythms[int(rng.choice(len(rhythms), p=weights))])
    second = _motif(rng, rhythms[int(rng.choice(len(rhythms), p=weights))])
    closes = CLOSES[attributes.metre]
    fuller = [close for close in closes if len(close) >= min(note_count - 1.5, 4)]
    chosen_closes = tuple(fuller[int(rng.integers(len(fuller)))] for _ in range(2))
    chromatic = {"swing": 0.5, "waltz": 0.2}.get(attributes.style, 0.04)
    return Ideas({"a": first, "b": second, "d": first.inverted()}, chosen_closes, chromatic)


def _motif(rng: np.random.Generator, cell: tuple[int, ...]) -> Motif:
    drifts = tuple(int(drift) for drift in rng.choice(DRIFTS, size=3, p=DRIFT_WEIGHTS))
    leans = tuple(bool(lean) for lean in rng.random(3) < APPOGGIATURA_RATE)
    return Motif(cell, drifts, tuple(rng.random(8).tolist()), leans, bool(rng.random() < 0.5))


def arrange_motifs(rng: np.random.Generator, ideas: Ideas, letters: str, home: tuple[int, ...]) -> list[Motif]:
    """The motifs of successive bars. A repeated motif may be ornamented; "c" is a close."""
    arranged: list[Motif] = []
    for index, letter in enumerate(letters):
        if letter == "c":
            motif = ideas.motifs["a" if index % 2 else "b"]
            arranged.append(replace(motif, cell=ideas.closes[0 if rng.random() < 0.8 else 1]).with_close(home))
            continue
        motif = ideas.motifs[letter]
        if letter in letters[:index] and rng.random() < 0.35:
            motif = _ornament(rng, motif)
        arranged.append(motif)
    return arranged


def _ornament(rng: np.random.Generator, motif: Motif) -> Motif:
    """Splits one longer note, or changes the figures on the same rhythm."""
    long = [index for index, length in enumerate(motif.cell) if length in (2, 4)]
    if not long or rng.random() < 0.4:
        return replace(motif, draws=tuple(rng.random(8).tolist()))
    index = long[int(rng.integers(len(long)))]
    half = motif.cell[index] // 2
    return replace(motif, cell=(*motif.cell[:index], half, half, *motif.cell[index + 1 :]))


def write_bars(ideas: Ideas, motifs: Sequence[Motif], chords: Sequence[int], mode: str, metre: int, start: int) -> list[tuple[Tone, ...]]:
    """A bar of tones for every motif over its chord (a scale degree), begun near degree `start`."""
    current, bars = start, list[tuple[Motif, int, list[tuple[int, int]], dict[int, int]]]()
    for motif, chord in zip(motifs, chords, strict=True):
        notes = _onsets(motif.cell)
        leaders = _strong_notes(notes, metre)
        if motif.home:
            leaders = sorted({*leaders, _longest(notes)})
        anchors = {}
        for index_in_bar, leader in enumerate(leaders):
            target = current + (motif.drifts[index_in_bar % 3] if bars or index_in_bar else 0)
            allowed = {(chord + step) % 7 for step in (0, 2, 4)}
            if motif.home and leader == _longest(notes):
                allowed = {step % 7 for step in motif.home}
            current = anchors[leader] = _nearest(target, allowed, motif.up)
        bars.append((motif, chord, notes, anchors))
    written = []
    for index, (motif, chord, notes, anchors) in enumerate(bars):
        after = next(iter(bars[index + 1][3].values())) if index + 1 < len(bars) else start
        written.append(_tones(ideas, motif, chord, notes, anchors, after, mode))
    return written


def _onsets(cell: Sequence[int]) -> list[tuple[int, int]]:
    """(start, length) of the notes of a rhythm."""
    starts = np.cumsum([0, *(abs(length) for length in cell)])
    return [(int(start), length) for start, length in zip(starts, cell, strict=False) if length > 0]


def _strong_notes(notes: Sequence[tuple[int, int]], metre: int) -> list[int]:
    """Places of the notes that sound on the strong beats."""
    strong = {0}
    for beat in (0, 4):
        strong |= {next((index for index, (start, length) in enumerate(notes) if start + length > beat), 0)}
    return sorted(strong)


def _longest(notes: Sequence[tuple[int, int]]) -> int:
    most = max(length for _, length in notes)
    return max(index for index, (_, length) in enumerate(notes) if length == most)


def _nearest(target: int, steps: set[int], up: bool) -> int:
    target = min(max(target, LOWEST), HIGHEST)
    near = [degree for degree in range(LOWEST, HIGHEST + 1) if degree % 7 in steps]
    return min(near, key=lambda degree: (abs(degree - target) + 0.2 * abs(degree - MIDDLE), -degree if up else degree))


def _tones(
    ideas: Ideas, motif: Motif, chord: int, notes: Sequence[tuple[int, int]], anchors: dict[int, int], after: int, mode: str
) -> tuple[Tone, ...]:
    """The notes of a bar: anchors on strong beats, appoggiaturas, and figures between."""
    places = sorted(anchors)
    degrees: list[int] = []
    for index, place in enumerate(places):
        last = places[index + 1] if index + 1 < len(places) else len(notes)
        goal = anchors[last] if last in anchors else after
        between = last - place - 1
        here = [anchors[place]]
        if motif.appoggiaturas[index % 3] and between and anchors[place] < HIGHEST:
            here, between = [anchors[place] + 1, anchors[place]], between - 1
        degrees += [*here, *_figure(motif, anchors[place], goal, between, index * 3)]
    tones = []
    for place, ((start, length), degree) in enumerate(zip(notes, degrees, strict=True)):
        raised = leading(mode, chord, degree)
        if not raised and place and place + 1 < len(degrees) and degree + 1 == degrees[place - 1] == degrees[place + 1]:
            raised = place not in anchors and motif.draws[place % 8] < ideas.chromatic and _whole_step(mode, degree)
        tones.append(Tone(start, length, degree, raised))
    return tuple(tones)


def leading(mode: str, chord: int, degree: int) -> bool:
    """Whether a tone over this chord is the raised leading note of minor."""
    return mode == "minor" and chord == 4 and degree % 7 == 6


def _whole_step(mode: str, degree: int) -> bool:
    scale = (*SCALES[mode], 12)
    return scale[degree % 7 + 1] - scale[degree % 7] == 2


def _figure(motif: Motif, start: int, goal: int, count: int, first: int) -> list[int]:
    """`count` degrees between two anchors: passing notes, neighbour notes, sometimes a skip."""
    current, degrees = start, []
    direction = (goal > start) - (goal < start) or (1 if motif.up else -1)
    for left in range(count, 0, -1):
        weights = []
        for step, weight in zip(STEPS, STEP_WEIGHTS, strict=True):
            candidate = current + direction * step
            excess = max(0, abs(goal - candidate) - left)
            early = candidate == goal and left == 1
            outside = not LOWEST <= candidate <= HIGHEST
            weights.append(0.0 if outside else weight * 0.22**excess * (0.25 if early else 1.0))
        draw = motif.draws[(first + count - left) % 8] * sum(weights)
        choice = next((k for k, total in enumerate(np.cumsum(weights).tolist()) if draw < total), 4)
        current += direction * STEPS[choice]
        degrees.append(current)
        direction = (goal > current) - (goal < current) or direction
    return degrees
