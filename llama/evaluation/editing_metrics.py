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

FRAME, HOP = 0.128, 0.01  # seconds of a spectrum and between two
LOWEST, HIGHEST = 65.0, 4200.0  # Hz, of the partials that pitch is measured by
BIN_CENTS = 5.0
SPREAD_CENTS = 12.0  # a partial counts for its neighbours so far
SPEED_RANGE = (0.25, 4.0)
MAX_CENTS = 1500.0
COARSE_STEP = 0.008  # of the logarithm of the speed
CANDIDATES = 5  # peaks of the coarse grid that are looked at finely
MIN_SECONDS = 0.5
SILENCE = 1e-5  # RMS, -100 dB
PEAK_FLOOR = 60.0  # dB below the loudest partial of the recording
CHROMA_BINS = 120  # of an octave
CHROMA_SPREAD = 40.0  # cents
DRIFT_WINDOW = 2.0  # seconds of the edit whose lag is measured
MAX_LAG = 0.15  # seconds that a window may lie from the straight line

Samples = NDArray[np.floating]


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


@dataclass(frozen=True)
class Alignment:
    """Time warp from an edit to its source: second t of the edit is second offset + speed * t of the source."""

    speed: float
    offset: float
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


def spectrogram(samples: Samples, rate: int, frame: float = FRAME, hop: float = HOP) -> NDArray[np.float64]:
    """Magnitudes [T, F] of Hann-windowed frames, centred on every `hop` seconds."""
    size, step = round(frame * rate), round(hop * rate)
    padded = np.pad(np.asarray(samples, np.float64), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) + 1 : step]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1], axis=1))


# -- speed --------------------------------------------------------------------------------------------------------


def onset_envelope(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Onset strength [T], a value each HOP: the rise of the compressed spectrum, summed over all frequencies, as in spectral flux."""
    spectra = spectrogram(samples, rate, frame=0.032)
    compressed = np.log1p(1000 * spectra / max(float(spectra.max()), 1e-12))
    rise = np.maximum(np.diff(compressed, axis=0, prepend=compressed[:1]), 0).sum(1)
    return rise - _smooth(rise, round(0.5 / HOP))  # the slow part is no onset


def _smooth(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Convolution with a Gaussian of a standard deviation of `width` values."""
    reach = int(math.ceil(3 * width))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / max(width, 1e-6)))
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), "valid")


def align(source: Samples, edit: Samples, rate: int) -> Alignment:
    """The time warp under which the onsets of both agree best: all speeds on a coarse grid, then around the best of them finely."""
    first, second = onset_envelope(source, rate), onset_envelope(edit, rate)
    seconds = len(second) * HOP
    low, high = (math.log(speed) for speed in SPEED_RANGE)
    grid = np.exp(np.arange(low, high + COARSE_STEP, COARSE_STEP))
    width = max(2.0, 0.6 * COARSE_STEP * seconds / HOP)  # frames: as wide as a step of the grid moves the end
    thin = max(1, int(width / 2))  # what is so smooth needs no more values
    scores = _agreements(_smooth(first, width)[::thin], _smooth(second, width)[::thin], grid)[0]
    step = min(0.2 * 0.02 / seconds, COARSE_STEP / 4)
    around = np.exp(np.arange(-COARSE_STEP, COARSE_STEP, step))
    fine = np.unique(np.concatenate([grid[place] * around for place in _peaks(scores)[:CANDIDATES]]))
    scores, lags = _agreements(_smooth(first, 1.5), _smooth(second, 1.5), fine)
    best = int(scores.argmax())
    return Alignment(float(fine[best]), float(-lags[best] * HOP * fine[best]), float(scores[best]))


def _peaks(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the local maxima, the highest first."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    places = np.flatnonzero((scores >= padded[:-2]) & (scores >= padded[2:]))
    return places[np.argsort(scores[places])[::-1]]


def _agreements(source: NDArray[np.float64], edit: NDArray[np.float64], speeds: NDArray[np.float64]
                ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """For each speed the best correlation of the warped source with the edit, and its lag in frames of the edit."""
    scores, lags = np.zeros(len(speeds)), np.zeros(len(speeds))
    transforms: dict[int, NDArray[np.complex128]] = {}
    edit_norm = np.linalg.norm(edit)
    for index, speed in enumerate(speeds):
        count = int((len(source) - 1) / speed) + 1
        size = 1 << (count + len(edit) - 1).bit_length()
        if size not in transforms:
            transforms[size] = np.conj(np.fft.rfft(edit, size))
        warped = np.interp(np.arange(count) * speed, np.arange(len(source)), source)
        likeness = np.fft.irfft(np.fft.rfft(warped, size) * transforms[size], size)
        best = int(likeness.argmax())
        norm = np.linalg.norm(warped) * edit_norm
        scores[index] = likeness[best] / norm if norm > 0 else 0.0
        lags[index] = -(best if best <= count else best - size)
    return scores, lags


def tempo_drift(source: Samples, edit: Samples, rate: int, warp: Alignment) -> float:
    """Change of the edit's speed from its beginning to its end in percent, from the lags of its windows to the straight line.

    0 for an edit too short for three windows.
    """
    first, second = (_smooth(onset_envelope(part, rate), 1.5) for part in (source, edit))
    times = np.arange(len(second)) * HOP
    expected = np.interp(warp.offset + warp.speed * times, np.arange(len(first)) * HOP, first, left=0.0, right=0.0)
    width, reach = round(DRIFT_WINDOW / HOP), round(MAX_LAG / HOP)
    usual = 1 - 0.5 * np.square(np.arange(-reach, reach + 1) / reach)  # of two beats that fit, the nearer one
    centres, lags, weights = [], [], []
    for begin in range(0, len(second) - width + 1, width // 2):
        window = second[begin : begin + width]
        scores = usual * [_overlap(expected, begin + lag, window) for lag in range(-reach, reach + 1)]
        best = int(scores.argmax())
        if scores[best] > 0.5:
            centres.append((begin + width / 2) * HOP)
            lags.append((best - reach + _vertex(scores, best)) * HOP)
            weights.append(scores[best])
    if len(centres) < 3:
        return 0.0
    curve = np.polyfit(centres, lags, 2, w=weights)
    return float(100 * 2 * curve[0] * len(second) * HOP)


def _vertex(scores: NDArray[np.float64], best: int) -> float:
    """Where the parabola through the best score and its neighbours has its top, from -0.5 to 0.5 places beside it."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    a, b, c = scores[best - 1 : best + 2]
    curvature = a - 2 * b + c
    return float(np.clip(0.5 * (a - c) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0


def _overlap(expected: NDArray[np.float64], begin: int, window: NDArray[np.float64]) -> float:
    """Correlation of a window with what the source has `begin` frames from the edit's start."""
    low, high = max(begin, 0), min(begin + len(window), len(expected))
    if high <= low:
        return 0.0
    part = expected[low:high]
    return float(part @ window[low - begin : high - begin] / max(np.linalg.norm(part) * np.linalg.norm(window), 1e-12))


# -- pitch --------------------------------------------------------------------------------------------------------


def partials(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Partials of each frame on a logarithmic frequency axis, [T, B]: peaks of the spectrum, placed by parabolas through its logarithm."""
    spectra = spectrogram(samples, rate, hop=4 * HOP)
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
    return float((shifts[best] + _vertex(scores, best)) * BIN_CENTS)


def _aligned(source: NDArray[np.float64], edit: NDArray[np.float64], warp: Alignment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frames of the source and of the edit that belong together, [T, B] both; all of the edit's where the warp leaves none."""
    step = 4 * HOP
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
