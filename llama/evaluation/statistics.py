"""Statistics of figures: shares and guessing, and 95 % intervals over recordings.

Several answers share one recording and are not independent, so intervals are taken over recordings.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

DRAWS = 1000  # resamples of a bootstrap
FEW = 20  # recordings, below which a bootstrap says little
DRAWN_AT_ONCE = 1_000_000  # recordings, so that memory stays bounded
Z = 1.96  # standard deviations of a normal distribution that hold 95 %
Values = Mapping[str, Any]  # of a recording: an array [answers, ...]
Statistic = Callable[[np.ndarray], float]
Agrees = Callable[[Any, Any], bool]


# -- shares and guessing ----------------------------------------------------------------------------------------


def share(hits: Sequence[bool]) -> float:
    """Share of `hits` that are true; nan for an empty sequence."""
    return sum(map(bool, hits)) / len(hits) if len(hits) else math.nan


def wilson_interval(right: float, count: int, z: float = Z) -> tuple[float, float]:
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


# -- bootstrap over recordings ----------------------------------------------------------------------------------


def few_recordings(count: int) -> list[str]:
    """The sentence below a table of few recordings; none for others."""
    return [f"{count} recording{'' if count == 1 else 's'}: too few for more than a rough interval."] if count < FEW else []


def mean(values: np.ndarray) -> float:
    """The mean of all values; nan for none."""
    return float(np.mean(values)) if len(values) else math.nan


def bootstrap_interval(
    values_by_recording: Values, statistic: Statistic = mean, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic when recordings are drawn with replacement (Efron 1979).

    values_by_recording: the values of each recording, an array [answers, ...]; the statistic is given those of all drawn
    recordings, joined along the first dimension. (nan, nan) for fewer than two recordings, of which nothing can be said.
    """
    sample = _Sample(values_by_recording)
    return _percentiles([sample.statistics(statistic, counts) for counts in _draws(len(values_by_recording), seed, draws)])


def difference_interval(
    own: Values, swapped: Values, statistic: Statistic = mean, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """The 95 % interval of statistic(own) - statistic(swapped), where each draw of recordings is used on both sides.

    Pairing removes what is hard or easy about a recording. Raises ValueError where the recordings differ; see `shared_recordings`.
    """
    if own.keys() != swapped.keys():
        raise ValueError("The two sides of a paired interval are of different recordings; give values of the same ones.")
    first, second = _Sample(own), _Sample({name: swapped[name] for name in own})
    return _percentiles(
        [first.statistics(statistic, counts) - second.statistics(statistic, counts) for counts in _draws(len(own), seed, draws)]
    )


def shared_recordings(first: Values, second: Values) -> tuple[Values, Values]:
    """Both sides without the recordings that the other one lacks."""
    return {name: first[name] for name in first if name in second}, {name: second[name] for name in first if name in second}


class _Sample:
    """Values of recordings in one array, so that a draw of recordings is one indexing."""

    def __init__(self, values_by_recording: Values) -> None:
        groups = [np.asarray(values) for values in values_by_recording.values()]
        self.values = np.concatenate(groups) if groups else np.zeros(0)
        self.lengths = np.array([len(group) for group in groups], int)
        self.recording = np.repeat(np.arange(len(groups)), self.lengths)
        self.sums = np.array([group.sum() for group in groups], float)

    def statistics(self, statistic: Statistic, counts: np.ndarray) -> np.ndarray:
        """The statistic of each draw, [draws]; counts: how often each recording is drawn, [draws, recordings]."""
        if statistic is mean and self.values.ndim == 1:
            totals = counts @ self.lengths
            return np.divide(counts @ self.sums, totals, out=np.full(len(counts), np.nan), where=totals > 0)
        return np.array([statistic(np.repeat(self.values, drawn[self.recording], axis=0)) for drawn in counts], float)


def _draws(recordings: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """How often each recording is drawn, [some draws, recordings], until `draws` are there; nothing for fewer than two recordings."""
    generator = np.random.default_rng(seed)
    step = max(1, DRAWN_AT_ONCE // max(1, recordings))
    for start in range(0, draws if recordings > 1 else 0, step):
        count = min(step, draws - start)
        places = generator.integers(recordings, size=(count, recordings)) + np.arange(count)[:, None] * recordings
        yield np.bincount(places.ravel(), minlength=count * recordings).reshape(count, recordings)


def _percentiles(statistics: Iterable[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([np.zeros(0), *statistics])
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    with np.errstate(invalid="ignore"):  # between two infinite values, where there is no interval
        low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
