"""Metrics of generated sound from embeddings, class probabilities and captions: Frechet distance, KL, CLAP score, density, coverage.

Pure functions of numpy arrays in float64. Shapes: n, m embeddings of D dimensions; a recording is [w, D], the embeddings of its w windows;
C classes. The Frechet audio distance (FAD, arXiv 1812.08466) compares the Gaussians of two sets of embeddings. It is biased upwards in
small sets: with 128 dimensions and a true distance of 1.28, 300 embeddings gave 16.6 and 2000 gave 3.5. FAD-infinity (arXiv 2311.01616)
extrapolates to infinitely many, so both are reported with their n, and neither below the numbers that `fad_shortage` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Recordings = Sequence[np.ndarray]  # [w, D] each

MIN_PER_DIMENSION = 10  # embeddings for each dimension below which FAD is not reported
KL_EPSILON = 1e-6  # inside the logarithms, as the published evaluation has it
NEIGHBOURS = 5  # k of density and coverage, their paper's default
SHARES = (0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the recordings, one point of the line of FAD-infinity each
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
    counts = [sum(map(len, recordings)) for recordings in (reference, generated)]
    needed = MIN_PER_DIMENSION * reference[0].shape[1] if reference else 0
    if min(counts) < needed or min(counts) < 2:
        return f"not reported: n = {min(counts)} of at least {max(needed, 2)}"
    return ""


def principal_components(reference: Recordings, count: int) -> Callable[[Recordings], list[np.ndarray]]:
    """A function that projects recordings on the reference's first `count` principal components, for FAD of small sets.

    Distances then are of these directions alone: they compare systems with one another, not with anybody's published FAD. Raises
    ValueError for more components than dimensions.
    """
    table = _table("reference", np.concatenate(reference))
    if not 1 <= count <= table.shape[1]:
        raise ValueError(f"The embeddings have {table.shape[1]} dimensions; give 1 to {table.shape[1]} components, not {count}.")
    mean = table.mean(0)
    _, _, directions = np.linalg.svd(table - mean, full_matrices=len(table) < table.shape[1])
    return lambda recordings: [(np.asarray(rows, np.float64) - mean) @ directions[:count].T for rows in recordings]


def frechet_interval(reference: Recordings, generated: Recordings, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """FAD of two sets of recordings, with the interval of its bootstrap over the recordings of both.

    The interval is value +- 1.96 standard errors: a resampled set repeats recordings, which raises each resampled distance, so that
    their quantiles would lie above the value itself. It covers the choice of recordings, not the bias of a small set.
    """
    value = frechet_distance(np.concatenate(reference), np.concatenate(generated))
    rng = np.random.default_rng(seed)
    drawn = [
        frechet_distance(*(np.concatenate([side[i] for i in rng.integers(len(side), size=len(side))]) for side in (reference, generated)))
        for _ in range(resamples)
        if min(len(reference), len(generated)) > 1
    ]
    error = Z95 * float(np.std(drawn, ddof=1)) if len(drawn) > 1 else math.inf
    return Estimate(value, max(0.0, value - error), value + error)


def fad_infinity(reference: Recordings, generated: Recordings, seed: int = 0) -> Estimate:
    """FAD extrapolated to infinitely many embeddings: the intercept of a line over 1/n, with the interval of that fit.

    Each point is the FAD of the same share of both sets' recordings, drawn without replacement: fadtk shrinks the generated set alone, and
    so keeps the bias of a small reference. Equal numbers of recordings are drawn at equal places, so that equal sets give 0. The value may
    be slightly negative where the true distance is near 0. The interval is the least-squares one of the intercept; it does not
    contain the choice of recordings. Raises ValueError for fewer than eight recordings of a set.
    """
    counts = len(reference), len(generated)
    if min(counts) < 2 / SHARES[0]:
        least = math.ceil(2 / SHARES[0])
        raise ValueError(f"FAD-infinity needs at least {least} recordings of each set; there are {counts[0]} and {counts[1]}.")
    seeds = np.random.SeedSequence(seed).spawn(len(SHARES) * REPEATS)
    inverse, distances = [], []
    for place, share in enumerate(np.repeat(SHARES, REPEATS)):
        sides = [_draw(side, float(share), np.random.default_rng(seeds[place])) for side in (reference, generated)]
        inverse.append(1 / min(map(len, sides)))
        distances.append(frechet_distance(*sides))
    return _intercept(np.array(inverse), np.array(distances))


def _draw(recordings: Recordings, share: float, rng: np.random.Generator) -> np.ndarray:
    chosen = rng.permutation(len(recordings))[: max(2, round(share * len(recordings)))]
    return np.concatenate([recordings[i] for i in chosen])


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
    """Which neighbourhoods of the reference hold generated points. around: [m], how many each generated point lies in; covered: [n] bool."""

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
