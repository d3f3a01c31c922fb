"""What a run is resumed over: damaged checkpoints, data that changed meanwhile, and folders that were moved."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest
from training_helpers import Ground, Rejected, checkpoints, same, weights

from llama.data.source import Source
from llama.training.config import ModelSettings, TrainConfig
from llama.training.launch import fit
from llama.training.run_checkpoints import RunCheckpoints

pytest_plugins = ("training_helpers",)
SHORT = {"max_steps": 3, "save_every": 1}


def short_run(ground: Ground, folder: Path) -> TrainConfig:
    """The configuration of a run in `folder` with a base and data of its own there, ended after two of three steps."""
    shutil.copytree(ground.base, folder / "base")
    shutil.copytree(ground.made / "audios", folder / "audios")
    shutil.copy(ground.made / "MusicQA.json", folder)
    config = config_in(ground, folder)
    fit(dataclasses.replace(config, max_steps=2), 3)
    return config


def config_in(ground: Ground, folder: Path) -> TrainConfig:
    source = Source("musicqa", str(folder / "MusicQA.json"), str(folder / "audios"))
    return ground.config(folder / "run", model=ModelSettings(path=str(folder / "base")), data={3: (source,)}, **SHORT)


@pytest.fixture(scope="module")
def stopped(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped") / "one"
    folder.mkdir()
    short_run(ground, folder)
    return folder


@pytest.fixture(scope="module")
def whole(ground: Ground, stopped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    fit(dataclasses.replace(config_in(ground, stopped), output_dir=str(out)), 3)
    return out


@pytest.fixture()
def folder(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run, with base and data at their first place."""
    shutil.copytree(stopped / "run", tmp_path / "run")
    return tmp_path


def test_damage_inside_the_newest_checkpoint(
    ground: Ground, stopped: Path, whole: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "run/checkpoints/step-000002/optimizer.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    config = dataclasses.replace(config_in(ground, stopped), output_dir=str(folder / "run"))
    with caplog.at_level(logging.WARNING):
        fit(config, 3, resume=True)
    assert "step-000002 is left out: its optimizer.safetensors is damaged" in caplog.text
    assert "the checkpoint of step 1 is used instead." in caplog.text
    assert same(weights(folder / "run"), weights(whole))


def test_all_checkpoints_are_damaged(ground: Ground, stopped: Path, folder: Path) -> None:
    for step in checkpoints(folder / "run"):
        file = folder / f"run/checkpoints/step-{step:06d}/state.json"
        file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    config = dataclasses.replace(config_in(ground, stopped), output_dir=str(folder / "run"))
    with pytest.raises(ValueError, match="All checkpoints in .* are damaged; begin again with another --output_dir"):
        fit(config, 3, resume=True)


def test_the_state_of_another_optimizer(ground: Ground, stopped: Path, folder: Path) -> None:
    runs = RunCheckpoints(folder / "run", keep=9)
    newest = runs.newest()
    assert newest is not None
    momentum = {f"momentum_buffer.{name}": value for name, value in newest.weights.items()}
    runs.save(dataclasses.replace(newest, optimizer=momentum))
    config = dataclasses.replace(config_in(ground, stopped), output_dir=str(folder / "run"))
    with pytest.raises(ValueError, match="holds the optimizer state momentum_buffer, but this run's .* keeps exp_avg"):
        fit(config, 3, resume=True)


def test_data_that_changed_meanwhile(ground: Ground, stopped: Path, folder: Path, refused: Rejected) -> None:
    items = json.loads((stopped / "MusicQA.json").read_text())
    source = Source("musicqa", str(folder / "MusicQA.json"), str(stopped / "audios"))
    changed = items[:-1], [*items[:-1], items[0] | {"conversation": items[1]["conversation"]}]
    for data, words in zip(changed, (f"{len(items)} examples", "other content of"), strict=True):
        (folder / "MusicQA.json").write_text(json.dumps(data))
        flags = ground.flags(folder / "run", model=ModelSettings(path=str(stopped / "base")), data={3: (source,)}, **SHORT)
        said = refused([*flags, "--resume"])
        assert "was begun with" in said and words in said and "put them back" in said
    flags = ground.flags(folder / "run", model=ModelSettings(path=str(stopped / "base")),
                         data=config_in(ground, stopped).data, holdout=0.5, **SHORT)  # fmt: skip
    assert "was begun with" in refused([*flags, "--resume"])


def test_a_tree_that_was_moved(ground: Ground, whole: Path, tmp_path: Path) -> None:
    """Run, base and data: nothing is left at their first place."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    short_run(ground, first)
    first.rename(second)
    fit(config_in(ground, second), 3, resume=True)
    assert same(weights(second / "run"), weights(whole))
    assert str(first) not in (second / "run/last/origin.json").read_text()
