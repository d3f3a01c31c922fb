"""The loop at its edges: mixed precision, held-out files that are broken, another base, whole models, a smoke test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import Ground

import train
from llama.errors import CollectiveError
from llama.files import WriteError
from llama.mumu_llama import load
from llama.training import launch
from llama.training.config import ModelSettings, TrainConfig
from llama.training.distributed import make_accelerator, raise_collective, run_on_main
from llama.training.launch import fit
from recipes.smoke import smoke_config, tiny_model

pytest_plugins = ("training_helpers",)
TWO = {"max_steps": 2, "save_every": 1}


def held_out(ground: Ground, folder: Path) -> tuple[Path, tuple]:  # type: ignore[type-arg]
    """A question about a recording that is no recording, and a good one."""
    items = json.loads((ground.made / "MusicQA.json").read_text())[:2]
    (folder / "audios").mkdir(parents=True)
    for place, item in enumerate(items):
        name = f"{place}.ogg"
        source = (ground.made / "audios" / item["audio_name"]).read_bytes()
        (folder / "audios" / name).write_bytes(b"no sound" if place == 0 else source)
        item["audio_name"] = name
    (folder / "MusicQA.json").write_text(json.dumps(items))
    source = dataclasses.replace(ground.sources([("musicqa", "MusicQA", "audios", 1)])[0], file=str(folder / "MusicQA.json"),
                                 media=str(folder / "audios"))  # fmt: skip
    return folder, (source,)


def test_bf16_trains_and_answers_about_sound(ground: Ground, tmp_path: Path) -> None:
    """Frozen parts keep their own type inside; what trains is kept in float32."""
    sources = ground.sources([("musicqa", "MusicQA", "audios", 1)])
    model = ModelSettings(path=str(ground.base), dtype="bfloat16")
    config = ground.config(tmp_path / "run", **TWO, precision="bf16", model=model, validate_every=2, examples=2, validation={3: sources})
    last = fit(config, 3)
    assert {value.dtype for value in load_file(last / "weights.safetensors").values()} == {torch.float32}
    told = (tmp_path / "run/examples/step-000002/index.md").read_text()
    assert "question" in told and "no answer" not in told


def test_what_trains_is_not_rounded_on_the_way_to_the_next_stage(ground: Ground, tmp_path: Path) -> None:
    first = fit(ground.config(tmp_path / "one", **TWO, lr=1e-5), 3)
    model = ModelSettings(path=str(first), dtype="bfloat16")
    run = ground.run(tmp_path / "two", model=model, precision="bf16")
    before = load_file(first / "weights.safetensors")
    now = {name: value.detach() for name, value in run.module.named_parameters() if value.requires_grad}
    for name, own in run.trained_names.items():
        assert torch.equal(now[name], before[own]), own
    frozen = {value.dtype for value in run.module.parameters() if not value.requires_grad}
    assert frozen == {torch.bfloat16}


def test_a_broken_held_out_file_is_counted_and_named(ground: Ground, tmp_path: Path) -> None:
    _, sources = held_out(ground, tmp_path / "held")
    config = ground.config(tmp_path / "run", **TWO, validate_every=2, examples=2, validation={3: sources})
    with pytest.raises(ValueError, match=r"1 examples could not be read.*MusicQA\.json #1"):
        fit(config, 3)
    fit(dataclasses.replace(config, output_dir=str(tmp_path / "more"), max_broken=1), 3)
    assert "MusicQA.json #1" in (tmp_path / "more/skipped.txt").read_text()
    assert "no sound" not in (tmp_path / "more/examples/step-000002/index.md").read_text()


def test_a_run_over_another_base_is_not_resumed(ground: Ground, tmp_path: Path) -> None:
    config = ground.config(tmp_path / "run", **TWO)
    fit(config, 3)
    other = tmp_path / "other"
    tiny_model(1).save_pretrained(other)
    longer = dataclasses.replace(config, max_steps=3, model=ModelSettings(path=str(other)))
    with pytest.raises(ValueError, match="was trained with model .*base.* this run has .*other"):
        fit(longer, 3, resume=True)


def test_a_whole_model_is_refused_before_the_first_step(ground: Ground, tmp_path: Path) -> None:
    """Not after the last one."""
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("mine")
    for target, words in ((taken, "is no model folder of ours"), (tmp_path / "x.pth", "several prompt positions")):
        with pytest.raises(ValueError, match=words):
            fit(ground.config(tmp_path / "run", **TWO), 3, export=target)
    assert not (tmp_path / "run/log.csv").exists() and (taken / "letter.txt").exists()


@pytest.mark.parametrize("name", ["taken", "n" * 256, "n" * 252 + ".pth", "file/model"])
def test_a_place_that_cannot_be_written_is_refused_before_the_model_is_loaded(
    name: str, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir()
    for file in (tmp_path / "taken/letter.txt", tmp_path / "file"):
        file.write_text("mine")
    monkeypatch.setattr(launch, "load_for_training", None)
    with pytest.raises((ValueError, WriteError), match="no model folder of ours|could not be written"):
        fit(ground.config(tmp_path / "run", **TWO), 3, export=tmp_path / name)


def test_a_whole_model_is_the_trained_one(ground: Ground, tmp_path: Path) -> None:
    last = fit(ground.config(tmp_path / "run", **TWO), 3, export=tmp_path / "whole")
    tokens = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "whole")(tokens).logits, load(last)(tokens).logits)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_steps": None, "epochs": 1.0, "warmup_steps": 1000}, "warmup_steps 1000 leave nothing of the"),
        ({"max_tokens": 5000}, "max_tokens is 5000, but this model reads at most"),
        ({"precision": "no", "model": "bfloat16"}, "precision no computes in float32"),
        ({"device": "cuda"}, "device cuda is not available here"),
    ],
)
def test_what_cannot_be_is_refused_at_once(ground: Ground, tmp_path: Path, changes: dict, words: str) -> None:  # type: ignore[type-arg]
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    if "model" in changes:
        changes = {**changes, "model": ModelSettings(path=str(ground.base), dtype=changes["model"])}
    with pytest.raises(ValueError, match=words):
        fit(ground.config(tmp_path / "run", **changes), 3)


@pytest.mark.parametrize("start", [float("nan"), -1.0])
def test_gates_start_at_a_number(start: float) -> None:
    with pytest.raises(ValueError, match="gate_start is .*; give from 0 to 10"):
        TrainConfig(gate_start=start)


def test_fairscale_in_several_processes_is_refused(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(ValueError, match="fairscale's activation checkpointing does not run in several processes"):
        ground.run(tmp_path / "run", activation_checkpointing="fairscale")


def test_an_error_of_every_process_is_reported_by_the_main_one(ground: Ground, tmp_path: Path) -> None:
    def refuse() -> None:
        raise ValueError("No.")

    with pytest.raises(ValueError, match="No\\."):
        run_on_main(make_accelerator("no", "cpu"), refuse)
    with pytest.raises(CollectiveError, match="No\\."):
        raise_collective(ValueError("No."), is_main=False)


def test_a_smoke_test_forgets_only_smoke_tests(ground: Ground, tmp_path: Path) -> None:
    fit(ground.config(tmp_path / "run", **TWO), 3)
    smoke_config(str(tmp_path / "run"), 1)
    assert (tmp_path / "run/checkpoints/step-000002").is_dir() and (tmp_path / "run/last").is_dir()


def test_a_smoke_test_takes_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--smoke", "--config", "configs/nano.yaml"]) == 1
    assert "--config has no effect" in capsys.readouterr().err
