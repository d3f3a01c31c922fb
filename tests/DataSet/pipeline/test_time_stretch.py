"""WSOLA: length, pitch and stereo by hand-made sounds, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from DataSet.pipeline.time_stretch import change_speed_and_pitch, time_stretch

RATE = 16_000


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)[None]


def frequency(samples: np.ndarray) -> float:
    """Hz of the strongest partial of the middle, by a parabola through the logarithm of a zero-padded spectrum."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    levels = np.log(np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle))) + 1e-12)
    best = int(levels.argmax())
    a, b, c = levels[best - 1 : best + 2]
    return (best + 0.5 * (a - c) / (a - 2 * b + c)) * RATE / (8 * len(middle))


@pytest.mark.parametrize("speed", [0.5, 0.7, 1.3, 2.0])
def test_a_stretch_keeps_pitch_and_level(speed: float) -> None:
    source = tone(220)
    result = time_stretch(source, RATE, speed)
    assert result.shape == (1, round(source.shape[1] / speed))
    assert abs(1200 * np.log2(frequency(result[0]) / 220)) < 2
    assert np.abs(result).max() < 0.51 and np.sqrt(np.square(result).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("cents", [-500, -100, 100, 700])
@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_a_shift_is_exact(cents: float, speed: float) -> None:
    result = change_speed_and_pitch(tone(440), RATE, speed, cents)
    assert result.shape == (1, round(2 * RATE / speed))
    assert 1200 * np.log2(frequency(result[0]) / 440) == pytest.approx(cents, abs=1)


def test_clicks_land_where_the_speed_puts_them() -> None:
    source = np.zeros((1, 4 * RATE), np.float32)
    for second in (0.5, 1.5, 2.5, 3.5):
        source[0, round(second * RATE) :][:800] = np.exp(-np.arange(800) / 100) * np.random.default_rng(0).standard_normal(800)
    result = time_stretch(source, RATE, 1.6)[0]
    for second in (0.5, 1.5, 2.5, 3.5):
        begin = round((second / 1.6 - 0.1) * RATE)
        assert abs(begin + int(np.abs(result[begin:][:3200]).argmax()) - second / 1.6 * RATE) < 0.03 * RATE


def test_speed_one_changes_nothing() -> None:
    source = np.random.default_rng(1).uniform(-1, 1, (2, RATE)).astype(np.float32)
    assert np.abs(time_stretch(source, RATE, 1.0) - source).max() < 1e-6


def test_stereo_keeps_its_phase() -> None:
    """One lag for all channels: a right channel that is the left one at half the level stays so, sample by sample."""
    noise = np.random.default_rng(2).standard_normal(2 * RATE).astype(np.float32) * 0.1
    left = tone(330)[0] + noise
    result = change_speed_and_pitch(np.stack([left, 0.5 * left, -left]), RATE, 0.8, 200)
    assert np.abs(result[1] - 0.5 * result[0]).max() < 1e-5 and np.abs(result[2] + result[0]).max() < 1e-5


def test_the_same_again() -> None:
    source = np.random.default_rng(3).standard_normal((1, RATE)).astype(np.float32)
    assert np.array_equal(time_stretch(source, RATE, 1.3), time_stretch(source, RATE, 1.3))


@pytest.mark.parametrize("speed", [0.0, 0.1, 5.0, -1.0, float("nan")])
def test_impossible_speeds_are_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="ask for 0.25 to 4 times"):
        time_stretch(tone(220), RATE, speed)


def test_impossible_shifts_and_clicks_are_refused() -> None:
    with pytest.raises(ValueError, match="ask for -1200 to 1200 cents"):
        change_speed_and_pitch(tone(220), RATE, 1.0, 2000)
    with pytest.raises(ValueError, match="give at least 0.25 s"):
        time_stretch(tone(220, 0.1), RATE, 1.5)


def test_silence_and_a_lone_sample_pass() -> None:
    silence = np.zeros((1, RATE), np.float32)
    assert not time_stretch(silence, RATE, 2.0).any()
    silence[0, 5000] = 1.0
    assert np.isfinite(time_stretch(silence, RATE, 0.7)).all()
