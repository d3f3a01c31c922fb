"""The form of an edit on the page: its fields as an `Edit`, and the words that stand for it in the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.service.request import whole_number
from llama.media.edit import CHANGES, KEEPABLE, NAMES, Edit
from llama.media.score import KEYS

AS_IT_IS = "as it is"
ATTRIBUTES: Mapping[str, str] = {  # attribute that is chosen from a list -> label
    "lead": "Melody on", "accompaniment": "Chords on", "style": "Style", "key": "Key", "mode": "Mode", "metre": "Metre",
    "drums": "Drums",
}  # fmt: skip
PARTS: Mapping[str, str] = {NAMES[name]: name for name in NAMES}  # as people call them -> as an edit does
VALUE_NAMES: Mapping[str, Mapping[Any, str]] = {
    "key": dict(enumerate(KEYS)), "metre": {metre: f"{metre}/4" for metre in CHANGES["metre"]}, "drums": {True: "with", False: "without"},
}  # fmt: skip


def choices(attribute: str) -> list[str]:
    """What the list of an attribute offers."""
    return [AS_IT_IS, *(value_name(attribute, value) for value in CHANGES[attribute])]


def value_name(attribute: str, value: Any) -> str:
    return VALUE_NAMES[attribute][value] if attribute in VALUE_NAMES else str(value)


@dataclass(frozen=True)
class EditForm:
    """Fields of the form. What is cleared, 0 or "as it is" asks for nothing. Parts are named as people call them."""

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
            "change": change, "without": _parts(self.without), "parts": _parts(self.parts), "keep": _kept(self.keep), "bars": self._bars(),
            "continuation": self.continuation, "strength": self.strength,
            **{name: whole_number(name, value) for name, value in whole.items() if value},
        }  # fmt: skip
        given = {name: value for name, value in values.items() if value}
        if not given:
            raise ValueError("The form of the change is empty; choose what is to change.")
        return Edit(**given)

    def _bars(self) -> tuple[int, int] | None:
        if not self.first_bar and not self.last_bar:
            return None
        first = self.first_bar or 1
        return whole_number("bars", first), whole_number("bars", self.last_bar or first)


def _chosen(attribute: str, name: str | None) -> Any:
    """The value of that name; None for none."""
    return next((value for value in CHANGES[attribute] if value_name(attribute, value) == name), None)


def _parts(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(PARTS.get(name, name) for name in names)


def _kept(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in KEEPABLE if name in names) if {*names} <= {*KEEPABLE} else tuple(names)


def edit_words(edit: Edit) -> str:
    """An edit as an instruction in words, such as "120 bpm, in minor, without drums"."""
    words = [_change_words(name, value) for name, value in edit.change.items()]
    if edit.transpose:
        semitones = "semitone" if abs(edit.transpose) == 1 else "semitones"
        words.append(f"{abs(edit.transpose)} {semitones} {'up' if edit.transpose > 0 else 'down'}")
    words += [f"without {NAMES[part]}" for part in edit.without]
    words += [f"new {NAMES[part]}" for part in edit.parts]
    if edit.bars:
        words.append(f"bars {edit.bars[0]} to {edit.bars[1]} anew")
    if edit.excerpt:
        words.append(f"bars {edit.excerpt[0]} to {edit.excerpt[1]} only")
    if edit.keep:
        words.append(f"keep only {' and '.join(edit.keep)}")
    for value, phrase in ((edit.bar_count, "{} bars long"), (edit.seconds, "{:g} s long"), (edit.continuation, "go on for {:g} s")):
        if value is not None:
            words.append(phrase.format(value))
    sentence = ", ".join(words) or "Change it"
    return sentence[0].upper() + sentence[1:]


def _change_words(name: str, value: Any) -> str:
    phrase = {
        "tempo": "{} bpm", "key": "in the key of {}", "mode": "in {}", "lead": "melody on {}", "accompaniment": "accompanied by {}",
        "style": "as {}", "metre": "in {}", "drums": "{} drums",
    }[name]  # fmt: skip
    return phrase.format(value_name(name, value))
