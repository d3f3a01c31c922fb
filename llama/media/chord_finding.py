"""One chord a bar by the notes that sound in it: the best of all chord templates, with the bar's bass note and the key.

Templates follow Fujishima (Realtime chord recognition of musical sound, ICMC 1999). The constants were fitted to composed pieces,
whose chords are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llama.media.score import QUALITIES, SCALES

OUTSIDE = 0.6  # by which a note outside a chord counts against it, where one inside counts 1
ROOT, BASS, BASS_TONE = 0.15, 0.25, 0.05  # for the root's own weight, for a bass note that is the root, that is another tone
DIATONIC = 0.08  # for a chord of the key
PLAIN = {"major": 0.06, "minor": 0.06, "dominant7": 0.02, "major7": 0.0, "minor7": 0.0, "diminished": 0.0}  # for usual chords
CHORDS: tuple[tuple[int, str], ...] = tuple((root, quality) for root in range(12) for quality in QUALITIES)
TONES: NDArray[np.float64] = np.array(
    [[float((pitch_class - root) % 12 in QUALITIES[quality]) for pitch_class in range(12)] for root, quality in CHORDS]
)


def find_chords(chroma: NDArray[np.float64], basses: Sequence[int | None], key: int, mode: str) -> list[tuple[int, str]]:
    """Root and quality of the chord of each bar. chroma: weights of the pitch classes [bars, 12]; basses: as of `bar_basses`.

    Where nothing sounds the chord before goes on; before all others it is the tonic's.
    """
    chords: list[tuple[int, str]] = []
    roots = np.array([root for root, _ in CHORDS])
    favour = np.array([DIATONIC * is_diatonic(root, quality, key, mode) + PLAIN[quality] for root, quality in CHORDS])
    for weights, bass in zip(chroma, basses, strict=True):
        if weights.sum() <= 0:
            chords.append(chords[-1] if chords else (key, mode))
            continue
        weights = weights / weights.sum()
        inside = TONES @ weights
        fit = inside - OUTSIDE * (1 - inside) + ROOT * weights[roots] + favour
        if bass is not None:
            fit += BASS_TONE * TONES[:, bass] + BASS * (roots == bass)
        chords.append(CHORDS[int(fit.argmax())])
    return chords


def bar_chroma(
    starts: NDArray[np.float64], lengths: NDArray[np.float64], pitches: NDArray[np.int64], edges: Sequence[float]
) -> NDArray[np.float64]:
    """How long each pitch class sounds [bars, 12] between each two edges, in time that grows with bars plus notes."""
    sounded = np.zeros((len(edges), 12))
    for pitch_class in range(12):
        chosen = pitches % 12 == pitch_class
        begins, ends = starts[chosen], starts[chosen] + lengths[chosen]
        sounded[:, pitch_class] = _time_since(begins, edges) - _time_since(ends, edges)
    return np.maximum(np.diff(sounded, axis=0), 0.0)


def _time_since(moments: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.float64]:
    """Sum over all moments of the time from each to an edge, for those before it; of each edge."""
    moments = np.sort(moments)
    sums = np.concatenate([[0.0], np.cumsum(moments)])
    counts = np.searchsorted(moments, edges)
    return counts * np.asarray(edges) - sums[counts]


def bar_basses(starts: NDArray[np.float64], pitches: NDArray[np.int64], edges: Sequence[float]) -> list[int | None]:
    """Pitch class of the lowest note that begins with each bar, or first in it; None in bars in which none begins."""
    order = np.lexsort((pitches, starts))
    starts, pitches = starts[order], pitches[order]
    places = np.searchsorted(starts, np.asarray(edges) - 1e-6)
    basses: list[int | None] = []
    for first, stop in zip(places[:-1].tolist(), places[1:].tolist(), strict=True):
        if first == stop:
            basses.append(None)
            continue
        together = first + int(np.searchsorted(starts[first:stop], starts[first] + (edges[1] - edges[0]) / 8, side="right"))
        basses.append(int(pitches[first:together].min()) % 12)
    return basses


def is_diatonic(root: int, quality: str, key: int, mode: str) -> bool:
    """Whether all tones of a chord lie in the scale, with the raised seventh of minor."""
    steps = {*SCALES[mode], *((11,) if mode == "minor" else ())}
    return all((root + step - key) % 12 in steps for step in QUALITIES[quality])
