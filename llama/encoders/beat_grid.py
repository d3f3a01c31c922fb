"""Beats and bars of a recording from the transcriber's activations: one tempo and one phase for all of it.

A grid is judged by the log odds of the activation at its beats: beats that the network did not hear count against it, so a
grid of twice the tempo loses as one of half the tempo does. (Boeck, Krebs and Widmer, ISMIR 2015, decode with combs likewise.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama.media.score import METRES, TEMPI

Floats = NDArray[np.float64]

SLOWEST, FASTEST = 58.0, 184.0  # beats a minute that are searched
RATIO = 1.004  # between successive tempi of the first search
WINDOW = 10.0  # seconds in which that first search takes the tempo for exact
CANDIDATES = 6  # tempi that are refined
OFF_GRID, OFF_GRID_COST = 0.035, 0.25  # seconds from the nearest eighth, straight or swung; what an onset so far from all of them costs
EIGHTHS = (0.0, 0.5, 2 / 3, 1.0)
LIMIT = 4.0  # log odds at most, so that no single beat decides
REACH = 3  # frames from a beat of the grid to the peak that belongs to it
SNAP = 0.035  # seconds that the last beat may move where an even tempo, as pieces have, is taken for the one found


@dataclass(frozen=True)
class BeatGrid:
    """first: second of the recording at which bar 1 begins; it may be negative. beat: seconds. metre: beats in a bar."""

    first: float
    beat: float
    metre: int

    def beats(self, seconds: float) -> float:
        """Beats from the begin of bar 1 to a second of the recording."""
        return (seconds - self.first) / self.beat

    @property
    def tempo(self) -> float:
        """Beats a minute, at most two decimals; whole where it is nearly."""
        tempo = 60.0 / self.beat
        return round(tempo) if abs(tempo - round(tempo)) < 0.01 else round(tempo, 2)


def log_odds(probabilities: Floats) -> Floats:
    bounded = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.clip(np.log(bounded / (1 - bounded)), -LIMIT, LIMIT)


def find_grid(beats: Floats, frame_rate: float, onsets: Floats) -> BeatGrid:
    """The grid of a recording. beats: activations of beat and downbeat [T, 2]. onsets: seconds of its notes and strokes, in order.

    The bar that holds the first note becomes bar 1.
    """
    odds, begin = _smoothed(log_odds(beats)), float(onsets[0])
    first, last = max(0, int(begin * frame_rate) - 3), min(len(odds), int(onsets[-1] * frame_rate) + 4)
    period, phase = _tempo_and_phase(odds[first:last, 0], frame_rate, _apart(onsets) * frame_rate - first)
    metre, downbeat = _metre(odds[first:last, 1], period, phase)
    start = (first + phase + downbeat * period) / frame_rate
    beat, bar = period / frame_rate, metre * period / frame_rate
    start += math.floor((begin + beat / 4 - start) / bar) * bar
    return BeatGrid(start, beat, metre)


def _smoothed(odds: Floats) -> Floats:
    """The mean of a frame with its neighbours: an onset's activation is three frames wide."""
    padded = np.pad(odds, ((1, 1), (0, 0)), mode="edge")
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def comb(odds: Floats, periods: Floats, phases: Floats) -> Floats:
    """Sum of the log odds at the beats of every period and phase, [periods, phases]; both in frames. Phases are shares of a period."""
    result = np.zeros((len(periods), len(phases)))
    for row, period in enumerate(periods):
        count = int((len(odds) - 1) / period) + 1
        places = np.arange(count)[:, None] * period + phases * period
        inside = places <= len(odds) - 1
        low = np.minimum(places.astype(np.int64), len(odds) - 2)
        share = np.minimum(places - low, 1.0)
        values = odds[low] * (1 - share) + odds[low + 1] * share
        result[row] = np.where(inside, values, 0).sum(0)
    return result


def _apart(onsets: Floats) -> Floats:
    """Onsets without those that come with another."""
    return onsets[np.concatenate([[True], np.diff(onsets) > OFF_GRID])]


def _tempo_and_phase(odds: Floats, frame_rate: float, onsets: Floats) -> tuple[float, float]:
    """Period and first beat of the best grid, in frames. onsets: in frames too.

    Eighths, straight or swung, are the commonest places of notes: a grid on which many lie elsewhere is one of half the tempo.
    """
    slowest, fastest = 60 * frame_rate / SLOWEST, 60 * frame_rate / FASTEST
    periods: Floats = np.geomspace(fastest, slowest, int(math.log(slowest / fastest) / math.log(RATIO)) + 1, dtype=np.float64)
    size = min(len(odds), round(WINDOW * frame_rate))
    phases = np.arange(48) / 48
    windows = [odds[start : start + size] for start in range(0, max(1, len(odds) - size // 2), size)]
    judged = sum((comb(window, periods, phases).max(1) for window in windows), np.zeros(len(periods)))
    best, chosen = (-math.inf, slowest, 0.0), judged.copy()
    for _ in range(CANDIDATES):
        index = int(chosen.argmax())
        step = 0.3 / len(odds)  # the last beat moves by a third of a frame
        count = math.ceil(2 * (RATIO - 1) / step)
        around: Floats = periods[index] * (1 + step * np.arange(-count, count + 1))
        judged_best, period, phase = _best(odds, around)
        best = max(best, (judged_best - OFF_GRID_COST * _off_grid(onsets, period, phase, frame_rate), period, phase))
        chosen[max(0, index - 2) : index + 3] = -math.inf
    return _fitted(odds, best[1], best[2], frame_rate)


def _off_grid(onsets: Floats, period: float, phase: float, frame_rate: float) -> int:
    """Number of onsets that lie on no eighth."""
    places = (onsets - phase) / period % 1
    away = np.min([np.abs(places - eighth) for eighth in EIGHTHS], axis=0) * period / frame_rate
    return int((away > OFF_GRID).sum())


def _fitted(odds: Floats, period: float, phase: float, frame_rate: float) -> tuple[float, float]:
    """Period and first beat by least squares over the peaks near the grid's beats, which lie between frames."""
    numbers, peaks, weights = _beat_peaks(odds, period, phase)
    if len(numbers) < 4:
        return period, phase
    slope = float(np.polyfit(numbers, peaks, 1, w=np.sqrt(weights))[0])
    even = min((60 * frame_rate / tempo for tempo in TEMPI), key=lambda candidate: abs(candidate - slope))
    if abs(even - slope) * numbers.max() < SNAP * frame_rate:
        slope = even
    first = float(np.average(peaks - slope * numbers, weights=weights))
    return slope, first - math.floor(first / slope + 0.25) * slope


def _beat_peaks(odds: Floats, period: float, phase: float) -> tuple[Floats, Floats, Floats]:
    """Number, frame and weight of each beat that was heard."""
    chances = 1 / (1 + np.exp(-odds))
    rows = []
    for number in range(int((len(odds) - 1 - phase) / period) + 1):
        middle = round(phase + number * period)
        first, last = max(0, middle - REACH), min(len(odds), middle + REACH + 1)
        around = chances[first:last]
        if len(around) and around.max() > 0.3:
            top = first + int(around.argmax())
            low, high = max(0, top - 2), min(len(odds), top + 3)
            rows.append((number, float(np.average(np.arange(low, high), weights=chances[low:high])), float(around.max())))
    values = np.array(rows, np.float64).reshape(-1, 3)
    return values[:, 0], values[:, 1], values[:, 2]


def _best(odds: Floats, periods: Floats) -> tuple[float, float, float]:
    """(judgement, period, first beat) of the best grid among these periods."""
    count = math.ceil(periods.max() * 4)  # quarters of a frame
    phases = np.arange(count) / count
    judged = comb(odds, periods, phases)
    row, column = np.unravel_index(int(judged.argmax()), judged.shape)
    return float(judged[row, column]), float(periods[row]), float(phases[column] * periods[row])


def _metre(odds: Floats, period: float, phase: float) -> tuple[int, int]:
    """Beats in a bar, and the number of the first downbeat among the beats."""
    places = np.arange(phase, len(odds) - 0.5, period)
    heard = np.interp(places, np.arange(len(odds)), odds)
    choices = [(float(heard[first::metre].sum()), metre, first) for metre in METRES for first in range(min(metre, len(heard)))]
    _, metre, first = max(choices)
    return metre, first
