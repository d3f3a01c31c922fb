"""Instructions and answers: every template passes every guard, the writer's faults are recorded, and seeds repeat texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from DataSet.pipeline.instructions import FORMS, InstructionStep
from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Rejection, StepInput
from DataSet.pipeline.writers import WriterConfig

MUSIC = "A swing tune in D major: a violin over piano chords, without drums, about 132 beats per minute in 4/4."
SIGHT = "It feels calm: the sea at sunset."
EDITS: tuple[dict[str, Any], ...] = (
    {"speed": 1.5}, {"speed": 0.5}, {"speed": 2}, {"speed": 0.7}, {"speed": 1.3}, {"cents": 500}, {"cents": -100},
    {"cents": 70}, {"semitones": -3}, {"speed": 1.5, "cents": -200}, {"speed": 0.7, "cents": 300}, {"level_db": -6},
    {"level_db": 3.5}, {"reverse": True}, {"loop": 3}, {"drums": False}, {"drums": True}, {"tempo": 96}, {"metre": 3},
    {"key": 3, "mode": "minor"}, {"mode": "minor"}, {"lead": "organ"}, {"accompaniment": "pad"},
    {"style": "waltz", "metre": 3}, {"speed": 1.2, "drums": False},
)  # fmt: skip


def given(key: str = "song", asked: Mapping[str, Any] | None = None, tags: tuple[str, ...] = (), music: str = MUSIC) -> StepInput:
    results = {"music_caption": {"text": music}, "vision_caption": {"text": SIGHT}, "edit": {"asked": asked or {"speed": 1.5}}}
    return StepInput(Item("set", key, {}, tags=tags), results)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "muedit"])
def test_templates_pass_all_guards(form: str) -> None:
    batch = [given(f"song {seed}", tags=("rock music", "guitar", "wedding") if seed % 2 else ()) for seed in range(200)]
    outcomes = InstructionStep(WriterConfig(), form)(batch)
    assert all(not isinstance(outcome, Rejection) and not outcome["refused"] for outcome in outcomes)
    assert len({outcome["human"] for outcome in outcomes}) > (15 if form == "mucaps" else 100)  # varied


@pytest.mark.parametrize("asked", EDITS, ids=str)
def test_templates_of_edits_pass_all_guards(asked: dict[str, Any]) -> None:
    outcomes = InstructionStep(WriterConfig(), "muedit")([given(f"song {seed}", asked) for seed in range(200)])
    assert all(not isinstance(outcome, Rejection) and not outcome["refused"] for outcome in outcomes)
    assert len({outcome["human"] for outcome in outcomes}) > 20
    assert {outcome["writer"] for outcome in outcomes} == {"template"}


def test_a_text_depends_on_its_item_alone() -> None:
    step = InstructionStep(WriterConfig(), "mucaps")
    batch = [given(f"song {seed}") for seed in range(4)]
    assert step(batch) == [step([one])[0] for one in batch] == InstructionStep(WriterConfig(), "mucaps")(batch)


def test_what_is_missing_is_said_for_that_item_alone() -> None:
    step = InstructionStep(WriterConfig(), "muimage")
    lacking = StepInput(Item("set", "song", {}), {"music_caption": {"text": MUSIC}})
    first, second, third = step([given(), lacking, given("other")])
    assert isinstance(second, Rejection) and "has no vision_caption" in second.why
    assert not isinstance(first, Rejection) and not isinstance(third, Rejection)


def test_a_caption_that_no_text_may_hold_is_rejected() -> None:
    [outcome] = InstructionStep(WriterConfig(), "mucaps")([given(music="[INST] Describe the music [/INST].")])
    assert isinstance(outcome, Rejection) and outcome.rule == "instruction" and "chat_marks" in outcome.why


@pytest.mark.parametrize("asked", [{"sped": 2}, {"speed": -1}, {"speed": 1}, {"key": "H"}])
def test_an_edit_of_nothing_or_of_something_unknown_is_rejected(asked: dict[str, Any]) -> None:
    [outcome] = InstructionStep(WriterConfig(), "muedit")([given(asked=asked)])
    assert isinstance(outcome, Rejection) and outcome.why.endswith(".")


def test_the_spec_names_the_set_and_the_writer() -> None:
    specs = {InstructionStep(WriterConfig(), form).spec.digest for form in FORMS}
    assert len(specs) == len(FORMS)


WRONG: tuple[dict[str, Any], ...] = (
    {"kind": "parrot"}, {"kind": "transformers"}, {"kind": "address", "model": "m"}, {"tries": 0}, {"model_name": "m"},
)  # fmt: skip


@pytest.mark.parametrize("values", WRONG)
def test_a_wrong_writer_is_refused_in_a_sentence(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        WriterConfig.from_values(values)


def test_an_item_without_tags_is_asked_for_without_any() -> None:
    batch = [given(f"song {seed}") for seed in range(100)]
    outcomes = InstructionStep(WriterConfig("faulty"), "muimage")(batch)
    texts = [outcome["human"] for outcome in outcomes if not isinstance(outcome, Rejection)]
    assert len(texts) == 100 and not [text for text in texts if "none" in text.lower()]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "muedit"])
def test_long_captions_fit(form: str) -> None:
    music = " ".join(["It has a slow part and a fast one."] * 25)
    outcomes = InstructionStep(WriterConfig(), form)([given(f"song {seed}", music=music) for seed in range(20)])
    assert all(not isinstance(outcome, Rejection) and not outcome["refused"] for outcome in outcomes)
