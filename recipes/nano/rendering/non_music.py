"""Clips without music (silence, noise and speech), so that the model learns to name them.

Training and tests use different voices, words and some kinds of noise: `held_out` selects those of the tests.

Speech is spoken by espeak-ng where it is installed (Debian's package of that name; GPL-3, used to make training clips).
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from recipes.nano.rendering.audio_mix import SAMPLE_RATE

Sound = NDArray[np.float32]
KINDS = ("music", "noise", "silence", "speech")
VOICES = ("en", "en-us", "en-gb-scotland", "de", "fr-fr", "es", "it", "pl", "pt", "nl", "sv", "ru", "tr", "hi", "cmn", "id")
VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+m1", "+m2", "+m3", "+m5", "+m7", "+croak", "+whisper")
WORDS = """the of and to in a is that it was for on are as with his they at be this from have or by one had not but what
all were when we there can an your which their said if do will each about how up out them then she many some so these would
other into has more her two like him see time could no make than first been its who now people my made over did down only
way find use may water long little very after words called just where most know morning station weather doctor window letter
market river garden brother seven twelve yesterday perhaps because together question answer remember evening mountain""".split()
TEST_VOICES = ("cs", "da", "el", "fi", "hu", "ro", "sw", "vi", "en-us-nyc", "es-419", "lt", "ms")
TEST_VARIANTS = ("+f5", "+m4", "+m6", "+m8")
TEST_WORDS = """breakfast elephant yellow bridge tomorrow ticket engine pocket orange hundred village captain butter winter
finger castle silver dinner monkey travel magic hammer rabbit beacon purple pilot umbrella minister platform library
chocolate birthday carpet thunder harbour kitchen whisper lantern shoulder bottle candle forest journey ocean pepper basket
holiday blanket mirror saddle turnip velvet walnut zebra""".split()


def sample_sound(rng: np.random.Generator, kind: str, seconds: float, held_out: bool = False) -> Sound:
    """A clip of a kind, unit peak or (silence) nearly nothing; `held_out`: noise or speech of which training has no example."""
    total = round(seconds * SAMPLE_RATE)
    return silence(rng, total) if kind == "silence" else {"noise": noise, "speech": speech}[kind](rng, total, held_out)


def silence(rng: np.random.Generator, total: int) -> Sound:
    """Digital silence, dither, or a hiss too faint to be a recording."""
    level = 0.0 if rng.random() < 0.4 else 10 ** rng.uniform(-5.2, -3.9)
    return (rng.standard_normal(total) * level).astype(np.float32)


def noise(rng: np.random.Generator, total: int, held_out: bool = False) -> Sound:
    """White, coloured, band-limited, hum, clicks, gusts, sirens, or (held_out) engines, applause and sawing; sometimes two mixed."""
    makers = (_engine, _applause, _sawing) if held_out else (_coloured_noise, _coloured_noise, _band_noise, _hum, _clicks, _gusts, _sweep)
    sound = makers[int(rng.integers(len(makers)))](rng, total)
    if rng.random() < 0.35:
        other = makers[int(rng.integers(len(makers)))](rng, total)
        sound = sound / _peak(sound) + other / _peak(other) * rng.uniform(0.1, 1)
    return (sound / _peak(sound)).astype(np.float32)


def _peak(sound: NDArray[np.floating]) -> float:
    return max(float(np.abs(sound).max()), 1e-9)


def _filtered_noise(rng: np.random.Generator, total: int, gains: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(total)) * gains, total)


def _frequencies(total: int) -> NDArray[np.floating]:
    return np.maximum(np.fft.rfftfreq(total, 1 / SAMPLE_RATE), 20)


def _coloured_noise(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """White, pink, brown, blue and between."""
    return _filtered_noise(rng, total, _frequencies(total) ** rng.choice([0.0, -0.5, -1.0, 0.5, rng.uniform(-1.2, 0.6)]))


def _band_noise(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    hertz, centre, width = _frequencies(total), np.exp(rng.uniform(np.log(80), np.log(8000))), rng.uniform(0.1, 1.0)
    return _filtered_noise(rng, total, np.exp(-0.5 * (np.log(hertz / centre) / width) ** 2))


def _hum(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """Mains or a motor: harmonics of one steady low tone over a little hiss."""
    times, base = np.arange(total) / SAMPLE_RATE, float(rng.choice([50, 60, 100, 120, rng.uniform(30, 200)]))
    tones = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * base * k * times + rng.uniform(0, 6.28)) for k in range(1, int(rng.integers(2, 14))))
    return tones + rng.standard_normal(total) * 10 ** rng.uniform(-3, -1)


def _clicks(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """Crackle, rain, knocks: short bursts at times without a beat."""
    sound = np.zeros(total)
    count = int(np.exp(rng.uniform(np.log(6), np.log(2000))))
    length = int(np.exp(rng.uniform(np.log(3), np.log(1200))))
    burst = rng.standard_normal(length) * np.exp(-5 * np.arange(length) / length)
    for start in rng.integers(0, max(1, total - length), count):
        sound[start : start + length] += burst * rng.uniform(0.05, 1)
    return sound + rng.standard_normal(total) * 10 ** rng.uniform(-4, -2)


def _gusts(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """Wind, waves, traffic: coloured noise that swells."""
    points = np.interp(np.arange(total), np.linspace(0, total, 12), rng.uniform(0, 1, 12) ** 2)
    return _coloured_noise(rng, total) * points


def _sweep(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """Sirens and whistles: one tone that glides."""
    octaves = np.interp(np.arange(total), np.linspace(0, total, 9), rng.uniform(-1, 1, 9))
    phase = np.cumsum(rng.uniform(200, 2500) * 2**octaves) / SAMPLE_RATE
    return np.sin(2 * np.pi * phase) + rng.standard_normal(total) * 10 ** rng.uniform(-3, -1)


def _engine(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """Strokes of a motor, faster and slower: coloured noise in a quick tremor."""
    rate = np.interp(np.arange(total), np.linspace(0, total, 5), rng.uniform(9, 28) * rng.uniform(0.8, 1.25, 5))
    strokes = np.cumsum(rate) / SAMPLE_RATE % 1
    return _filtered_noise(rng, total, _frequencies(total) ** rng.uniform(-1.3, -0.4)) * np.exp(-rng.uniform(3, 9) * strokes)


def _applause(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """A crowd claps: hundreds of short bursts, each hand with a colour of its own."""
    sound, length = np.zeros(total), int(0.02 * SAMPLE_RATE)
    fade, hands = np.exp(-9 * np.arange(length) / length), []
    for _ in range(12):
        hertz, centre = _frequencies(length), rng.uniform(600, 3500)
        hands.append(_filtered_noise(rng, length, np.exp(-0.5 * (np.log(hertz / centre) / 0.4) ** 2)) * fade)
    for start in rng.integers(0, total - length, int(rng.uniform(60, 250) * total / SAMPLE_RATE)):
        sound[start : start + length] += hands[int(rng.integers(12))] * rng.uniform(0.2, 1)
    return sound


def _sawing(rng: np.random.Generator, total: int) -> NDArray[np.floating]:
    """To and fro: two bands of noise in turn, never quite in time."""
    edges = np.cumsum(rng.uniform(0.15, 0.6, 2 * int(total / SAMPLE_RATE / 0.15) + 2)) * SAMPLE_RATE
    stroke = np.searchsorted(edges, np.arange(total))
    since = np.arange(total) - np.concatenate(([0], edges))[stroke]
    swell = np.sin(np.pi * np.clip(since / (np.diff(np.concatenate(([0], edges)))[np.minimum(stroke, len(edges) - 1)]), 0, 1)) ** 0.5
    return np.where(stroke % 2 == 0, _band_noise(rng, total), 0.7 * _band_noise(rng, total)) * swell


def speech(rng: np.random.Generator, total: int, held_out: bool = False) -> Sound:
    """Synthetic speech in several voices and languages, sometimes two at once, sometimes with noise."""
    sound = _synthesize_speech(rng, total, held_out)
    if rng.random() < 0.15:
        sound = sound + _synthesize_speech(rng, total, held_out) * rng.uniform(0.2, 1)
    if rng.random() < 0.3:
        sound = sound + _coloured_noise(rng, total) * 10 ** rng.uniform(-3.5, -2)
    return (sound / _peak(sound)).astype(np.float32)


def _synthesize_speech(rng: np.random.Generator, total: int, held_out: bool) -> NDArray[np.floating]:
    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError("espeak-ng, which makes the speech, is not installed; apt-get install espeak-ng.")
    words, voices, variants = (TEST_WORDS, TEST_VOICES, TEST_VARIANTS) if held_out else (WORDS, VOICES, VARIANTS)
    text = ". ".join(" ".join(rng.choice(words, int(rng.integers(3, 14)))) for _ in range(6))
    name = str(rng.choice(voices)) + str(rng.choice(variants))
    command = ["espeak-ng", "--stdout", "-v", name, "-s", str(int(rng.integers(110, 230))), "-p", str(int(rng.integers(10, 90))), text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    data = np.frombuffer(wav[44:], np.int16).astype(np.float64) / 32768
    data = resample_poly(data, SAMPLE_RATE, 22_050)
    start = int(rng.integers(0, max(1, len(data) - total)))
    result = np.zeros(total)
    piece = data[start : start + total]
    result[: len(piece)] = piece
    return result
