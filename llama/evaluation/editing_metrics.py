"""Metrics of editing: how much faster and higher an edit is than its source, and how much of the music it keeps.

Nothing is taken from lengths of files: an edit may be cut. The speed is that of the time warp under which the onsets of both agree best,
the pitch that of the shift on the logarithmic frequency axis under which aligned spectra agree best.

Legend: samples are float arrays [N], one channel; rate is in Hz, the same for both; T frames, B bins of 5 cents, F bins of a spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama.evaluation.onset_alignment import FRAME, HOP, Alignment, Samples, align, spectrogram, tempo_drift, vertex

PARTIAL_HOP = 4 * HOP  # seconds between two frames of partials
LOWEST, HIGHEST = 65.0, 4200.0  # Hz, of the partials that pitch is measured by
BIN_CENTS = 5.0
SPREAD_CENTS = 12.0  # a partial counts for its neighbours so far
MAX_CENTS = 1500.0
MIN_SECONDS = 0.5
SILENCE = 1e-5  # RMS, -100 dB
PEAK_FLOOR = 60.0  # dB below the loudest partial of the recording
CHROMA_BINS = 120  # of an octave
CHROMA_SPREAD = 40.0  # cents


@dataclass(frozen=True)
class EditMeasurement:
    """What an edit is beside its source.

    speed: how many times as fast; cents: how much higher; offset: second of the source at which the edit begins. chroma: mean correlation
    of aligned chroma frames, with the pitch difference taken out, -1 to 1. drift: change of speed from the edit's beginning to its end, in
    percent. level: dB louder. agreement: correlation of the onsets after the time warp, -1 to 1: near 0 the speed means nothing.
    """

    speed: float
    cents: float
    offset: float
    chroma: float
    drift: float
    level: float
    agreement: float


def measure_edit(source: Samples, edit: Samples, rate: int, cents: float | None = None) -> EditMeasurement:
    """Compares an edit with its source. cents: the pitch difference to take out of the chroma; None: the measured one.

    Raises ValueError for a recording that is too short or silent.
    """
    check_recording("source", source, rate)
    check_recording("edit", edit, rate)
    warp = align(source, edit, rate)
    first, second = partials(source, rate), partials(edit, rate)
    shift = pitch_difference(first, second, warp)
    chroma = chroma_similarity(first, second, warp, shift if cents is None else cents)
    return EditMeasurement(warp.speed, shift, warp.offset, chroma, tempo_drift(source, edit, rate, warp),
                           level_difference(source, edit), warp.agreement)  # fmt: skip


def check_recording(name: str, samples: Samples, rate: int) -> None:
    """Raises ValueError for a recording in which nothing can be measured."""
    if samples.ndim != 1 or len(samples) < MIN_SECONDS * rate:
        raise ValueError(f"The {name} is {samples.shape[-1] / rate:.2f} s long; give at least {MIN_SECONDS:g} s of one channel.")
    if rms(samples) < SILENCE:
        raise ValueError(f"The {name} is silent; give a recording with sound.")


# -- level and spectrum -------------------------------------------------------------------------------------------


def rms(samples: Samples) -> float:
    """Root mean square of all samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def level_difference(source: Samples, edit: Samples) -> float:
    """How many dB the edit is louder, by its RMS. Raises ValueError for silence."""
    first, second = rms(source), rms(edit)
    if not (first > 0 and second > 0):
        raise ValueError("Silence has no level; give recordings with sound.")
    return 20 * math.log10(second / first)


def log_spectral_distance(reference: Samples, samples: Samples, rate: int) -> float:
    """Log-spectral distance in dB (Gray and Markel 1976): root mean square over frequency, mean over time, of the common length.

    The level is taken out, and what lies PEAK_FLOOR below the loudest bin counts as that floor.
    """
    first, second = (_decibels(spectrogram(part, rate)) for part in (reference, samples))
    frames = min(len(first), len(second))
    return float(np.sqrt(np.square(first[:frames] - second[:frames]).mean(1)).mean())


def _decibels(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    loudest = max(float(spectra.max()), 1e-12)
    return np.maximum(20 * np.log10(np.maximum(spectra / loudest, 1e-12)), -PEAK_FLOOR)


# -- pitch --------------------------------------------------------------------------------------------------------


def partials(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Partials of each frame on a logarithmic frequency axis, [T, B]: peaks of the spectrum, placed by parabolas through its logarithm."""
    spectra = spectrogram(samples, rate, hop=PARTIAL_HOP)
    levels = 20 * np.log10(np.maximum(spectra, 1e-12))
    floor = max(float(levels.max()) - PEAK_FLOOR, -200.0)
    left, middle, right = levels[:, :-2], levels[:, 1:-1], levels[:, 2:]
    frames, bins = np.nonzero((middle > left) & (middle >= right) & (middle > floor))
    a, b, c = left[frames, bins], middle[frames, bins], right[frames, bins]
    curvature = np.minimum(a - 2 * b + c, -1e-9)
    hertz = (bins + 1 + 0.5 * (a - c) / curvature) * rate / round(FRAME * rate)
    inside = (hertz >= LOWEST) & (hertz < min(HIGHEST, rate / 2))
    frames, hertz, weight = frames[inside], hertz[inside], (b - floor)[inside]
    count = int(1200 * math.log2(HIGHEST / LOWEST) / BIN_CENTS) + 1
    place = 1200 * np.log2(hertz / LOWEST) / BIN_CENTS
    below = np.minimum(place.astype(int), count - 2)
    result = np.zeros((len(spectra), count))
    np.add.at(result, (frames, below), weight * (1 - (place - below)))
    np.add.at(result, (frames, below + 1), weight * (place - below))
    return result


def pitch_difference(source: NDArray[np.float64], edit: NDArray[np.float64], warp: Alignment) -> float:
    """Cents that the edit's partials [T, B] lie above the source's, aligned in time."""
    first, second = _aligned(source, edit, warp)
    size = 1 << (2 * first.shape[1] - 1).bit_length()
    frequencies = np.fft.rfftfreq(size) * 2 * np.pi
    spread = np.exp(-np.square(frequencies * SPREAD_CENTS / BIN_CENTS))  # a Gaussian on both sides
    spectrum = (np.fft.rfft(second, size, axis=1) * np.conj(np.fft.rfft(first, size, axis=1))).sum(0) * spread
    likeness = np.fft.irfft(spectrum, size)
    reach = round(MAX_CENTS / BIN_CENTS)
    shifts = np.arange(-reach, reach + 1)
    scores = likeness[shifts] / (1 - np.abs(shifts) / first.shape[1])  # fewer bins overlap at a large shift
    best = int(scores.argmax())
    return float((shifts[best] + vertex(scores, best)) * BIN_CENTS)


def _aligned(source: NDArray[np.float64], edit: NDArray[np.float64], warp: Alignment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frames of the source and of the edit that belong together, [T, B] both; all of the edit's where the warp leaves none."""
    step = PARTIAL_HOP
    places = np.rint((warp.offset + warp.speed * np.arange(len(edit)) * step) / step).astype(int)
    inside = (places >= 0) & (places < len(source))
    if not inside.any():
        places, inside = np.clip(places, 0, len(source) - 1), np.ones(len(edit), bool)
    return source[places[inside]], edit[inside]


def chroma_similarity(source: NDArray[np.float64], edit: NDArray[np.float64], warp: Alignment, cents: float) -> float:
    """Mean correlation of the chroma of aligned frames, the edit's moved down by `cents`; weighed by the source's energy.

    A correlation, not a cosine: two frames of unlike notes have a cosine of some 0.8, since no value is negative, and a correlation near 0.
    """
    first, second = (chroma(part) for part in _aligned(source, edit, warp))
    first, second = (part - part.mean(1, keepdims=True) for part in (first, _roll(second, -cents * CHROMA_BINS / 1200)))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = np.where(norms > 0, (first * second).sum(1) / np.maximum(norms, 1e-12), 0.0)
    weights = np.linalg.norm(first, axis=1)
    return float((cosines * weights).sum() / weights.sum()) if weights.sum() > 0 else 0.0


def chroma(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chroma [T, CHROMA_BINS] of partials [T, B]: octaves folded, spread over CHROMA_SPREAD cents."""
    fold = (np.arange(levels.shape[1]) * BIN_CENTS % 1200 * CHROMA_BINS / 1200).astype(int)
    result = np.zeros((len(levels), CHROMA_BINS))
    np.add.at(result.T, fold, levels.T)
    turns = np.fft.rfftfreq(CHROMA_BINS) * 2 * np.pi * CHROMA_SPREAD * CHROMA_BINS / 1200
    return np.fft.irfft(np.fft.rfft(result, axis=1) * np.exp(-0.5 * np.square(turns)), CHROMA_BINS, axis=1)


def _roll(values: NDArray[np.float64], places: float) -> NDArray[np.float64]:
    """Circular shift by a fraction of places, by interpolation."""
    whole = math.floor(places)
    part = places - whole
    return (1 - part) * np.roll(values, whole, axis=1) + part * np.roll(values, whole + 1, axis=1)


def chroma_interval(source: Samples, edit: Samples, rate: int, warp: Alignment) -> int:
    """Semitones, 0 to 11, by which the edit's chroma lies above the source's in aligned frames: voices may fold into other octaves."""
    first, second = partials(source, rate), partials(edit, rate)
    scores = [chroma_similarity(first, second, warp, 100.0 * step) for step in range(12)]
    return int(np.argmax(scores))


def repetitions(samples: Samples, most: int = 8) -> int:
    """How many times a loop plays its stretch, from 1 to `most`: the most rounds of equal length that all sound the same."""
    for count in range(most, 1, -1):
        length = len(samples) // count
        rounds = np.asarray(samples[: length * count], np.float64).reshape(count, length)
        if all(_alike(rounds[0], other) for other in rounds[1:]):
            return count
    return 1


def _alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two rounds are the same sound, up to a few samples of rounding, and their seams."""
    size = 1 << (2 * len(first) - 1).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size)), size)
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return bool(norm > 0 and max(likeness[:9].max(), likeness[-8:].max()) > 0.97 * norm)
