"""Tables of `evaluate.py edits`: edits of known pieces, scores as files and as sound, and transcribed recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llama.evaluation.edit_requests import REQUESTS, Outcome, melody
from llama.evaluation.statistics import bootstrap_interval, mean, share, wilson_interval
from llama.evaluation.tables import Measurement, Row, Table
from llama.media.score import TRACKS, Score, timeline

COLUMNS = {"melody kept": "melody_kept", "asked change made": "happened", "nothing else changed": "rest_kept"}
F1_COLUMNS = ("lead", "all pitched")
BEAT_SLACK = 0.02  # of a beat; a tick of a file is a hundredth or less


def shares(hits: Sequence[bool]) -> Measurement:
    """A share with its Wilson interval."""
    low, high = wilson_interval(sum(hits), len(hits))
    return Measurement(share(hits), len(hits), low, high)


def edits_table(title: str, outcomes: Mapping[str, Sequence[Outcome]], pieces: Sequence[Score]) -> Table:
    """A row for each request, and below them two other pieces and the same piece, for scale."""
    rows = []
    for name, found in outcomes.items():
        cells = {column: shares([getattr(each, field) for each in found]) for column, field in COLUMNS.items()}
        rows.append(Row(f"{name}: {REQUESTS[name].text}", cells))
    strangers = [melody(first) == melody(second) for first, second in zip(pieces, [*pieces[1:], pieces[0]], strict=True)]
    rows.append(Row("two other pieces", {"melody kept": shares(strangers)}))
    rows.append(Row("the same piece", {"melody kept": shares([melody(piece) == melody(piece) for piece in pieces])}))
    note = "Rows of bars, of one part and of a length: what lies outside them, note for note. What is so already may change nothing."
    return Table(title, tuple(COLUMNS), rows, (note,))


# -- files --------------------------------------------------------------------------------------------------------


def notes_kept(before: Score, after: Score, played: bool) -> float:
    """Share of notes that are in both, of those of the score with more: part, pitch and begin in beats.

    played: length in beats and velocity as well; written music has written lengths and no velocities, and strokes have no length.
    Begins and lengths may differ by BEAT_SLACK.
    """
    left, kept = _notes_in_beats(after, played), 0
    for note in _notes_in_beats(before, played):
        twin = next((other for other in left if other[0] == note[0] and np.allclose(other[1], note[1], rtol=0, atol=BEAT_SLACK)), None)
        if twin is not None:
            left.remove(twin)
            kept += 1
    return kept / max(kept + len(left), sum(len(before.track(name)) for name in TRACKS), 1)


def _notes_in_beats(score: Score, played: bool) -> list[tuple[tuple[str, int, int], tuple[float, float]]]:
    """((part, pitch, velocity), (begin, length)) of every note; velocity and length are 0 if they do not count."""
    beat = timeline(score.attributes, score.seconds).beat
    return [
        (
            (name, note.pitch, note.velocity if played else 0),
            (note.start / beat, note.duration / beat if played and name != "drums" else 0.0),
        )
        for name in TRACKS
        for note in score.track(name)
    ]


@dataclass(frozen=True)
class FileFigures:
    """What one piece keeps in files and as sound. Shares of notes, and whether stems and loop are exact."""

    midi: float
    musicxml: float
    facts: bool  # bars, tempo, metre, key and mode are equal in both files
    stems_sum: bool  # to 1e-4
    loop_joins: bool  # the step at the seam is no larger than the loop's own 99.9th percentile


def facts(score: Score) -> tuple[object, ...]:
    """What a reader of a file must find: bars, tempo, metre, key, mode."""
    attributes = score.attributes
    bars = timeline(attributes, score.seconds).bar_count
    return bars, attributes.tempo, attributes.metre, attributes.key, attributes.mode


def stems_sum(stems: Sequence[np.ndarray], whole: np.ndarray) -> bool:
    """Whether equal-length stems sum to the whole within 1e-4."""
    return all(stem.shape == whole.shape for stem in stems) and float(np.abs(sum(stems) - whole).max()) <= 1e-4


def loop_joins(loop: np.ndarray) -> bool:
    """Whether the step from the end of a loop [channels, n] to its begin is one of its usual ones."""
    steps = np.abs(np.diff(loop, axis=1)).max(0)
    return float(np.abs(loop[:, 0] - loop[:, -1]).max()) <= float(np.quantile(steps, 0.999))


def files_table(figures: Sequence[FileFigures]) -> Table:
    """A row for each way out of the model and back."""
    rows = [
        Row(f"{label}: notes that are read back", {"share": mean_share([getattr(each, field) for each in figures])})
        for label, field in (("MIDI", "midi"), ("MusicXML", "musicxml"))
    ]
    checks = (("bars, tempo, metre, key and mode are read back", "facts"), ("stems sum to the mix, to 1e-4", "stems_sum"),
              ("loops of the first four bars have no click at the seam", "loop_joins"))  # fmt: skip
    rows += [Row(label, {"share": shares([getattr(each, field) for each in figures])}) for label, field in checks]
    return Table("Pieces as files and as sound", ("share",), rows)


def mean_share(values: Sequence[float]) -> Measurement:
    """The mean of shares, one a piece, with its bootstrap interval."""
    low, high = bootstrap_interval({str(index): [value] for index, value in enumerate(values)})
    return Measurement(mean(np.asarray(values)), len(values), low, high)


# -- recordings ---------------------------------------------------------------------------------------------------


def recordings_table(figures: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    """F1 of notes, a row for each kind of recordings."""
    rows = [
        Row(kind, {column: mean_share([each[column] for each in found if column in each]) for column in F1_COLUMNS})
        for kind, found in figures.items()
    ]
    note = "F1 of notes with the right pitch and an onset within 50 ms (mir_eval); lengths are ignored."
    return Table("Notes heard in recordings", F1_COLUMNS, rows, (note,))
