"""Prompt files: what is shipped is complete, what is wrong is one sentence; and calls of batches in which one item is at fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from DataSet.pipeline.captioners import MEDIA, default_prompt
from DataSet.pipeline.instructions import FORMS, PARTS
from DataSet.pipeline.isolation import call_isolated
from DataSet.pipeline.prompt_files import FOLDER, Decoding, read_prompt
from DataSet.pipeline.step import TransientError


def test_every_shipped_prompt_is_used_and_named_as_its_file() -> None:
    names = {default_prompt(kind, medium) for kind in ("mumu", "chat") for medium in MEDIA}
    names |= {f"{form}_{part}" for form in FORMS for part in PARTS}
    assert {file.stem for file in FOLDER.iterdir()} == names
    for name in names:
        prompt = read_prompt(name)
        assert prompt.name == name and prompt.version == 1 and prompt.decoding.max_tokens <= 200
        assert set(prompt.fields) <= {"caption", "vision_caption", "tags", "edit"}


def test_the_digest_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("{name: p, version: 1, text: 'Describe {caption} in {tags}.'}")
    first = read_prompt(file)
    assert first.filled({"caption": "a {tags}", "tags": "x"}) == "Describe a {tags} in x."  # what is filled in is not filled again
    with pytest.raises(ValueError, match="needs tags, which this item lacks"):
        first.filled({"caption": "a", "tags": ""})
    file.write_text("{name: p, version: 2, text: 'Describe {caption} in {tags}.'}")
    assert read_prompt(file).digest != first.digest
    short = read_prompt(file, {"max_tokens": 5})
    assert short.decoding == Decoding(5) and short.digest == read_prompt(file).digest


WRONG = (
    "", "[]", "{name: p}", "{name: p, version: 1, text: ''}", "{name: p, version: one, text: a}",
    "{name: p, version: 1, text: a, colour: red}", "{name: p, version: 1, text: a, decoding: {warmth: 1}}",
    "{name: p, version: 1, text: a, decoding: hot}", "{name: p, version: 1, text: a, decoding: {temperature: -1}}",
    "{name: p, version: 1, text: a, decoding: {temperature: 1.0, beams: 4}}", "{name: p, name: q, version: 1, text: a}", "{name: [",
)  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"p\.yaml.*\.$"):
        read_prompt(tmp_path / "p.yaml")


def test_a_missing_file_names_the_shipped_ones() -> None:
    with pytest.raises(FileNotFoundError, match="chat_audio, chat_image"):
        read_prompt("no_such_prompt")


def test_a_fault_costs_no_other_item_its_result() -> None:
    calls: list[int] = []

    def double(values: Sequence[int]) -> list[int]:
        calls.append(len(values))
        if 3 in values:
            raise ValueError("three")
        return [2 * value for value in values]

    results = call_isolated(double, range(8))
    assert [str(result) for result in results] == ["0", "2", "4", "three", "8", "10", "12", "14"]
    assert calls == [8, 4, 2, 2, 1, 1, 4] and call_isolated(double, []) == []


def test_a_batch_that_does_not_fit_the_memory_is_halved() -> None:
    def fits(most: int, values: Sequence[int]) -> list[int]:
        if len(values) > most:
            raise torch.OutOfMemoryError("no room")
        return list(values)

    assert call_isolated(lambda values: fits(2, values), range(7)) == list(range(7))
    with pytest.raises(TransientError, match="not enough memory for one item"):
        call_isolated(lambda values: fits(0, values), range(2))


def test_faults_of_the_program_pass() -> None:
    def broken(values: Sequence[int]) -> list[int]:
        raise KeyError("a")

    with pytest.raises(KeyError):
        call_isolated(broken, [1, 2])
