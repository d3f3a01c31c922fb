"""Metrics as pure functions: proportions with confidence intervals, chance levels, and measures of notes and audio.

Legend: samples are float arrays [channels, N]; onsets are seconds; a tonic is a pitch class, 0 is C.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llama.media.score import SCALES

# Probe-tone profiles of the keys, from the tonic up (Krumhansl 1990).
KEY_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
SLOWEST, FASTEST = 50.0, 200.0  # beats a minute that `tempo_from_onsets` looks for
USUAL_TEMPO = 110.0  # where listeners tap when several levels fit; an octave away weighs a third
Agrees = Callable[[Any, Any], bool]


# -- shares and guessing ----------------------------------------------------------------------------------------


def share(hits: Sequence[bool]) -> float:
    """Share of `hits` that are true; nan for an empty sequence."""
    return sum(map(bool, hits)) / len(hits) if len(hits) else math.nan


def interval(right: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of a share; (0, 1) for no cases.

    Where cases are not independent, `count` is the number of those that are, and `right` the share of it.
    """
    if not 0 <= right <= count:
        raise ValueError(f"{right} of {count} is no share; give a number of hits from 0 to the number of cases.")
    if count == 0:
        return 0.0, 1.0
    part, room = right / count, z * z / count
    middle = (part + room / 2) / (1 + room)
    spread = z * math.sqrt(part * (1 - part) / count + room / (4 * count)) / (1 + room)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def majority(truth: Sequence[Any]) -> float:
    """Accuracy of always giving the most frequent answer."""
    return max(Counter(truth).values()) / len(truth) if len(truth) else math.nan


def chance(given: Sequence[Any], truth: Sequence[Any], agrees: Agrees) -> float:
    """Chance accuracy: the mean agreement of each answer with all other cases."""
    if len(given) != len(truth):
        raise ValueError(f"There are {len(given)} answers for {len(truth)} cases; give one each.")
    hits = [agrees(answer, label) for i, answer in enumerate(given) for j, label in enumerate(truth) if i != j]
    return share(hits)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, with mean ranks for ties; nan where one of the sequences is constant."""
    if len(first) != len(second):
        raise ValueError(f"There are {len(first)} and {len(second)} values; give pairs.")
    first_ranks, second_ranks = _ranks(first), _ranks(second)
    if len(first_ranks) < 2 or first_ranks.std() == 0 or second_ranks.std() == 0:
        return math.nan
    return float(np.corrcoef(first_ranks, second_ranks)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, group, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


# -- notes ------------------------------------------------------------------------------------------------------


def notes_in_key(pitches: Sequence[int], tonic: int, mode: str) -> float:
    """Share of pitches of the scale; in minor the raised sixth and seventh belong to it. nan without pitches."""
    steps = {*SCALES[mode], *((9, 11) if mode == "minor" else ())}
    return share([(pitch - tonic) % 12 in steps for pitch in pitches])


def tempo_agrees(given: float | None, wanted: float, within: float = 0.04, octaves: bool = False) -> bool:
    """Whether a tempo is right within a share of it; `octaves` forgives the double and the half (and three for two)."""
    if given is None or not math.isfinite(given) or given <= 0:
        return False
    levels = (1.0, 2.0, 0.5, 1.5, 2 / 3) if octaves else (1.0,)
    return any(abs(given * level - wanted) <= within * wanted * (1 + 1e-9) for level in levels)


def tempo_from_onsets(onsets: Sequence[float], weights: Sequence[float] | None = None) -> float | None:
    """Beats a minute of the regular pulse that the onsets, by weight, fall on, with its halves; None for fewer than four.

    A pulse is found by the phases of the onsets in its period and in half of it; of several levels the usual one wins.
    """
    times = np.asarray(onsets, float)
    if len(np.unique(times)) < 4:
        return None
    loud = np.ones(len(times)) if weights is None else np.asarray(weights, float)
    tempi = SLOWEST * (FASTEST / SLOWEST) ** np.linspace(0, 1, 1200)
    beat, half = (np.abs(np.exp(2j * np.pi * rate * np.outer(tempi / 60, times)) @ loud) / loud.sum() for rate in (1, 2))
    usual = np.exp(-0.5 * (np.log2(tempi / USUAL_TEMPO) / 0.67) ** 2)
    return float(tempi[np.argmax((beat + half) * usual)])


def mode_of_chroma(chroma: Sequence[float]) -> tuple[int, str]:
    """Tonic and mode whose probe-tone profile correlates best with the weights of the twelve pitch classes."""
    weights = np.asarray(chroma, float)
    if weights.shape != (12,):
        raise ValueError(f"Chroma has shape {weights.shape}; give the weights of the twelve pitch classes from C up.")
    fits = {
        (tonic, mode): float(np.corrcoef(weights, np.roll(profile, tonic))[0, 1]) if weights.std() > 0 else 0.0
        for mode, profile in KEY_PROFILES.items() for tonic in range(12)
    }
    return max(fits, key=lambda key: fits[key])


# -- sound ------------------------------------------------------------------------------------------------------


def clipped(samples: np.ndarray, level: float = 0.999) -> float:
    """Share of samples [C, N] at or beyond full scale."""
    return float(np.mean(np.abs(samples) >= level))


def largest_step(samples: np.ndarray) -> float:
    """The largest difference between adjacent samples [C, N]; clicks show as large values."""
    return float(np.abs(np.diff(samples, axis=-1)).max(initial=0.0))


def ends_silent(samples: np.ndarray, sample_rate: int, seconds: float = 0.02, below: float = 0.01) -> bool:
    """Whether the last `seconds` of samples [C, N] are quiet relative to the peak: a cut piece ends with sound."""
    if not np.abs(samples).max(initial=0.0):
        return False
    last = samples[..., -max(1, round(seconds * sample_rate)):]
    return bool(np.sqrt(np.mean(np.square(last))) <= below * np.abs(samples).max())
