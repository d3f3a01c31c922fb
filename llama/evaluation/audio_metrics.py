"""Metrics of generated sound from embeddings, class probabilities and captions: Frechet distance, KL, CLAP score, density, coverage.

Pure functions of numpy arrays in float64. Shapes: n, m embeddings of D dimensions; a recording is [w, D], the embeddings of its w
windows, under its name; C classes. The Frechet audio distance (FAD, arXiv 1812.08466) compares the Gaussians of two sets of embeddings.
It is biased upwards in small sets: with 128 dimensions and a true distance of 1.28, two sets of 600 gave 15.6, of 1,280 8.0, of 4,000
3.4. FAD-infinity (arXiv 2311.01616) extrapolates to infinitely many; it gave 1.39, 1.27 and 1.31 (but 4.1 for 300). So both are reported
with their n, and neither below 10 embeddings for each dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

Recordings = Mapping[str, np.ndarray]  # name -> [w, D]; equal names in two sets are a pair

MIN_PER_DIMENSION = 10  # embeddings for each dimension below which FAD is not reported
KL_EPSILON = 1e-6  # inside the logarithms, as the published evaluation has it
NEIGHBOURS = 5  # k of density and coverage, their paper's default
SHARES = (0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the recordings, one point of the line of FAD-infinity each
MIN_RECORDINGS = 8  # of each set for FAD-infinity, so that the smallest share holds two
REPEATS = 4  # subsets drawn for each share
RESAMPLES = 100  # of the bootstrap of a Frechet distance: its standard error is then known within 7 %
Z95 = 1.959964  # 97.5 % quantile of the normal distribution


# -- Frechet distance ---------------------------------------------------------------------------------------------------


def frechet_of_gaussians(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Means [D], covariances [D, D], symmetric and positive semi-definite, of any rank. The trace of the root is the sum of the singular
    values of A1 A2^T for C = A^T A, which needs no root of a product and stays real where scipy's `sqrtm` turns complex.
    """
    difference = np.asarray(mean, np.float64) - np.asarray(other_mean, np.float64)
    return _frechet(difference, _factor(covariance), _factor(other_covariance))


def frechet_distance(reference: np.ndarray, generated: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians of two sets [n, D] and [m, D], with unbiased covariances.

    0 for equal sets, to rounding. Raises ValueError for sets that are no tables of one width, not finite, or of fewer than two rows.
    """
    first, second = _table("reference", reference), _table("generated", generated)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"The reference has {first.shape[1]} dimensions, the generated set {second.shape[1]}; embed both with one model.")
    return _frechet(first.mean(0) - second.mean(0), _spread(first), _spread(second))


def _frechet(difference: np.ndarray, factor: np.ndarray, other: np.ndarray) -> float:
    root = np.linalg.svd(factor @ other.T, compute_uv=False).sum()
    distance = difference @ difference + np.square(factor).sum() + np.square(other).sum() - 2 * root
    return max(0.0, float(distance))  # a distance; rounding leaves some 1e-13 of the variances on either side of 0


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A with A^T A = covariance, by its eigenvalues; those that rounding made negative are 0."""
    matrix = np.asarray(covariance, np.float64)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.sqrt(values.clip(min=0))[:, None] * vectors.T


def _spread(table: np.ndarray) -> np.ndarray:
    """A with A^T A = covariance of the rows, [min(n, D), D]: small sets need no matrix [D, D]."""
    centred = (table - table.mean(0)) / math.sqrt(len(table) - 1)
    return centred if len(table) <= table.shape[1] else _factor(centred.T @ centred)


def _table(name: str, values: np.ndarray) -> np.ndarray:
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or len(table) < 2 or not table.shape[1]:
        raise ValueError(f"The {name} embeddings have the shape {table.shape}; give a table [n, D] of at least two embeddings.")
    if not np.isfinite(table).all():
        raise ValueError(f"The {name} embeddings are not finite (NaN or infinity); check the model's weights and its dtype.")
    return table


# -- FAD of recordings --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def fad_shortage(reference: Recordings, generated: Recordings) -> str:
    """Why no FAD can be reported, as words for a table's cell; "" where it can: both sets need 10 embeddings for each dimension."""
    counts = [sum(map(len, recordings.values())) for recordings in (reference, generated)]
    needed = MIN_PER_DIMENSION * max((rows.shape[1] for rows in reference.values()), default=0)
    if min(counts) < needed or min(counts) < 2:
        return f"not reported: n = {min(counts)} of at least {max(needed, 2)}"
    return ""


def principal_components(reference: Recordings, count: int) -> Callable[[Recordings], Recordings]:
    """A function that projects recordings on the reference's first `count` principal components, for FAD of small sets.

    Distances then are of these directions alone: they compare systems with one another, not with anybody's published FAD. Raises
    ValueError for more components than dimensions.
    """
    table = _table("reference", _join(reference, reference))
    if not 1 <= count <= table.shape[1]:
        raise ValueError(f"The embeddings have {table.shape[1]} dimensions; give 1 to {table.shape[1]} components, not {count}.")
    mean = table.mean(0)
    _, _, directions = np.linalg.svd(table - mean, full_matrices=len(table) < table.shape[1])
    return lambda recordings: {name: (np.asarray(rows, np.float64) - mean) @ directions[:count].T for name, rows in recordings.items()}


def frechet_interval(reference: Recordings, generated: Recordings, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """FAD of two sets of recordings, with the interval of its bootstrap over names: a pair is drawn, or not, as a pair.

    The interval is value +- 1.96 standard errors: a resampled set repeats recordings, which raises each resampled distance, so that
    their quantiles would lie above the value itself. It covers the choice of recordings, not the bias of a small set. Unbounded for
    sets of one recording.
    """
    sides, groups = (reference, generated), _groups(reference, generated)
    value = frechet_distance(*(_join(side, side) for side in sides))
    rng, distances = np.random.default_rng(seed), list[float]()
    for _ in range(resamples if min(map(len, sides)) > 1 else 0):
        drawn = [group[index] for group in groups for index in rng.integers(len(group), size=len(group))]
        tables = [_join(side, drawn) for side in sides]
        if min(map(len, tables)) > 1:
            distances.append(frechet_distance(*tables))
    error = Z95 * float(np.std(distances, ddof=1)) if len(distances) > 1 else math.inf
    return Estimate(value, max(0.0, value - error), value + error)


def fad_infinity(reference: Recordings, generated: Recordings, seed: int = 0) -> Estimate:
    """FAD extrapolated to infinitely many embeddings: the intercept of a line over 1/n, with the interval of that fit.

    Each point is the FAD of the same share of both sets' recordings, drawn without replacement, pairs together: fadtk shrinks the
    generated set alone, and so keeps the bias of a small reference. The value may be slightly negative where the true distance is near
    0. The interval is the least-squares one of the intercept; it does not contain the choice of recordings. Raises ValueError for fewer
    than eight recordings of a set.
    """
    counts = len(reference), len(generated)
    if min(counts) < MIN_RECORDINGS:
        raise ValueError(f"FAD-infinity needs at least {MIN_RECORDINGS} recordings of each set; there are {counts[0]} and {counts[1]}.")
    rng, groups = np.random.default_rng(seed), _groups(reference, generated)
    inverse, distances = [], []
    for share in np.repeat(SHARES, REPEATS):
        drawn = [group[index] for group in groups for index in rng.permutation(len(group))[: round(share * len(group))]]
        tables = [_join(side, drawn) for side in (reference, generated)]
        inverse.append(1 / min(map(len, tables)))
        distances.append(frechet_distance(*tables))
    return _intercept(np.array(inverse), np.array(distances))


def _groups(reference: Recordings, generated: Recordings) -> list[list[str]]:
    """Names that make pairs, names of the reference alone, and of the generated set alone; without empty lists."""
    first, second = set(reference), set(generated)
    return [sorted(names) for names in (first & second, first - second, second - first) if names]


def _join(recordings: Recordings, names: Iterable[str]) -> np.ndarray:
    """The embeddings of these recordings as one table, without the names that are not there."""
    tables = [recordings[name] for name in names if name in recordings]
    return np.concatenate(tables) if tables else np.zeros((0, 1))


def _intercept(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Intercept of the least-squares line through (x, y), with its 95 % interval."""
    spread = np.square(x - x.mean()).sum()
    slope = (x - x.mean()) @ (y - y.mean()) / spread
    value = float(y.mean() - slope * x.mean())
    variance = np.square(y - value - slope * x).sum() / (len(x) - 2)
    error = Z95 * math.sqrt(variance * (1 / len(x) + x.mean() ** 2 / spread))
    return Estimate(value, value - error, value + error)


# -- pairs --------------------------------------------------------------------------------------------------------------


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [..., C] of logits [..., C]."""
    shifted = np.asarray(logits, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def kl_divergence(reference: np.ndarray, generated: np.ndarray, epsilon: float = KL_EPSILON) -> np.ndarray:
    """KL(reference || generated) in nats of each pair of class probabilities [..., C]: sum of p log((p + e) / (q + e)).

    0 for equal probabilities. epsilon bounds it where the generated sound lacks a class: at most log(1 / epsilon), 13.8.
    Raises ValueError for shapes that differ and rows that are no probabilities.
    """
    p, q = np.asarray(reference, np.float64), np.asarray(generated, np.float64)
    if p.shape != q.shape:
        raise ValueError(f"The class probabilities have the shapes {p.shape} and {q.shape}; give pairs of one classifier.")
    for name, rows in (("reference", p), ("generated", q)):
        if not np.isfinite(rows).all() or (rows < 0).any() or not np.allclose(rows.sum(-1), 1, atol=1e-4):
            raise ValueError(f"The {name} rows are no probabilities of the sum 1; take the softmax of the logits.")
    return np.sum(p * np.log((p + epsilon) / (q + epsilon)), -1)


def paired_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows [n, D], [n]: the CLAP score is their mean over all pairs of sound and caption.

    The published script took it along the batch of one instead, so that each of 512 "scores" was 1 or -1.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"The embeddings have the shapes {a.shape} and {b.shape}; give pairs of one model.")
    return np.sum(unit(a) * unit(b), -1)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows [n, D] of length 1; a row of zeros stays zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


# -- density and coverage -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Generated points in neighbourhoods of the reference. around: [m], how many hold each point; covered: [n], whether each holds one."""

    around: np.ndarray
    covered: np.ndarray
    k: int

    @property
    def density(self) -> float:
        """Neighbourhoods that a generated point lies in, over k, in the mean."""
        return float(self.around.mean() / self.k)

    @property
    def coverage(self) -> float:
        """Share of neighbourhoods that hold a generated point."""
        return float(self.covered.mean())


def find_neighbours(reference: np.ndarray, generated: np.ndarray, k: int = NEIGHBOURS) -> Neighbours:
    """For density (fidelity, about 1 for sets that are alike) and coverage (variety, 0 to 1) of Naeem et al. 2020 (arXiv 2002.09797).

    reference [n, D], generated [m, D]. The neighbourhood of a reference point reaches to its k-th nearest other one; equal sets without
    equal points have density 1 and coverage 1. Raises ValueError where the reference has no k others.
    """
    first, second = _table("reference", reference), _table("generated", generated)
    if len(first) <= k:
        raise ValueError(f"Density and coverage with k = {k} need {k + 1} reference recordings; there are {len(first)}.")
    around, covered = np.zeros(len(second), np.int64), np.zeros(len(first), bool)
    for index, point in enumerate(first):
        radius = np.partition(np.square(first - point).sum(1), k)[k]  # the nearest is the point itself
        within = np.square(second - point).sum(1) < radius
        around += within
        covered[index] = within.any()
    return Neighbours(around, covered, k)
