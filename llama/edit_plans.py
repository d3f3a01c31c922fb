"""From words to an edit: what a request asks of a piece, by the grammar of requests and by the model's answer, and the reply's words.

The grammar reads what the model cannot be trusted with; the difference between the piece and the caption that the model writes
is the rest of the edit. The reply says what is done: the model's own words if they agree with it, words by rule otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llama.media.captions import read_caption, stated_changes, write_caption
from llama.media.edit import Edit, apply_edit
from llama.media.edit_report import EditReport, report_edit, report_recording_edit
from llama.media.requests.reader import RequestReading, is_question, read_request
from llama.media.score import TRACKS, Attributes, Score

if TYPE_CHECKING:
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions, RowState
    from llama.media.audio import Waveform

NOTHING = "nothing that I understood in the request differs from the piece"


@dataclass(frozen=True)
class PlannedEdit:
    """An edit of a turn's piece or recording, its report, and the text of the reply."""

    source: Score | Waveform
    edit: Edit
    report: EditReport
    text: str
    agrees: bool  # the model's answer describes the edited piece


def plan_edit(row: RowState, turn: Turn, options: GenerationOptions, hear: Callable[[], Attributes | None]) -> PlannedEdit | None:
    """The edit that the options give, or the one that the words ask for; None for a new piece, or an answer in words.

    row: the model's answer to the turn, at its end. hear: what the model hears the piece as; called if its answer may change something.
    """
    if not options.music or turn.score is None and (turn.audio is None or options.edit is None):
        return None
    if not isinstance(turn.score, Score):
        return _plan_recording(row, turn, options)
    if options.edit is not None:
        return _plan(row, turn, options.edit, RequestReading(None))
    reading = read_request(turn.text, turn.score)
    stated = None
    if reading.rest and not reading.is_new and row.finish == "music" and read_caption(row.text(), 0):
        stated = stated_changes(turn.score.attributes, row.text(), hear())
    if reading.is_new or reading.edit is None and stated is None:
        return None
    return _plan(row, turn, *_joined(turn.score, reading, stated))


def _joined(score: Score, reading: RequestReading, stated: Mapping[str, Any] | None) -> tuple[Edit, RequestReading]:
    """What was read and what the model's answer changes, as one edit; the grammar is right where both say something."""
    edit, not_done = reading.edit or Edit(), list(reading.not_done)
    changes = {name: value for name, value in (stated or {}).items() if name not in edit.change}
    try:
        joined = replace(edit, change={**changes, **edit.change})
        apply_edit(score, joined)
    except ValueError as error:
        joined, stated = edit, {}
        not_done.append(str(error).rstrip("."))
    if reading.rest and not changes and not is_question(reading.rest):
        not_done.append(NOTHING if reading.edit is None else f"'{reading.rest}' was not understood, or is so already")
    return joined, replace(reading, not_done=tuple(not_done))


def _plan(row: RowState, turn: Turn, edit: Edit, reading: RequestReading) -> PlannedEdit:
    assert isinstance(turn.score, Score), "the caller has seen it"
    report = report_edit(turn.score, edit, reading.already, reading.not_done, turn.transcribed)
    if reading.places:
        places = " and ".join(f"'{place}'" for place in reading.places)
        words = f"{places} alone cannot be changed so" + (", the whole piece was" if report.changed else "")
        report = replace(report, not_done=(*report.not_done, words))
    target = edited_attributes(turn.score, edit)
    agrees = row.finish == "music" and _describes(row.text(), target)
    whole = {"lead", "accompaniment"} <= {*_parts_heard(turn.score, edit)}  # which every caption of the model names
    agrees_alone = agrees and whole and report.changed and _is_in_caption(edit)
    text = row.text() if agrees_alone and not (report.unchanged or report.not_done) else None
    answer = row.text() if row.finish != "music" and is_question(reading.rest) else ""
    return PlannedEdit(turn.score, edit, report, text or _words(target, _parts_heard(turn.score, edit), report, answer), agrees)


def _plan_recording(row: RowState, turn: Turn, options: GenerationOptions) -> PlannedEdit:
    assert options.edit is not None and turn.audio is not None and not isinstance(turn.audio, str), "the recording is loaded"
    report = report_recording_edit(options.edit)
    return PlannedEdit(turn.audio, options.edit, report, str(report), row.finish == "music")  # type: ignore[arg-type]


def edited_attributes(score: Score, edit: Edit) -> Attributes:
    """The attributes of the edited piece."""
    attributes = replace(score.attributes, **{name: value for name, value in edit.change.items() if name != "drums"})
    drums = bool(score.drums or "drums" in edit.composed_parts(score)) and "drums" not in edit.removed
    return replace(attributes, key=(attributes.key + edit.transpose) % 12, drums=drums)


def _describes(text: str, attributes: Attributes) -> bool:
    """Whether an answer's caption is that of a piece with these attributes."""
    return read_caption(text, attributes.key) == attributes


def _is_in_caption(edit: Edit) -> bool:
    """Whether a caption says all that an edit does."""
    return edit == Edit(change=edit.change)


def _parts_heard(score: Score, edit: Edit) -> tuple[str, ...]:
    """Parts of the edited piece that have notes."""
    composed = edit.composed_parts(score)
    return tuple(name for name in TRACKS if (score.track(name) or name in composed) and name not in edit.removed)


def _words(target: Attributes, parts: tuple[str, ...], report: EditReport, answer: str) -> str:
    """The reply's text by rule: an answer to a question, what was changed or not, and the caption of the piece."""
    sentences = [answer] if answer else []
    if report.changed:
        sentences.append(f"Changed: {'; '.join(report.changed)}.")
    if report.unchanged:
        already = " and ".join(report.unchanged)
        sentences.append(f"It has {already} already." if report.changed else f"It has {already} already, so nothing was changed.")
    elif not report.changed:
        sentences.append("I changed nothing.")
    if report.not_done:
        sentences.append(f"Not done: {'; '.join(report.not_done)}.")
    return " ".join([*sentences, f"{write_caption(target, parts)}."])
