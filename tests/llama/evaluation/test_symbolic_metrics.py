"""Measures of notes against values known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.evaluation.statistics import chance, share
from llama.evaluation.symbolic_metrics import notes_in_key, tempo_agrees, tempo_from_onsets
from llama.media.score import TRACKS


def test_notes_in_key() -> None:
    assert notes_in_key([60, 62, 64, 65], 0, "major") == 1.0
    assert notes_in_key([60, 61, 64, 66], 0, "major") == 0.5
    assert notes_in_key([69, 68, 66, 60], 9, "minor") == 1.0  # G sharp and F sharp belong to A minor
    assert notes_in_key([69, 73], 9, "minor") == 0.5


TEMPI = [(100, True, True), (104, True, True), (105, False, False), (200, False, True), (50, False, True), (None, False, False)]


@pytest.mark.parametrize(("given", "plain", "octaves"), [*TEMPI, (math.nan, False, False)])
def test_tempo_agrees(given: float | None, plain: bool, octaves: bool) -> None:
    assert tempo_agrees(given, 100) is plain and tempo_agrees(given, 100, octaves=True) is octaves


@pytest.mark.parametrize("tempo", [84, 96, 118, 140])
def test_tempo_of_regular_onsets(tempo: int) -> None:
    beats = np.arange(24) * 60 / tempo
    jitter = np.random.default_rng(1).normal(0, 0.004, 24)
    assert tempo_agrees(tempo_from_onsets(beats + jitter), tempo, 0.02)


def test_tempo_of_composed_pieces() -> None:
    """Up to its octave, from when the notes begin alone; and not that of another piece."""
    rng, found, wanted = np.random.default_rng(2), [], []
    for _ in range(25):
        score = compose(rng, sample_attributes(rng, held_out=True), 12.0)
        found.append(tempo_from_onsets([note.start for track in TRACKS for note in score.track(track)]))
        wanted.append(score.attributes.tempo)
    agrees = lambda given, true: tempo_agrees(given, true, octaves=True)  # noqa: E731
    assert share([agrees(one, true) for one, true in zip(found, wanted, strict=True)]) > 0.9
    assert chance(found, wanted, agrees) < 0.6
    assert tempo_from_onsets([0.0, 0.5, 1.0]) is None
