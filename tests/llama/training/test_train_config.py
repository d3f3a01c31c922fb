"""Settings: the files that come with the code, what they may hold, and how each slip is told."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from llama.data.source import Source
from llama.training.config import ModelSettings, SyntheticSet, TrainConfig, read_config, to_yaml
from llama.training.stages import stage

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = [
    (path, number)
    for path in sorted(CONFIGS.glob("*.yaml"))
    for number in yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
]
ALPACA = "data: {1: [{form: alpaca, file: a.json}]}\n"


@pytest.fixture()
def write(tmp_path: Path) -> Any:
    def to_file(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def refusal(path: Path, number: int = 1, **overrides: Any) -> str:
    with pytest.raises(ValueError) as caught:
        read_config(path, number, overrides)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text and text.endswith(".")
    return text


# -- the files that come with the code ----------------------------------------------------------------------------


def test_the_files_are_all_there() -> None:
    by_file: dict[str, list[int]] = {}
    for path, number in SHIPPED:
        by_file.setdefault(path.stem, []).append(number)
    every = [1, 2, 3]
    assert by_file == {"nano": every, "musicgen-medium": every, "audioldm2": every, "songs": [3], "own_set": [3]}


@pytest.mark.parametrize(("path", "number"), SHIPPED, ids=lambda one: getattr(one, "stem", one))
def test_every_shipped_file_reads_and_returns(path: Path, number: int, write: Any) -> None:
    config = read_config(path, number)
    assert config.data[number] and stage(number, config.preset)
    assert read_config(write(to_yaml(config)), number) == config


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_stages_do_not_share_an_output_folder(path: Path) -> None:
    numbers = [number for file, number in SHIPPED if file == path]
    assert len({read_config(path, number).output_dir for number in numbers}) == len(numbers)


def test_nano_is_as_its_decoder_was_trained() -> None:
    config = read_config(CONFIGS / "nano.yaml", 2)
    from recipes.nano.language import train_cached as recipe

    assert (config.condition_registers, config.register_weight) == (recipe.REGISTERS, recipe.REGISTER_WEIGHT)
    assert (config.condition_weight, config.condition_padding) == (recipe.CONDITION_WEIGHT, "silence")
    assert config.freeze == ("adapters.audio.pools",) and config.made == SyntheticSet("runs/nano/made", 240, 0)
    assert all(source.file.startswith(config.made.folder) for sources in config.data.values() for source in sources)


@pytest.mark.parametrize("name", ["musicgen-medium", "audioldm2"])
def test_the_published_rates_and_starting_points(name: str) -> None:
    first, second, third = (read_config(CONFIGS / f"{name}.yaml", number) for number in (1, 2, 3))
    assert (first.lr, first.min_lr, first.weight_decay, first.betas) == (1e-4, 1e-6, 0.05, (0.9, 0.95))
    assert (first.epochs, second.epochs, third.epochs) == (5, 5, 2)
    assert first.model.path is None and first.model.llama_dir == "ckpts/LLaMA-2"
    assert second.model.path == f"{first.output_dir}/last" and third.model.path == f"{second.output_dir}/last"
    assert second.model.llama_dir is None, "a folder from training knows its base"


# -- merging ------------------------------------------------------------------------------------------------------


def test_a_stage_lies_over_the_rest_and_the_command_line_over_both(write: Any) -> None:
    path = write(ALPACA + "lr: 1e-3\nseed: 1\nstages: {1: {lr: 0.002, model: {path: a}}, 2: {lr: 5}}\nmodel: {llama_dir: b}\n")
    config = read_config(path, 1, {"seed": 7, "output_dir": None})
    assert (config.lr, config.seed, config.output_dir) == (0.002, 7, TrainConfig().output_dir)
    assert config.model == ModelSettings(path="a"), "a group is replaced as a whole"


def test_the_value_travels_to_workers_and_does_not_change(write: Any) -> None:
    config = read_config(write(ALPACA), 1)
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (30, 3), (50, 5), (51, 50), (400, 50)])
def test_a_short_trial_shortens_the_warmup(write: Any, steps: int, warmup: int) -> None:
    config = read_config(write(ALPACA + "max_steps: 300\nwarmup_steps: 50\n"), 1, {"max_steps": steps})
    assert (config.max_steps, config.warmup_steps) == (steps, warmup)


def test_what_yaml_makes_of_words_and_numbers(write: Any) -> None:
    """A bare no is false to YAML, and 3e-4 a word."""
    config = read_config(write(ALPACA + "precision: no\nlr: 3e-4\nmin_lr: 0\nbetas: [0, 9e-1]\nepochs: 2\nmax_steps: null\n"), 1)
    assert (config.precision, config.lr, config.betas, config.epochs) == ("no", 3e-4, (0.0, 0.9), 2.0)
    assert isinstance(config.min_lr, float)


def test_relative_paths_stay_as_written(write: Any) -> None:
    config = read_config(write("data: {1: [{form: captions, kind: audio, file: ./a/b.json, media: ../c}]}"), 1)
    assert config.data[1] == (Source("captions", "./a/b.json", "../c", "audio"),)


def test_arguments_of_loading() -> None:
    import inspect

    from llama.mumu_llama import load

    values = ModelSettings(path=None, llama_dir="x", dtype="bfloat16").arguments()
    inspect.signature(load).bind(**values)
    assert (values["model"], values["llama_dir"], values["dtype"]) == (None, "x", torch.bfloat16)
    assert ModelSettings().arguments()["dtype"] is None


# -- slips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        (ALPACA + "batchsize: 4", "batchsize", "batch_size"),
        (ALPACA + "learning_rate: 4", "learning_rate", None),
        (ALPACA + "stage: {1: {lr: 1}}", "stage", "stages"),
        (ALPACA + "stages: {1: {warmup_step: 3}}", "warmup_step", "warmup_steps"),
        (ALPACA + "stages: {2: {modle: {}}}", "modle", "model"),
        (ALPACA + "stages: {1: {model: {lama_dir: x}}}", "lama_dir", "llama_dir"),
        (ALPACA + "model: {vit: x}", "vit", "vit_path"),
        (ALPACA + "made: {folder: x, piece: 3}", "piece", "pieces"),
        ("data: {1: [{form: alpaca, fil: a.json}]}", "fil", "file"),
        (ALPACA + "validation: {1: [{form: alpaca, file: a, time: 2}]}", "time", "times"),
        (ALPACA + "3: x", 3, None),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest(write: Any, text: str, wrong: object, right: str | None) -> None:
    said = refusal(write(text))
    assert f"the key {wrong!r}" in said and "the nearest right one is" in said
    assert right is None or said.endswith(f"{right!r}.")


def test_a_misspelt_override_is_named(write: Any) -> None:
    assert "'max_step' of the command line" in refusal(write(ALPACA), max_step=3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr: fast", "lr is 'fast'; give a number"),
        ("lr:", "lr is None; give a number"),
        ("seed: 1.5", "seed is 1.5; give a whole number"),
        ("batch_size: true", "batch_size is True; give a whole number"),
        ("fsdp: 1", "fsdp is 1; give true or false"),
        ("output_dir: 2024", "output_dir is 2024; give text (in quotes"),
        ("freeze: adapters", "freeze is 'adapters'; give a list"),
        ("precision: half", "precision is 'half'; choose no, bf16, fp16"),
        ("model: ckpts/nano", "'ckpts/nano' in model is no group of settings"),
        ("made: {pieces: 3}", "made lacks folder"),
        ("made: {folder: x, pieces: 0}", "made: pieces is 0; give more than 0"),
        ("stages: [1]", "stages is [1]; give settings by stage"),
        ("stages: {one: {}}", "a key in stages is 'one'"),
        ("stages: {4: {lr: 1}}", "settings for stage 4 would never be used"),
        ("stages: {2: {data: {}}}", "data has stages of its own; write it as data: 2:"),
        ("preset: lora", "no stage 1 in the preset 'lora'; choose stage 3"),
        ("preset: mine", "preset 'mine' is unknown"),
    ],
)
def test_values_of_the_wrong_kind_are_named(write: Any, text: str, says: str) -> None:
    assert says in refusal(write(ALPACA + text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("min_lr: 0.01", "min_lr 0.01 is above lr 0.0003"),
        ("max_steps: 10\nwarmup_steps: 10", "leave nothing of max_steps 10"),
        ("epochs: null", "neither max_steps nor epochs"),
        ("lr: .nan", "lr is nan"),
        ("lr: 0", "lr is 0.0; give more than 0"),
        ("seed: -1", "seed is -1; give 0 or more"),
        ("holdout: 1", "holdout is 1.0; give from 0 to below 1"),
        ("betas: [0.9]", "betas are [0.9]"),
        ("betas: [0.9, 1]", "betas are [0.9, 1.0]"),
        ("offload: true", "activation_checkpointing: fairscale"),
        ("register_weight: 4", "give condition_registers"),
        ("validation: {9: []}", "settings for stage 9 would never be used"),
    ],
)
def test_contradictions_are_refused(write: Any, text: str, says: str) -> None:
    assert says in refusal(write(ALPACA + text))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{form: mucaps, file: a}", "choose captions, captions_to_music, musicqa"),
        ("{file: a}", "lacks form"),
        ("{form: captions, file: a, kind: sound}", "'sound'; choose audio, image, video"),
        ("{form: musicqa, media: a}", "musicqa without a file"),
        ("{form: songs}", "songs are one folder: name it with media"),
        ("{form: songs, file: a, media: b}", "songs are one folder"),
        ("{form: alpaca, file: a, times: 0}", "times is 0.0; give more than 0"),
        ("{form: hub, file: a, columns: {audio: 3}}", "columns in"),
        ("alpaca", "'alpaca' in data: 1: number 2 is no group"),
    ],
)
def test_a_wrong_source_is_told_by_its_place(write: Any, source: str, says: str) -> None:
    said = refusal(write(f"data:\n  1:\n    - {{form: alpaca, file: a}}\n    - {source}\n"))
    assert says in said and "data: 1: number 2" in said


def test_a_source_made_in_code_is_checked_too() -> None:
    with pytest.raises(ValueError, match="the form 'mucaps' is unknown"):
        Source("mucaps", "a.json")  # type: ignore[arg-type]


@pytest.mark.parametrize("rest", ["", "data: {}", "data: {2: }", "data: {2: []}", "data: {1: [{form: alpaca, file: a}]}"])
def test_no_data_for_the_stage(write: Any, rest: str) -> None:
    assert "has no data for stage 2; add it under data: 2:." in refusal(write(f"lr: 0.001\n{rest}\n"), 2)


@pytest.mark.parametrize("number", [0, 4])
def test_an_unknown_stage_says_which_there_are(write: Any, number: int) -> None:
    assert "choose stage 1, 2 or 3" in refusal(write(ALPACA), number)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a: " + "[" * 3000, "nested more than 100 deep"),
        ("lr: 0001-99-99", "month must be in 1..12"),
        (f"seed: {'1' * 5000}", "more than 300 digits"),
        (f"seed: {2**63}", "give a whole number of at most 9223372036854775807"),
        (f"clip: {'x' * 100_000}", "clip is 'xxx"),
        ("lr: 0.1\nlr: 0.2", "'lr' is given twice"),
    ],
)
def test_values_of_any_size_are_one_short_sentence(write: Any, line: str, says: str) -> None:
    said = refusal(write(f"{ALPACA}\n{line}\n"))
    assert says in said and len(said) < 1000


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b", "lr: [1, 2", "\tlr: 1"])
def test_what_is_no_settings_file(write: Any, text: str) -> None:
    said = refusal(write(text))
    assert re.search("holds no settings|not readable as YAML", said)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no configuration .*none\.yaml; give"):
        read_config(tmp_path / "none.yaml", 1)
