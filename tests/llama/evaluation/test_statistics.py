"""Statistics against values computed by hand or by another library, and the bootstrap over recordings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from llama.evaluation.statistics import (
    _draws,
    bootstrap_interval,
    chance,
    difference_interval,
    few_recordings,
    majority,
    mean,
    rank_correlation,
    share,
    shared_recordings,
    wilson_interval,
)


def test_interval_is_wilsons() -> None:
    low, high = wilson_interval(45, 50)
    assert (low, high) == pytest.approx((0.78640, 0.95652), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0) and wilson_interval(0, 10)[0] == 0.0 and wilson_interval(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="11 of 10"):
        wilson_interval(11, 10)


def test_share_of_nothing_is_no_number() -> None:
    assert share([True, False, True, True]) == 0.75 and math.isnan(share([]))


def test_chance_and_majority() -> None:
    truth = ["a", "a", "a", "b"]
    assert majority(truth) == 0.75
    equal = lambda one, other: one == other  # noqa: E731
    assert chance(["a"] * 4, truth, equal) == 0.75  # one answer for all reaches what the commonest does
    assert chance(truth, truth, equal) == pytest.approx(6 / 12)  # right answers about other cases
    with pytest.raises(ValueError, match="3 answers for 4"):
        chance(truth[:3], truth, equal)


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, 60), rng.normal(size=60) + rng.integers(0, 3, 60)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert math.isnan(rank_correlation([1, 2, 3], [5, 5, 5]))
    with pytest.raises(ValueError, match="give pairs"):
        rank_correlation([1, 2], [1, 2, 3])


def test_the_bootstrap_covers_the_truth() -> None:
    """Of 200 samples of 40 recordings with three dependent answers each, about 95 % of the intervals hold the true mean."""
    generator = np.random.default_rng(0)
    covered = 0
    for sample in range(200):
        values = {str(i): np.repeat(generator.normal(0.5, 0.2), 3) for i in range(40)}
        low, high = bootstrap_interval(values, seed=sample, draws=300)
        covered += low <= 0.5 <= high
    assert 180 <= covered <= 198


def test_repeated_answers_do_not_narrow_the_interval() -> None:
    generator = np.random.default_rng(1)
    once = {str(i): generator.normal(size=1) for i in range(30)}
    often = {name: np.repeat(value, 50) for name, value in once.items()}
    assert bootstrap_interval(once) == pytest.approx(bootstrap_interval(often))


def test_the_bootstrap_takes_any_statistic_and_a_seed() -> None:
    pairs = {str(i): np.array([[i, 10.0]]) for i in range(8)}  # a ratio of sums, as corpus BLEU is
    ratio = lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum())  # noqa: E731
    low, high = bootstrap_interval(pairs, ratio, seed=3)
    assert low < 28 / 80 < high
    assert bootstrap_interval(pairs, ratio, seed=3) == (low, high) != bootstrap_interval(pairs, ratio, seed=4)


def test_the_mean_is_drawn_as_any_statistic_is() -> None:
    """The mean has a faster way, which gives the same draws; and draws in blocks are as many."""
    values = {str(i): np.arange(i % 3 + 1) + i for i in range(20)}
    slow = bootstrap_interval(values, lambda drawn: float(np.mean(drawn)))
    assert bootstrap_interval(values) == pytest.approx(slow, abs=1e-12)
    empty = {"a": np.zeros(0), "b": np.array([3.0, 5.0])}  # draws of the empty recording alone have no mean
    assert bootstrap_interval(empty) == (4.0, 4.0)
    assert sum(len(block) for block in _draws(300_000, 0, 7)) == 7 and len(list(_draws(300_000, 0, 7))) == 3


def test_too_few_recordings_have_no_interval() -> None:
    assert all(map(math.isnan, bootstrap_interval({}))) and all(map(math.isnan, bootstrap_interval({"one": [1.0, 2.0]})))
    assert math.isnan(mean(np.zeros(0)))


def test_paired_differences_are_narrower_than_either_side() -> None:
    generator = np.random.default_rng(2)
    swapped = {str(i): generator.normal(0, 5, size=2) for i in range(50)}
    own = {name: value + 1 + generator.normal(0, 0.1, 2) for name, value in swapped.items()}
    low, high = difference_interval(own, dict(reversed(swapped.items())))  # the order of recordings does not matter
    assert 0.9 < low < 1 < high < 1.1
    with pytest.raises(ValueError, match="different recordings"):
        difference_interval(own, {"other": [1.0]})
    first, second = shared_recordings({"a": [1], "b": [2]}, {"b": [3], "c": [4]})
    assert first == {"b": [2]} and second == {"b": [3]}


def test_few_recordings_are_said() -> None:
    assert few_recordings(1) == ["1 recording: too few for more than a rough interval."]
    assert few_recordings(19) and not few_recordings(20)
