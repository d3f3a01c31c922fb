"""Time stretching and pitch shifting by WSOLA: overlapping frames of the sound itself, so that no spectrum is resynthesized.

Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale modification of
speech", ICASSP 1993. All channels of a recording take the same lags, which keeps the stereo image.

Shapes: samples `[C, N]` float32, C channels of N samples.
"""

from __future__ import annotations

from fractions import Fraction
from math import log2

import numpy as np
import torch
from numpy.typing import NDArray

from llama.media.audio import Waveform

FRAME_SECONDS = 0.08  # long enough for two periods of 25 Hz, short enough for the attacks of notes
TOLERANCE_SECONDS = 0.02  # a frame is taken up to so far from its place: both ways together one period of 25 Hz
SPEEDS = (0.25, 4.0)
MAX_CENTS = 1200.0
MIN_SECONDS = 0.25  # of a recording: a few frames
DENOMINATORS = (100, 300, 1000)  # of the ratio of a pitch shift: the smallest kernel of the resampler that is exact enough
RATIO_ERROR = 0.1  # cents


def time_stretch(samples: NDArray[np.float32], rate: int, speed: float) -> NDArray[np.float32]:
    """The sound `speed` times as fast at the same pitch, `[C, round(N / speed)]`. Values may pass those of the source.

    Raises ValueError for a speed outside SPEEDS and for a recording below MIN_SECONDS.
    """
    _check(samples, rate, speed)
    hop, tolerance = round(FRAME_SECONDS * rate / 2), round(TOLERANCE_SECONDS * rate)
    frame, length = 2 * hop, round(samples.shape[1] / speed)
    count = -(-length // hop) + 1
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)).astype(np.float32)  # two overlapping ones sum to 1
    margin = hop + tolerance
    end = round((count + 1) * hop * speed) + frame + hop  # beyond the last frame and its continuation
    source = np.pad(samples, ((0, 0), (margin, max(0, end - samples.shape[1]) + margin)))
    result = np.zeros((len(samples), (count + 1) * hop), np.float32)
    position = margin - hop  # the first frame is centred on the first sample
    for index in range(count):
        if index:
            begin = round(index * hop * speed)  # of the search; the frame in its middle is centred on index * hop * speed
            position = begin + _best_lag(source[:, position + hop :][:, :frame], source[:, begin:][:, : frame + 2 * tolerance])
        result[:, index * hop :][:, :frame] += window * source[:, position : position + frame]
    return np.ascontiguousarray(result[:, hop : hop + length])


def _best_lag(wanted: NDArray[np.float32], region: NDArray[np.float32]) -> int:
    """Where in `region` [C, frame + 2 tolerance] the sound is most like `wanted` [C, frame], by normalised correlation of all channels."""
    frame, lags = wanted.shape[1], region.shape[1] - wanted.shape[1] + 1
    size = 1 << (region.shape[1] - 1).bit_length()
    spectrum = np.fft.rfft(region, size) * np.conj(np.fft.rfft(wanted, size))
    likeness = np.fft.irfft(spectrum, size)[:, :lags].sum(0)
    energy = np.concatenate([[0.0], np.cumsum(np.square(region, dtype=np.float64).sum(0))])
    power = energy[frame : frame + lags] - energy[:lags]
    floor = 1e-6 * float(power.max()) + 1e-12  # a candidate of silence has no likeness
    scores = likeness / np.sqrt(np.maximum(power, floor))
    middle = lags // 2
    if scores.max() <= scores[middle] * (1 + 1e-6):  # equally good: its own place
        return middle
    return int(scores.argmax())


def change_speed_and_pitch(samples: NDArray[np.float32], rate: int, speed: float = 1.0, cents: float = 0.0) -> NDArray[np.float32]:
    """The sound `speed` times as fast and `cents` higher, `[C, round(N / speed)]`: stretched, then resampled by the interval.

    Raises ValueError as `time_stretch` does, and for more than an octave.
    """
    if not abs(cents) <= MAX_CENTS:
        raise ValueError(f"A shift of {cents:g} cents is not possible; ask for -{MAX_CENTS:g} to {MAX_CENTS:g} cents.")
    _check(samples, rate, speed)
    length = round(samples.shape[1] / speed)
    ratio = _interval(cents)
    stretched = time_stretch(samples, rate, speed / float(ratio))
    if ratio == 1:
        return stretched
    scale = max(1, rate // ratio.numerator)  # only the ratio of the two rates matters
    wave = Waveform(torch.from_numpy(stretched), ratio.numerator * scale).resample(ratio.denominator * scale)
    shifted = wave.samples.numpy()[:, :length]
    return np.ascontiguousarray(np.pad(shifted, ((0, 0), (0, length - shifted.shape[1]))))


def _interval(cents: float) -> Fraction:
    """The frequency ratio of an interval, off by RATIO_ERROR at most."""
    exact = 2 ** (cents / 1200)
    ratios = [Fraction(exact).limit_denominator(limit) for limit in DENOMINATORS]
    return next((ratio for ratio in ratios if abs(1200 * log2(ratio / exact)) < RATIO_ERROR), ratios[-1])


def _check(samples: NDArray[np.float32], rate: int, speed: float) -> None:
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise ValueError(f"A speed of {speed:g} is not possible; ask for {SPEEDS[0]:g} to {SPEEDS[1]:g} times the speed.")
    if samples.shape[1] < MIN_SECONDS * rate:
        seconds = samples.shape[1] / rate
        raise ValueError(f"The recording is {seconds:.3f} s long; give at least {MIN_SECONDS:g} s to change its speed or pitch.")
