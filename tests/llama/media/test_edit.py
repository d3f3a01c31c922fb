"""Edits as values: contradictions are refused in a sentence, what is asked is done, and the report tells what was kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from llama.media.edit import Edit, apply_edit
from llama.media.edit_report import report_edit, report_recording_edit
from llama.media.score import TRACKS, Attributes, Score, timeline

ROCK = Attributes("guitar", "organ", "rock", 120, "minor", 4, drums=True, key=9)


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(3), ROCK, 24.0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"change": {"mood": "happy"}}, "cannot change 'mood' and keep the notes; change one of: lead"),
        ({"change": {"style": "polka"}}, "one of: ballad, rock"),
        ({"change": {"metre": 5}}, "one of: 3, 4"),
        ({"change": {"tempo": 301}}, "beats a minute from 30 to 300"),
        ({"change": {"drums": 1}}, "drums 1 is not possible"),
        ({"change": {"key": True}}, "key True is not possible"),
        ({"change": {"lead": "kazoo"}}, "one of: piano, organ"),
        ({"change": "faster"}, "give a mapping"),
        ({"transpose": 3.5}, "whole number of semitones from"),
        ({"transpose": 2, "change": {"key": 3}}, "give one of them"),
        ({"without": "drums"}, "tuple of parts"),
        ({"parts": ("drums", "chords")}, "parts 'chords' is not possible in an edit; give parts out of: lead, "),
        ({"without": ("choir",)}, "out of: lead"),
        ({"without": ("drums",), "change": {"drums": True}}, "say which"),
        ({"parts": ("drums",), "change": {"drums": False}}, "say which"),
        ({"without": ("bass",), "parts": ("bass",)}, "cannot be taken out and composed anew"),
        ({"without": ("lead",), "change": {"lead": "flute"}}, "cannot change its instrument"),
        ({"without": TRACKS}, "leaves nothing to hear"),
        ({"bars": (4, 2)}, "first and the last bar"),
        ({"excerpt": [1, 2]}, "first and the last bar"),
        ({"bars": (1, 2), "excerpt": (1, 4)}, "one edit after the other"),
        ({"order": ((1, 4), (4, 2))}, "is no range; give the first"),
        ({"order": [(1, 4)]}, "give ranges of bars"),
        ({"order": ((1, 400), (1, 201))}, "more than 600 bars"),
        ({"order": ((1, 2),), "bars": (1, 2)}, "one edit after the other"),
        ({"order": ((1, 2),), "seconds": 20}, "both set the length"),
        ({"balance": ("drums", -3)}, "give parts and dB"),
        ({"balance": {"choir": 3}}, "is no part; give parts out of: lead"),
        ({"balance": {"drums": 30}}, "number from -24 to 24"),
        ({"balance": {"drums": -3}, "without": ("drums",)}, "drums cannot be taken out and be louder"),
        ({"fade_out": 0.1}, "number from 0.5 to 600"),
        ({"keep": ("tune",)}, "out of: melody, chords"),
        ({"keep": "melody"}, "tuple of parts"),
        ({"keep": ("melody",), "without": ("lead",)}, "melody cannot be kept and taken out"),
        ({"keep": ("bass",), "parts": ("bass",)}, "bass cannot be kept and composed anew"),
        ({"keep": ("drums",), "change": {"drums": False}}, "say which"),
        ({"keep": ("bass",), "change": {"metre": 3}}, "keeps only melody and chords"),
        ({"bar_count": 0}, "whole number from 1 to 600"),
        ({"bar_count": True}, "whole number from 1"),
        ({"seconds": float("nan")}, "number from 1 to 600"),
        ({"continuation": 0.5}, "number from 1"),
        ({"strength": 2}, "number from 0 to 1"),
        ({"bar_count": 8, "seconds": 12}, "both set the length"),
        ({"excerpt": (1, 2), "bar_count": 8}, "both set the length"),
        ({"continuation": 8, "seconds": 12}, "both set the length"),
        ({"bars": (1, 2), "change": {"style": "rock"}}, "for the whole piece"),
        ({"continuation": 8, "keep": ("melody",)}, "both compose"),
        ({"continuation": 8, "bars": (1, 2)}, "both compose"),
    ],
)
def test_contradictions_and_unknown_values_are_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        Edit(**values)
    assert "\n" not in str(error.value)


def test_an_edit_is_a_value() -> None:
    change = {"tempo": 100}
    edit = Edit(change=change, without=["drums", "bass"])  # type: ignore[arg-type]
    change["tempo"] = 60
    assert edit == Edit(change={"tempo": 100}, without=("bass", "drums")) and hash(edit) == hash(Edit(without=("bass", "drums")))


def test_all_changes_at_once_keep_the_rest(score: Score) -> None:
    changed = {"tempo": 150, "mode": "major", "key": 0, "lead": "flute", "accompaniment": "piano", "drums": False}
    edited = apply_edit(score, Edit(change=changed))
    old, new = timeline(score.attributes, score.seconds), timeline(edited.attributes, edited.seconds)
    assert edited.attributes == replace(ROCK, **changed) and not edited.drums
    assert (new.bar_count, new.tag) == (old.bar_count, old.tag)
    assert [note.velocity for note in edited.lead] == [note.velocity for note in score.lead]
    assert np.allclose([note.start * 150 / 120 for note in edited.lead], [note.start for note in score.lead])


def test_what_is_so_already_changes_nothing_and_is_said(score: Score) -> None:
    edit = Edit(change={"tempo": 120, "drums": True})
    report = report_edit(score, edit)
    assert apply_edit(score, edit) == score and not edit.composed_parts(score)
    assert report.changed == () and report.unchanged == ("tempo 120 bpm", "drums")
    drumless = apply_edit(score, Edit(without=("drums",)))
    without = Edit(change={"drums": False})
    assert apply_edit(drumless, without) == drumless and report_edit(drumless, without).unchanged == ("no drums",)
    assert str(report_edit(drumless, without)).endswith("Already so: no drums.")


def test_the_report_names_changes_and_what_is_kept(score: Score) -> None:
    report = report_edit(score, Edit(change={"tempo": 90, "key": 4}, without=("drums",), parts=("bass",), bars=(1, 2)))
    changes = ("tempo from 120 bpm to 90 bpm", "key from A minor to E minor", "without drums", "bass in bars 1 to 2 composed anew")
    assert report.changed == changes
    assert report.kept == ("melody", "accompaniment", "chords", "length in bars") and report.unchanged == ()


def test_a_key_is_named_with_its_mode(score: Score) -> None:
    changes = {(5, "major"): ("key from A minor to F major",), (9, "major"): ("key from A minor to A major",), (9, "minor"): ()}
    for (key, mode), words in changes.items():
        report = report_edit(score, Edit(change={"key": key, "mode": mode}))
        assert report.changed == words and report.unchanged == (() if words else ("key A minor",))


def test_the_summary_says_what_was_changed_and_which_parts_stay(score: Score) -> None:
    for edit, words in (
        (Edit(change={"tempo": 108}), "Tempo from 120 bpm to 108 bpm; melody, chords, bass and drums kept."),
        (Edit(without=("accompaniment", "drums")), "Without accompaniment; without drums; melody and bass kept."),
        (Edit(parts=("accompaniment",)), "Accompaniment composed anew; melody, chords, bass and drums kept."),
        (Edit(keep=("melody",)), "Accompaniment composed anew; bass composed anew; drums composed anew; chords chosen anew; melody kept."),
    ):
        assert report_edit(score, edit).summary == words


def test_what_must_be_composed(score: Score) -> None:
    drumless = apply_edit(score, Edit(without=("drums",)))
    assert Edit(change={"drums": True}).composed_parts(drumless) == ("drums",)
    assert Edit(bars=(1, 2)).composed_parts(drumless) == ("lead", "accompaniment", "bass")
    assert Edit(bars=(1, 2), parts=("lead",)).composed_parts(score) == ("lead",)
    assert Edit(change={"tempo": 60}, transpose=3).composed_parts(score) == ()


def test_what_this_piece_cannot_do_is_refused(score: Score) -> None:
    with pytest.raises(ValueError, match="are not in the piece"):
        apply_edit(score, Edit(bars=(1, 400)))
    alone = apply_edit(score, Edit(without=("lead", "accompaniment", "bass")))
    with pytest.raises(ValueError, match="nothing of the piece is left"):
        apply_edit(alone, Edit(without=("drums",)))


def test_a_report_of_a_recording_says_what_the_decoder_was_told() -> None:
    for edit, words in (
        (Edit(), "Changed: all, by the decoder's usual strength."),
        (Edit(strength=0.0), "Changed: all, by a strength of 0."),
        (Edit(continuation=10.0), "Changed: continued by 10 s. Kept: the recording itself."),
        (Edit(keep=("melody",), seconds=5.5), "Changed: everything but the melody, length to 5.5 s. Kept: melody, nearly."),
    ):
        assert str(report_recording_edit(edit)) == words
