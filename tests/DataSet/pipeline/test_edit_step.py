"""Pairs of source and edit: chosen so that no category predicts the operation, made, measured, and refused where they are off."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from DataSet.pipeline.audio_edits import OPERATIONS
from DataSet.pipeline.edit_choice import VARIANTS, EditSettings, categories, chi_square, choose_edits, cross_table
from DataSet.pipeline.edit_step import EditStep, fault, pair_item
from DataSet.pipeline.item import Item
from DataSet.pipeline.score_edits import CHANGES, ComposedPiece, asked_change, edited_score, kept_notes
from DataSet.pipeline.step import Rejection, StepInput
from DataSet.synthesis.composer import sample_attributes
from llama.media.audio import Waveform

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
SPEED = VARIANTS["speed"][3]


def piece(index: int, seconds: float = 8.0) -> ComposedPiece:
    return ComposedPiece(sample_attributes(np.random.default_rng(index)), seconds, (index, 7))


def composed(index: int) -> Item:
    made = piece(index)
    return Item("made", f"piece {index}", {"audio": f"{index}.flac"},
                truth={**asdict(made.attributes), "seconds": made.seconds, "seed": list(made.seed)})  # fmt: skip


def recording(index: int, tags: tuple[str, ...]) -> Item:
    return Item("folder", f"{index}.flac", {"audio": f"{index}.flac"}, tags=tags)


def run(item: Item, folder: Path) -> Any:
    return EditStep(folder)([StepInput(item)])[0]


# -- choice -------------------------------------------------------------------------------------------------------------


def uneven_items() -> list[Item]:
    """Recordings whose instruments and genres are far from level, and depend on each other."""
    instruments = [name for name, count in (("flute", 70), ("drums", 25), ("oud", 5)) for _ in range(count)]
    return [recording(index, (name, "rock" if name == "drums" or index % 3 else "folk")) for index, name in enumerate(instruments)]


@pytest.mark.parametrize("targets", [1, 3])
def test_no_category_predicts_the_operation(targets: int) -> None:
    items = uneven_items()
    chosen = choose_edits(items, EditSettings(targets=targets))
    rows = [(category, variant.operation) for item in items for variant in chosen[item.id] for category in categories(item)]
    for kind in ({"flute", "drums", "oud"}, {"rock", "folk"}):
        names, operations, counts = cross_table(row for row in rows if row[0] in kind)
        result = chi_square(counts)
        assert set(names) == kind and len(operations) == len(OPERATIONS) - 1
        assert result.p > 0.9 and result.cramers_v < 0.15, counts
        assert all(max(row) - min(row) <= 3 for row in counts)
    labels = Counter(variant.label for variants in chosen.values() for variant in variants if variant.operation == "speed")
    assert max(labels.values()) - min(labels.values()) <= 2 and len(labels) == len(VARIANTS["speed"])


def test_the_published_choice_fails_the_test() -> None:
    """Contiguous parts of a list that is sorted by category: the instrument tells the operation."""
    items = sorted(uneven_items(), key=lambda item: item.tags)
    rows = [(item.tags[0], "speed" if place < 50 else "pitch") for place, item in enumerate(items)]
    result = chi_square(cross_table(rows)[2])
    assert result.p < 1e-6 and result.cramers_v > 0.5


def test_the_choice_does_not_depend_on_the_order_and_survives_new_items() -> None:
    items = uneven_items()
    chosen = choose_edits(items, EditSettings(targets=2))
    assert choose_edits(random.Random(1).sample(items, len(items)), EditSettings(targets=2)) == chosen
    labels = {name: [variant.label for variant in variants] for name, variants in chosen.items()}
    more = choose_edits([*items, recording(1000, ("flute",))], EditSettings(targets=2), labels)
    assert {name: more[name] for name in chosen} == chosen and len(more) == len(chosen) + 1


def test_targets_of_a_recording_are_different_operations() -> None:
    for variants in choose_edits([composed(index) for index in range(8)], EditSettings(targets=4)).values():
        assert len({variant.operation for variant in variants}) == 4


def test_only_composed_pieces_get_notes_and_none_that_its_tempo_bars() -> None:
    chosen = choose_edits([composed(index) for index in range(30)] + uneven_items(), EditSettings(targets=6))
    slowest = replace(composed(0), truth={**composed(0).truth, "tempo": 60})
    assert all(len(variants) == 6 for variants in chosen.values())
    assert all("notes" not in {variant.operation for variant in chosen[item.id]} for item in uneven_items())
    for index in range(40):
        ((variant,),) = choose_edits([replace(slowest, key=str(index))], EditSettings(("notes", "speed"))).values()
        assert variant.change != "slower"


@pytest.mark.parametrize(("operations", "targets"), [(("fly",), 1), ((), 1), (("speed",), 2), (("speed", "notes"), 2), (("speed",), 0)])
def test_impossible_choices_are_refused(operations: tuple[str, ...], targets: int) -> None:
    with pytest.raises(ValueError, match="give"):
        EditSettings(operations, targets)


def test_chi_square_by_hand() -> None:
    """[[10, 20], [20, 10]]: every expected count is 15, so 4 * 25 / 15 = 6.667; p of one degree of freedom is 0.00982."""
    result = chi_square([[10, 20], [20, 10]])
    assert (result.statistic, result.freedom) == (pytest.approx(6.6667, abs=1e-4), 1)
    assert result.p == pytest.approx(0.009823, abs=1e-5) and result.cramers_v == pytest.approx(1 / 3, abs=1e-6)
    assert chi_square([[5, 5], [5, 5], [0, 0]]).p == 1.0
    assert chi_square([[7]]).freedom == 0


# -- scores -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
def test_an_edited_score_keeps_its_notes(change: str) -> None:
    for index in range(1, 9):
        source = piece(index)
        asked = asked_change(source.attributes, change, index)
        edit = edited_score(source, asked)
        assert kept_notes(source.score(), edit, asked) == 1.0
        assert all(getattr(edit.attributes, name) == value for name, value in asked.items())
        assert edit.attributes != source.attributes
        assert edit.seconds == pytest.approx(0.4 + (source.seconds - 0.4) * source.attributes.tempo / edit.attributes.tempo, abs=0.01)


def test_another_piece_does_not_keep_the_notes() -> None:
    source = piece(3)
    assert kept_notes(source.score(), replace(source, seed=(99,)).score(), {}) < 0.8


def test_what_cannot_be_changed_is_refused() -> None:
    with pytest.raises(ValueError, match="does not get slower"):
        asked_change(replace(piece(1).attributes, tempo=60), "slower", 0)
    with pytest.raises(ValueError, match="choose one of slower"):
        asked_change(piece(1).attributes, "metre", 0)
    with pytest.raises(ValueError, match="The notes of this recording are not known"):
        ComposedPiece.from_truth({"lead": "flute"})


# -- pairs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "notes"])
def test_a_pair_of_a_recording(operation: str, tmp_path: Path) -> None:
    parent = recording(0, ("violin",))
    item = pair_item(parent, VARIANTS[operation][-1], str(EXAMPLES / "violin_swing.flac"))
    outcome = run(item, tmp_path)
    assert not isinstance(outcome, Rejection), outcome
    source, target = (Waveform.read(tmp_path / outcome[name]) for name in ("source", "target"))
    assert len(source.samples) == len(target.samples) and source.sample_rate == target.sample_rate == 24_000
    assert outcome["measured"]["level_db"] == pytest.approx(outcome["expected"]["level_db"], abs=0.02)
    assert outcome["asked"] == VARIANTS[operation][-1].asked == item.truth["asked"]
    assert item.group == parent.id and item.id != parent.id


@pytest.mark.parametrize("change", CHANGES)
def test_a_pair_of_a_composed_piece(change: str, tmp_path: Path) -> None:
    variant = next(variant for variant in VARIANTS["notes"] if variant.change == change)
    item = pair_item(composed(5), variant, str(EXAMPLES / "piano_waltz.flac"))
    outcome = run(item, tmp_path)
    assert not isinstance(outcome, Rejection), outcome
    assert outcome["measured"]["kept_notes"] == 1.0 and outcome["measured"]["channels"] == [1, 1]
    assert outcome["measured"].get("speed", 1.0) == pytest.approx(outcome["expected"]["speed"], rel=0.01)
    assert ("speed" in outcome["measured"]) == ("tempo" in outcome["asked"])
    assert outcome["measured"]["interval"] == outcome["expected"]["interval"]


def test_the_same_pair_again_gives_the_same_bytes(tmp_path: Path) -> None:
    item = pair_item(recording(0, ()), SPEED, str(EXAMPLES / "piano_waltz.flac"))
    first, second = run(item, tmp_path / "a"), run(item, tmp_path / "b")
    assert first == second
    assert all((tmp_path / "a" / first[name]).read_bytes() == (tmp_path / "b" / first[name]).read_bytes() for name in ("source", "target"))


@pytest.mark.parametrize(("samples", "rule"), [(torch.zeros(1, 48_000), "silent"), (torch.ones(1, 800) * 0.1, "too short")])
def test_what_cannot_be_edited_is_rejected_with_a_sentence(samples: torch.Tensor, rule: str, tmp_path: Path) -> None:
    Waveform(samples, 16_000).write(tmp_path / "in.wav")
    outcome = run(pair_item(recording(0, ()), SPEED, "in.wav"), tmp_path)
    assert isinstance(outcome, Rejection) and outcome.rule == rule and outcome.why.endswith(".")


def test_a_missing_or_broken_recording_is_an_error_of_its_pair(tmp_path: Path) -> None:
    (tmp_path / "in.flac").write_bytes(b"no sound")
    for name in ("in.flac", "missing.flac"):
        outcome = run(pair_item(recording(0, ()), SPEED, name), tmp_path)
        assert isinstance(outcome, Rejection) and outcome.rule == "error" and name in outcome.why


@pytest.mark.parametrize(("expected", "measured", "words"), [
    ({"level_db": 0.0}, {"level_db": 0.3}, r"\+0.30 dB louder, asked were \+0"),
    ({"level_db": 0.0, "speed": 1.25}, {"speed": 1.27}, "1.270 times the speed, asked were 1.25"),
    ({"level_db": 0.0, "cents": -200.0}, {"cents": -206.0}, "-206.0 cents higher, asked were -200"),
    ({"level_db": 0.0, "interval": 3}, {"interval": 4}, "4 semitones higher, asked were 3"),
    ({"level_db": 0.0}, {"channels": [2, 1]}, "2 and 1 .channels."),
    ({"level_db": 0.0}, {"sample_rate": [32_000, 16_000]}, "32000 and 16000"),
    ({"level_db": 0.0}, {"peak": [0.4, 1.0]}, "may be clipped"),
    ({"level_db": 0.0}, {"reversed": 0.9}, "correlates with its source by 0.900"),
    ({"level_db": 0.0}, {"kept_notes": 0.9}, "keeps 0.900 of the notes"),
    ({"level_db": 0.0}, {"loop": 2}, "2 times, asked were 3"),
])  # fmt: skip
def test_each_tolerance_refuses_what_is_beyond_it(expected: dict[str, float], measured: dict[str, Any], words: str) -> None:
    good = {"channels": [1, 1], "sample_rate": [16_000, 16_000], "peak": [0.4, 0.4], "level_db": 0.0}
    assert fault({"loop": 3}, {"level_db": 0.0}, good) is None
    why = fault({"loop": 3}, expected, good | measured)
    assert why is not None and re.search(words, why)
