"""An edit of a piece, as a value: what changes, and that all else is kept to the note where the notes are known.

`apply_edit` makes what needs no composing; what does (`composed_parts`) is composed first, in the piece that `prepare` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llama.config import MAX_MUSIC_SECONDS
from llama.errors import quoted
from llama.media.bar_edits import arrange_bars, bars_in, check_bars, excerpt, play_in_order, set_bar_count
from llama.media.dynamics import MAX_BALANCE, fade_out, set_balance
from llama.media.score import ACCOMPANIMENTS, LEADS, METRES, MODES, STYLES, TEMPO_RANGE, TRACKS, Score, check_tempo
from llama.media.score_edits import (
    MAX_INTERVAL,
    score_line,
    set_accompaniment,
    set_key,
    set_lead,
    set_mode,
    set_part,
    set_tempo,
    transpose,
)
from llama.media.style_edits import set_metre, set_style

CHANGES: Mapping[str, tuple[Any, ...]] = {  # attribute -> values that an edit may give it; of the tempo the lowest and the highest
    "lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "tempo": TEMPO_RANGE, "mode": MODES, "key": tuple(range(12)),
    "drums": (False, True), "style": STYLES, "metre": METRES,
}
CHANGE_ORDER: Mapping[str, Callable[[Score, Any], Score]] = {  # drums come and go as a part
    "style": set_style, "metre": set_metre, "mode": set_mode, "key": set_key, "lead": set_lead, "accompaniment": set_accompaniment,
    "tempo": set_tempo,
}
NAMES: Mapping[str, str] = {"lead": "melody", "accompaniment": "accompaniment", "bass": "bass", "drums": "drums"}  # of parts, for people
KEEPABLE: tuple[str, ...] = ("melody", "chords", "accompaniment", "bass", "drums")
ARRANGEMENT: tuple[str, ...] = ("accompaniment", "bass", "drums")  # parts that belong to a style and a metre
MAX_BARS = 600
LIMITS: Mapping[str, tuple[float, float]] = {  # numbers of an edit
    "seconds": (1, MAX_MUSIC_SECONDS), "continuation": (1, MAX_MUSIC_SECONDS), "fade_out": (0.5, MAX_MUSIC_SECONDS), "strength": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """What changes in a piece; everything else is kept to the note. Contradictions and unknown values raise ValueError.

    change: attributes and their new values: lead, accompaniment, tempo (beats a minute), mode, key (a pitch class), drums, style,
    metre. For another style or metre accompaniment, bass and drums are composed anew.
    transpose: semitones by which all notes move. without: parts that are taken out. parts: parts that are composed anew.
    bars: (first, last), from 1, in which the parts are composed anew: all of them if none are named; their chords stay.
    excerpt: (first, last) bars that are kept, followed by the piece's ending.
    order: ranges (first, last) of the bars in the order in which they are played, before the ending: ((1, 4), (1, 4), (9, 11)).
    balance: parts and by how many dB they become louder than the others, softer if negative.
    fade_out: seconds at the end in which the notes become softer and softer.
    keep: out of KEEPABLE, only these are kept and every other part is composed anew. The chords stay with accompaniment and bass.
    bar_count: length in bars before the ending; seconds: the length in bars that is nearest to it. A piece is cut before its last
    bars, or goes on in the order of its form.
    continuation: seconds of new music after the source's last bar. strength: for decoders of sound, how far from the recording
    they may go, 0 to 1; notes are exact and take none.
    """

    change: Mapping[str, Any] = field(default_factory=dict, hash=False)
    transpose: int = 0
    without: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    bars: tuple[int, int] | None = None
    excerpt: tuple[int, int] | None = None
    order: tuple[tuple[int, int], ...] = ()
    keep: tuple[str, ...] = ()
    bar_count: int | None = None
    seconds: float | None = None
    continuation: float | None = None
    balance: Mapping[str, float] = field(default_factory=dict, hash=False)
    fade_out: float | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.change, Mapping):
            raise ValueError(f"change was given as {type(self.change).__name__}; give a mapping such as {{'tempo': 120}}.")
        object.__setattr__(self, "change", dict(self.change))
        for name, value in self.change.items():
            _check_change(name, value)
        _check_whole("transpose", self.transpose, -MAX_INTERVAL, MAX_INTERVAL, " of semitones")
        for name, allowed in (("without", TRACKS), ("parts", TRACKS), ("keep", KEEPABLE)):
            object.__setattr__(self, name, _checked_parts(name, getattr(self, name), allowed))
        for name in ("bars", "excerpt"):
            _check_range(name, getattr(self, name))
        _check_order(self.order)
        object.__setattr__(self, "balance", _checked_balance(self.balance))
        if self.bar_count is not None:
            _check_whole("bar_count", self.bar_count, 1, MAX_BARS)
        for name, (low, high) in LIMITS.items():
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), low, high)
        self._check_parts_agree()
        self._check_lengths_agree()

    def _check_parts_agree(self) -> None:
        """Raises ValueError for an edit that asks for a part and for none, or for another one and the same."""
        both = sorted({*self.without} & {*self.parts})
        if both:
            raise ValueError(f"The {both[0]} cannot be taken out and composed anew at once; leave it out of without or of parts.")
        kept = [name for name in TRACKS if NAMES[name] in self.keep]
        for name, other in (("without", "taken out"), ("parts", "composed anew")):
            if both := [part for part in kept if part in getattr(self, name)]:
                raise ValueError(f"The {NAMES[both[0]]} cannot be kept and {other} at once; leave it out of keep or of {name}.")
        drums = self.change.get("drums")
        if drums and "drums" in self.without or drums is False and ("drums" in self.parts or "drums" in self.keep):
            raise ValueError("The edit asks for drums and for none; say which.")
        for name in ("lead", "accompaniment"):
            if name in self.change and name in self.without:
                raise ValueError(f"The {name} cannot change its instrument and be taken out at once; leave it out of change or of without.")
        if both := sorted({*self.balance} & {*self.removed}):
            raise ValueError(f"The {NAMES[both[0]]} cannot be taken out and be louder or softer; leave it out of balance or of without.")
        if set(TRACKS) <= {*self.without}:
            raise ValueError("An edit without lead, accompaniment, bass and drums leaves nothing to hear; keep one of them.")
        if "metre" in self.change and {*ARRANGEMENT} & {*self.keep}:
            raise ValueError("Another metre keeps only melody and chords; leave the other parts out of keep.")

    def _check_lengths_agree(self) -> None:
        """Raises ValueError for two lengths, and for bars whose numbers another part of the edit would change."""
        if self.transpose and "key" in self.change:
            raise ValueError("transpose and a new key were given; give one of them, as each decides the other.")
        for name in ("excerpt", "order"):
            if self.bars and getattr(self, name):
                raise ValueError(f"bars and an {name} were given, and their numbers would differ; make one edit after the other.")
        lengths = [name for name in ("excerpt", "order", "bar_count", "seconds", "continuation") if getattr(self, name) not in (None, ())]
        if len(lengths) > 1:
            raise ValueError(f"{lengths[0]} and {lengths[1]} both set the length of the piece; give one of them.")
        whole = [name for name in ("style", "metre") if name in self.change]
        if self.bars and whole:
            raise ValueError(f"Another {whole[0]} is for the whole piece, but bars were given; make one edit after the other.")
        others = [*whole, *(name for name in ("keep", "parts", "bars") if getattr(self, name))]
        if self.continuation is not None and others:
            raise ValueError(f"continuation and {others[0]} were given, and both compose; make one edit after the other.")

    @property
    def removed(self) -> tuple[str, ...]:
        """Parts that are taken out, by name or because `drums` becomes False."""
        off = self.change.get("drums") is False
        return tuple(name for name in TRACKS if name in self.without or name == "drums" and off)

    @property
    def keeps_chords(self) -> bool:
        """Whether the chords stay; what is kept of accompaniment and bass are notes of these chords."""
        return not self.keep or bool({"chords", "accompaniment", "bass"} & {*self.keep})

    def composed_parts(self, score: Score) -> tuple[str, ...]:
        """Parts of this piece that must be composed: those asked anew, those not kept, and drums where there are none."""
        wanted, sounding = {*self.parts}, {name for name in TRACKS if score.track(name)} - {*self.removed}
        if self.bars and not self.parts and not self.keep or self.continuation is not None:
            wanted |= sounding
        if self.keep:
            wanted |= {name for name in sounding if NAMES[name] not in self.keep}
        elif self._rearranges(score):
            wanted |= sounding & {*ARRANGEMENT}
        if self.change.get("drums") and not score.drums:
            wanted.add("drums")
        return tuple(name for name in TRACKS if name in wanted)

    def replaces_groove(self, score: Score) -> bool:
        """Whether accompaniment, bass or drums of this piece are composed anew, in its style and under the same melody."""
        parts = self.composed_parts(score)
        new = "lead" in parts or self.continuation is not None or self._rearranges(score)
        return not new and bool(parts) and all(score.track(name) for name in parts)

    def _rearranges(self, score: Score) -> bool:
        """Whether this piece gets another style or metre."""
        return any(name in self.change and self.change[name] != getattr(score.attributes, name) for name in ("style", "metre"))

    def composed_bars(self, score: Score) -> tuple[int, int] | None:
        """First and last bar, from 1, in which the parts are composed, in the piece that `prepare` gives; None for all of it."""
        if self.continuation is None:
            return self.bars
        bars = score_line(score).bar_count
        return bars + 1, bars + self.added_bars(score)

    def added_bars(self, score: Score) -> int:
        """Number of bars that continue the piece."""
        if self.continuation is None:
            return 0
        beats = self.continuation * self.change.get("tempo", score.attributes.tempo) / 60
        return max(1, round(beats / score.attributes.metre))


def _check_change(name: object, value: object) -> None:
    if name not in CHANGES:
        raise ValueError(f"An edit cannot change {quoted(name)} and keep the notes; change one of: {', '.join(CHANGES)}.")
    if name == "tempo":
        check_tempo(value)
        return
    allowed = CHANGES[str(name)]
    if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
        raise ValueError(f"{name} {quoted(value)} is not possible in an edit; give one of: {', '.join(map(str, allowed))}.")


def _check_whole(name: str, value: object, low: int, high: int, unit: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} {quoted(value)} is out of range; give a whole number{unit} from {low} to {high}.")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} {quoted(value)} is out of range; give a number from {low:g} to {high:g}.")


def _checked_parts(name: str, parts: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(parts, (tuple, list)):
        raise ValueError(f"{name} was given as {quoted(parts)}; give a tuple of parts out of: {', '.join(allowed)}.")
    if unknown := [part for part in parts if not isinstance(part, str) or part not in allowed]:
        raise ValueError(f"{name} {quoted(unknown[0])} is not possible in an edit; give parts out of: {', '.join(allowed)}.")
    return tuple(part for part in allowed if part in parts)


def _check_range(name: str, bars: object) -> None:
    if bars is None:
        return
    numbers = isinstance(bars, tuple) and len(bars) == 2 and all(isinstance(bar, int) and not isinstance(bar, bool) for bar in bars)
    if not numbers or not 1 <= bars[0] <= bars[1]:  # type: ignore[index]
        raise ValueError(f"{name} {quoted(bars)} is no range; give the first and the last bar, from 1, such as (5, 8).")


def _check_order(order: object) -> None:
    if not isinstance(order, tuple) or None in order:
        raise ValueError(f"order was given as {quoted(order)}; give ranges of bars, such as ((1, 4), (1, 4)).")
    for bars in order:
        _check_range("order", bars)
    if sum(last - first + 1 for first, last in order) > MAX_BARS:
        raise ValueError(f"order has more than {MAX_BARS} bars; give fewer.")


def _checked_balance(balance: object) -> dict[str, float]:
    if not isinstance(balance, Mapping):
        raise ValueError(f"balance was given as {quoted(balance)}; give parts and dB, such as {{'drums': -6}}.")
    for name, value in balance.items():
        if name not in TRACKS:
            raise ValueError(f"balance {quoted(name)} is no part; give parts out of: {', '.join(TRACKS)}.")
        _check_number(f"balance of {name}", value, -MAX_BALANCE, MAX_BALANCE)
    return {name: float(balance[name]) for name in TRACKS if balance.get(name)}


# -- application --------------------------------------------------------------------------------------------------


def prepare(score: Score, edit: Edit) -> Score:
    """The piece in which the parts are composed: in its new style and metre, and with room for a continuation.

    The bars of a continuation repeat the last one until they are composed.
    """
    for name in ("style", "metre"):
        if name in edit.change:
            score = CHANGE_ORDER[name](score, edit.change[name])
    if added := edit.added_bars(score):
        bars = score_line(score).bar_count
        score = arrange_bars(score, [*range(bars), *[max(0, bars - 1)] * added])
    return score


def apply_edit(score: Score, edit: Edit) -> Score:
    """The edited piece, except for what must be composed. Raises ValueError for what this piece cannot do."""
    check_edit(score, edit)
    if edit.excerpt:
        score = excerpt(score, *edit.excerpt)
    if edit.order:
        score = play_in_order(score, edit.order)
    for name in edit.removed:
        score = set_part(score, name, ())
    score = transpose(score, edit.transpose) if edit.transpose else score
    for name, change in CHANGE_ORDER.items():
        if name in edit.change and edit.change[name] != getattr(score.attributes, name):
            score = change(score, edit.change[name])
    if (bars := edited_bar_count(score, edit)) is not None:
        score = set_bar_count(score, bars)
    score = set_balance(score, edit.balance) if edit.balance else score
    return score if edit.fade_out is None else fade_out(score, edit.fade_out)


def edited_bar_count(score: Score, edit: Edit) -> int | None:
    """The number of bars that the edit gives a piece of this tempo and metre; None where it names no length."""
    return edit.bar_count if edit.seconds is None else bars_in(score, edit.seconds)


def check_edit(score: Score, edit: Edit) -> None:
    """Raises ValueError for bars that the piece does not have, and for an edit that leaves nothing to hear."""
    line = score_line(score)
    for bars in (edit.bars, edit.excerpt, *edit.order):
        if bars:
            check_bars(*bars, line.bar_count)
    if edit.strength is not None:
        raise ValueError("strength says how far a recording may change, but the notes of this piece are kept exactly; leave it out.")
    if edit.continuation is not None and not line.bar_count:
        raise ValueError("The piece is shorter than a bar, so it cannot be continued; give a longer one.")
    sounding = {name for name in TRACKS if score.track(name)} - {*edit.removed} | {*edit.composed_parts(score)}
    if not sounding:
        raise ValueError(f"Without {' and '.join(edit.removed)} nothing of the piece is left to hear; keep a part.")
