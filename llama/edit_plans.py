"""From words to an edit: what a request asks of a piece, by the grammar of requests and by the model's answer, and the reply's words.

The grammar reads what the model cannot be trusted with; the difference between the piece and the caption that the model writes
is the rest of the edit. The reply says what is done: the model's own words if they agree with it, words by rule otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llama.media.captions import TEMPO_TOLERANCE, read_caption, stated_changes, write_caption
from llama.media.edit import NAMES, Edit, apply_edit
from llama.media.edit_report import EditReport, report_edit, report_recording_edit
from llama.media.empty_edits import already_text, leaves_as_is, unchanged_text
from llama.media.requests.named_facts import named_facts
from llama.media.requests.reader import RequestReading, is_question, read_request
from llama.media.score import TRACKS, Attributes, Score

if TYPE_CHECKING:
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions, RowState
    from llama.media.audio import Waveform

NOTHING = "nothing that I understood in the request differs from the piece"

UNSURE = "I am not sure of what I hear, so this is the recording as I wrote it down."


@dataclass(frozen=True)
class PlannedEdit:
    """An edit of a turn's piece or recording, its report, and the text of the reply.

    agrees: the model's answer describes the edited piece. makes_music: False for an edit that would leave the piece as it is: the reply is
    a sentence then, and no music.
    """

    source: Score | Waveform
    edit: Edit
    report: EditReport
    text: str
    agrees: bool
    makes_music: bool = True


def plan_edit(row: RowState, turn: Turn, options: GenerationOptions, hear: Callable[[], Attributes | None]) -> PlannedEdit | None:
    """The edit that the options give, or the one that the words ask for; None for a new piece, or an answer in words.

    row: the model's answer to the turn, at its end. hear: what the model hears the piece as; called if its answer may change something,
    and for a recording that the edit may leave as it is.
    """
    if not options.music or turn.score is None and (turn.audio is None or options.edit is None):
        return None
    if not isinstance(turn.score, Score):
        return _plan_recording(row, turn, options)
    if options.edit is not None:
        return _plan(row, turn, options.edit, RequestReading(None, plays=options.edit == Edit()), hear)
    reading = read_request(turn.text, turn.score)
    stated = None
    if reading.rest and not reading.is_new and row.finish == "music" and read_caption(row.text(), 0):
        stated = stated_changes(turn.score.attributes, row.text(), hear())
    if reading.is_new or reading.edit is None and stated is None:
        return None
    return _plan(row, turn, *_joined(turn.score, reading, stated), hear)


def plan_by_rule(turn: Turn, edit: Edit | None) -> PlannedEdit | None:
    """The plan of an edit that was given as a value and composes nothing in the turn's notes; None for every other turn.

    It needs no answer of the model, so that it is heard at once.
    """
    if edit is None or not isinstance(turn.score, Score) or edit.composed_parts(turn.score):
        return None
    if turn.transcribed and leaves_as_is(turn.score, edit):  # the model has to hear whether that is so
        return None
    return _plan(None, turn, edit, RequestReading(None, plays=edit == Edit()), lambda: None)


def _joined(score: Score, reading: RequestReading, stated: Mapping[str, Any] | None) -> tuple[Edit, RequestReading]:
    """What was read and what the model's answer changes, as one edit; the grammar is right where both say something."""
    edit, not_done = reading.edit or Edit(), list(reading.not_done)
    changes = {name: value for name, value in (stated or {}).items() if name not in edit.change}
    facts = {} if changes or is_question(reading.rest) else named_facts(reading.rest, score)  # "as a ballad", and it is one
    try:
        joined = _keeping(score, replace(edit, change={**facts, **changes, **edit.change}), reading.kept)
        apply_edit(score, joined)
    except ValueError as error:
        joined, stated = edit, {}
        not_done.append(str(error).rstrip("."))
    if reading.rest and not changes and not facts and not is_question(reading.rest):
        not_done.append(NOTHING if reading.edit is None else f"'{reading.rest}' was not understood, or is so already")
    return joined, replace(reading, not_done=tuple(not_done))


def _keeping(score: Score, edit: Edit, kept: Sequence[str]) -> Edit:
    """The edit with the parts of the arrangement that the request wants kept: another style composes them anew otherwise.

    Raises ValueError for another metre, in which they cannot stay.
    """
    arrangement = {NAMES[part] for part in edit.composed_parts(score)} & {*kept}
    return replace(edit, keep=tuple(dict.fromkeys((*edit.keep, "melody", "chords", *kept)))) if arrangement else edit


def _plan(
    row: RowState | None, turn: Turn, edit: Edit, reading: RequestReading, hear: Callable[[], Attributes | None]
) -> PlannedEdit:
    """row: None where the model has not answered."""
    assert isinstance(turn.score, Score), "the caller has seen it"
    score, report = turn.score, report_edit(turn.score, edit, reading.already, reading.not_done, turn.transcribed)
    is_empty = _leaves_as_is(turn, edit, reading, hear)
    if reading.places:
        places = " and ".join(f"'{place}'" for place in reading.places)
        words = f"{places} alone cannot be changed so" + (", the whole piece was" if report.changed and not is_empty else "")
        report = replace(report, not_done=(*report.not_done, words))
    answer = row.text() if row is not None and row.finish != "music" and is_question(reading.rest) else ""
    if is_empty:
        report = replace(report, changed=())
        text = unchanged_text(score, edit, reading.already, report.not_done, turn.transcribed)
        return PlannedEdit(score, edit, report, f"{answer} {text}".strip(), False, makes_music=False)
    target = edited_attributes(score, edit)
    already = already_text(score, edit, reading.already, turn.transcribed)
    if not report.changed and turn.transcribed:
        already = f"{UNSURE} {already}".strip()
    text = _words(target, _parts_heard(score, edit), report, answer, already)
    agrees = row is not None and row.finish == "music" and _describes(row.text(), target)
    return PlannedEdit(score, edit, report, text, agrees)


def _leaves_as_is(turn: Turn, edit: Edit, reading: RequestReading, hear: Callable[[], Attributes | None]) -> bool:
    """Whether the edit would give the same piece again. Notes alone that are to be played have not been heard yet.

    Of a recording only what the transcriber and the model both hear is sure enough to leave it as it is.
    """
    assert isinstance(turn.score, Score), "the caller has seen it"
    if reading.plays and turn.audio is None or not leaves_as_is(turn.score, edit):
        return False
    return not turn.transcribed or _hears_the_same(turn.score, edit, reading, hear)


def _hears_the_same(score: Score, edit: Edit, reading: RequestReading, hear: Callable[[], Attributes | None]) -> bool:
    """Whether the model hears a recording as its notes were written down, in what the request names."""
    heard = hear()
    if heard is None:
        return False
    is_near = abs(heard.tempo - score.attributes.tempo) <= TEMPO_TOLERANCE * score.attributes.tempo
    drums_named = "drums" in edit.removed or "drums" in edit.change or any("drums" in phrase for phrase in reading.already)
    same = all(getattr(heard, name) == value for name, value in edit.change.items() if name not in ("tempo", "drums"))
    return same and (is_near or "tempo" not in edit.change) and (not drums_named or heard.drums == bool(score.drums))


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


def _parts_heard(score: Score, edit: Edit) -> tuple[str, ...]:
    """Parts of the edited piece that have notes."""
    composed = edit.composed_parts(score)
    return tuple(name for name in TRACKS if (score.track(name) or name in composed) and name not in edit.removed)


def _words(target: Attributes, parts: tuple[str, ...], report: EditReport, answer: str, already: str) -> str:
    """The reply's text by rule: an answer to a question, what was changed, kept, so already and not done, and the caption of the piece."""
    sentences = [answer, report.summary if report.changed else "", already]
    if report.not_done:
        sentences.append(f"Not done: {'; '.join(report.not_done)}.")
    return " ".join(filter(None, [*sentences, f"{write_caption(target, parts)}."]))
