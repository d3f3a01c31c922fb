"""Edits that leave a piece as it is: found by comparing notes, and said in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from llama.media.edit import Edit, apply_edit
from llama.media.empty_edits import already_text, leaves_as_is, unchanged_text
from llama.media.requests.named_facts import named_facts
from llama.media.score import Attributes, Score
from llama.media.score_edits import set_part

WALTZ = Attributes("violin", "strings", "waltz", 132, "major", 3, drums=False, key=2)
SAME: list[tuple[dict[str, Any], str]] = [
    ({"change": {"drums": False}}, "there are no drums to remove"),
    ({"without": ("drums",)}, "there are no drums to remove"),
    ({"change": {"tempo": 132}}, "it is at 132 bpm already"),
    ({"change": {"key": 2}}, "it is in D major already"),
    ({"change": {"key": 2, "mode": "major"}}, "it is in D major already"),
    ({"change": {"metre": 3, "style": "waltz"}}, "it is in 3/4 already and it is a waltz already"),
    ({"change": {"lead": "violin"}}, "the violin plays the melody already"),
    ({"change": {"accompaniment": "strings"}}, "strings play the chords already"),
    ({"balance": {"drums": -3}}, "there are no drums to make softer"),
    ({"bar_count": 12}, "it is 12 bars long already"),
    ({"excerpt": (1, 12)}, "12 bars are all that it has"),
    ({"order": ((1, 4), (5, 12))}, "12 bars are all that it has"),
]


@pytest.fixture(scope="module")
def score() -> Score:
    piece = compose(np.random.default_rng(3), WALTZ, 18.4)
    assert len(piece.chords) == 13
    return piece


@pytest.mark.parametrize(("fields", "clause"), SAME)
def test_what_is_so_already_leaves_the_piece_as_it_is(score: Score, fields: dict[str, Any], clause: str) -> None:
    edit = Edit(**fields)
    assert leaves_as_is(score, edit)
    assert unchanged_text(score, edit) == f"{clause[:1].upper()}{clause[1:]}; the piece is as it was."


@pytest.mark.parametrize(
    "edit",
    [Edit(change={"tempo": 133}), Edit(change={"key": 3}), Edit(change={"drums": True}), Edit(transpose=12), Edit(without=("bass",)),
     Edit(parts=("bass",)), Edit(bars=(1, 1)), Edit(bar_count=11), Edit(excerpt=(1, 11)), Edit(order=((1, 12), (1, 12))),
     Edit(keep=("melody",)), Edit(continuation=4), Edit(fade_out=4), Edit(balance={"bass": -3})],
)  # fmt: skip
def test_every_real_change_is_one(score: Score, edit: Edit) -> None:
    assert not leaves_as_is(score, edit)


def test_an_edit_is_empty_exactly_if_the_notes_stay(score: Score) -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        change = {"tempo": int(generator.choice([132, 140])), "mode": str(generator.choice(["major", "minor"])), "lead": "violin"}
        edit = Edit(change=change, bar_count=int(generator.choice([12, 8])), transpose=int(generator.choice([0, 0, 5])))
        assert leaves_as_is(score, edit) == (apply_edit(score, edit) == score)


def test_several_facts_are_one_sentence_and_of_a_recording_they_are_heard(score: Score) -> None:
    edit = Edit(change={"tempo": 132, "drums": False})
    assert unchanged_text(score, edit) == "There are no drums to remove and it is at 132 bpm already; the piece is as it was."
    heard = "I hear no drums to remove and as I hear it, it is at 132 bpm already"
    assert unchanged_text(score, edit, transcribed=True) == f"{heard}; the recording is as it was."
    assert already_text(score, Edit(change={"tempo": 90, "drums": False})) == "There are no drums to remove."
    assert already_text(score, Edit(change={"tempo": 90})) == ""


def test_what_the_grammar_noted_is_said_once(score: Score) -> None:
    assert unchanged_text(score, Edit(without=("drums",)), ["no drums", "no flute"]) == (
        "There are no drums to remove and there is no flute to remove; the piece is as it was."
    )
    assert unchanged_text(score, Edit(), ["bass"]) == "There is a bass already; the piece is as it was."
    assert unchanged_text(score, Edit()) == "That changes nothing; the piece is as it was."
    reason = unchanged_text(score, Edit(), not_done=["the piece has only 12 bars, and one must stay"])
    assert reason == "The piece has only 12 bars, and one must stay. The piece is as it was."


def test_a_length_between_whole_bars_is_the_nearest(score: Score) -> None:
    assert "lasts 18.4 seconds, which is as near to 18 as whole bars come" in unchanged_text(score, Edit(seconds=18))
    assert unchanged_text(score, Edit(seconds=18.4)).startswith("It is 18.4 seconds long already")


def test_facts_that_a_request_names_and_the_piece_has(score: Score) -> None:
    assert named_facts("as a waltz with a violin", score) == {"lead": "violin", "style": "waltz"}
    assert named_facts("in 3/4 over strings", score) == {"accompaniment": "strings", "metre": 3}
    assert named_facts("a ballad for a flute in 4/4, or 13/4", score) == {}
    assert named_facts("the violins", set_part(score, "lead", ())) == {}
