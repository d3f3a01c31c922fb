"""Key of a piece by its notes: the probe-tone profiles of Krumhansl and Kessler (Psychological Review 89, 1982)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llama.media.raw_score import RawKey, RawScore, spans
from llama.media.score import SCALES
from llama.media.spelling import key_name

IN_SCALE = 0.8  # share of the notes that must lie in the scale of a key signature
CLEARLY = 0.1  # correlation by which the relative minor must fit better than the major key that a signature states

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


def find_key(raw: RawScore, trusted: bool) -> tuple[int, str, str]:
    """Tonic and mode of a file, and a sentence if they are not those of its key signature. trusted: take that in any case.

    The signature that holds longest counts, if most notes lie in its scale: many programs write C major whatever the music is. A
    major signature is read as its relative minor where the notes clearly are, or where the file names no mode.
    """
    chroma = np.zeros(12)
    for note in raw.notes:
        if not raw.parts[note.part].is_drum:
            chroma[note.pitch % 12] += note.length
    fits = key_fits(chroma.tolist())
    found = max(fits, key=lambda key: fits[key])
    signature = _main_signature(raw)
    if signature is None:
        return *found, f"The file has no key signature; by its notes the key is {key_name(*found)}."
    stated = signature_key(signature.fifths, signature.mode or "major"), signature.mode or "major"
    if trusted:
        return *stated, ""
    if in_scale(chroma, *stated) < IN_SCALE:
        name = key_name(*stated)
        return *found, f"Most notes do not fit the key signature ({name}); by the notes the key is {key_name(*found)}."
    relative = (stated[0] + 9) % 12, "minor"
    if stated[1] == "major" and fits[relative] > fits[stated] + (CLEARLY if signature.mode else 0.0):
        return *relative, f"By its notes the key is {key_name(*relative)}, which has the same signature." if signature.mode else ""
    return *stated, ""


def _main_signature(raw: RawScore) -> RawKey | None:
    """The key signature that holds longest; the first of several that hold as long."""
    held = spans(((key.start, (key.fifths, key.mode)) for key in raw.keys), raw.length)
    longest = max(held, key=lambda name: held[name], default=None)
    return next((key for key in raw.keys if (key.fifths, key.mode) == longest), None)


def in_scale(chroma: NDArray[np.float64], key: int, mode: str) -> float:
    """Share of the weights of the twelve pitch classes in a scale; in minor the raised sixth and seventh belong to it."""
    steps = {*SCALES[mode], *((9, 11) if mode == "minor" else ())}
    total = float(chroma.sum())
    return float(sum(chroma[(key + step) % 12] for step in steps)) / total if total else 1.0


def signature_key(fifths: int, mode: str) -> int:
    """The tonic of a key signature of so many sharps (negative: flats)."""
    return (7 * fifths + (9 if mode == "minor" else 0)) % 12
