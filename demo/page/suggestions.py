"""Suggestions of a card: the next exact changes of this very piece, each one click away.

Only what the piece can have is suggested: each edit is tried on the notes first, which takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal

import torch

from llama.decoders.base import MusicDecoder
from llama.media.audio import Waveform
from llama.media.bar_edits import bars_in
from llama.media.edit import MAX_BARS, Edit, apply_edit, prepare
from llama.media.score import LEADS, METRES, MODES, STYLES, TEMPO_RANGE, Score
from llama.media.score_edits import score_line
from llama.media.spelling import key_name

Group = Literal["tempo", "key", "mode", "metre", "lead", "style", "parts", "length"]
CheckEdit = Callable[[Edit], object]  # raises ValueError for what cannot be done

TEMPO_STEP = 10  # beats a minute
NEAR_KEYS = ((7, "a fifth up"), (5, "a fourth up"), (2, "a whole tone up"), (10, "a whole tone down"), (1, "a semitone up"),
             (11, "a semitone down"))  # fmt: skip
RELATIVE = {"minor": 3, "major": 9}  # semitones from the tonic up to that of the relative key
BAR_COUNTS = (8, 16, 24, 32)
LENGTHS = (30, 60)  # seconds
CONTINUATIONS = (10, 30)  # seconds, of a recording
STRENGTHS = ((0.3, "A little different"), (0.6, "Quite different"), (0.9, "Very different"))
REARRANGED = "accompaniment, bass and drums are composed anew"
CACHED = 16  # pieces; a card is drawn many times


@dataclass(frozen=True)
class Suggestion:
    """A change that one click makes. label: of the choice; hint: what else happens, or the value that results."""

    group: Group
    label: str
    hint: str = ""
    edit: Edit = field(default_factory=Edit)

    def chip(self) -> dict[str, Any]:
        """As the page reads it, with the edit as the HTTP API takes it."""
        return {"group": self.group, "label": self.label, "hint": self.hint, "edit": edit_json(self.edit)}


def chips(score: Score | None, *, notes: bool = True, check: CheckEdit | None = None) -> list[dict[str, Any]]:
    """The suggestions of a piece, group by group, the commonest of each first.

    score: its notes; None for a piece of sound. notes: whether the decoder edits notes; one of sound continues recordings or stays
    near them. check: raises ValueError for an edit that the decoder cannot make (`recording_check`); without it no edit of a
    recording is suggested.
    """
    if notes:
        return [] if score is None else [suggestion.chip() for suggestion in _of_score(score)]
    return [suggestion.chip() for suggestion in _of_recording() if check is not None and _is_possible(suggestion.edit, check)]


def recording_check(decoder: MusicDecoder, seconds: float) -> CheckEdit:
    """What a decoder of sound says of edits of a recording that is `seconds` long."""
    recording = Waveform(torch.zeros(1, 1).expand(1, max(1, round(seconds * decoder.sample_rate))), decoder.sample_rate)
    return lambda edit: decoder.check_edit(edit, recording)


def edit_json(edit: Edit) -> dict[str, Any]:
    """The fields of an edit that ask for something, as JSON of the HTTP API."""
    asked = ((item.name, getattr(edit, item.name)) for item in fields(edit) if getattr(edit, item.name) != _default(item))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asked}


def _default(item: Any) -> Any:
    return item.default if item.default is not MISSING else item.default_factory()


def _is_possible(edit: Edit, check: CheckEdit) -> bool:
    try:
        check(edit)
    except ValueError:
        return False
    return True


@lru_cache(CACHED)
def _of_score(score: Score) -> tuple[Suggestion, ...]:
    def check(edit: Edit) -> Score:
        return apply_edit(prepare(score, edit), edit)

    if not _is_possible(Edit(), check):  # its chords are not those of its bars
        return ()
    sources = (_tempi, _keys, _modes, _metres, _leads, _styles, _parts, _lengths)
    return tuple(suggestion for source in sources for suggestion in source(score) if _is_possible(suggestion.edit, check))


def _tempi(score: Score) -> Iterator[Suggestion]:
    tempo = score.attributes.tempo
    steps = ((tempo + TEMPO_STEP, f"+{TEMPO_STEP} bpm"), (tempo - TEMPO_STEP, f"\N{MINUS SIGN}{TEMPO_STEP} bpm"),
             (tempo / 2, "Half as fast"), (tempo * 2, "Twice as fast"))  # fmt: skip
    for value, label in steps:
        whole = int(value) if float(value).is_integer() else value
        if TEMPO_RANGE[0] <= value <= TEMPO_RANGE[1]:
            yield Suggestion("tempo", label, f"{whole:g} bpm", Edit(change={"tempo": whole}))


def _keys(score: Score) -> Iterator[Suggestion]:
    key, mode = score.attributes.key, score.attributes.mode
    for steps, hint in NEAR_KEYS:
        other = (key + steps) % 12
        yield Suggestion("key", key_name(other, mode), hint, Edit(change={"key": other}))
    relative, mode = (key + RELATIVE[mode]) % 12, _other_mode(mode)
    yield Suggestion("key", key_name(relative, mode), "the relative key", Edit(change={"mode": mode, "key": relative}))


def _other_mode(mode: str) -> str:
    return next(other for other in MODES if other != mode)


def _modes(score: Score) -> Iterator[Suggestion]:
    mode = _other_mode(score.attributes.mode)
    yield Suggestion("mode", f"To {mode}", key_name(score.attributes.key, mode), Edit(change={"mode": mode}))


def _metres(score: Score) -> Iterator[Suggestion]:
    for metre in METRES:
        if metre != score.attributes.metre:
            yield Suggestion("metre", f"{metre}/4", REARRANGED, Edit(change={"metre": metre}))


def _leads(score: Score) -> Iterator[Suggestion]:
    for lead in LEADS:
        if score.lead and lead != score.attributes.lead:
            yield Suggestion("lead", lead.capitalize(), "plays the melody", Edit(change={"lead": lead}))


def _styles(score: Score) -> Iterator[Suggestion]:
    for style in STYLES:
        if style != score.attributes.style:
            yield Suggestion("style", style.capitalize(), REARRANGED, Edit(change={"style": style}))


def _parts(score: Score) -> Iterator[Suggestion]:
    if score.drums:
        yield Suggestion("parts", "Without drums", "all else stays", Edit(change={"drums": False}))
    else:
        yield Suggestion("parts", "With drums", "composed for this piece", Edit(change={"drums": True}))
    for part, label in (("bass", "Another bass"), ("lead", "New melody"), ("accompaniment", "New accompaniment"), ("drums", "Other drums")):
        if score.track(part):
            yield Suggestion("parts", label, "the other parts and the chords stay", Edit(parts=(part,)))


def _lengths(score: Score) -> Iterator[Suggestion]:
    line = score_line(score)
    bars, step = line.bar_count, line.phrase
    for count, label in ((bars + step, "Longer"), (bars - step, "Shorter")):
        if 1 <= count <= MAX_BARS:
            yield Suggestion("length", label, _bars(count), Edit(bar_count=count))
    for count in BAR_COUNTS:
        if count not in (bars - step, bars, bars + step):
            yield Suggestion("length", _bars(count), "", Edit(bar_count=count))
    for seconds in LENGTHS:
        if (count := bars_in(score, seconds)) != bars and count <= MAX_BARS:
            yield Suggestion("length", f"{seconds} s", f"about {_bars(count)}", Edit(seconds=seconds))


def _bars(count: int) -> str:
    return f"{count} bar{'s' * (count != 1)}"


def _of_recording() -> Iterator[Suggestion]:
    for seconds in CONTINUATIONS:
        yield Suggestion("length", f"Go on for {seconds} s", "new music after its end", Edit(continuation=seconds))
    for strength, label in STRENGTHS:
        yield Suggestion("parts", label, f"strength {strength:g}", Edit(strength=strength))
