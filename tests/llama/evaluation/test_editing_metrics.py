"""Metrics of editing on sounds whose change is known: plucked notes that are played faster or higher, not stretched."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from llama.evaluation.editing_metrics import (
    chroma,
    level_difference,
    log_spectral_distance,
    measure_edit,
    partials,
    rms,
)
from llama.media.audio import Waveform

RATE = 16_000
EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
NOTES = [(0.0, 60), (0.5, 64), (1.0, 67), (1.25, 69), (1.5, 67), (2.1, 62), (2.5, 65), (3.0, 69), (3.4, 71), (4.0, 72), (4.5, 67),
         (5.2, 64), (5.5, 62), (6.0, 60)]  # fmt: skip


def play(speed: float = 1.0, cents: float = 0.0, seconds: float = 7.0, start: float = 0.0, drift: float = 0.0, seed: int = 0,
         notes: list[tuple[float, int]] = NOTES) -> np.ndarray:  # fmt: skip
    """Notes with six decaying partials, from second `start` of the tune on. drift: relative growth of the speed over the tune."""
    rng = np.random.default_rng(seed)
    samples = 0.002 * rng.standard_normal(round(seconds / speed * RATE))
    clock = np.arange(round(0.6 * RATE)) / RATE
    for second, pitch in notes:
        place = (second - start) / speed
        place -= drift * place * place / (2 * seconds / speed)
        begin = round(place * RATE)
        hertz = 440 * 2 ** ((pitch - 69) / 12 + cents / 1200)
        sound = sum(np.sin(2 * np.pi * k * hertz * clock) * np.exp(-clock * 4 * k) / k for k in range(1, 7))
        if 0 <= begin < len(samples):
            samples[begin:][: len(sound)] += 0.2 * sound[: len(samples) - begin]
    return samples


@pytest.mark.parametrize(("speed", "cents"), [(1.0, 0), (0.5, 0), (0.8, -100), (1.25, 300), (1.5, -500), (2.0, 1200), (1.0, -37), (3.0, 0)])
def test_speed_and_pitch_of_notes_played_anew(speed: float, cents: float) -> None:
    measured = measure_edit(play(), play(speed, cents, seed=1), RATE)
    assert measured.speed == pytest.approx(speed, rel=0.005)
    assert measured.cents == pytest.approx(cents, abs=3)
    assert measured.chroma > 0.5 and measured.agreement > 0.65 and abs(measured.offset) < 0.03


def test_an_edit_that_is_cut() -> None:
    """Its length says nothing: the middle 3 s of the source, played at 1.25 times the speed, are 2.4 s long."""
    measured = measure_edit(play(), play(1.25, 200, seconds=3.0, start=2.0, seed=1), RATE)
    assert measured.speed == pytest.approx(1.25, rel=0.01) and measured.cents == pytest.approx(200, abs=3)
    assert measured.offset == pytest.approx(2.0, abs=0.05)


def test_the_chroma_forgets_the_pitch_that_was_asked_for_and_no_other() -> None:
    edit = play(0.8, 300, seed=1)
    assert measure_edit(play(), edit, RATE, cents=300).chroma > 0.6 > 0.2 > measure_edit(play(), edit, RATE, cents=0).chroma


def test_another_tune_is_less_like_the_source() -> None:
    other = [(0.3 * index, 55 + (7 * index) % 17) for index in range(22)]
    own, swapped = measure_edit(play(), play(1.25, seed=1), RATE, 0), measure_edit(play(), play(1.25, seed=1, notes=other), RATE, 0)
    assert own.chroma - swapped.chroma > 0.3 and own.agreement - swapped.agreement > 0.3


@pytest.mark.parametrize("drift", [-0.04, 0.0, 0.04])
def test_drift_of_the_tempo(drift: float) -> None:
    steady = [(0.31 * index + 0.05 * (index % 3), 60 + (5 * index) % 13) for index in range(60)]
    edit = play(seconds=19.0, drift=drift, notes=steady, seed=1)
    assert measure_edit(play(seconds=19.0, notes=steady), edit, RATE).drift == pytest.approx(100 * drift, abs=0.7)


def test_level_and_distance_by_hand() -> None:
    samples = play()
    assert rms(np.full(100, 0.5)) == 0.5
    assert level_difference(samples, samples / 2) == pytest.approx(-6.0206, abs=1e-3)
    assert log_spectral_distance(samples, samples, RATE) == 0
    assert log_spectral_distance(samples, samples / 7, RATE) == pytest.approx(0, abs=1e-9)  # the level is taken out


def test_distance_of_a_filtered_noise() -> None:
    """The upper half of the spectrum 20 dB lower, the lower half unchanged: sqrt((0 + 20^2) / 2) = 14.14 dB."""
    noise = np.random.default_rng(0).standard_normal(4 * RATE)
    spectrum = np.fft.rfft(noise)
    spectrum[len(spectrum) // 2 :] /= 10
    assert log_spectral_distance(noise, np.fft.irfft(spectrum), RATE) == pytest.approx(14.14, rel=0.01)


def test_partials_and_chroma_lie_where_the_tone_is() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    levels = partials(tone, RATE).sum(0)
    assert levels.argmax() == pytest.approx(1200 * math.log2(440 / 65) / 5, abs=0.6)
    octave = np.sin(2 * np.pi * 880 * np.arange(2 * RATE) / RATE)
    assert chroma(partials(tone, RATE)).sum(0).argmax() == chroma(partials(octave, RATE)).sum(0).argmax()


@pytest.mark.parametrize("name", ["flute_ballad", "guitar_rock", "piano_waltz", "violin_swing"])
def test_shipped_examples(name: str) -> None:
    """Resampled without more ado, a recording is faster and higher by the same ratio: known exactly, and no stretch is involved."""
    wave = Waveform.read(EXAMPLES / f"{name}.flac").resample(RATE)
    source, edit = wave.samples[0].numpy(), wave.resample(12_800).samples[0].numpy()
    measured = measure_edit(source, edit, RATE)
    assert measured.speed == pytest.approx(1.25, rel=0.005)
    assert measured.cents == pytest.approx(1200 * math.log2(1.25), abs=4)


def test_what_cannot_be_measured_is_refused() -> None:
    for other, words in ((np.zeros(2 * RATE), "The edit is silent"), (play()[:100], "The edit is 0.01 s long")):
        with pytest.raises(ValueError, match=words):
            measure_edit(play(), other, RATE)
    with pytest.raises(ValueError, match="Silence has no level"):
        level_difference(play(), np.zeros(10))
