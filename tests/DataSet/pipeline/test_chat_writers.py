"""Writers over language models: a tiny random Mistral, whose noise no guard takes, and a stub server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stub_chat_server as stub
import tiny_caption_models as tiny

from DataSet.pipeline.chat_writers import TransformersWriter
from DataSet.pipeline.instructions import FORMS, InstructionStep
from DataSet.pipeline.isolation import ModelError
from DataSet.pipeline.item import Item
from DataSet.pipeline.prompt_files import Decoding
from DataSet.pipeline.step import Rejection, StepInput, TransientError
from DataSet.pipeline.writers import WriterConfig, WritingTask

RESULTS: dict[str, Any] = {
    "music_caption": {"text": "A ballad for flute over strings at 72 bpm."}, "vision_caption": {"text": "The sea at sunset."},
    "edit": {"asked": {"speed": 1.5}},
}  # fmt: skip
GOOD = {"human": "Please speed this recording up to 1.5 times its speed.", "gpt": "Here is the recording, sped up to 1.5 times its speed."}


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.mistral(tmp_path_factory.mktemp("mistral"))


@pytest.fixture
def server() -> Iterator[stub.StubServer]:
    yield from stub.run()


def given(key: str = "song") -> StepInput:
    return StepInput(Item("set", key, {}), RESULTS)


def part_of(body: dict[str, Any]) -> str:
    return "gpt" if "hands" in body["messages"][0]["content"] else "human"


# -- transformers -------------------------------------------------------------------------------------------------


def tasks(temperature: float, seeds: range) -> list[WritingTask]:
    return [WritingTask(f"Ask for music {'quietly ' * seed}.", lambda rng: "", seed, Decoding(16, temperature)) for seed in seeds]


def test_a_batch_says_what_each_says_alone(mistral: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("DataSet.pipeline.chat_writers.whole_sentences", lambda text, complete=False: text)
    writer = TransformersWriter(WriterConfig("transformers", str(mistral), dtype="float32"))
    for temperature in (0.0, 0.9):
        texts = writer.write(tasks(temperature, range(4)))
        assert all(texts) and texts == [writer.write([task])[0] for task in tasks(temperature, range(4))]
    assert texts != writer.write(tasks(0.9, range(10, 14)))
    assert writer.write([*tasks(0.0, range(2)), *tasks(0.9, range(2))])[2:] == texts[:2]


def test_a_model_that_babbles_is_replaced_by_the_template(mistral: Path) -> None:
    step = InstructionStep(WriterConfig("transformers", str(mistral), tries=2, decoding={"max_tokens": 8}), "muedit")
    [outcome] = step([given()])
    assert outcome["writer"] == "template" and len(outcome["refused"]) == outcome["tries"] >= 2
    assert outcome == InstructionStep(step.config, "muedit")([given()])[0]
    assert step.spec.settings["prompts"]["gpt"]["name"] == "muedit_gpt" and step.spec.settings["model"] == mistral.name


def test_a_model_without_chat_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no chat template"):
        InstructionStep(WriterConfig("transformers", str(tiny.mistral(tmp_path, chat=False))), "mucaps")([given()])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        InstructionStep(WriterConfig("transformers", str(tmp_path / "nowhere")), "mucaps")([given()])


# -- a server -----------------------------------------------------------------------------------------------------


def address(server: stub.StubServer, **values: Any) -> WriterConfig:
    return WriterConfig("address", "model", url=server.url, **values)


def test_what_a_server_writes_well_is_taken(server: stub.StubServer) -> None:
    server.reply = lambda body, number: (200, stub.completion(GOOD[part_of(body)]), {})
    outcomes = InstructionStep(address(server), "muedit")([given("one"), given("two")])
    assert outcomes == [{**GOOD, "writer": "address", "tries": 2, "refused": []}] * 2
    assert len({body["seed"] for body in server.bodies}) == 4 and "1.5 times its speed" in server.bodies[0]["messages"][0]["content"]


def test_a_refused_text_is_written_anew_with_another_seed(server: stub.StubServer) -> None:
    bad = {"human": "Slow it down to 1.5 times its speed.", "gpt": "Here is the recording, sped up to 0.67 times its speed."}
    seen: list[str] = []

    def reply(body: dict[str, Any], number: int) -> tuple[int, Any, dict[str, str]]:
        part = part_of(body)
        seen.append(part)
        return 200, stub.completion((bad if seen.count(part) == 1 else GOOD)[part]), {}

    server.reply = reply
    [outcome] = InstructionStep(address(server), "muedit")([given()])
    assert {**GOOD, "writer": "address", "tries": 4}.items() <= outcome.items()
    assert [(entry["rule"], entry["part"], entry["text"]) for entry in outcome["refused"]] == [
        ("direction", "human", bad["human"]), ("number", "gpt", bad["gpt"])]  # fmt: skip
    assert len({body["seed"] for body in server.bodies}) == 4


def test_tries_are_bounded_and_then_the_template_writes_both_turns(server: stub.StubServer) -> None:
    long = "very " * 4000
    server.reply = lambda body, number: (200, stub.completion(GOOD["human"] if part_of(body) == "human" else long, "length"), {})
    [outcome] = InstructionStep(address(server, tries=3), "muedit")([given()])
    assert outcome["writer"] == "template" and outcome["human"] != GOOD["human"] and outcome["tries"] == len(server.bodies) == 4
    assert {entry["rule"] for entry in outcome["refused"]} == {"empty"}  # no sentence of it was whole


def test_a_text_that_the_server_refuses_counts_as_a_try(server: stub.StubServer) -> None:
    server.reply = lambda body, number: (400, {"message": "too long"}, {})
    first, second = InstructionStep(address(server, tries=1), "mucaps")([given("one"), given("two")])
    assert not isinstance(first, Rejection) and first["writer"] == second["writer"] == "template"
    assert {entry["rule"] for entry in first["refused"]} == {"error"} and "too long" in first["refused"][0]["why"]


def test_a_server_that_is_down_stops_the_batch(server: stub.StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("DataSet.pipeline.chat_client.time.sleep", lambda seconds: None)
    server.reply = lambda body, number: (503, b"", {})
    with pytest.raises(TransientError, match="answered 503"):
        InstructionStep(address(server), "mucaps")([given()])


@pytest.mark.parametrize("form", FORMS)
def test_every_prompt_has_what_its_set_knows(server: stub.StubServer, form: str) -> None:
    server.reply = lambda body, number: (200, stub.completion("no"), {})
    InstructionStep(address(server, tries=1), form)([given()])
    texts = [body["messages"][0]["content"] for body in server.bodies]
    assert len(texts) == 2 and not any("{" in text for text in texts)
    assert all(("1.5 times its speed" if form == "muedit" else "sea" if form != "mucaps" else "ballad") in text for text in texts)
