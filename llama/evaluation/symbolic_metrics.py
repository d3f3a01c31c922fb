"""Measures of notes: key, mode and tempo.

Legend: onsets are seconds; a tonic is a pitch class, 0 is C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from llama.evaluation.statistics import share
from llama.media.score import SCALES

SLOWEST, FASTEST = 50.0, 200.0  # beats a minute that `tempo_from_onsets` looks for
USUAL_TEMPO = 110.0  # where listeners tap when several levels fit; an octave away weighs a third


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
