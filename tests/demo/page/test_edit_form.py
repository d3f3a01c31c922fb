"""The form of an edit: empty fields ask for nothing, every value of an edit can be chosen, and its words say what it does."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from demo.page.edit_form import AS_IT_IS, ATTRIBUTES, EMPTY_FORM, EditForm, choices, edit_words
from llama.media.edit import CHANGES, Edit

EMPTY: list[Any] = list(EMPTY_FORM)  # as the page sends it


def form(**fields: Any) -> EditForm:
    """The form with some of its attributes chosen, and some of its other fields filled in."""
    chosen = tuple(fields.pop(name, AS_IT_IS) for name in ATTRIBUTES)
    return EditForm(attributes=chosen, **fields)


@pytest.mark.parametrize(("fields", "edit", "words"), [
    ({"tempo": 120.0}, Edit(change={"tempo": 120}), "120 bpm"),
    ({"mode": "minor", "lead": "flute"}, Edit(change={"lead": "flute", "mode": "minor"}), "Melody on flute, in minor"),
    ({"key": "E flat"}, Edit(change={"key": 3}), "In the key of E flat"),
    ({"metre": "3/4", "drums": "with"}, Edit(change={"metre": 3, "drums": True}), "In 3/4, with drums"),
    ({"transpose": -1.0, "without": ["bass"]}, Edit(transpose=-1, without=("bass",)), "1 semitone down, without bass"),
    ({"parts": ["melody"], "first_bar": 5.0, "last_bar": 8.0}, Edit(parts=("lead",), bars=(5, 8)), "New melody, bars 5 to 8 anew"),
    ({"first_bar": 3.0}, Edit(bars=(3, 3)), "Bar 3 anew"), ({"last_bar": 2.0}, Edit(bars=(1, 2)), "Bars 1 to 2 anew"),
    ({"keep": ["chords", "melody"]}, Edit(keep=("melody", "chords")), "Keep only melody and chords"),
    ({"seconds": 30.0}, Edit(seconds=30.0), "30 s long"), ({"fade_out": 4.0}, Edit(fade_out=4.0), "Fade out over 4 s"),
    ({"first_kept": 5.0, "last_kept": 8.0}, Edit(excerpt=(5, 8)), "Bars 5 to 8 only"),
    ({"last_kept": 8.0}, Edit(excerpt=(1, 8)), "Bars 1 to 8 only"),
    ({"key": "C sharp / D flat"}, Edit(change={"key": 1}), "In the key of C sharp / D flat"),
    ({"order": "1-4, 1 to 4, 9"}, Edit(order=((1, 4), (1, 4), (9, 9))), "In this order: bars 1 to 4, bars 1 to 4, bar 9"),
    ({"drums_level": -6.0, "bass_level": 3}, Edit(balance={"bass": 3.0, "drums": -6.0}), "Bass 3 dB louder, drums 6 dB softer"),
    ({"bar_count": 16.0}, Edit(bar_count=16), "16 bars long"), ({"continuation": 7.5}, Edit(continuation=7.5), "Go on for 7.5 s"),
])  # fmt: skip
def test_fields_are_the_edit(fields: dict[str, Any], edit: Edit, words: str) -> None:
    assert form(**fields).edit() == edit and edit_words(edit) == words


def test_the_fields_of_the_page_are_read_in_order() -> None:
    assert len(EMPTY_FORM) == len(fields(EditForm)) - 1 + len(ATTRIBUTES)
    values = list(EMPTY)
    values[0], values[1 + list(ATTRIBUTES).index("mode")], values[-10] = 90, "major", 0.5
    values[-5], values[-1] = "1-2, 1-2", -3
    expected = Edit(change={"mode": "major", "tempo": 90}, strength=0.5, order=((1, 2), (1, 2)), balance={"drums": -3.0})
    assert EditForm.of(values).edit() == expected


def test_every_field_of_an_edit_is_in_the_form() -> None:
    values = {"tempo": 90, "transpose": 1, "without": ["bass"], "parts": ["melody"], "first_bar": 1, "keep": ["chords"], "bar_count": 8,
              "seconds": 9, "continuation": 5, "first_kept": 2, "order": "1, 2", "drums_level": 3, "fade_out": 4,
              "strength": 0.5}  # fmt: skip
    filled = [form(**{name: value}).edit() for name, value in values.items()]
    assert {name for edit in filled for name, value in vars(edit).items() if value != getattr(Edit(), name)} == {*vars(Edit())}


@pytest.mark.parametrize(("fields", "words"), [
    ({}, "The form of the change is empty"), ({"tempo": 0, "first_bar": None}, "The form of the change is empty"),
    ({"tempo": 999.0}, "tempo 999"), ({"tempo": float("inf")}, "tempo inf is out of range"),
    ({"first_bar": 8.0, "last_bar": 5.0}, "is no range"), ({"parts": ["choir"]}, "parts"), ({"keep": ["choir"]}, "keep"),
    ({"without": ["drums"], "drums": "with"}, "say which"), ({"seconds": 10.0, "bar_count": 4.0}, "both set the length"),
    ({"first_bar": 1.0, "first_kept": 3.0}, "make one edit after the other"),
    ({"order": "1-4, chorus"}, "The order of the bars has 'chorus'; give bars and ranges"), ({"order": "4-1"}, "is no range"),
    ({"without": ["drums"], "drums_level": 3}, "cannot be taken out and be louder"), ({"drums_level": 30}, "balance of drums 30"),
])  # fmt: skip
def test_what_is_not_possible_is_told(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        form(**fields).edit()


def test_every_value_can_be_chosen() -> None:
    for attribute in ATTRIBUTES:
        chosen = [form(**{attribute: name}).edit().change[attribute] for name in choices(attribute) if name != AS_IT_IS]
        assert chosen == list(CHANGES[attribute])
    assert {*ATTRIBUTES, "tempo"} == {*CHANGES}


def test_a_new_key_is_named_in_the_mode_of_its_piece() -> None:
    assert edit_words(Edit(change={"key": 1}), "major") == "In D flat major"
    assert edit_words(Edit(change={"key": 8}), "minor") == "In G sharp minor"
    assert edit_words(Edit(change={"mode": "minor", "key": 8}), "major") == "In G sharp minor"


def test_every_field_of_an_edit_has_words() -> None:
    edits = [Edit(order=((1, 4), (1, 4), (9, 9))), Edit(balance={"bass": 3.0, "drums": -2.5}), Edit(strength=0.3)]
    assert [edit_words(edit) for edit in edits] == [
        "In this order: bars 1 to 4, bars 1 to 4, bar 9", "Bass 3 dB louder, drums 2.5 dB softer", "Different by 0.3",
    ]  # fmt: skip
