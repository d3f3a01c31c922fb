"""Labels of edits: every change has one, and titles and file names say what the score's name does not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from llama.media.edit import Edit
from llama.media.edit_labels import name_labels, title_labels
from llama.media.edit_report import report_edit
from llama.media.naming import piece_name
from llama.media.score import Attributes, Score

BALLAD = Attributes("piano", "strings", "ballad", 100, "minor", 4, drums=True, key=5)
LABELS: list[tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [  # edit, labels in a title, in a file name
    ({"change": {"tempo": 108}}, ("108 bpm",), ()),
    ({"change": {"key": 9}}, ("A minor",), ()),
    ({"change": {"lead": "flute"}}, (), ()),
    ({"change": {"accompaniment": "organ"}}, ("organ chords",), ("organ chords",)),
    ({"change": {"metre": 3}}, ("3/4", "new arrangement"), ("3/4", "new arrangement")),
    ({"without": ("drums",)}, ("without drums",), ("without drums",)),
    ({"parts": ("bass",)}, ("new bass",), ("new bass",)),
    ({"parts": ("bass",), "bars": (1, 2)}, ("new bass in bars 1 to 2",), ("new bass in bars 1 to 2",)),
    ({"bars": (1, 2)}, ("bars 1 to 2 anew",), ("bars 1 to 2 anew",)),
    ({"bar_count": 8}, ("8 bars",), ("8 bars",)),
    ({"continuation": 4.8}, ("2 bars more",), ("2 bars more",)),
    ({"excerpt": (2, 3)}, ("bars 2 to 3",), ("bars 2 to 3",)),
    ({"order": ((1, 4), (1, 4))}, ("2 times",), ("2 times",)),
    ({"order": ((1, 2), (1, 4))}, ("bars rearranged",), ("bars rearranged",)),
    ({"balance": {"bass": 4}}, ("louder bass",), ("louder bass",)),
    ({"fade_out": 3}, ("fade-out",), ("fade-out",)),
    ({"transpose": 12}, ("12 semitones up",), ("12 semitones up",)),
    ({"transpose": -1}, ("1 semitone down",), ("1 semitone down",)),
    ({"change": {"tempo": 90}, "without": ("bass",), "fade_out": 3}, ("90 bpm", "without bass"), ("without bass", "fade-out")),
]  # fmt: skip


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(3), BALLAD, 12.0)


@pytest.mark.parametrize(("fields", "title", "name"), LABELS)
def test_an_edit_has_labels(score: Score, fields: dict[str, Any], title: tuple[str, ...], name: tuple[str, ...]) -> None:
    report = report_edit(score, Edit(**fields))
    assert title_labels(report, "Sad ballad, flute") == title and name_labels(report) == name


def test_a_file_name_says_what_was_done(score: Score) -> None:
    plain = piece_name(score)
    assert piece_name(score, "without drums") == f"{plain}-without-drums"
    assert re.fullmatch(r"[A-Za-z0-9-]+", piece_name(score, "3/4 organ chords"))
