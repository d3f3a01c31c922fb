"""Compression ratio of music as a set of points (onset, pitch): how much of a piece repeats, transposed or not.

COSIATEC (Meredith, Lemstroem and Wiggins 2003; Meredith 2013) covers the points greedily with patterns and the vectors by which each
occurs again. Text2midi (arXiv 2412.16526) reports this ratio by the program OMNISIA, which spells pitches first; here pitches are MIDI
numbers, so ratios are near its values, not equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np

MAX_POINTS = 1500  # notes; a piece of 600 takes some seconds, and the time grows with the cube

Point = tuple[int, int]  # onset in steps of a grid, MIDI pitch


@dataclass(frozen=True)
class Occurrences:
    """A pattern and its translators, as sets of bits: the points of the pattern, and all points that they cover."""

    pattern: int
    covered: int
    translators: int

    @property
    def size(self) -> int:
        return self.pattern.bit_count()

    @property
    def cost(self) -> int:
        """Numbers that encode it: the points of the pattern and the vectors to its other occurrences."""
        return self.size + self.translators - 1

    @property
    def rank(self) -> tuple[float, int, int]:
        """Best first: by ratio, then by points covered, then by the size of the pattern."""
        return self.covered.bit_count() / self.cost, self.covered.bit_count(), self.size


def compression_ratio(points: Iterable[Point]) -> float:
    """Points by the length of their COSIATEC encoding; 1.0 where nothing repeats, nan without points.

    Raises ValueError for a pitch outside 0..127, a negative onset, and more than `MAX_POINTS` different points.
    """
    bits = _as_bits(set(points))
    total = bits.bit_count()
    if not total:
        return float("nan")
    return total / sum(part.cost for part in cover(bits))


def cover(bits: int) -> Iterator[Occurrences]:
    """The best pattern of the points that are left, until each point is covered once."""
    while bits:
        best = _best(bits)
        if best is None or best.covered.bit_count() <= best.cost:
            yield Occurrences(bits, bits, 1)  # what is left repeats nowhere
            return
        yield best
        bits &= ~best.covered


def _as_bits(points: set[Point]) -> int:
    """The points as bits at onset * width + pitch, on the coarsest grid that holds them; the width leaves room for a shift by any pitch."""
    if len(points) > MAX_POINTS:
        raise ValueError(f"The piece has {len(points)} notes; the compression ratio takes up to {MAX_POINTS}: give a part of it.")
    for onset, pitch in points:
        if onset < 0 or not 0 <= pitch < 128:
            raise ValueError(f"The note at step {onset} has the pitch {pitch}; give onsets from 0 on and pitches from 0 to 127.")
    if not points:
        return 0
    first, lowest = min(onset for onset, _ in points), min(pitch for _, pitch in points)
    step = gcd(*(onset - first for onset, _ in points)) or 1
    width = 2 * (max(pitch for _, pitch in points) - lowest) + 1
    bits = 0
    for onset, pitch in points:
        bits |= 1 << ((onset - first) // step * width + pitch - lowest)
    return bits


def _positions(bits: int) -> np.ndarray:
    """Indices of the bits that are set, ascending."""
    length = (bits.bit_length() + 7) // 8
    return np.flatnonzero(np.unpackbits(np.frombuffer(bits.to_bytes(length, "little"), np.uint8), bitorder="little"))


def _best(bits: int) -> Occurrences | None:
    """The pattern with the best rank. Patterns whose size alone excludes that they are better are left out."""
    best, seen = None, set[int]()
    for vector, bound in zip(*_vectors(_positions(bits)), strict=True):
        if best is not None and bound < best.rank[0]:
            break
        pattern = bits & (bits >> int(vector))
        shape = pattern // (pattern & -pattern)  # the same pattern elsewhere has the same occurrences
        if shape not in seen:
            seen.add(shape)
            part = _occurrences(bits, shape, pattern)
            best = part if best is None or part.rank > best.rank else best
    return best


def _vectors(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All vectors between two points, and the best ratio that a pattern of that many points can have, best first.

    m points that occur t times cover at most m * t of n points for m + t - 1 numbers, which is best at t = n / m.
    """
    count = len(positions)
    first, second = np.triu_indices(count, 1)
    vectors, sizes = np.unique(positions[second] - positions[first], return_counts=True)
    bounds = count / (sizes + count / sizes - 1)
    order = np.argsort(-bounds, kind="stable")
    return vectors[order], bounds[order]


def _occurrences(bits: int, shape: int, pattern: int) -> Occurrences:
    offsets = _positions(shape).tolist()
    starts = bits
    for offset in offsets[1:]:
        starts &= bits >> offset
    covered = 0
    for offset in offsets:
        covered |= starts << offset
    return Occurrences(pattern, covered, starts.bit_count())
