"""Alignment of an edit with its source by onsets: the time warp under which they agree best, and how the tempo drifts from it.

Onsets keep their places under any change of pitch, level and instrument.

Legend: samples are float arrays [N], one channel; rate is in Hz, the same for both; T frames, F bins of a spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME, HOP = 0.128, 0.01  # seconds of a spectrum and between two
ONSET_FRAME = 0.032  # seconds: short, to place onsets
SPEED_RANGE = (0.25, 4.0)
COARSE_STEP = 0.008  # of the logarithm of the speed
CANDIDATES = 5  # peaks of the coarse grid that are looked at finely
DRIFT_WINDOW = 2.0  # seconds of the edit whose lag is measured
MAX_LAG = 0.15  # seconds that a window may lie from the straight line

Samples = NDArray[np.floating]


@dataclass(frozen=True)
class Alignment:
    """Time warp from an edit to its source: second t of the edit is second offset + speed * t of the source."""

    speed: float
    offset: float
    agreement: float


def spectrogram(samples: Samples, rate: int, frame: float = FRAME, hop: float = HOP) -> NDArray[np.float64]:
    """Magnitudes [T, F] of Hann-windowed frames, centred on every `hop` seconds."""
    size, step = round(frame * rate), round(hop * rate)
    padded = np.pad(np.asarray(samples, np.float64), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) + 1 : step]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1], axis=1))


def onset_envelope(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Onset strength [T], a value each HOP: the rise of the compressed spectrum, summed over all frequencies, as in spectral flux."""
    spectra = spectrogram(samples, rate, frame=ONSET_FRAME)
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
            lags.append((best - reach + vertex(scores, best)) * HOP)
            weights.append(scores[best])
    if len(centres) < 3:
        return 0.0
    curve = np.polyfit(centres, lags, 2, w=weights)
    return float(100 * 2 * curve[0] * len(second) * HOP)


def vertex(scores: NDArray[np.float64], best: int) -> float:
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
