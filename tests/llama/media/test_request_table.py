"""Requests as musicians put them: what each becomes for one piece, an exact edit or a sentence that says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from llama.media.edit import Edit, apply_edit, prepare
from llama.media.requests.reader import joins_edits, names_edit, read_request
from llama.media.score import Attributes, Score
from llama.media.score_edits import score_line

ROCK = Attributes("guitar", "organ", "rock", 120, "minor", 4, drums=True, key=9)
BARS = 11


@pytest.fixture(scope="module")
def score() -> Score:
    piece = compose(np.random.default_rng(3), ROCK, 24.0)
    assert score_line(piece).bar_count == BARS
    return piece


EDITS: list[tuple[str, dict[str, Any]]] = [
    # as people type
    ("pls tranpose up a 5th", {"transpose": 7}), ("gimme it in D", {"change": {"key": 2}}), ("in D", {"change": {"key": 2}}),
    ("d minor", {"change": {"key": 2, "mode": "minor"}}), ("a tiny bit slower", {"change": {"tempo": 110}}),
    ("i dont like the drums", {"without": ("drums",)}), ("make a version at 140", {"change": {"tempo": 140}}),
    ("E minor, 90 bpm, flute", {"change": {"key": 4, "mode": "minor", "tempo": 90, "lead": "flute"}}),
    ("in 3", {"change": {"metre": 3}}), ("three quarter time", {"change": {"metre": 3}}), ("With a flute", {"change": {"lead": "flute"}}),
    ("with strings", {"change": {"accompaniment": "strings"}}), ("make the guitar a violin", {"change": {"lead": "violin"}}),
    ("Make it shorter by 2 bars", {"bar_count": 9}), ("Remove the first bar and the last bar", {"excerpt": (2, 10)}),
    ("cut bars 2 to 3 and the last bar", {"order": ((1, 1), (4, 10))}),
    ("a whole step up, without bass", {"transpose": 2, "without": ("bass",)}),
    # bars
    ("Cut the first two bars", {"excerpt": (3, 11)}),
    ("cut off the last bar", {"excerpt": (1, 10)}),
    ("Without the last bar", {"excerpt": (1, 10)}),
    ("Remove bars 3 to 5", {"order": ((1, 2), (6, 11))}),
    ("take out bar 4, please", {"order": ((1, 3), (5, 11))}),
    ("Start at bar 5", {"excerpt": (5, 11)}),
    ("Can you start it from bar 5?", {"excerpt": (5, 11)}),
    ("from bar 5 on", {"excerpt": (5, 11)}),
    ("End after bar 8", {"excerpt": (1, 8)}),
    ("stop it before bar 9", {"excerpt": (1, 8)}),
    ("Play the last four bars twice", {"order": ((1, 7), (8, 11), (8, 11))}),
    ("Repeat the first half", {"order": ((1, 5), (1, 5), (6, 11))}),
    ("Repeat bars 5 to 8 three times", {"order": ((1, 4), (5, 8), (5, 8), (5, 8), (9, 11))}),
    ("the last bar twice", {"order": ((1, 10), (11, 11), (11, 11))}),
    ("Loop it", {"order": ((1, 11), (1, 11))}),
    ("loop it four times", {"order": ((1, 11),) * 4}),
    ("Play it twice", {"order": ((1, 11), (1, 11))}),
    ("Make it a loop", {"order": ((1, 11), (1, 11))}),
    ("Add the first four bars at the end", {"order": ((1, 11), (1, 4))}),
    ("Swap the halves", {"order": ((6, 11), (1, 5))}),
    ("Only the first half", {"excerpt": (1, 5)}),
    # parts
    ("Only the melody", {"without": ("accompaniment", "bass", "drums")}),
    ("Just drums and bass", {"without": ("lead", "accompaniment")}),
    ("The melody alone, please", {"without": ("accompaniment", "bass", "drums")}),
    ("Mute everything except the drums", {"without": ("lead", "accompaniment", "bass")}),
    ("Solo the bass", {"without": ("lead", "accompaniment", "drums")}),
    ("Remove the guitar", {"without": ("lead",)}),
    ("without the organ", {"without": ("accompaniment",)}),
    ("Take out the chords", {"without": ("accompaniment",)}),
    ("just the guitar", {"without": ("accompaniment", "bass", "drums")}),
    # loudness
    ("Make the drums louder", {"balance": {"drums": 4}}),
    ("a bit quieter drums", {"balance": {"drums": -2}}),
    ("Turn the bass up by 6 dB", {"balance": {"bass": 6}}),
    ("turn down the organ", {"balance": {"accompaniment": -4}}),
    ("The drums are too loud", {"balance": {"drums": -4}}),
    ("Bring out the melody", {"balance": {"lead": 4}}),
    ("Make the melody much louder and the drums softer", {"balance": {"lead": 8, "drums": -4}}),
    ("Fade out", {"fade_out": 6.0}),
    ("let it fade out over the last 4 seconds", {"fade_out": 4.0}),
    ("End it with a fade-out", {"fade_out": 6.0}),
    # tempo, pitch, length
    ("Double time", {"change": {"tempo": 240}}),
    ("half time please", {"change": {"tempo": 60}}),
    ("Make it 120 bpm", {"change": {"tempo": 120}}),
    ("Make it 30 seconds", {"seconds": 30.0}),
    ("Make it longer", {"bar_count": 16}),
    ("Transpose it up a fifth", {"transpose": 7}),
    ("Like before but in E minor", {"change": {"key": 4, "mode": "minor"}}),
    ("The same in D major", {"change": {"key": 2, "mode": "major"}}),
    # playing
    ("Make it faster", {"change": {"tempo": 144}}),
    ("a bit slower", {"change": {"tempo": 110}}),
    ("speed it up a lot", {"change": {"tempo": 168}}),
    ("Slow down a little", {"change": {"tempo": 110}}),
    ("make it fastr", {"change": {"tempo": 144}}),
    ("Play it in major", {"change": {"mode": "major"}}),
    ("Slower and in a major key", {"change": {"tempo": 100, "mode": "major"}}),
    ("Now a violin instead of the guitar", {"change": {"lead": "violin"}}),
    ("Replace the organ with strings", {"change": {"accompaniment": "strings"}}),
    ("Play the melody on a sax", {"change": {"lead": "saxophone"}}),
    ("Let a harp play the melody", {"change": {"lead": "harp"}}),
    ("Play it on a flute", {"change": {"lead": "flute"}}),
    # several in one sentence
    ("Remove the drums, transpose it up a fifth and make it 90 bpm", {"without": ("drums",), "transpose": 7, "change": {"tempo": 90}}),
    ("Cut the first two bars, make the bass softer and fade out", {"excerpt": (3, 11), "balance": {"bass": -4}, "fade_out": 6.0}),
    ("Only the melody, at 100 bpm, in D minor",
     {"without": ("accompaniment", "bass", "drums"), "change": {"tempo": 100, "key": 2, "mode": "minor"}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values"), EDITS)
def test_a_request_is_its_exact_edit(score: Score, text: str, values: dict[str, Any]) -> None:
    reading = read_request(text, score)
    assert reading.edit == Edit(**values) and (reading.rest, reading.not_done, reading.already) == ("", (), ())
    apply_edit(prepare(score, reading.edit), reading.edit)
    assert names_edit(text) or text.startswith("The same")  # which is a reference by its wording


SENTENCES: list[tuple[str, str]] = [
    ("change the tempo", "the request names no tempo; say which, such as '120 bpm' or 'faster'"),
    ("in another key", "names no key; say which"), ("higher", "does not say how far; say it, such as 'an octave higher'"),
    ("more drums, no drums", "'with' and 'without' drums; say which"), ("add a solo", "I did not understand 'add a solo'"),
    ("reverse it", "I did not understand 'reverse it'"), ("back down", "I did not understand 'back down'"),
    ("Faster and slower", "'faster' and 'slower' contradict each other; say which"),
    ("make it slower, but also faster", "'slower' and 'faster' contradict each other"),
    ("in major and minor", "'major' and 'minor' contradict each other"),
    ("Make it longer and shorter", "'longer' and 'shorter' contradict each other"),
    ("at 120 bpm and at 90 bpm", "two values of the tempo; say which"),
    ("Make it 10 seconds long and 20 seconds long", "two values of seconds; say which"),
    ("Add a bass and play it without bass", "'with' and 'without' bass; say which"),
    ("Make it louder", "brought to the same loudness, so the whole cannot become louder"),
    ("softer", "so the whole cannot become softer"),
    ("Make the flute louder", "the piece has no flute"),
    ("only the harp", "the piece has no harp"),
    ("Start at bar 20", "Bar 20 is not in the piece"),
    ("Cut the first eleven bars", "nothing of the piece would be left"),
    ("Remove bar 999999", "Bar 999999 is not in the piece, which has 11 bars"),
    ("Cut bars 8 to 4", "Bars 8 to 4 are not in the piece"),
    ("Repeat bars 1 to 2 999999 times", "order has more than 600 bars"),
    ("a violin instead of the flute", "the piece has no flute"),
    ("replace the drums with a piano", "the drums cannot be played by a piano"),
    ("fade in", "I did not understand 'fade in'"),
    ("Swap bars 1 and 2 with something", "I did not understand"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), SENTENCES)
def test_what_cannot_be_done_is_said(score: Score, text: str, words: str) -> None:
    reading = read_request(text, score)
    assert reading.edit == Edit() and words in " ".join(reading.not_done)


@pytest.mark.parametrize(
    "text",
    ["Faster in the first half and slower in the second half", "Not slower but faster", "faster, not slower", "Is it in major or minor?",
     "First faster, then slower", "What is the difference between major and minor?", "How do major and minor differ?"],
)  # fmt: skip
def test_what_is_no_contradiction(score: Score, text: str) -> None:
    assert "contradict" not in " ".join(read_request(text, score).not_done)


def test_what_the_piece_does_not_have_is_not_taken_out(score: Score) -> None:
    reading = read_request("Remove the flute", score)
    assert (reading.edit, reading.already, reading.not_done) == (Edit(), ("no flute",), ())


def test_another_instrument_takes_the_place_of_one(score: Score) -> None:
    reading = read_request("Add a violin", score)
    assert reading.edit == Edit(change={"lead": "violin"})
    assert reading.not_done == ("an instrument more: one plays the melody, so the violin takes the place of the guitar",)
    assert read_request("add strings", score).edit == Edit(change={"accompaniment": "strings"})
    assert read_request("Add an organ", score).already == ("organ",)


def test_what_is_to_be_kept_beside_a_change_is_noted(score: Score) -> None:
    reading = read_request("Make it a waltz but keep the drums and the chords", score)
    assert (reading.kept, reading.rest) == (("chords", "drums"), "Make it a waltz")


def test_a_piece_may_be_asked_for_as_it_is(score: Score) -> None:
    assert read_request("Play it", score).plays and read_request("let me hear it", score).plays
    assert not read_request("Play it faster", score).plays and not read_request("Play it, sadder", score).plays


def test_a_request_of_several_edits_is_about_the_piece() -> None:
    assert joins_edits("a whole step up, without bass") and joins_edits("Slower and in minor, please.")
    assert not any(joins_edits(text) for text in ("piano and violin", "Flute and strings", "violin and piano, in D")), "new pieces"
    assert not joins_edits("without bass") and not joins_edits("a new piece, slower") and not joins_edits("is it slower, without bass")
