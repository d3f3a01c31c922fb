"""The chips of a card: each can be applied to its piece, and does what its label says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from demo.api.edit_field import EditModel
from demo.page.suggestions import chips, edit_json, recording_check
from llama.decoders.notes.recomposition import Recomposition
from llama.decoders.recording_edits import check_recording_edit
from llama.media.edit import Edit, apply_edit, prepare
from llama.media.score import Attributes, Note, Score
from llama.media.score_edits import score_line, transpose
from llama.media.spelling import key_name

PIECES = 30


@pytest.fixture(scope="module")
def pieces() -> list[Score]:
    rng = np.random.default_rng(15)
    return [compose(rng, sample_attributes(rng), round(float(rng.uniform(3, 40)) * 6) / 6) for _ in range(PIECES)]


def edit_of(chip: dict[str, Any]) -> Edit:
    return EditModel.model_validate(chip["edit"]).edit()


def edited(score: Score, chip: dict[str, Any]) -> Score:
    edit = edit_of(chip)
    return apply_edit(prepare(score, edit), edit)


def key_of(score: Score) -> str:
    return key_name(score.attributes.key, score.attributes.mode)


def bars(score: Score) -> int:
    return score_line(score).bar_count


def tempo_is_as_said(before: Score, after: Score, chip: dict[str, Any]) -> bool:
    factor = {"Half as fast": 0.5, "Twice as fast": 2.0}.get(chip["label"])
    steps = {"+10 bpm": 10, "\N{MINUS SIGN}10 bpm": -10}.get(chip["label"], 0)
    return after.attributes.tempo == before.attributes.tempo * (factor or 1.0) + steps and chip["hint"] == f"{after.attributes.tempo:g} bpm"


def parts_are_as_said(before: Score, after: Score, chip: dict[str, Any]) -> bool:
    composed = edit_of(chip).composed_parts(before)
    expected = {"Another bass": ("bass",), "New melody": ("lead",), "New accompaniment": ("accompaniment",), "Other drums": ("drums",)}
    if chip["label"] == "Without drums":
        return bool(before.drums) and not after.drums and not composed
    return composed == ("drums",) and not before.drums if chip["label"] == "With drums" else composed == expected[chip["label"]]


def length_is_as_said(before: Score, after: Score, chip: dict[str, Any]) -> bool:
    counted = f"{bars(after)} bar{'s' * (bars(after) != 1)}"
    bar = 60 / before.attributes.tempo * before.attributes.metre
    if chip["label"].endswith(" s"):
        return abs(after.seconds - float(chip["label"].split()[0])) <= bar and counted in chip["hint"] and bars(after) != bars(before)
    said = {"Longer": bars(after) > bars(before), "Shorter": bars(after) < bars(before)}.get(chip["label"])
    return chip["label"] == counted if said is None else said and chip["hint"] == counted


CHECKS: dict[str, Callable[[Score, Score, dict[str, Any]], bool]] = {
    "tempo": tempo_is_as_said,
    "key": lambda before, after, chip: key_of(after) == chip["label"] != key_of(before),
    "mode": lambda before, after, chip: chip["label"] == f"To {after.attributes.mode}" and key_of(after) == chip["hint"],
    "metre": lambda before, after, chip: f"{after.attributes.metre}/4" == chip["label"],
    "lead": lambda before, after, chip: after.attributes.lead.capitalize() == chip["label"] and after.lead != () != before.lead,
    "style": lambda before, after, chip: after.attributes.style.capitalize() == chip["label"],
    "parts": parts_are_as_said,
    "length": length_is_as_said,
}


def test_every_chip_does_what_its_label_says(pieces: list[Score]) -> None:
    groups: set[str] = set()
    for score in pieces:
        for chip in chips(score):
            assert CHECKS[chip["group"]](score, edited(score, chip), chip), (score.attributes, chip)
            groups.add(chip["group"])
    assert groups == set(CHECKS)


def test_what_is_composed_can_be_composed(pieces: list[Score]) -> None:
    for score in pieces[::6]:
        for chip in chips(score):
            edit = edit_of(chip)
            if parts := edit.composed_parts(score):
                made = Recomposition(prepare(score, edit), parts, edit.composed_bars(score), other_groove=edit.replaces_groove(score))
                assert made.frames > 0 and made.grammar.mask.any()


def test_every_group_has_one_line_of_labels_that_differ(pieces: list[Score]) -> None:
    for score in pieces:
        found = chips(score)
        labels = [(chip["group"], chip["label"]) for chip in found]
        assert len(set(labels)) == len(labels) and [chip["group"] for chip in found] == sorted(
            (chip["group"] for chip in found), key=list(CHECKS).index)  # fmt: skip
        assert all(len(chip["label"]) <= 24 for chip in found)


def test_what_the_piece_cannot_have_is_not_offered(pieces: list[Score]) -> None:
    score = pieces[0]
    fast = apply_edit(score, Edit(change={"tempo": 296}))
    assert "+10 bpm" not in {chip["label"] for chip in chips(fast)} and "Twice as fast" not in {chip["label"] for chip in chips(fast)}
    slow = apply_edit(score, Edit(change={"tempo": 35}))
    assert not {"\N{MINUS SIGN}10 bpm", "Half as fast"} & {chip["label"] for chip in chips(slow)}
    melodyless = replace(score, lead=())
    assert not {"lead", "New melody"} & {name for chip in chips(melodyless) for name in (chip["group"], chip["label"])}
    high = score
    while room := 127 - max(note.pitch for part in (high.lead, high.accompaniment, high.bass) for note in part):
        high = transpose(high, min(room, 24))
    labels = {chip["label"]: chip for chip in chips(high) if chip["group"] == "key"}
    assert key_name((high.attributes.key + 2) % 12, high.attributes.mode) not in labels


def test_a_piece_of_less_than_a_bar_is_offered_what_needs_no_bars() -> None:
    attributes = Attributes("piano", "pad", "ballad", 60, "major", 4, False, 0)
    score = compose(np.random.default_rng(1), attributes, 1.5)
    assert bars(score) == 0 and "length" not in {chip["group"] for chip in chips(score)}
    assert all(CHECKS[chip["group"]](score, edited(score, chip), chip) for chip in chips(score))


def test_a_score_whose_bars_are_unknown_has_no_chips() -> None:
    score = Score(Attributes("flute", "pad", "ballad", 60, "major", 4, False, 0), 2.5, (Note(0.0, 1.0, 72, 92),), (), (), (), ())
    assert chips(score) == []


def test_a_piece_of_sound_is_continued_or_varied_as_its_decoder_can() -> None:
    def decoder(*able: str) -> Any:
        return SimpleNamespace(sample_rate=100, check_edit=lambda edit, source: check_recording_edit("It", edit, source, {*able}))

    def labels(*able: str) -> set[str]:
        return {chip["label"] for chip in chips(None, notes=False, check=recording_check(decoder(*able), 12.0))}

    assert labels("continuation") == {"Go on for 10 s", "Go on for 30 s"}
    assert labels("strength") == {"A little different", "Quite different", "Very different"}
    assert chips(None, notes=False, check=recording_check(decoder("continuation"), 595.0)) == []
    assert chips(None) == chips(None, notes=False) == []


def test_an_edit_as_json_is_the_same_edit() -> None:
    for edit in (Edit(change={"key": 3, "drums": False}, transpose=0), Edit(parts=("lead",), bars=(5, 8)), Edit(seconds=30.0),
                 Edit(keep=("melody",), without=("drums",)), Edit(transpose=-2, bar_count=9)):  # fmt: skip
        assert EditModel.model_validate(edit_json(edit)).edit() == edit
