"""Other chords under a melody that is kept: the likeliest sequence of the scale's own chords, one a bar.

A note decoder writes each chord before the melody of its bar, so it cannot choose one for a melody that is there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llama.media.score import SCALES, Chord, Score
from llama.media.score_edits import CLOSE, DOMINANT, SEVENTH, diatonic_quality, score_line

DEGREES = 7
STRONG = 1.5  # weight of a note on a bar's first beat
OUTSIDE = -0.7  # of a note that is none of the chord, where one of the chord counts 1
OLD = 0.5  # by which the chord that the bar has counts less, in bars' worth of melody
MOTION: tuple[float, ...] = (-0.35, 0.0, -0.2, 0.15, 0.1, -0.05, -0.1)  # by how many degrees the root rises: a fourth is best
DIMINISHED = 0.25


def reharmonise(score: Score) -> tuple[Chord, ...]:
    """New chords for the bars of a piece that fit its melody and lead to its final chord, which stays."""
    line, attributes = score_line(score), score.attributes
    if not line.bar_count:
        return score.chords
    four = any(len(chord.tones) > 3 for chord in score.chords)
    roots = [(attributes.key + step) % 12 for step in SCALES[attributes.mode]]
    qualities = [diatonic_quality(attributes.mode, degree, four) for degree in range(DEGREES)]
    candidates = [Chord(0.0, 0.0, root, quality) for root, quality in zip(roots, qualities, strict=True)]
    fit = _fit(score, candidates)
    fit[:, [quality == "diminished" for quality in qualities]] -= DIMINISHED
    fit[0, 0] += OLD  # a piece begins at home if its melody does
    fit[-1, DOMINANT] += OLD
    degrees = _best_path(fit)
    chords = [replace(chord, root=roots[degree], quality=qualities[degree]) for chord, degree in zip(score.chords, degrees, strict=False)]
    return (*chords, score.chords[-1])


def _fit(score: Score, candidates: Sequence[Chord]) -> NDArray[np.float64]:
    """How well each chord fits the melody of each bar [bars, candidates], at most 1; less for the one that the bar has."""
    line = score_line(score)
    length, rows = line.beat * line.metre, list[NDArray[np.float64]]()
    starts, ends = (np.array(times) for times in ([note.start for note in score.lead], [note.start + note.duration for note in score.lead]))
    tones = np.array([[pitch in chord.tones for chord in candidates] for pitch in range(12)])
    values = np.where(tones[[note.pitch % 12 for note in score.lead]], 1.0, OUTSIDE)  # [notes, candidates]
    for bar, old in enumerate(score.chords[: line.bar_count]):
        start = bar * length
        sounding = np.minimum(ends, start + length) - np.maximum(starts, start)
        weights = np.where(sounding > CLOSE, sounding, 0.0) * np.where(starts < start + line.beat - CLOSE, STRONG, 1.0)
        good, total = (weights[:, None] * values).sum(0), weights.sum()
        same = [(old.root, old.quality) == (chord.root, chord.quality) for chord in candidates]
        rows.append((good / total if total else np.zeros(len(candidates))) - OLD * np.array(same))
    return np.array(rows)


def _best_path(fit: NDArray[np.float64]) -> list[int]:
    """Degrees [bars] of the best sum of fit [bars, DEGREES] and motion, by dynamic programming (Viterbi)."""
    motion = np.array([[MOTION[(after - before) % DEGREES] for after in range(DEGREES)] for before in range(DEGREES)])
    motion[SEVENTH, 0] += DIMINISHED
    best, back = fit[0], []
    for row in fit[1:]:
        scores = best[:, None] + motion
        back.append(scores.argmax(0))
        best = scores.max(0) + row
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]
