"""What is learned equals the published training's losses and gradients, without its constant 100."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import component_paths
from safetensors.torch import load_file
from torch import Tensor

import llama
from benchmarks.parity_learner import TrainingBench, means, sketch, sketched_deviation
from benchmarks.parity_variant import CONSTANT, GRADIENT_BOUND
from llama.modules.lora import LoRALinear
from llama.training.module import TrainingModule, add_noise, fold_zero_lora, mark_trainable
from llama.training.stages import stage, trainable


def school_of(golden: Path) -> TrainingBench:
    model = llama.load(
        golden / "m2ugen/model.safetensors", llama_dir=golden / "components/llama", **component_paths(), merge_lora=False
    )
    return TrainingBench(model, load_file(golden / "inputs.safetensors"), load_file(golden / "m2ugen/train_forward.safetensors"))


@pytest.fixture(scope="module")
def school(golden: Path) -> TrainingBench:
    """Tests must not change its weights."""
    return school_of(golden)


@pytest.mark.parametrize("case", ["music_text", "music_audio_image", "batch2_all"])
def test_losses_are_the_published_ones(school: TrainingBench, case: str) -> None:
    with torch.no_grad():
        words, condition = means(school.module(school.case(case)))
    # The constant leaves the reference with the rounding of a number of its size.
    torch.testing.assert_close(words[None], school.expected[f"{case}.c_loss_reference"] - CONSTANT, rtol=0, atol=2e-5)
    torch.testing.assert_close(condition[None], school.expected[f"{case}.mse_loss"], rtol=1e-6, atol=0)


def test_nothing_to_learn_is_a_loss_of_zero(school: TrainingBench) -> None:
    tokens = school.inputs["train_tokens_music"][None]
    sums = school.module(school.make_batch(tokens, torch.zeros_like(tokens), (), ()))
    assert sums["words"].sum() == 0 and sums["words_count"].sum() == 0 and sums["words"].requires_grad


def test_new_rows_change_no_loss(school: TrainingBench) -> None:
    lesson, apart = school.case("music_text"), TrainingModule(school.model, school.module.condition, new_rows=True)
    with torch.no_grad():
        ours, theirs = school.module(lesson), apart(lesson)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def gradients(golden: Path) -> dict[str, Tensor]:
    return school_of(golden).compute_gradients()


@pytest.fixture(scope="module")
def sketches(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "m2ugen/grads_stage2_music_audio_sketches.safetensors")


def test_gradients_are_the_published_ones(gradients: dict[str, Tensor], sketches: dict[str, Tensor]) -> None:
    assert gradients.keys() == sketches.keys()
    assert max(sketched_deviation(gradients[name], sketches[name]) for name in sketches) <= GRADIENT_BOUND


def test_a_gradient_that_differs_is_seen(gradients: dict[str, Tensor], sketches: dict[str, Tensor]) -> None:
    """A ten-thousandth of its length in any direction is enough, in every tensor."""
    for name, value in gradients.items():
        astray = value + 1e-4 * value.norm() * unit(torch.randn_like(value))
        assert sketched_deviation(astray, sketches[name]) > GRADIENT_BOUND, name


def test_a_sketch_has_the_length_of_what_it_stands_for() -> None:
    """16 sums leave its length uncertain by some 18 %."""
    value = torch.randn(40, 50)
    torch.testing.assert_close(sketch(value).square().mean().sqrt(), value.norm(), rtol=0.5, atol=0)


def unit(value: Tensor) -> Tensor:
    return value / value.norm()


def test_blur_is_for_training_alone_and_in_proportion_to_the_spread() -> None:
    rows = [{"timbre": torch.tensor([float(place), 1.0]), "states.0": torch.ones(3, 2)} for place in range(400)]
    found = add_noise([*rows, None], 0.5)
    noise = torch.stack([row["timbre"] - was["timbre"] for row, was in zip(found, rows, strict=False)])
    assert found[-1] is None and found[0]["states.0"] is rows[0]["states.0"]
    assert 0.8 < noise[:, 0].std() / (0.5 * torch.arange(400.0).std()) < 1.2 and not noise[:, 1].any()


def test_branches_that_say_nothing_are_left_out_and_change_no_loss(golden: Path) -> None:
    school = school_of(golden)
    lesson, branches = school.case("music_text"), [part for part in school.module.modules() if isinstance(part, LoRALinear)]
    for part in branches[1:]:
        part.l2.data.zero_()
    mark_trainable(school.module, trainable(school.model, stage(1, "all"), ["lora"]))
    with torch.no_grad():
        before = school.module(lesson)
        fold_zero_lora(school.module)
        after = school.module(lesson)
    assert [part.merged for part in branches] == [False, *[True] * (len(branches) - 1)]
    assert all(torch.equal(before[name], after[name]) for name in before)
