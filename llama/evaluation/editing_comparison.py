"""Comparison of editing systems: what was asked against what is measured, and how much of the source is kept, beside controls.

Controls: the set's own target; the unchanged source, which keeps all and changes nothing; swapped, the target of another recording,
which shows what likeness music has by chance; and silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llama.evaluation.editing_metrics import EditMeasurement, check_recording, log_spectral_distance, measure_edit
from llama.evaluation.statistics import bootstrap_interval, difference_interval, mean
from llama.evaluation.tables import Measurement, Row, Table

MEASURING_RATE = 16_000
SPEED_TOLERANCE, CENTS_TOLERANCE = 0.05, 50.0  # of an edit that a model generates; those of a made edit are far below
TARGET, UNCHANGED, SWAPPED, SILENCE = "target of the set", "unchanged source", "swapped", "silence"
REVERSE = "reverse"  # the operation
COUNT, MISSING = "scored", "missing"
SPEED, SPEED_SHARE, PITCH, PITCH_SHARE = "speed error, %", "speed within 5 %", "pitch error, cents", "pitch within 50 cents"
KEPT, CHROMA, DRIFT, DISTANCE, LEVEL = "rest kept", "chroma likeness", "drift, %", "LSD, dB", "level, dB"
COLUMNS = (COUNT, MISSING, SPEED, SPEED_SHARE, PITCH, PITCH_SHARE, KEPT, CHROMA, DRIFT, DISTANCE, LEVEL)
Samples = np.ndarray


@dataclass(frozen=True)
class EditCase:
    """One edit that is asked for. name: of its output file, without suffix; recording: its source.

    speed, cents: what the edit is to be; both None where the list does not state it. operation: "" where it is unknown.
    """

    name: str
    recording: str
    operation: str = ""
    speed: float | None = None
    cents: float | None = None

    @property
    def is_stated(self) -> bool:
        return self.speed is not None and self.cents is not None

    @property
    def changes_speed(self) -> bool:
        return self.speed is not None and abs(self.speed - 1) > 1e-6

    @property
    def changes_pitch(self) -> bool:
        return self.cents is not None and abs(self.cents) > 1e-6


@dataclass(frozen=True)
class EditScore:
    """What a system gave for a case. measured: None for silence, or less than half a second: nothing is heard, so nothing is kept.

    distance: log-spectral distance to the set's target in dB; None without one.
    """

    case: EditCase
    measured: EditMeasurement | None
    distance: float | None = None

    @property
    def speed_error(self) -> float:
        """In percent of the asked speed; infinite where nothing is heard."""
        return math.inf if self.measured is None else 100 * abs(self.measured.speed / (self.case.speed or 1.0) - 1)

    @property
    def cents_error(self) -> float:
        return math.inf if self.measured is None else abs(self.measured.cents - (self.case.cents or 0.0))

    @property
    def speed_right(self) -> bool:
        return self.speed_error <= 100 * SPEED_TOLERANCE

    @property
    def cents_right(self) -> bool:
        return self.cents_error <= CENTS_TOLERANCE

    @property
    def rest_kept(self) -> bool:
        """Whether what was not to change stayed: the pitch of a change of speed, the speed of a change of pitch, both of none."""
        return (self.case.changes_speed or self.speed_right) and (self.case.changes_pitch or self.cents_right)

    @property
    def chroma(self) -> float:
        return 0.0 if self.measured is None else self.measured.chroma


def score_edit(case: EditCase, source: Samples, edit: Samples, target: Samples | None = None, rate: int = MEASURING_RATE) -> EditScore:
    """Measures one edit against its source and, by LSD, against the set's target; samples [N] at `rate`.

    The edit of a reversal is turned back first. Raises ValueError for a source that is silent or too short.
    """
    check_recording("source", source, rate)
    try:
        measured = measure_edit(source, edit[::-1] if case.operation == REVERSE else edit, rate, case.cents)
    except ValueError:  # of the edit: the source was measured
        measured = None
    return EditScore(case, measured, None if target is None else log_spectral_distance(target, edit, rate))


# -- tables -------------------------------------------------------------------------------------------------------


def editing_tables(scores: Mapping[str, Sequence[EditScore]], missing: Mapping[str, int], cases: Sequence[EditCase]) -> list[Table]:
    """Tables by system and by operation. scores: of the systems and then of the controls; missing: files that a system lacks."""
    rows = []
    for label, found in scores.items():
        rows.append(Row(label, {MISSING: str(missing.get(label, 0)), **_cells(found)}))
        if label not in (SWAPPED, SILENCE) and scores.get(SWAPPED):
            rows.append(Row(f"{label} minus swapped", {CHROMA: _difference(found, scores[SWAPPED])}))
    return [Table("Edits: asked against measured", COLUMNS, rows, _notes(cases)), _by_operation(scores)]


def _by_operation(scores: Mapping[str, Sequence[EditScore]]) -> Table:
    columns = (COUNT, SPEED, PITCH, KEPT, CHROMA, DISTANCE)
    rows = []
    for label, found in scores.items():
        if label in (UNCHANGED, SWAPPED, SILENCE):
            continue
        for operation in sorted({score.case.operation for score in found}):
            cells = _cells([score for score in found if score.case.operation == operation])
            rows.append(Row(f"{label}: {operation or 'operation not stated'}", {name: cells.get(name) for name in columns}))
    return Table("Edits by operation", columns, rows)


def _cells(scores: Sequence[EditScore]) -> dict[str, Measurement | str]:
    speed = [score for score in scores if score.case.changes_speed]
    pitch = [score for score in scores if score.case.changes_pitch]
    keeping = [score for score in scores if score.case.is_stated and not (score.case.changes_speed and score.case.changes_pitch)]
    heard = [score for score in scores if score.measured is not None]
    distances = [score for score in scores if score.distance is not None]
    return {
        COUNT: str(len(scores)),
        SPEED: _figure(speed, lambda score: score.speed_error, _median, 2), SPEED_SHARE: _figure(speed, lambda score: score.speed_right),
        PITCH: _figure(pitch, lambda score: score.cents_error, _median, 1), PITCH_SHARE: _figure(pitch, lambda score: score.cents_right),
        KEPT: _figure(keeping, lambda score: score.rest_kept), CHROMA: _figure(scores, lambda score: score.chroma),
        DRIFT: _figure(heard, lambda score: abs(score.measured.drift), _median, 2),
        DISTANCE: _figure(distances, lambda score: score.distance or 0.0, mean, 1),
        LEVEL: _figure(heard, lambda score: score.measured.level, _median, 1),
    }  # fmt: skip


def _median(values: np.ndarray) -> float:
    """The median; infinite errors count, and nan stands for no values."""
    if not len(values):
        return math.nan
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _figure(
    scores: Sequence[EditScore], value: Callable[[EditScore], float], statistic: Callable[[np.ndarray], float] = mean, digits: int = 3
) -> Measurement | str:
    """A statistic with its interval over recordings."""
    if not scores:
        return "no case"
    values = _by_recording(scores, value)
    result = statistic(np.concatenate(list(values.values())))
    if not math.isfinite(result):
        return "nothing heard"
    low, high = bootstrap_interval(values, statistic)
    finite = math.isfinite(low) and math.isfinite(high)
    return Measurement(result, len(scores), low if finite else None, high if finite else None, digits)


def _by_recording(scores: Sequence[EditScore], value: Callable[[EditScore], float]) -> dict[str, np.ndarray]:
    groups: dict[str, list[float]] = {}
    for score in scores:
        groups.setdefault(score.case.recording, []).append(float(value(score)))
    return {name: np.asarray(found) for name, found in groups.items()}


def _difference(scores: Sequence[EditScore], swapped: Sequence[EditScore]) -> Measurement | str:
    """Mean chroma likeness minus that of the swapped edits of the same cases."""
    control = {score.case.name: score for score in swapped}
    own = [score for score in scores if score.case.name in control]
    if not own:
        return "no case"
    first, second = (_by_recording(side, lambda score: score.chroma) for side in (own, [control[score.case.name] for score in own]))
    value = mean(np.concatenate(list(first.values()))) - mean(np.concatenate(list(second.values())))
    low, high = difference_interval(first, second)
    return Measurement(value, len(own), *((low, high) if math.isfinite(low) else (None, None)))


def _notes(cases: Sequence[EditCase]) -> list[str]:
    unstated = sum(not case.is_stated for case in cases)
    return [
        f"Asked: of {len(cases)} edits, {sum(case.changes_speed for case in cases)} ask for another speed, "
        f"{sum(case.changes_pitch for case in cases)} for another pitch; asked: not stated of {unstated}.",
        "Errors are medians over the edits that ask for the change. Rest kept: share whose other value stayed within 5 % or 50 cents. "
        "Chroma likeness: mean correlation of aligned chroma frames, the asked pitch taken out, a reversal turned back. Drift: median of "
        "its size. LSD: to the set's target, the level taken out. Level: median of the edit's RMS beside its source's.",
        "Missing files are counted and not scored; silence, and less than 0.5 s, is scored: nothing of the source is kept. Intervals are "
        "over recordings.",
    ]
