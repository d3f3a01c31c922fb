"""Melodies that hang together: a few motifs a piece, which return, rise and fall in sequence, are turned over and adorned.

A motif is a rhythm, a way to move from one strong beat to the next, and figures between them. Strong beats take chord tones
(or lean on them from above), what lies between is found by steps. So the same motif over another chord is a sequence.

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
    cell: tuple[int, ...]  # lengths in eighths; a negative one rests
    drifts: tuple[int, ...]  # steps from one strong beat to the next
    draws: tuple[float, ...]  # which figures fill the way, in 0..1
    leans: tuple[bool, ...]  # on which strong beats
    up: bool
    home: tuple[int, ...] = ()  # a close: degrees of the scale that its longest note may take

    def turned(self) -> Motif:
        """The same with its contour turned over."""
        return replace(self, drifts=tuple(-drift for drift in self.drifts), up=not self.up)

    def at(self, home: tuple[int, ...]) -> Motif:
        """As a close on one of these degrees."""
        return replace(self, home=home, leans=(False,) * len(self.leans))


@dataclass(frozen=True)
class Ideas:
    """What the melody of a piece is made of."""

    motifs: dict[str, Motif]
    closes: tuple[tuple[int, ...], ...]
    chromatic: float  # share of lower neighbours that are raised to half a step


@lru_cache(maxsize=64)
def rhythm_cells(style: str, metre: int) -> tuple[tuple[int, ...], ...]:
    """All rhythms of a bar that a style knows."""
    made = CELLS[style, metre] + tuple(a + b for a, b in product(HALVES[style, metre][0], HALVES[style, metre][1]))
    return tuple(dict.fromkeys(made))


def find_ideas(rng: np.random.Generator, attributes: Attributes) -> Ideas:
    """Motifs a (the main one), b, and d (a turned over), whose rhythms suit the style and the tempo."""
    wanted = PACES[attributes.style] * attributes.metre * 60 / attributes.tempo * rng.uniform(0.8, 1.25)
    wanted = float(np.clip(wanted, 2.6, attributes.metre * 1.9))
    known = rhythm_cells(attributes.style, attributes.metre)
    counts = np.array([sum(length > 0 for length in cell) for cell in known])
    weights = np.exp(-np.abs(counts - wanted) / 0.55)
    weights /= weights.sum()
    first = _motif(rng, known[int(rng.choice(len(known), p=weights))])
    second = _motif(rng, known[int(rng.choice(len(known), p=weights))])
    closes = CLOSES[attributes.metre]
    fuller = [close for close in closes if len(close) >= min(wanted - 1.5, 4)]
    picked = tuple(fuller[int(rng.integers(len(fuller)))] for _ in range(2))
    chromatic = {"swing": 0.5, "waltz": 0.2}.get(attributes.style, 0.04)
    return Ideas({"a": first, "b": second, "d": first.turned()}, picked, chromatic)


def _motif(rng: np.random.Generator, cell: tuple[int, ...]) -> Motif:
    drifts = tuple(int(drift) for drift in rng.choice(DRIFTS, size=3, p=DRIFT_WEIGHTS))
    leans = tuple(bool(lean) for lean in rng.random(3) < APPOGGIATURA_RATE)
    return Motif(cell, drifts, tuple(rng.random(8).tolist()), leans, bool(rng.random() < 0.5))


def arrange_motifs(rng: np.random.Generator, ideas: Ideas, letters: str, home: tuple[int, ...]) -> list[Motif]:
    """Motifs of a row of bars. A motif that returns may be adorned; "c" closes with the rhythm that all closes share."""
    found: list[Motif] = []
    for place, letter in enumerate(letters):
        if letter == "c":
            motif = ideas.motifs["a" if place % 2 else "b"]
            found.append(replace(motif, cell=ideas.closes[0 if rng.random() < 0.8 else 1]).at(home))
            continue
        motif = ideas.motifs[letter]
        if letter in letters[:place] and rng.random() < 0.35:
            motif = _ornament(rng, motif)
        found.append(motif)
    return found


def _ornament(rng: np.random.Generator, motif: Motif) -> Motif:
    """One longer note broken in two, or other figures on the same rhythm."""
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
        for place, leader in enumerate(leaders):
            wanted = current + (motif.drifts[place % 3] if bars or place else 0)
            allowed = {(chord + step) % 7 for step in (0, 2, 4)}
            if motif.home and leader == _longest(notes):
                allowed = {step % 7 for step in motif.home}
            current = anchors[leader] = _nearest(wanted, allowed, motif.up)
        bars.append((motif, chord, notes, anchors))
    written = []
    for index, (motif, chord, notes, anchors) in enumerate(bars):
        after = next(iter(bars[index + 1][3].values())) if index + 1 < len(bars) else start
        written.append(_tones(ideas, motif, chord, notes, anchors, after, mode))
    return written


def _onsets(cell: Sequence[int]) -> list[tuple[int, int]]:
    """(start, length) of what sounds."""
    starts = np.cumsum([0, *(abs(length) for length in cell)])
    return [(int(start), length) for start, length in zip(starts, cell, strict=False) if length > 0]


def _strong_notes(notes: Sequence[tuple[int, int]], metre: int) -> list[int]:
    """Places of the notes that sound on the strong beats."""
    found = {0}
    for beat in (0, 4):
        found |= {next((place for place, (start, length) in enumerate(notes) if start + length > beat), 0)}
    return sorted(found)


def _longest(notes: Sequence[tuple[int, int]]) -> int:
    most = max(length for _, length in notes)
    return max(place for place, (_, length) in enumerate(notes) if length == most)


def _nearest(wanted: int, steps: set[int], up: bool) -> int:
    wanted = min(max(wanted, LOWEST), HIGHEST)
    near = [degree for degree in range(LOWEST, HIGHEST + 1) if degree % 7 in steps]
    return min(near, key=lambda degree: (abs(degree - wanted) + 0.2 * abs(degree - MIDDLE), -degree if up else degree))


def _tones(
    ideas: Ideas, motif: Motif, chord: int, notes: Sequence[tuple[int, int]], anchors: dict[int, int], after: int, mode: str
) -> tuple[Tone, ...]:
    """The notes of a bar: anchors, what leans on them, and figures between."""
    places = sorted(anchors)
    degrees: list[int] = []
    for index, place in enumerate(places):
        last = places[index + 1] if index + 1 < len(places) else len(notes)
        goal = anchors[last] if last in anchors else after
        between = last - place - 1
        here = [anchors[place]]
        if motif.leans[index % 3] and between and anchors[place] < HIGHEST:
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
    """`count` degrees on the way from one anchor to the next: passing notes, neighbours, now and then a skip."""
    current, made = start, []
    way = (goal > start) - (goal < start) or (1 if motif.up else -1)
    for left in range(count, 0, -1):
        weights = []
        for step, weight in zip(STEPS, STEP_WEIGHTS, strict=True):
            there = current + way * step
            far = max(0, abs(goal - there) - left)
            early = there == goal and left == 1
            outside = not LOWEST <= there <= HIGHEST
            weights.append(0.0 if outside else weight * 0.22**far * (0.25 if early else 1.0))
        draw = motif.draws[(first + count - left) % 8] * sum(weights)
        choice = next((k for k, total in enumerate(np.cumsum(weights).tolist()) if draw < total), 4)
        current += way * STEPS[choice]
        made.append(current)
        way = (goal > current) - (goal < current) or way
    return made
