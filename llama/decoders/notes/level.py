"""Level: the gain of each sample of a piece, from its loudness target, a limiter of true peaks, and the ending's decay.

The gain is one curve for both channels and all tracks, so that stems times the curve sum to the piece. It never depends on
what comes later than LOOKAHEAD samples, so that a streamed piece equals the whole: the loudness of the first bars sets it.

Loudness and true peak: Recommendation ITU-R BS.1770-4, "Algorithms to measure audio programme loudness and true-peak audio
level", 2015.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, minimum_filter1d
from scipy.signal import sosfilt

from llama.decoders.notes.mixer import SAMPLE_RATE, Samples

TARGET = -16.0  # LUFS of a piece
LEVEL_BARS = 2  # bars that set the gain of a piece
# Loudness of a piece from that of these bars, fitted to 120 composed pieces, whose loudness it brings to the target with a
# standard deviation of 0.38 LU. (By one bar 0.62, by three 0.32, by four 0.25.)
SLOPE, OFFSET = 0.89, -1.57
MAX_GAIN = 3.0
CEILING = 0.87  # of full scale: -1.2 dB, of which the true peak of the limited sound may exceed a little
ATTACK, HOLD = 96, 960  # samples over which the limiter's gain moves, and for which it stays down after a peak
TAPS = 12  # samples on either side that interpolate a true peak
LOOKAHEAD = 2 * ATTACK + TAPS  # samples that a gain depends on after its own
HISTORY = LOOKAHEAD + HOLD + 2 * ATTACK + TAPS  # samples before a block that gains in it depend on
NEAR_PEAK = 0.7  # of the ceiling: between samples that are lower, no true peak is sought


class LevelCurve:
    """Gains of the samples of a piece, whose mix is given block by block.

    samples: of the piece; level_end: sample at which the bars end that set the level; decay: gains [n] of the piece's last
    n samples; gain: of the piece where it is known already.
    """

    def __init__(self, samples: int, level_end: int, decay: Samples, gain: float | None = None) -> None:
        self._samples, self._level_end, self._decay = samples, min(level_end, samples), decay
        self._waiting: list[Samples] = []  # blocks mixed before the level was known
        self._seen = self._done = 0
        self._history = np.zeros((2, HISTORY), np.float32)
        self.gain = gain

    def feed(self, mix: Samples) -> Samples:
        """Gains [m] of the next m samples that have become certain, from the next block [2, n] of the mix."""
        self._seen += mix.shape[1]
        self._waiting.append(mix)
        if self.gain is None:
            if self._seen < self._level_end:
                return np.zeros(0, np.float32)
            self.gain = level_gain(np.concatenate(self._waiting, 1)[:, : self._level_end])
        blocks, self._waiting = self._waiting, []
        start = self._seen - sum(block.shape[1] for block in blocks)
        gains = []
        for block in blocks:
            start += block.shape[1]
            gains.append(self._faded(self._limited(block * np.float32(self.gain), start == self._samples)))
        return np.concatenate(gains)

    def _limited(self, block: Samples, last: bool) -> Samples:
        """Gains of the samples that became certain by this block [2, n] at the piece's level."""
        ahead = np.zeros((2, LOOKAHEAD if last else 0), np.float32)
        segment = np.concatenate([self._history, block, ahead], 1)
        self._history = segment[:, -HISTORY:]
        first = HISTORY - (LOOKAHEAD if self._done else 0)
        count = segment.shape[1] - LOOKAHEAD - first
        return limiter_gains(segment)[first : first + count] * np.float32(self.gain or 1.0)

    def _faded(self, gains: Samples) -> Samples:
        start, self._done = self._done, self._done + len(gains)
        first = self._samples - len(self._decay)
        if self._done > first:
            inside = max(0, first - start)
            gains[inside:] *= self._decay[start + inside - first :][: len(gains) - inside]
        return gains


def limiter_gains(sound: Samples) -> Samples:
    """Gains [n], at most 1, that keep the true peaks of sound [2, n] below the ceiling; exact HISTORY after its first sample."""
    peaks = true_peaks(sound)
    if peaks.max(initial=0.0) <= CEILING:
        return np.ones(sound.shape[1], np.float32)
    needed = np.minimum(CEILING / np.maximum(peaks, 1e-9), 1.0)
    width = HOLD + ATTACK + 1  # from HOLD samples before to ATTACK after
    held = minimum_filter1d(needed, width, origin=(HOLD - ATTACK) // 2, mode="nearest")
    return convolve1d(held, smoothing(), mode="nearest").astype(np.float32)


def true_peaks(sound: Samples) -> NDArray[np.float32]:
    """Largest magnitude [n] of sound [2, n] at each sample and beside it, at four times the rate where it is near the ceiling."""
    peaks: NDArray[np.float32] = np.abs(sound).max(0)
    near = peaks > NEAR_PEAK * CEILING
    places = np.flatnonzero(near[:-1] | near[1:])
    places = places[(places >= TAPS) & (places < len(peaks) - TAPS)]
    if len(places):
        windows = sound[:, places[:, None] + np.arange(1 - TAPS, TAPS + 1)]  # [2, k, taps]
        between = np.abs(windows @ interpolation()).max((0, 2))
        np.maximum.at(peaks, places, between)
        np.maximum.at(peaks, places + 1, between)
    return peaks


@cache
def interpolation() -> NDArray[np.float32]:
    """Windowed sinc [2 * TAPS, 3] that interpolates at a quarter, a half and three quarters between two samples."""
    distance = np.arange(1 - TAPS, TAPS + 1)[:, None] - np.array([0.25, 0.5, 0.75])
    kernel = np.sinc(distance) * np.cos(np.pi / 2 * distance / (TAPS + 1)) ** 2
    return (kernel / kernel.sum(0)).astype(np.float32)


@cache
def smoothing() -> NDArray[np.float32]:
    """Hann window [2 * ATTACK + 1] of unit sum."""
    window = np.hanning(2 * ATTACK + 3)[1:-1]
    return (window / window.sum()).astype(np.float32)


def level_gain(mix: Samples) -> float:
    """Gain of a piece, whose first bars are mix [2, n]; 1 for silence."""
    loudness = integrated_loudness(mix)
    return 1.0 if loudness is None else float(min(10 ** ((TARGET - OFFSET - SLOPE * loudness) / 20), MAX_GAIN))


def integrated_loudness(sound: Samples) -> float | None:
    """Integrated loudness of sound [2, n] in LUFS, with the two gates of BS.1770-4; None for silence or less than 0.4 s."""
    step = SAMPLE_RATE // 10
    weighted = sosfilt(k_weighting(), sound)
    steps = (weighted[:, : sound.shape[1] // step * step].reshape(2, -1, step) ** 2).mean(2).sum(0)
    if len(steps) < 4:
        return None
    power = np.convolve(steps, np.full(4, 0.25), "valid")  # of blocks of 0.4 s, of which each overlaps the next by 0.3 s
    loud = power[power > from_lufs(-70.0)]
    loud = loud[loud > 0.1 * loud.mean()] if len(loud) else loud
    return float(10 * np.log10(loud.mean()) - 0.691) if len(loud) else None


def from_lufs(loudness: float) -> float:
    """Sum of the channels' weighted powers at a loudness in LUFS."""
    return float(10 ** ((loudness + 0.691) / 10))


@cache
def k_weighting() -> NDArray[np.float64]:
    """The K weighting at SAMPLE_RATE as second-order sections: the head's high shelf, then the high-pass.

    The standard gives coefficients at 48 kHz; these are of the analogue filters behind them.
    """
    gain, sections = 10 ** (3.999843853973347 / 20), []
    for frequency, quality, shelf in ((1681.974450955533, 0.7071752369554196, True), (38.13547087602444, 0.5003270373238773, False)):
        k = np.tan(np.pi * frequency / SAMPLE_RATE)
        scale = 1 + k / quality + k * k
        if shelf:
            middle = gain**0.4996667741545416
            above = [gain + middle * k / quality + k * k, 2 * (k * k - gain), gain - middle * k / quality + k * k]
            above = [value / scale for value in above]
        else:
            above = [1.0, -2.0, 1.0]
        sections.append([*above, 1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale])
    return np.array(sections)
