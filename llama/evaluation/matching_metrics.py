"""Metrics of music with pictures or clips, from scores of pairs: cosine of own pairs beside shuffled ones, ranks, and own among N.

Pure functions. Shapes: n media, each with one piece of music of a system; k systems; D dimensions.
"""

from __future__ import annotations

import math

import numpy as np

from llama.evaluation.audio_metrics import unit


def cosine_table(media: np.ndarray, music: np.ndarray) -> np.ndarray:
    """Cosine of every medium [n, D] with every piece [m, D], [n, m]. Raises ValueError for vectors of two widths or not finite."""
    first, second = np.asarray(media, np.float64), np.asarray(music, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"The vectors have the shapes {first.shape} and {second.shape}; embed media and music with one model.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("The vectors are not finite (NaN or infinity); check the model's weights and its dtype.")
    return unit(first) @ unit(second).T


def shared_ranks(scores: np.ndarray) -> np.ndarray:
    """Rank of each score along the last axis, 1 for the highest; equal scores share the mean of their places.

    The published script took `argsort + 1`, which is the inverse permutation: wrong in two of the six orders of three systems.
    """
    values = np.asarray(scores, np.float64)
    higher = (values[..., None, :] > values[..., :, None]).sum(-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(-1)
    return higher + (equal + 1) / 2


def reciprocal_ranks(scores: np.ndarray) -> np.ndarray:
    """1 / rank of each score along the last axis; their mean over the media is a system's mean reciprocal rank."""
    return 1 / shared_ranks(scores)


def own_ranks(scores: np.ndarray) -> np.ndarray:
    """Rank of each medium's own piece among all n pieces, [n], from a table of scores [n, n] whose diagonal holds the own pairs."""
    return np.diagonal(shared_ranks(_square(scores)))


def own_first(scores: np.ndarray) -> np.ndarray:
    """Whether each medium's own piece has the highest score of its row, [n]; a tie of t pieces counts 1 / t, so that chance is 1 / n."""
    table = _square(scores)
    best = table == table.max(1, keepdims=True)
    return np.diagonal(best) / best.sum(1)


def own_minus_shuffled(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score of each medium's own pair, and its mean score with the pieces of all others, each [n]; the exact mean of all shuffles."""
    table = _square(scores)
    if len(table) < 2:
        raise ValueError("Shuffled pairs need two media or more.")
    own = np.diagonal(table)
    return own, (table.sum(1) - own) / (len(table) - 1)


def chance_reciprocal_rank(count: int) -> float:
    """Mean reciprocal rank of random scores of `count` pieces: (1 + 1/2 + ... + 1/count) / count."""
    return math.fsum(1 / place for place in range(1, count + 1)) / count


def _square(scores: np.ndarray) -> np.ndarray:
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not len(table):
        raise ValueError(f"The scores have the shape {table.shape}; give a table [n, n] with the own pairs on its diagonal.")
    return table
