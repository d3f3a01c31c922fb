"""Key of a piece by its notes: the probe-tone profiles of Krumhansl and Kessler (Psychological Review 89, 1982)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llama.media.score import SCALES

KEY_PROFILES: Mapping[str, tuple[float, ...]] = {  # how well each semitone above the tonic fits the key
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def mode_of_chroma(chroma: Sequence[float]) -> tuple[int, str]:
    """Tonic and mode whose profile correlates best with the weights of the twelve pitch classes; (0, "major") if all are equal."""
    fits = key_fits(chroma)
    return max(fits, key=lambda key: fits[key])


def key_fits(chroma: Sequence[float]) -> dict[tuple[int, str], float]:
    """Correlation of the weights of the twelve pitch classes with the profile of each key."""
    weights = np.asarray(chroma, float)
    if weights.shape != (12,):
        raise ValueError(f"Chroma has shape {weights.shape}; give the weights of the twelve pitch classes from C up.")
    return {
        (tonic, mode): float(np.corrcoef(weights, np.roll(profile, tonic))[0, 1]) if weights.std() > 0 else 0.0
        for mode, profile in KEY_PROFILES.items() for tonic in range(12)
    }


def in_scale(chroma: NDArray[np.float64], key: int, mode: str) -> float:
    """Share of the weights of the twelve pitch classes in a scale; in minor the raised sixth and seventh belong to it."""
    steps = {*SCALES[mode], *((9, 11) if mode == "minor" else ())}
    total = float(chroma.sum())
    return float(sum(chroma[(key + step) % 12] for step in steps)) / total if total else 1.0


def signature_key(fifths: int, mode: str) -> int:
    """The tonic of a key signature of so many sharps (negative: flats)."""
    return (7 * fifths + (9 if mode == "minor" else 0)) % 12
