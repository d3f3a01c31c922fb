"""Compression ratio: values by pencil, and the search with pruning beside one that tries every pattern."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from llama.evaluation.compression import MAX_POINTS, Point, compression_ratio

MOTIF = [(0, 60), (1, 64), (2, 67)]


def shifted(points: list[Point], steps: int, semitones: int) -> list[Point]:
    return [(onset + steps, pitch + semitones) for onset, pitch in points]


def pairs(onsets: np.ndarray, pitches: np.ndarray) -> list[Point]:
    return list(zip(onsets.tolist(), pitches.tolist(), strict=True))


@pytest.mark.parametrize(
    ("points", "ratio"),
    [
        (MOTIF, 1.0),  # nothing repeats: 3 points for 3
        (MOTIF + shifted(MOTIF, 8, 2), 6 / 4),  # 3 points and 1 vector
        (MOTIF + shifted(MOTIF, 8, 2) + shifted(MOTIF, 20, -3), 9 / 5),  # 3 points and 2 vectors
        ([*MOTIF, *shifted(MOTIF, 8, 2), (50, 40)], 7 / 5),  # and a note by itself
        ([(0, 60)], 1.0),
    ],
)
def test_ratios_by_pencil(points: list[Point], ratio: float) -> None:
    assert compression_ratio(points) == pytest.approx(ratio)


def test_no_points_have_no_ratio() -> None:
    assert math.isnan(compression_ratio([]))


def brute_force(points: set[Point]) -> float:
    """COSIATEC by sets: every maximal translatable pattern of each round, all compared."""
    total, cost = len(points), 0
    while points:
        best = None
        for vector in {(b[0] - a[0], b[1] - a[1]) for a, b in combinations(sorted(points), 2)}:
            pattern = {p for p in points if (p[0] + vector[0], p[1] + vector[1]) in points}
            first = min(pattern)
            starts = [p for p in points if all((p[0] + q[0] - first[0], p[1] + q[1] - first[1]) in points for q in pattern)]
            covered = {(p[0] + q[0] - first[0], p[1] + q[1] - first[1]) for p in starts for q in pattern}
            price = len(pattern) + len(starts) - 1
            rank = (len(covered) / price, len(covered), len(pattern))
            if best is None or rank > best[0]:
                best = rank, covered, price
        if best is None or len(best[1]) <= best[2]:
            return total / (cost + len(points))
        points, cost = points - best[1], cost + best[2]
    return total / cost


@pytest.mark.parametrize("seed", range(6))
def test_the_first_pattern_equals_that_of_all_patterns(seed: int) -> None:
    """Both find the best rank each round; ties may be resolved differently, so the ratios may differ by the rounds after."""
    generator = np.random.default_rng(seed)
    motif = pairs(np.sort(generator.choice(12, 5, False)), generator.integers(55, 70, 5))
    points = {point for k in range(4) for point in shifted(motif, 16 * k, int(generator.integers(-4, 5)))}
    points |= set(pairs(generator.integers(0, 64, 4), generator.integers(40, 50, 4)))
    assert compression_ratio(points) == pytest.approx(brute_force(points), rel=0.08)


def test_place_transposition_and_grid_do_not_matter() -> None:
    points = MOTIF + shifted(MOTIF, 8, 2) + shifted(MOTIF, 12, 5)
    moved = [(24 * onset + 7, pitch - 40) for onset, pitch in points]
    assert compression_ratio(moved) == compression_ratio(points) == pytest.approx(9 / 5)


def test_repeated_music_is_more_compressible_than_random_notes() -> None:
    generator = np.random.default_rng(0)
    noise = pairs(generator.integers(0, 400, 80), generator.integers(30, 100, 80))
    bar = pairs(np.arange(10), generator.integers(50, 80, 10))
    repeated = [point for k in range(8) for point in shifted(bar, 16 * k, 0)]
    assert compression_ratio(repeated) > 4 > 1.7 > compression_ratio(noise)


@pytest.mark.parametrize("point", [(-1, 60), (0, 128), (0, -1)])
def test_notes_that_cannot_be_are_refused(point: Point) -> None:
    with pytest.raises(ValueError, match="give onsets from 0 on and pitches from 0 to 127"):
        compression_ratio([point, (3, 60)])


def test_too_many_notes_are_refused() -> None:
    with pytest.raises(ValueError, match=f"up to {MAX_POINTS}"):
        compression_ratio([(onset, 60) for onset in range(MAX_POINTS + 1)])
