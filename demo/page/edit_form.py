"""The form of an edit on the page: its fields as an `Edit`, and the words that stand for it in the conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.service.request import whole_number
from llama.errors import quoted
from llama.media.edit import CHANGES, KEEPABLE, NAMES, Edit
from llama.media.spelling import key_name, tonic_choice

AS_IT_IS = "as it is"
ATTRIBUTES: Mapping[str, str] = {  # attribute that is chosen from a list -> label
    "lead": "Melody on", "accompaniment": "Chords on", "style": "Style", "key": "Key", "mode": "Mode", "metre": "Metre",
    "drums": "Drums",
}  # fmt: skip
PARTS: Mapping[str, str] = {NAMES[name]: name for name in NAMES}  # as people call them -> as an edit does
VALUE_NAMES: Mapping[str, Mapping[Any, str]] = {
    "key": {key: tonic_choice(key) for key in range(12)}, "metre": {metre: f"{metre}/4" for metre in CHANGES["metre"]},
    "drums": {True: "with", False: "without"},
}  # fmt: skip


def choices(attribute: str) -> list[str]:
    """What the list of an attribute offers."""
    return [AS_IT_IS, *(value_name(attribute, value) for value in CHANGES[attribute])]


def value_name(attribute: str, value: Any) -> str:
    return VALUE_NAMES[attribute][value] if attribute in VALUE_NAMES else str(value)


# What the fields show while nothing is asked for: browsers show 0 for an empty number.
EMPTY_FORM: tuple[Any, ...] = (0, *(AS_IT_IS for _ in ATTRIBUTES), 0, (), (), 0, 0, (), 0, 0, 0, 0, 0, 0, 0, "", 0, 0, 0, 0)
RANGE = re.compile(r"([0-9]{1,4})(?: ?(?:-|–|to) ?([0-9]{1,4}))?")


@dataclass(frozen=True)
class EditForm:
    """Fields of the form. What is cleared, 0 or "as it is" asks for nothing. Parts are named as people call them.

    order: ranges of bars as a musician writes them, "1-4, 1-4, 9-12". levels of the four parts: dB louder than now, negative: softer.
    """

    tempo: float | None = None
    attributes: tuple[str | None, ...] = (AS_IT_IS,) * len(ATTRIBUTES)  # in the order of ATTRIBUTES
    transpose: float | None = 0
    without: Sequence[str] = ()
    parts: Sequence[str] = ()
    first_bar: float | None = None
    last_bar: float | None = None
    keep: Sequence[str] = ()
    bar_count: float | None = None
    continuation: float | None = None
    strength: float | None = None
    seconds: float | None = None
    first_kept: float | None = None
    last_kept: float | None = None
    fade_out: float | None = None
    order: str | None = ""
    lead_level: float | None = None
    accompaniment_level: float | None = None
    bass_level: float | None = None
    drums_level: float | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> EditForm:
        """The form from the values of the page's fields, in the order of this class's, with a field for each attribute."""
        count = len(ATTRIBUTES)
        return cls(values[0], tuple(values[1 : 1 + count]), *values[1 + count :])

    def edit(self) -> Edit:
        """The edit that the form asks for. Raises ValueError for one that asks for nothing, or for what is not possible."""
        change = dict(pair for pair in zip(ATTRIBUTES, map(_chosen, ATTRIBUTES, self.attributes), strict=True) if pair[1] is not None)
        if self.tempo:
            change["tempo"] = whole_number("tempo", self.tempo)
        whole = {"bar_count": self.bar_count, "transpose": self.transpose}
        values: dict[str, Any] = {
            "change": change, "without": _parts(self.without), "parts": _parts(self.parts), "keep": _kept(self.keep),
            "bars": _bars("bars", self.first_bar, self.last_bar), "excerpt": _bars("excerpt", self.first_kept, self.last_kept),
            "seconds": self.seconds, "continuation": self.continuation, "fade_out": self.fade_out, "strength": self.strength,
            "order": _order(self.order or ""), "balance": {name: level for name in NAMES if (level := getattr(self, f"{name}_level"))},
            **{name: whole_number(name, value) for name, value in whole.items() if value},
        }  # fmt: skip
        given = {name: value for name, value in values.items() if value}
        if not given:
            raise ValueError("The form of the change is empty; choose what is to change.")
        return Edit(**given)


def _bars(name: str, first: float | None, last: float | None) -> tuple[int, int] | None:
    """A range of bars. Without its first bar it begins with the piece, without its last it is one bar."""
    if not first and not last:
        return None
    first = first or 1
    return whole_number(name, first), whole_number(name, last or first)


def _order(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of bars in the order in which they are played. Raises ValueError for text that is none."""
    entries = [entry.strip(" .") for entry in re.split(r"[,;\n]+", text) if entry.strip(" .")]
    matches = [RANGE.fullmatch(re.sub(r"^bars? ", "", entry.lower())) for entry in entries]
    if not all(matches):
        wrong = next(entry for entry, match in zip(entries, matches, strict=True) if not match)
        allowed = "give bars and ranges with commas between them, such as 1-4, 1-4, 9-12"
        raise ValueError(f"The order of the bars has {quoted(wrong)}; {allowed}.")
    return tuple((int(match[1]), int(match[2] or match[1])) for match in matches if match)


def _chosen(attribute: str, name: str | None) -> Any:
    """The value of that name; None for none."""
    return next((value for value in CHANGES[attribute] if value_name(attribute, value) == name), None)


def _parts(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(PARTS.get(name, name) for name in names)


def _kept(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in KEEPABLE if name in names) if {*names} <= {*KEEPABLE} else tuple(names)


def edit_words(edit: Edit, mode: str = "") -> str:
    """An edit as an instruction in words, such as "120 bpm, in minor, without drums". mode: of the piece, for the name of a new key."""
    both = {"mode", "key"} <= {*edit.change}  # "in G minor" says both
    mode = edit.change.get("mode", mode)
    words = [_change_words(name, value, mode) for name, value in edit.change.items() if not (both and name == "mode")]
    if edit.transpose:
        words.append(f"{_counted(abs(edit.transpose), 'semitone')} {'up' if edit.transpose > 0 else 'down'}")
    words += [f"without {NAMES[part]}" for part in edit.without]
    words += [f"new {NAMES[part]}" for part in edit.parts]
    words += [f"{NAMES[part]} {abs(level):g} dB {'louder' if level > 0 else 'softer'}" for part, level in edit.balance.items()]
    if edit.bars:
        words.append(f"{_range_words(edit.bars)} anew")
    if edit.excerpt:
        words.append(f"{_range_words(edit.excerpt)} only")
    if edit.order:
        words.append(f"in this order: {', '.join(map(_range_words, edit.order))}")
    if edit.keep:
        words.append(f"keep only {' and '.join(edit.keep)}")
    phrases = ((edit.bar_count, "{} bars long"), (edit.seconds, "{:g} s long"), (edit.continuation, "go on for {:g} s"),
               (edit.fade_out, "fade out over {:g} s"), (edit.strength, "different by {:g}"))  # fmt: skip
    words += [phrase.format(value) for value, phrase in phrases if value is not None]
    sentence = ", ".join(words) or "Change it"
    return sentence[0].upper() + sentence[1:]


def _range_words(bars: tuple[int, int]) -> str:
    return f"bar {bars[0]}" if bars[0] == bars[1] else f"bars {bars[0]} to {bars[1]}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _change_words(name: str, value: Any, mode: str) -> str:
    if name == "key" and mode:
        return f"in {key_name(value, mode)}"
    phrase = {
        "tempo": "{} bpm", "key": "in the key of {}", "mode": "in {}", "lead": "melody on {}", "accompaniment": "accompanied by {}",
        "style": "as {}", "metre": "in {}", "drums": "{} drums",
    }[name]  # fmt: skip
    return phrase.format(value_name(name, value))
