"""Metrics of sound from embeddings: closed forms, scipy, and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from llama.evaluation import audio_metrics as metrics


def normal(count: int, dims: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((count, dims)) + shift


def split(table: np.ndarray, windows: int = 4, prefix: str = "") -> metrics.Recordings:
    """Recordings of four windows each; sets of one prefix have pairs."""
    return {f"{prefix}{index:05}": rows for index, rows in enumerate(table.reshape(-1, windows, table.shape[1]))}


def test_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    """Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2."""
    mean, other = np.array([1.0, 0.0, 2.0]), np.array([0.0, 2.0, 2.0])
    first, second = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 0.0])
    assert metrics.frechet_of_gaussians(mean, first, other, second) == pytest.approx(5 + 1 + 0 + 9)


def test_frechet_distance_of_samples_comes_near_the_closed_form() -> None:
    """16 dimensions, |shift|^2 = 16 x 0.25, scales 1 and 1.5: 16 x 0.25 more."""
    value = metrics.frechet_distance(normal(40_000, 16, 0), normal(40_000, 16, 1, shift=0.5, scale=1.5))
    assert value == pytest.approx(8.0, rel=0.02)


@pytest.mark.parametrize(("count", "dims"), [(300, 24), (25, 24), (10, 24)])
def test_frechet_distance_equals_scipy(count: int, dims: int) -> None:
    """Also where the covariances lack rank; scipy's root is complex there, and its real part is taken."""
    mixing = np.random.default_rng(5).standard_normal((dims, dims))
    first, second = normal(count, dims, 0) @ mixing, normal(count + 3, dims, 1, 0.3)
    covariances = np.cov(first.T), np.cov(second.T)
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert metrics.frechet_distance(first, second) == pytest.approx(expected, rel=1e-5)
    by_covariance = metrics.frechet_of_gaussians(first.mean(0), covariances[0], second.mean(0), covariances[1])
    assert by_covariance == pytest.approx(metrics.frechet_distance(first, second), rel=1e-6)


@pytest.mark.parametrize("count", [10, 1000])
def test_equal_sets_are_at_zero(count: int) -> None:
    table = 50 * normal(count, 32, 2) + 7
    assert metrics.frechet_distance(table, table) == pytest.approx(0, abs=1e-8)
    assert metrics.frechet_distance(table, table[::-1]) == pytest.approx(0, abs=1e-8)
    if count > 100:
        estimate = metrics.fad_infinity(split(table), split(table))
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0, 0, 0), abs=1e-8)


def test_a_constant_set_has_a_distance() -> None:
    """Silence: no variance, so the distance is |m|^2 plus the variance of the other."""
    table = normal(5000, 4, 3, shift=2)
    assert metrics.frechet_distance(table, np.zeros((7, 4))) == pytest.approx(np.square(table.mean(0)).sum() + np.cov(table.T).trace())


@pytest.mark.parametrize("count", [640, 1280, 2000])
def test_fad_infinity_is_near_the_truth_where_fad_is_biased(count: int) -> None:
    """128 dimensions, true distance 128 x 0.01 = 1.28."""
    first, second = normal(count, 128, 0), normal(count, 128, 1, shift=0.1)
    assert metrics.frechet_distance(first, second) > 4 * 1.28
    estimate = metrics.fad_infinity(split(first), split(second, prefix="other "))
    assert estimate.value == pytest.approx(1.28, abs=0.45) and estimate.low < 1.28 < estimate.high + 0.25


def test_pairs_are_drawn_together() -> None:
    """A system that changes every recording a little: with pairs the line stays near the small distance, in spite of what is missing."""
    table = normal(160, 8, 0) * 10 + np.repeat(normal(40, 8, 1) * 50, 4, axis=0)
    reference = split(table)
    system = {name: rows + 0.5 for name, rows in split(table).items() if name not in ("00003", "00017")}
    paired = metrics.fad_infinity(reference, system)
    apart = metrics.fad_infinity(reference, {f"other {name}": rows for name, rows in system.items()})
    assert abs(paired.value - metrics.frechet_distance(table, table + 0.5)) < 0.1 * abs(apart.value)
    interval = metrics.frechet_interval(reference, reference)
    assert (interval.low, interval.high) == pytest.approx((0, 0), abs=1e-6)


def test_small_sets_are_not_reported() -> None:
    few, enough = split(normal(76, 8, 0)), split(normal(80, 8, 1))
    assert metrics.fad_shortage(enough, few) == "not reported: n = 76 of at least 80"
    assert metrics.fad_shortage(few, enough) and not metrics.fad_shortage(enough, enough)
    assert metrics.fad_shortage({}, enough) and metrics.fad_shortage(enough, {})
    with pytest.raises(ValueError, match="at least 8 recordings of each set; there are 20 and 7"):
        metrics.fad_infinity(enough, dict(list(enough.items())[:7]))


def test_the_interval_of_fad_narrows_with_recordings_and_holds_the_value() -> None:
    wide = metrics.frechet_interval(split(normal(200, 4, 0)), split(normal(200, 4, 1, 0.5)))
    narrow = metrics.frechet_interval(split(normal(4000, 4, 0)), split(normal(4000, 4, 1, 0.5)))
    assert wide.low <= wide.value <= wide.high and narrow.low < 1 < narrow.high
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)
    assert wide == metrics.frechet_interval(split(normal(200, 4, 0)), split(normal(200, 4, 1, 0.5))), "seeded"
    alone = metrics.frechet_interval({"a": normal(9, 2, 0)}, {"a": normal(9, 2, 1)})
    assert alone.high == np.inf, "nothing is known of one recording"


def test_components_keep_the_directions_of_most_variance() -> None:
    reference = {"a": normal(50, 3, 0) * np.array([1.0, 10.0, 0.1])}
    project = metrics.principal_components(reference, 1)
    flat = project({"b": np.array([[0.0, 3.0, 5.0], [7.0, 0.0, 0.0]])})["b"]
    assert flat.shape == (2, 1) and abs(flat[0, 0] - flat[1, 0]) == pytest.approx(3, abs=0.2)
    whole = metrics.principal_components(reference, 3)(reference)
    other = metrics.principal_components(reference, 3)({"a": reference["a"] + 1})
    assert metrics.frechet_distance(whole["a"], other["a"]) == pytest.approx(3), "a rotation keeps the distance"
    with pytest.raises(ValueError, match="give 1 to 3 components"):
        metrics.principal_components(reference, 4)


def test_kl_by_hand() -> None:
    p, q = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [0.5, 0.5]])
    expected = [0.5 * np.log(2) + 0.5 * np.log(2 / 3), np.log(2)]
    assert metrics.kl_divergence(p, q) == pytest.approx(expected, abs=1e-5)
    assert metrics.kl_divergence(q[:1], p[:1]) == pytest.approx([0.25 * np.log(0.5) + 0.75 * np.log(1.5)], abs=1e-5)
    assert not metrics.kl_divergence(p, p).any()
    assert metrics.kl_divergence(p[1:], p[1:, ::-1]) == pytest.approx([-np.log(metrics.KL_EPSILON)], abs=1e-3)


def test_kl_refuses_logits() -> None:
    with pytest.raises(ValueError, match="softmax of the logits"):
        metrics.kl_divergence(np.array([[2.0, -1.0]]), np.array([[0.5, 0.5]]))
    with pytest.raises(ValueError, match="pairs of one classifier"):
        metrics.kl_divergence(np.ones((1, 1)), np.ones((2, 1)))
    assert metrics.softmax(np.array([[1000.0, 1000.0, -1000.0]])) == pytest.approx(np.array([[0.5, 0.5, 0]]))


def test_cosine_is_of_pairs() -> None:
    first = np.array([[3.0, 0, 0], [0, 2, 0], [1, 1, 0], [0, 0, 0]])
    second = np.array([[5.0, 0, 0], [0, -1, 0], [0, 1, 0], [1, 0, 0]])
    assert metrics.paired_cosine(first, second) == pytest.approx([1, -1, 2**-0.5, 0])
    with pytest.raises(ValueError, match="give pairs of one model"):
        metrics.paired_cosine(first, second[:2])


def test_density_and_coverage_by_hand() -> None:
    """Points on a line, k = 1: the neighbourhoods of 0, 1, 3 and 7 reach 1, 1, 2 and 4 far."""
    reference = np.array([[0.0], [1.0], [3.0], [7.0]])
    result = metrics.find_neighbours(reference, np.array([[0.5], [0.5], [20.0]]), k=1)
    assert result.around.tolist() == [2, 2, 0] and result.covered.tolist() == [True, True, False, False]
    assert (result.density, result.coverage) == pytest.approx((4 / 3, 2 / 4))
    result = metrics.find_neighbours(reference, np.array([[2.0], [6.0]]), k=1)
    assert (result.density, result.coverage) == pytest.approx(((1 + 1) / 2, 2 / 4)), "a border does not count"


def test_density_and_coverage_of_equal_sets_are_one() -> None:
    table = normal(60, 6, 0)
    whole = metrics.find_neighbours(table, table)
    assert (whole.density, whole.coverage) == (1.0, 1.0)
    far = metrics.find_neighbours(table, table + 100)
    assert (far.density, far.coverage) == (0.0, 0.0)
    with pytest.raises(ValueError, match="need 6 reference recordings; there are 5"):
        metrics.find_neighbours(table[:5], table)


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros(4), np.array([[np.nan, 1], [0, 1]]), np.zeros((4, 5))])
def test_tables_that_are_none_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="give a table|not finite|embed both with one model"):
        metrics.frechet_distance(np.eye(2), bad)
