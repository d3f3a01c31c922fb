"""Tunes: ABC parsing, harmonization, and arrangements that keep the tune and the attributes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from DataSet.synthesis.tunes import Tune, arrange, attributes_for, harmonise, load, read_abc, save
from llama.media.score import Attributes
from recipes.nano.rendering.render_clips import tunes_by_form

WALTZ = """X: 1
T: Nothing
M: 3/4
L: 1/8
K: G
D2 | G2 B2 d2 | d2 (3cBA B2 | A>B c2 ^c2 | d6 | "G"G2 B2 d2 | {e}d2 cB A2 | B2 A2 F2 | G4 :|
D2 | G2 B2 d2 | d2 B2 G2 | A2 c2 ^c2 | d6 | G2 B2 d2 | d2 cB A2 | B2 A2 F2 | G4 |]
"""
ATTRIBUTES = Attributes("flute", "guitar", "waltz", 120, "major", 3, True, 2)


def waltz() -> Tune:
    return next(read_abc(WALTZ))


def test_abc_is_read_as_written() -> None:
    tune = waltz()
    assert (tune.tonic, tune.mode, tune.metre, tune.bars) == (7, "major", 3, 16)
    assert tune.notes[:3] == ((0.0, 1.0, 67), (1.0, 1.0, 71), (2.0, 1.0, 74))  # after the pickup
    assert tune.notes[4] == (4.0, pytest.approx(1 / 3), 72)  # a triplet
    assert tune.notes[8][1] == 0.75  # dotted
    assert [pitch for start, _, pitch in tune.notes if start == 8.0] == [73]  # an accidental
    assert [pitch for start, _, pitch in tune.notes if start == 20.0] == [66]  # F is sharp in G


@pytest.mark.parametrize("change", [("M: 3/4", "M: 6/8"), ("K: G", "K: Gphr"), ("F2 | G4 |]", "F2 | A4 |]"), ("K: G", "")])
def test_what_cannot_be_labelled_is_left_out(change: tuple[str, str]) -> None:
    assert not list(read_abc(WALTZ.replace(*change)))


def test_tunes_survive_their_file(tmp_path: Path) -> None:
    save([waltz()], tmp_path / "tunes.json")
    assert load(tmp_path / "tunes.json") == [waltz()]


def test_a_tune_that_training_knows_by_another_name_is_no_test(tmp_path: Path) -> None:
    names = [f"book/{number}" for number in range(100)]
    kept, learnt = (next(name for name in names if dataclasses.replace(waltz(), name=name).held_out == held) for held in (True, False))
    lower = tuple((start, length, pitch - 5) for start, length, pitch in waltz().notes)
    version = dataclasses.replace(waltz(), name=learnt, tonic=2, notes=lower)
    other = tuple((start, length, pitch + at % 5) for at, (start, length, pitch) in enumerate(waltz().notes))
    test = dataclasses.replace(waltz(), name=kept)
    save([test, version], tmp_path / "twice.json")
    save([test, dataclasses.replace(version, notes=other)], tmp_path / "once.json")
    assert tunes_by_form(tmp_path / "twice.json", True) == {} and tunes_by_form(tmp_path / "once.json", True) == {("major", 3): [test]}
    assert tunes_by_form(tmp_path / "twice.json", False) == {("major", 3): [version]}


def test_harmony_comes_home() -> None:
    degrees = harmonise(waltz(), 0, 8)
    assert len(degrees) == 8 and degrees[0] == 0 and degrees[-1] == 0 and 4 in degrees


def test_an_arrangement_keeps_the_tune() -> None:
    score = arrange(np.random.default_rng(0), waltz(), ATTRIBUTES, 10.0)
    intervals = np.diff([note.pitch for note in score.lead[:8]])
    offsets = [np.diff([pitch for _, _, pitch in waltz().notes])[k : k + 7].tolist() for k in range(30)]
    assert intervals.tolist() in offsets
    assert score.bass and score.accompaniment and score.drums
    assert {note.pitch % 12 for note in score.lead} <= {2, 4, 6, 7, 8, 9, 11, 1}  # D major and the passing tone
    assert all(0 <= note.start < 10 and note.duration > 0 for note in score.lead)


def test_mode_and_metre_are_the_tunes_own() -> None:
    minor = dataclasses.replace(ATTRIBUTES, mode="minor")
    with pytest.raises(ValueError, match="not in minor"):
        arrange(np.random.default_rng(0), waltz(), minor, 10.0)
    fitted = attributes_for(np.random.default_rng(0), waltz(), dataclasses.replace(minor, metre=4))
    assert (fitted.mode, fitted.metre, fitted.lead) == ("major", 3, "flute")
