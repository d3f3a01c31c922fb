"""ModelSource is the one list of where a model comes from: a field added to it cannot be forgotten elsewhere."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from typing import Any

import pytest

import llama
from llama.checkpoint import __main__ as checkpoint_cli
from llama.checkpoint import loading
from llama.checkpoint.delta import BASE_FIELDS
from llama.checkpoint.source import FIELDS, PATHS, ModelSource
from llama.cli import DEFAULT_MODEL, add_model_flags, load_model
from llama.training.config import ModelSettings

DEFAULTS = {field.name: field.default for field in dataclasses.fields(ModelSource)}
VALUES: dict[str, Any] = {name: f"a {name}" for name in FIELDS} | {"music_decoder": "audioldm2"}


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> list[ModelSource]:
    """The sources that models are loaded from; none is read."""
    result: list[ModelSource] = []
    monkeypatch.setattr(loading, "load_model", lambda source, *_, **__: result.append(source))
    return result


def flags(*leave_out: str) -> list[str]:
    return [part for name in FIELDS if name not in leave_out for part in (f"--{name}", VALUES[name])]


def test_load_takes_and_passes_every_field(sources: list[ModelSource]) -> None:
    parameters = inspect.signature(llama.load).parameters
    assert {name: parameters[name].default for name in FIELDS} == DEFAULTS
    llama.load(**VALUES)
    llama.load()
    assert sources == [ModelSource(**VALUES), ModelSource()]


def test_the_commands_have_a_flag_for_every_field(sources: list[ModelSource]) -> None:
    parser = argparse.ArgumentParser()
    add_model_flags(parser)
    load_model(parser.parse_args(flags()))
    load_model(parser.parse_args([]))
    assert sources == [ModelSource(**VALUES), ModelSource(str(DEFAULT_MODEL))]


def test_convert_has_a_flag_for_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(checkpoint_cli, "convert", lambda **values: calls.append(values))
    for arguments in (flags("model"), []):
        assert checkpoint_cli.main(["convert", VALUES["model"], "target", *arguments]) == 0
    passed = [{name: call.get(name) for name in FIELDS if name != "model"} for call in calls]
    assert passed == [{name: values[name] for name in FIELDS if name != "model"} for values in (VALUES, DEFAULTS)]


def test_a_training_has_a_key_for_every_field() -> None:
    settings = {field.name: field.default for field in dataclasses.fields(ModelSettings)}
    assert settings.pop("path") == "ckpts/nano" and settings.pop("dtype") is None
    assert settings == {name: value for name, value in DEFAULTS.items() if name != "model"}
    assert set(ModelSettings().arguments()) == {*FIELDS, "dtype"}


def test_a_delta_checkpoint_records_every_field() -> None:
    assert set(BASE_FIELDS) == {*FIELDS, "dtype"} and set(PATHS) == {*FIELDS} - {"llama_type", "music_decoder"}


def test_what_differs_from_the_defaults() -> None:
    assert ModelSource("m").non_defaults() == {}
    assert ModelSource(**VALUES).non_defaults() == {name: VALUES[name] for name in FIELDS if name != "model"}
