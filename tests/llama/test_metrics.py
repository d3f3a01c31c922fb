"""Metrics against values computed by hand or by another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from DataSet.synthesis.composer import compose, sample_attributes
from llama import metrics
from llama.media.score import TRACKS


def test_interval_is_wilsons() -> None:
    low, high = metrics.interval(45, 50)
    assert (low, high) == pytest.approx((0.78640, 0.95652), abs=1e-4)
    assert metrics.interval(0, 0) == (0.0, 1.0) and metrics.interval(0, 10)[0] == 0.0 and metrics.interval(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="11 of 10"):
        metrics.interval(11, 10)


def test_share_of_nothing_is_no_number() -> None:
    assert metrics.share([True, False, True, True]) == 0.75 and math.isnan(metrics.share([]))


def test_chance_and_majority() -> None:
    truth = ["a", "a", "a", "b"]
    assert metrics.majority(truth) == 0.75
    equal = lambda one, other: one == other  # noqa: E731
    assert metrics.chance(["a"] * 4, truth, equal) == 0.75  # one answer for all reaches what the commonest does
    assert metrics.chance(truth, truth, equal) == pytest.approx(6 / 12)  # right answers about other cases
    with pytest.raises(ValueError, match="3 answers for 4"):
        metrics.chance(truth[:3], truth, equal)


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, 60), rng.normal(size=60) + rng.integers(0, 3, 60)
    assert metrics.rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert metrics.rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1.0)
    assert metrics.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert math.isnan(metrics.rank_correlation([1, 2, 3], [5, 5, 5]))
    with pytest.raises(ValueError, match="give pairs"):
        metrics.rank_correlation([1, 2], [1, 2, 3])


def test_notes_in_key() -> None:
    assert metrics.notes_in_key([60, 62, 64, 65], 0, "major") == 1.0
    assert metrics.notes_in_key([60, 61, 64, 66], 0, "major") == 0.5
    assert metrics.notes_in_key([69, 68, 66, 60], 9, "minor") == 1.0  # G sharp and F sharp belong to A minor
    assert metrics.notes_in_key([69, 73], 9, "minor") == 0.5


TEMPI = [(100, True, True), (104, True, True), (105, False, False), (200, False, True), (50, False, True), (None, False, False)]


@pytest.mark.parametrize(("given", "plain", "octaves"), [*TEMPI, (math.nan, False, False)])
def test_tempo_agrees(given: float | None, plain: bool, octaves: bool) -> None:
    assert metrics.tempo_agrees(given, 100) is plain and metrics.tempo_agrees(given, 100, octaves=True) is octaves


@pytest.mark.parametrize("tempo", [84, 96, 118, 140])
def test_tempo_of_regular_onsets(tempo: int) -> None:
    beats = np.arange(24) * 60 / tempo
    jitter = np.random.default_rng(1).normal(0, 0.004, 24)
    assert metrics.tempo_agrees(metrics.tempo_from_onsets(beats + jitter), tempo, 0.02)


def test_tempo_of_composed_pieces() -> None:
    """Up to its octave, from when the notes begin alone; and not that of another piece."""
    rng, found, wanted = np.random.default_rng(2), [], []
    for _ in range(25):
        score = compose(rng, sample_attributes(rng, held_out=True), 12.0)
        found.append(metrics.tempo_from_onsets([note.start for track in TRACKS for note in score.track(track)]))
        wanted.append(score.attributes.tempo)
    agrees = lambda given, true: metrics.tempo_agrees(given, true, octaves=True)  # noqa: E731
    assert metrics.share([agrees(one, true) for one, true in zip(found, wanted, strict=True)]) > 0.9
    assert metrics.chance(found, wanted, agrees) < 0.6
    assert metrics.tempo_from_onsets([0.0, 0.5, 1.0]) is None


def test_mode_of_chroma() -> None:
    scale = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
    for mode, steps in scale.items():
        for tonic in (0, 7, 10):
            chroma = np.zeros(12)
            chroma[[(tonic + step) % 12 for step in steps]] = 1
            chroma[[tonic, (tonic + 7) % 12]] += 1
            chroma[(tonic + (4 if mode == "major" else 3)) % 12] += 1
            assert metrics.mode_of_chroma(chroma) == (tonic, mode)
    with pytest.raises(ValueError, match="twelve"):
        metrics.mode_of_chroma([1.0] * 24)


def test_sound() -> None:
    time = np.arange(32_000) / 32_000
    tone = np.stack([0.5 * np.sin(2 * np.pi * 220 * time)] * 2)
    faded = tone * np.minimum(1, (1 - time) / 0.2) ** 2
    assert metrics.ends_silent(faded, 32_000) and not metrics.ends_silent(tone[:, :31_000], 32_000)
    assert not metrics.ends_silent(np.zeros((2, 32_000)), 32_000)  # silence is no ending
    click = tone.copy()
    click[0, 16_000] += 0.8
    assert metrics.largest_step(tone) < 0.03 and metrics.largest_step(click) > 0.75
    assert metrics.clipped(tone) == 0 and metrics.clipped(np.clip(3 * tone, -1, 1)) > 0.5
