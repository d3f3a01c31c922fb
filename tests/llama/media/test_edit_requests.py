"""The grammar of requests: what it reads is exact for the piece, and what it does not read is left to the model or said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from llama.media.edit import Edit
from llama.media.requests.reader import names_edit, read_request
from llama.media.requests.vocabulary import read_interval, read_key
from llama.media.score import Attributes, Score
from llama.media.score_edits import score_line, set_part

ROCK = Attributes("guitar", "organ", "rock", 120, "minor", 4, drums=True, key=9)


@pytest.fixture(scope="module")
def score() -> Score:
    piece = compose(np.random.default_rng(3), ROCK, 24.0)
    assert score_line(piece).bar_count == 11
    return piece


@pytest.fixture(scope="module")
def drumless(score: Score) -> Score:
    return set_part(score, "drums", ())


READ: list[tuple[str, dict[str, Any]]] = [
    ("Remove the drums", {"without": ("drums",)}),
    ("Take the bass out, please.", {"without": ("bass",)}),
    ("Can you remove the drums and the bass?", {"without": ("bass", "drums")}),
    ("I don't want any drums", {"without": ("drums",)}),
    ("without drums", {"without": ("drums",)}),
    ("Transpose it up a fifth", {"transpose": 7}),
    ("Transpose it down by 3 semitones", {"transpose": -3}),
    ("Play it an octave higher", {"transpose": 12}),
    ("Up a minor third!", {"transpose": 3}),
    ("Lower it by two whole steps", {"transpose": -4}),
    ("Transpose it to D minor", {"change": {"key": 2, "mode": "minor"}}),
    ("Put it in B flat", {"change": {"key": 10}}),
    ("In D major, please", {"change": {"key": 2, "mode": "major"}}),
    ("Transpose to F\u266f major", {"change": {"key": 6, "mode": "major"}}),
    ("Play it at 97 bpm", {"change": {"tempo": 97}}),
    ("Set the tempo to 93.5", {"change": {"tempo": 93.5}}),
    ("Make it twice as fast", {"change": {"tempo": 240}}),
    ("Make it 10% slower", {"change": {"tempo": 108}}),
    ("Speed it up by 20 bpm", {"change": {"tempo": 140}}),
    ("Play it in 3/4", {"change": {"metre": 3}}),
    ("Rewrite the second half", {"bars": (6, 11)}),
    ("Bars 5 to 8 anew", {"bars": (5, 8)}),
    ("Change the last two bars", {"bars": (10, 11)}),
    ("Write a new melody for bars 5 to 8", {"parts": ("lead",), "bars": (5, 8)}),
    ("Give it a new bass line", {"parts": ("bass",)}),
    ("Compose another melody in the first half", {"parts": ("lead",), "bars": (1, 5)}),
    ("Reharmonize it", {"keep": ("melody", "drums")}),
    ("Give me different chords", {"keep": ("melody", "drums")}),
    ("Keep the tune and change everything else", {"keep": ("melody",)}),
    ("Keep only the melody and the chords", {"keep": ("melody", "chords")}),
    ("Make it 16 bars long", {"bar_count": 16}),
    ("Shorten it to four bars", {"bar_count": 4}),
    ("Make it last 20 seconds", {"seconds": 20.0}),
    ("half a minute", {}),
    ("Make it one minute long", {"seconds": 60.0}),
    ("Make it twice as long", {"bar_count": 22}),
    ("Twice as long", {"bar_count": 22}),
    ("twice the length", {"bar_count": 22}),
    ("Make it 8 bars longer", {"bar_count": 19}),
    ("Continue it", {"continuation": 8.0}),
    ("Continue for 10 seconds", {"continuation": 10.0}),
    ("Only the first half", {"excerpt": (1, 5)}),
    ("Keep bars 1 to 4", {"excerpt": (1, 4)}),
    ("Transpose it up a fifth, then remove the drums and make it 8 bars long",
     {"transpose": 7, "without": ("drums",), "bar_count": 8}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values"), READ)
def test_a_request_of_the_grammar_is_its_edit(score: Score, text: str, values: dict[str, Any]) -> None:
    reading = read_request(text, score)
    assert reading.edit == Edit(**values) and reading.rest == "" and not reading.is_new
    assert bool(values) != bool(reading.not_done) and not reading.already
    assert not values or names_edit(text.split(", then")[0])


def test_what_is_so_already_changes_nothing(score: Score, drumless: Score) -> None:
    for piece, text, already in [(drumless, "Remove the drums", "no drums"), (score, "Add drums", "drums"), (score, "with a bass", "bass")]:
        reading = read_request(text, piece)
        assert reading.edit == Edit() and reading.already == (already,) and not reading.not_done
    assert read_request("Add drums", drumless).edit == Edit(change={"drums": True})
    assert read_request("Bring in a bass line", set_part(score, "bass", ())).edit == Edit(parts=("bass",))


@pytest.mark.parametrize(
    "text",
    ["Make it calmer", "A bit livelier", "Make it jazzy", "More cheerful, please", "Make it a waltz", "With a warmer flute",
     "Which drums do you hear?", "How many bars does it have?", "Does it have a bass?"],
)  # fmt: skip
def test_what_the_grammar_does_not_know_is_left_to_the_model(score: Score, text: str) -> None:
    reading = read_request(text, score)
    assert reading.edit is None and reading.rest == text and names_edit(text) == text.startswith("Make it")


@pytest.mark.parametrize(
    ("text", "edit", "rest"),
    [
        ("Play it as a waltz, and transpose it up a fifth, please", Edit(transpose=7), "Play it as a waltz"),
        ("Make it calmer and remove the drums", Edit(without=("drums",)), "Make it calmer"),
        ("A slow waltz for organ without drums", Edit(without=("drums",)), "A slow waltz for organ"),
        ("Make it calmer but keep the melody", Edit(), "Make it calmer"),
    ],
)
def test_the_model_reads_the_rest(score: Score, text: str, edit: Edit, rest: str) -> None:
    reading = read_request(text, score)
    assert (reading.edit, reading.rest, reading.not_done) == (edit, rest, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Make the drums wobble", "I did not understand 'make the drums wobble'"),
        ("Transpose it a bit", "I did not understand 'transpose it a bit'"),
        ("Undo that", "the piece before is not known"),
        ("Make it louder", "every piece is brought to the same loudness, so the whole cannot become louder"),
        ("Start at bar 40", "Bar 40 is not in the piece, which has 11 bars and an ending"),
        ("Rewrite bar 12", "Bar 12 is the ending of the piece, its final chord, which every edit keeps; give bars from 1 to 11"),
        ("Cut bars 1 to 11", "nothing of the piece would be left"),
        ("Make the harp louder", "no harp"),
        ("Rewrite bars 5 to 90", "Bars 5 to 90 are not in the piece"),
        ("Make it 300 bpm faster", "420 beats a minute are out of range"),
        ("Transpose it by a fifth and put it in C", "give one of them"),
        ("Make it 30000 seconds long", "out of range"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(score: Score, text: str, words: str) -> None:
    reading = read_request(text, score)
    assert reading.edit == Edit() and reading.rest == "" and words in " ".join(reading.not_done)


def test_a_place_that_a_change_cannot_have_is_named(score: Score) -> None:
    reading = read_request("Make the second part sadder", score)
    assert (reading.edit, reading.rest, reading.places) == (Edit(), "Make it sadder", ("second part",))
    reading = read_request("Remove the drums in the second half", score)
    assert (reading.edit, reading.rest, reading.places) == (Edit(without=("drums",)), "", ("second half",))


def test_a_key_inside_a_request_is_read(score: Score) -> None:
    for text, rest in [("In D minor with a warm tone", "With a warm tone"), ("Play it in D minor, with a warm tone", "With a warm tone"),
                       ("Make it calmer in D minor", "Make it calmer")]:  # fmt: skip
        reading = read_request(text, score)
        assert reading.edit == Edit(change={"key": 2, "mode": "minor"}) and reading.rest == rest and not reading.not_done
    assert read_request("Which chord is in D minor?", score).edit is None


def test_a_new_piece_is_no_edit(score: Score) -> None:
    for text in ("Compose a happy rock song for trumpet", "Give me another piece", "Something completely different"):
        assert read_request(text, score).is_new and not names_edit(text)
    for text in ("Make music like this", "Play something happy", "What makes it sad?", "Describe this recording"):
        assert not names_edit(text)


def test_intervals_and_keys() -> None:
    intervals = ("a fifth", "an octave", "two octaves", "five half steps", "a minor sixth")
    assert [read_interval(text) for text in intervals] == [7, 12, 24, 5, 8]
    assert [read_key(text) for text in ("c", "b flat", "bb", "f#", "e-flat", "c flat")] == [0, 10, 10, 6, 3, 11]


def test_no_request_takes_long_or_fails(score: Score) -> None:
    rng = np.random.default_rng(0)
    words = "remove add the drums bass and , up a fifth to 8 bars of first half make it . keep melody - \u266d 3/4 'x' " * 2
    for _ in range(200):
        read_request(" ".join(rng.choice(words.split(), 12)), score)
    assert read_request("and remove the drums, " * 40, score).edit == Edit(without=("drums",))
    assert read_request("and remove the drums, " * 4000, score).edit is None
    assert names_edit("so " * 300 + "remove the drums") and not names_edit("so " * 30_000 + "remove the drums")
    for text in ("make it {} bars long", "transpose it up {} semitones", "rewrite bars 1 to {}", "make it {} bpm faster"):
        for digits in (7, 400):
            assert read_request(text.format("9" * digits), score).edit in (None, Edit())
