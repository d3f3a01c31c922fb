"""The loop in one process: what a batch makes of its rows, what changes and what does not, and what is kept of it."""

from __future__ import annotations

import dataclasses
import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from conftest import component_paths
from torch import Tensor
from training_helpers import Ground, lesson_of, same, weights

from llama import load
from llama.checkpoint.delta import AUDIO_TOKEN_ROWS
from llama.config import MODALITIES
from llama.data.mixture import read_examples
from llama.media.audio import Waveform
from llama.mumu_llama import MuMuLLaMA
from llama.training.config import ModelSettings
from llama.training.launch import fit
from llama.training.module import TrainingModule, complete_model, internal_name
from llama.training.stages import GROUPS, trainable
from llama.training.trainer import Trainer
from llama.training.validation import turn_of

pytest_plugins = ("training_helpers",)

# -- what a batch makes of its rows -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run before its first step; tests must not change it."""
    return ground.run(tmp_path_factory.mktemp("fresh") / "run")


def by_task(run: Trainer, task: str) -> list[Any]:
    return [example for example in run.train_data if example.task == task]


def test_company_changes_no_row(fresh: Trainer) -> None:
    """Recordings of different lengths, a picture, a clip, and words alone: together, each is what it is by itself."""
    first, second = (next(one for one in by_task(fresh, "question") if f"heard_0000{place}" in str(one.audio.path)) for place in (0, 3))
    sights = [by_task(fresh, task)[0] for task in ("image_to_music", "video_to_music", "edit")]
    examples = [first, by_task(fresh, "chat")[0], second, *sights]
    assert len({Waveform.read(one.audio.path).samples.shape for one in (first, second)}) == 2
    with torch.no_grad():
        together = fresh.module(lesson_of(fresh, examples))
        apart = [fresh.module(lesson_of(fresh, [one])) for one in examples]
    assert float(together["words"].min()) > 1
    for name in ("words", "words_count", "condition", "condition_count"):
        torch.testing.assert_close(together[name], torch.cat([one[name] for one in apart]), rtol=1e-5, atol=1e-4)


def test_media_are_heard(fresh: Trainer) -> None:
    """The words' loss of a question depends on its recording: what the equality above could not show by itself."""
    question = by_task(fresh, "question")[0]
    others = [one.audio for one in by_task(fresh, "question") if one.audio.path != question.audio.path]
    with torch.no_grad():
        heard, swapped, deaf = (
            fresh.module(lesson_of(fresh, [dataclasses.replace(question, audio=one)]))["words"]
            for one in (question.audio, others[0], None)
        )
    assert len({float(heard), float(swapped), float(deaf)}) == 3


def gradients(run: Trainer) -> dict[str, Tensor | None]:
    examples = [by_task(run, task)[0] for task in ("image_to_music", "video_to_music", "edit", "chat")]
    found = run.module(lesson_of(run, examples))
    (found["words"].sum() + found["condition"].sum() + found["zero_grad_anchor"]).backward()
    return {internal_name(name): value.grad for name, value in run.module.named_parameters()}


def reached(found: dict[str, Tensor | None], prefix: str) -> float:
    return max(float(value.abs().max()) for name, value in found.items() if name.startswith(prefix) and value is not None)


def test_gradients_reach_what_lies_behind_the_gates(ground: Ground, tmp_path: Path) -> None:
    found = gradients(ground.run(tmp_path / "run", gate_start=0.1))
    assert {name for name, value in found.items() if value is not None} <= set(trainable_of(ground, tmp_path))
    for kind in MODALITIES:
        assert reached(found, f"adapters.{kind}.") > 1e-8 and reached(found, f"prefix_query.{kind}") > 1e-8
        assert reached(found, f"adapters.{kind}.mix") > 1e-8  # the farthest from the loss


def test_behind_closed_gates_nothing_learns_but_the_gates(ground: Ground, tmp_path: Path) -> None:
    found = gradients(ground.run(tmp_path / "run", gate_start=0.0))
    assert reached(found, "adapters.") == reached(found, "prefix_query.") == 0
    assert max(float(value.abs().max()) for name, value in found.items() if name.endswith(".gate") and value is not None) > 1e-8


def trainable_of(ground: Ground, tmp_path: Path) -> tuple[str, ...]:
    run = ground.run(tmp_path / "names")
    return trainable(run.module.model, run.stage)


# -- what training changes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    run: Trainer
    out: Path
    before: dict[str, Tensor]  # own parameters, and all that the neighbours hold
    modes: set[tuple[str, bool]]  # of the neighbours' modules, in the middle of a step


def everything(run: Trainer) -> dict[str, Tensor]:
    found = {internal_name(name): value.detach().clone() for name, value in run.module.named_parameters()}
    for name, part in run.components.items():
        found |= {f"{name}.{inner}": value.detach().clone() for inner, value in part.state_dict().items()}
    return found


@pytest.fixture(scope="module")
def trained(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Stage 3 on every kind of example, trained in this process, validated and made to answer on the way."""
    out = tmp_path_factory.mktemp("trained") / "run"
    run = ground.run(out, max_steps=4, batch_size=4, holdout=0.2, validate_every=2, validation_rows=4, examples=1, example_seconds=0.5)
    before, modes, forward = everything(run), set[tuple[str, bool]](), run.module.forward

    def watched(*inputs: Any) -> Any:
        if torch.is_grad_enabled():
            modes.add(("learner", run.module.training))
            modes.update((name, module.training) for name, part in run.components.items() for module in part.modules())
        return forward(*inputs)

    run.module.forward = watched  # type: ignore[method-assign]
    run.run(0)
    return Trained(run, out, before, modes)


def test_only_what_the_stage_trains_changes(trained: Trained) -> None:
    after, names = everything(trained.run), set(trained.run.trained_names.values())
    changed = {name for name, value in trained.before.items() if not torch.equal(value, after[name])}
    assert changed <= names and len(trained.before) > 2 * len(names)
    for group in trained.run.stage.trains:
        assert any(GROUPS[group].fullmatch(name) for name in changed), group
    for kind in MODALITIES:
        assert any(name.startswith(f"adapters.{kind}.") for name in changed)
    assert set(weights(trained.out)) == names


def test_frozen_parts_stay_in_eval_mode(trained: Trained) -> None:
    assert trained.modes == {("learner", True), *((name, False) for name in trained.run.components)}
    for part in trained.run.components.values():
        assert not any(value.requires_grad for value in part.parameters())


def logits(model: MuMuLLaMA, run: Trainer) -> Tensor:
    """Of a picture with music to be made, as any user of the model gets them."""
    example = next(one for one in read_examples(run.config.data[3], 3) if one.task == "image_to_music")
    with torch.no_grad():
        return model(lesson_of(run, [example]).tokens, model.encode([turn_of(example)])).logits


def test_the_newest_weights_are_the_model_in_training(trained: Trained) -> None:
    with complete_model(trained.run.module, trained.run.components) as model:
        here = logits(model, trained.run)
    there = load(trained.out / "last", merge_lora=False)
    assert torch.equal(logits(there, trained.run), here)
    torch.testing.assert_close(logits(load(trained.out / "last"), trained.run), here, rtol=0, atol=1e-4)
    assert torch.equal(there.llama.output.weight[-8:], trained.run.module.new_rows)
    base = load(trained.run.base.base["model"], merge_lora=False)
    assert float((logits(base, trained.run) - here).abs().max()) > 1e-3
    assert torch.equal(base.llama.output.weight[:-8], there.llama.output.weight[:-8])


def test_validation_tells_tasks_apart_and_shows_examples(trained: Trained) -> None:
    rows = (trained.out / "validation.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"2", "4"} and len({row.split(",")[1] for row in rows}) > 1
    assert [place.name for place in sorted((trained.out / "examples").iterdir())] == ["step-000002", "step-000004"]


def test_validation_leaves_no_trace_in_training(ground: Ground, trained: Trained, tmp_path: Path) -> None:
    fit(dataclasses.replace(trained.run.config, output_dir=str(tmp_path / "run"), validate_every=0), 3)
    assert same(weights(tmp_path / "run"), weights(trained.out))


# -- stages upon stages, and the whole model ----------------------------------------------------------------------


def test_nothing_of_a_run_is_left_when_its_processes_part(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the gradients' reducer takes the group of processes down, and may wait for ever for a thread that waits for it."""
    before = {id(one) for one in gc.get_objects() if type(one) is TrainingModule}
    left: list[object] = []
    monkeypatch.setattr(
        Accelerator, "end_training",
        lambda self: left.append([one for one in gc.get_objects() if type(one) is TrainingModule and id(one) not in before]),
    )  # fmt: skip
    fit(ground.config(tmp_path / "run", max_steps=2), 1)
    assert left == [[]]


def test_stage_2_builds_on_stage_1_and_is_exported(ground: Ground, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    fit(ground.config(one, max_steps=2), 1)
    model = ModelSettings(path=str(one / "last"))
    fit(ground.config(two, max_steps=2, model=model, preset="published"), 2, export=tmp_path / "own")
    over, exported = load(two / "last", merge_lora=False), load(tmp_path / "own", merge_lora=False)
    state = over.state_dict()
    assert same(state, exported.state_dict())
    first, second, base = weights(one), weights(two), load(ground.base, merge_lora=False).state_dict()
    kept = [name for name in first if name.startswith("adapters.video.") and name not in second]
    assert kept and all(torch.equal(state[name], first[name]) for name in kept)
    assert any(not torch.equal(base[name], first[name]) for name in kept)
    assert all(torch.equal(state[name], value) for name, value in second.items())
    assert torch.equal(state["llama.output.weight"][-8:], first[AUDIO_TOKEN_ROWS])


def test_a_published_model_is_trained_and_exported_as_it_was_published(
    ground: Ground, published_tree: Path, tmp_path: Path
) -> None:
    parts = {name: str(path) for name, path in component_paths().items()}
    llama_dir = published_tree / "LLaMA-2"
    settings = ModelSettings(path=str(published_tree / "MuMu-LLaMA-MusicGen/checkpoint.pth"), llama_dir=str(llama_dir), **parts)
    config = ground.config(tmp_path / "run", model=settings, preset="published", max_steps=2, max_tokens=256)
    last = fit(config, 3, export=tmp_path / "checkpoint.pth")
    exported = load(tmp_path / "checkpoint.pth", llama_dir=llama_dir, **component_paths(), merge_lora=False)
    over = load(last, merge_lora=False)
    assert same(exported.state_dict(), over.state_dict())
    before = load(settings.path, llama_dir=llama_dir, **component_paths(), merge_lora=False).state_dict()
    published = torch.load(settings.path, weights_only=True)["model"]
    assert torch.load(tmp_path / "checkpoint.pth", weights_only=True)["model"].keys() == published.keys()
    assert {name for name, value in over.state_dict().items() if not torch.equal(value, before[name])} <= set(weights(tmp_path / "run"))
    assert not same(over.state_dict(), before)
