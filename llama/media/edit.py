"""An edit of a piece whose notes are known, as a value: what changes, and that all else is kept to the note.

`apply_edit` makes what needs no composing; what does (`composed_parts`) is composed by a decoder first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llama.errors import quoted
from llama.media.score import ACCOMPANIMENTS, KEYS, LEADS, MODES, TEMPI, TRACKS, Score
from llama.media.score_edits import (
    MAX_INTERVAL,
    check_bars,
    excerpt,
    score_line,
    set_accompaniment,
    set_key,
    set_lead,
    set_mode,
    set_part,
    set_tempo,
    transpose,
)

CHANGES: Mapping[str, tuple[Any, ...]] = {  # attribute -> values that an edit may give it
    "lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "tempo": TEMPI, "mode": MODES, "key": tuple(range(12)),
    "drums": (False, True),
}
CHANGE_ORDER: Mapping[str, Callable[[Score, Any], Score]] = {  # drums come and go as a part
    "mode": set_mode, "key": set_key, "lead": set_lead, "accompaniment": set_accompaniment, "tempo": set_tempo,
}
KEPT = {"lead": "melody", "accompaniment": "accompaniment", "bass": "bass", "drums": "drums"}


@dataclass(frozen=True)
class Edit:
    """What changes in a piece; everything else is kept to the note. Contradictions and unknown values raise ValueError.

    change: attributes and their new values: lead, accompaniment, tempo (beats a minute), mode, key (a pitch class), drums.
    transpose: semitones by which all notes move. without: parts that are taken out. parts: parts that are composed anew.
    bars: (first, last), from 1, in which the parts are composed anew: all of them if none are named; their chords stay.
    excerpt: (first, last) bars that are kept, followed by the piece's ending.
    """

    change: Mapping[str, Any] = field(default_factory=dict, hash=False)
    transpose: int = 0
    without: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    bars: tuple[int, int] | None = None
    excerpt: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.change, Mapping):
            raise ValueError(f"change was given as {type(self.change).__name__}; give a mapping such as {{'tempo': 120}}.")
        object.__setattr__(self, "change", dict(self.change))
        for name, value in self.change.items():
            _check_change(name, value)
        if isinstance(self.transpose, bool) or not isinstance(self.transpose, int) or abs(self.transpose) > MAX_INTERVAL:
            allowed = f"semitones from -{MAX_INTERVAL} to {MAX_INTERVAL}"
            raise ValueError(f"transpose {quoted(self.transpose)} is out of range; give a whole number of {allowed}.")
        for name in ("without", "parts"):
            object.__setattr__(self, name, _checked_parts(name, getattr(self, name)))
        for name in ("bars", "excerpt"):
            _check_range(name, getattr(self, name))
        self._check_contradictions()

    def _check_contradictions(self) -> None:
        both = sorted({*self.without} & {*self.parts})
        if both:
            raise ValueError(f"The {both[0]} cannot be taken out and composed anew at once; leave it out of without or of parts.")
        if self.transpose and "key" in self.change:
            raise ValueError("transpose and a new key were given; give one of them, as each decides the other.")
        if self.bars and self.excerpt:
            raise ValueError("bars and an excerpt were given, and their numbers would differ; make one edit after the other.")
        drums = self.change.get("drums")
        if drums and "drums" in self.without or drums is False and "drums" in self.parts:
            raise ValueError("The edit asks for drums and for none; say which.")
        for name in ("lead", "accompaniment"):
            if name in self.change and name in self.without:
                raise ValueError(f"The {name} cannot change its instrument and be taken out at once; leave it out of change or of without.")
        if set(TRACKS) <= {*self.without}:
            raise ValueError("An edit without lead, accompaniment, bass and drums leaves nothing to hear; keep one of them.")

    @property
    def removed(self) -> tuple[str, ...]:
        """Parts that are taken out, by name or because `drums` becomes False."""
        off = self.change.get("drums") is False
        return tuple(name for name in TRACKS if name in self.without or name == "drums" and off)

    def composed_parts(self, score: Score) -> tuple[str, ...]:
        """Parts of this piece that must be composed: those asked anew, those in `bars`, and drums where there are none."""
        wanted = {*self.parts}
        if self.bars and not self.parts:
            wanted = {name for name in TRACKS if score.track(name)} - {*self.removed}
        if self.change.get("drums") and not score.drums:
            wanted.add("drums")
        return tuple(name for name in TRACKS if name in wanted)


def _check_change(name: object, value: object) -> None:
    if name not in CHANGES:
        raise ValueError(f"An edit cannot change {quoted(name)} and keep the notes; change one of: {', '.join(CHANGES)}.")
    allowed = CHANGES[str(name)]
    if value in allowed and isinstance(value, bool) == isinstance(allowed[0], bool):
        return
    choices = f"an even number from {TEMPI[0]} to {TEMPI[-1]}" if name == "tempo" else f"one of: {', '.join(map(str, allowed))}"
    raise ValueError(f"{name} {quoted(value)} is not possible in an edit; give {choices}.")


def _checked_parts(name: str, parts: object) -> tuple[str, ...]:
    if not isinstance(parts, (tuple, list)) or not all(isinstance(part, str) and part in TRACKS for part in parts):
        raise ValueError(f"{name} was given as {quoted(parts)}; give a tuple of parts out of: {', '.join(TRACKS)}.")
    return tuple(part for part in TRACKS if part in parts)


def _check_range(name: str, bars: object) -> None:
    if bars is None:
        return
    numbers = isinstance(bars, tuple) and len(bars) == 2 and all(isinstance(bar, int) and not isinstance(bar, bool) for bar in bars)
    if not numbers or not 1 <= bars[0] <= bars[1]:  # type: ignore[index]
        raise ValueError(f"{name} {quoted(bars)} is no range; give the first and the last bar, from 1, such as (5, 8).")


def apply_edit(score: Score, edit: Edit) -> Score:
    """The edited piece, except for what must be composed. Raises ValueError for what this piece cannot do."""
    check_edit(score, edit)
    if edit.excerpt:
        score = excerpt(score, *edit.excerpt)
    for name in edit.removed:
        score = set_part(score, name, ())
    score = transpose(score, edit.transpose) if edit.transpose else score
    for name, change in CHANGE_ORDER.items():
        if name in edit.change and edit.change[name] != getattr(score.attributes, name):
            score = change(score, edit.change[name])
    return score


def check_edit(score: Score, edit: Edit) -> None:
    """Raises ValueError for bars that the piece does not have, and for an edit that leaves nothing to hear."""
    bar_count = score_line(score).bar_count
    for bars in (edit.bars, edit.excerpt):
        if bars:
            check_bars(*bars, bar_count)
    sounding = {name for name in TRACKS if score.track(name)} - {*edit.removed} | {*edit.composed_parts(score)}
    if not sounding:
        raise ValueError(f"Without {' and '.join(edit.removed)} nothing of the piece is left to hear; keep a part.")


# -- report -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EditReport:
    """What an edit did: changes in words, parts that are the source's note for note (moved in time or pitch as a whole where
    the edit says so), and requests that changed nothing because the piece is so already."""

    changed: tuple[str, ...]
    kept: tuple[str, ...]
    unchanged: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One or two sentences for a person."""
        done = f"Changed: {', '.join(self.changed)}." if self.changed else "Nothing changed."
        kept = f" Kept: {', '.join(self.kept)}." if self.kept else ""
        return done + kept + (f" Already so: {', '.join(self.unchanged)}." if self.unchanged else "")


def report_edit(score: Score, edit: Edit) -> EditReport:
    """What `edit` does to this piece."""
    changed: list[str] = []
    unchanged: list[str] = []
    for name, value in edit.change.items():
        if name != "drums":
            was = getattr(score.attributes, name)
            (unchanged if was == value else changed).append(_change_in_words(name, was, value))
    if edit.transpose:
        changed.append(f"all notes by {edit.transpose:+d} semitones")
    composed = edit.composed_parts(score)
    for name in edit.removed:
        if score.track(name):
            changed.append(f"without {name}")
        else:
            unchanged.append(f"no {name}")
    if edit.change.get("drums") and score.drums and "drums" not in composed:
        unchanged.append("drums")
    where = f" in bars {edit.bars[0]} to {edit.bars[1]}" if edit.bars else ""
    changed += [f"{KEPT[name]}{where} composed {'anew' if score.track(name) else 'for it'}" for name in composed]
    if edit.excerpt:
        changed.append(f"bars {edit.excerpt[0]} to {edit.excerpt[1]} alone, with the ending")
    kept = [KEPT[name] for name in TRACKS if score.track(name) and name not in {*edit.removed, *composed}]
    length = () if edit.excerpt else ("length in bars",)
    return EditReport(tuple(changed), (*kept, "chords", *length), tuple(unchanged))


def _change_in_words(name: str, was: Any, value: Any) -> str:
    words = {"key": lambda key: KEYS[key], "tempo": lambda tempo: f"{tempo} bpm"}.get(name, str)
    return f"{name} {words(was)}" if was == value else f"{name} from {words(was)} to {words(value)}"
