"""Linear classifier of a piece's style from its notes: onset positions in the bar, durations and pitches of each track.

It does not read the header of the codes. Positions and durations are quantized to eighths, so that swing and articulation, which
the decoder adds for a style by itself, carry no information. It is fitted at first use, in seconds, to composed pieces of
combinations that training may contain; `accuracy` is measured on held-out combinations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from DataSet.synthesis.composer import compose, sample_attributes
from llama.media.score import DRUMS, METRES, STYLES, Note, Score, bass_root

PIECES, TEST_PIECES = 1500, 300
SECONDS = (6.0, 16.0)  # of the pieces
RIDGE = 0.3  # ridge penalty
STEPS = ((0,), (3, 4), (6, 7), (12,))  # semitones of a bass note over its chord's: root, third, fifth, octave
MAX_EIGHTHS = 8.0  # eighths, at which durations are clipped
Vector = NDArray[np.floating]


@dataclass(frozen=True)
class StyleClassifier:
    """Weights [features, styles] by metre, and the accuracy on `count` held-out pieces."""

    weights: dict[int, Vector]
    accuracy: float
    count: int

    def name(self, score: Score) -> str | None:
        """The style; None for a piece without a whole bar."""
        vector = features(score)
        return None if vector is None else STYLES[int(np.argmax(vector @ self.weights[score.attributes.metre]))]


def features(score: Score) -> Vector | None:
    """Mean onsets and durations on each eighth of a bar, over the whole bars; None for a piece without a whole bar."""
    metre, beat = score.attributes.metre, 60 / score.attributes.tempo
    width = 2 * metre
    eighths = {name: [(_eighth(note.start / beat), note) for note in score.track(name)] for name in ("lead", "accompaniment", "bass", "drums")}
    bars = round(score.chords[-1].start / beat) // metre if score.chords else 0
    if not bars:
        return None
    struck = {name: [(at, note) for at, note in found if at < bars * width] for name, found in eighths.items()}
    roots = [chord.root for chord in score.chords]
    rows = [_onset_histogram([at for at, _ in _first_onsets(struck[name])], width) for name in ("lead", "accompaniment", "bass")]
    rows.append(_onset_histogram([at for at, _ in struck["accompaniment"]], width))  # voices, not strikes
    rows += [_onset_histogram([at for at, note in struck["bass"] if note.pitch - bass_root(roots[at // width]) in steps], width) for steps in STEPS]
    rows += [_onset_histogram([at for at, note in struck["drums"] if note.pitch == key], width) for key in DRUMS]
    lengths = [_onset_histogram([at for at, _ in found], width, [_length(note, beat) for _, note in found])
               for found in (_first_onsets(struck[name]) for name in ("accompaniment", "bass", "lead"))]
    means = [np.mean([_length(note, beat) for _, note in struck[name]] or [0.0]) / MAX_EIGHTHS for name in ("lead", "accompaniment", "bass")]
    full_chords = np.mean([sum(start == at for start, _ in struck["accompaniment"]) >= 4 for at, _ in _first_onsets(struck["accompaniment"])] or [False])
    played = np.concatenate([*rows, *(row / MAX_EIGHTHS for row in lengths)]) / bars
    return np.concatenate([played, np.minimum(played, 0.5), means, [full_chords, float(bool(struck["drums"])), 1.0]])


def _eighth(beats: float) -> int:
    """The eighth a note is written on; an off-beat may come late."""
    whole = int(beats + 0.1)
    return 2 * whole + (beats - whole > 0.25)


def _length(note: Note, beat: float) -> float:
    """Eighths that a note is written to last: whole ones, whatever part of them sounds."""
    return min(MAX_EIGHTHS, float(max(1, np.ceil(2 * note.duration / beat - 0.05))))


def _first_onsets(notes: Sequence[tuple[int, Note]]) -> list[tuple[int, Note]]:
    """The first note of each eighth that has an onset."""
    return list({at: (at, note) for at, note in reversed(notes)}.values())


def _onset_histogram(positions: Sequence[int], width: int, weights: Sequence[float] | None = None) -> Vector:
    return np.bincount([at % width for at in positions], weights, width).astype(float) if len(positions) else np.zeros(width)


@lru_cache(maxsize=1)
def fitted_classifier() -> StyleClassifier:
    """The classifier, fitted by ridge regression to one-hot styles for each metre; deterministic."""
    rng = np.random.default_rng(31)
    examples = [_random_example(rng, False) for _ in range(PIECES)]
    weights = {metre: _fit_ridge([(vector, style) for vector, style, of in examples if of == metre]) for metre in METRES}
    fitted = StyleClassifier(weights, 0.0, 0)
    held_out = [_random_example(rng, True) for _ in range(TEST_PIECES)]
    hits = [STYLES[int(np.argmax(vector @ fitted.weights[metre]))] == style for vector, style, metre in held_out]
    return StyleClassifier(weights, float(np.mean(hits)), len(hits))


def _random_example(rng: np.random.Generator, held_out: bool) -> tuple[Vector, str, int]:
    while True:
        piece = sample_attributes(rng, held_out)
        vector = features(compose(rng, piece, float(rng.uniform(*SECONDS))))
        if vector is not None:
            return vector, piece.style, piece.metre


def _fit_ridge(examples: Sequence[tuple[Vector, str]]) -> Vector:
    inputs = np.stack([vector for vector, _ in examples])
    targets = np.eye(len(STYLES))[[STYLES.index(style) for _, style in examples]]
    return np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ targets)
