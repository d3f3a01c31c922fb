"""A run's state gathered and put back: going on is bit for bit what never stopping is, on one process or many."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from llama.checkpoint.delta import AUDIO_TOKEN_ROWS, BaseReference
from llama.config import MuMuConfig
from llama.training.run_checkpoints import RunCheckpoint, RunCheckpoints
from llama.training.run_state import gather_random, gather_state, restore_random, restore_state

ORIGIN = BaseReference({"model": "ckpts/nano"}, MuMuConfig.tiny(), 1, "ours")
State = dict[str, torch.Tensor]

# -- going on -----------------------------------------------------------------------------------------------------


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.frozen = nn.Linear(8, 8)
        self.unused = nn.Linear(3, 5)  # never has a gradient
        self.second = nn.Linear(8, 4)


class SmallModule(nn.Module):
    """Named as the real one: "model.NAME", and rows of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Tiny()
        self.new_rows = nn.Parameter(torch.randn(8, 4))
        with torch.no_grad():  # the base's, so the same in every run
            self.model.frozen.weight.copy_(torch.eye(8))
            self.model.frozen.bias.fill_(0.1)
        self.model.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.model.second(F.dropout(torch.tanh(self.model.frozen(self.model.first(x))), 0.2, self.training))
        return F.linear(hidden, self.new_rows)


NAMES = {
    **{f"model.{name}": name for name, _ in Tiny().named_parameters()},
    "new_rows": AUDIO_TOKEN_ROWS,
}
TRAINED = {own for own in NAMES.values() if not own.startswith("frozen")}


def optimizer_of(model: nn.Module) -> torch.optim.AdamW:
    decayed = [value for value in model.parameters() if value.requires_grad and value.dim() > 1]
    plain = [value for value in model.parameters() if value.requires_grad and value.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1, "lr_scale": 1.0}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.95), foreach=False)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Draws from all three sources of random numbers; the rate follows the step."""
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = 0.05 / (1 + step)
        x = torch.randn(5, 6) + random.gauss(0, 0.1) + float(np.random.randn())
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def seed(value: int) -> None:
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value)


def equal(ours: State, theirs: State) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def made(wrap: Callable[[nn.Module], nn.Module] = lambda module: module, start: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    seed(start)
    model = wrap(SmallModule())
    seed(start + 1 + (dist.get_rank() if dist.is_initialized() else 0))  # each process draws its own
    return model, optimizer_of(model)


def stopped_and_resumed(folder: Path, wrap: Callable[[nn.Module], nn.Module], rank: int = 0) -> tuple[State, State]:
    """Six steps, with the run put away in a folder after the third and taken up by new objects."""
    model, optimizer = made(wrap)
    train(model, optimizer, range(3))
    weights, moments = gather_state(model, optimizer, NAMES)
    numbers = gather_random()
    if rank == 0:
        RunCheckpoints(folder).save(RunCheckpoint(3, weights, moments, numbers, {}, ORIGIN))
    train(model, optimizer, range(3, 4))  # lost when the run is killed
    model, optimizer = made(wrap, start=7)
    found = RunCheckpoints(folder).newest() if rank == 0 else None
    restore_state(model, optimizer, NAMES, *((found.weights, found.optimizer) if found else ({}, {})))
    restore_random(found.random if found else {})
    train(model, optimizer, range(3, 6))
    return gather_state(model, optimizer, NAMES)


def uninterrupted(wrap: Callable[[nn.Module], nn.Module] = lambda module: module) -> tuple[State, State]:
    model, optimizer = made(wrap)
    train(model, optimizer, range(6))
    return gather_state(model, optimizer, NAMES)


def test_going_on_is_never_having_stopped(tmp_path: Path) -> None:
    weights, moments = uninterrupted()
    again, moments_again = stopped_and_resumed(tmp_path, lambda module: module)
    assert equal(weights, again) and equal(moments, moments_again)
    assert set(weights) == TRAINED
    moved = {name for name in TRAINED if not name.startswith("unused")}
    assert set(moments) == {f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq", "step") for name in moved}
    assert moments["step.first.weight"] == 6


def test_what_never_had_a_gradient_still_has_its_first_step_to_come() -> None:
    model, optimizer = made()
    train(model, optimizer, range(2))
    states = gather_state(model, optimizer, NAMES)
    other, second = made(start=7)
    restore_state(other, second, NAMES, *states)
    for one, mover in ((model, optimizer), (other, second)):
        for group in mover.param_groups:
            group["lr"] = 0.01
        mover.zero_grad()
        one.model.unused(torch.ones(3)).sum().backward()
        mover.step()
        assert mover.state[one.model.unused.weight]["step"] == 1
    assert torch.equal(model.model.unused.weight, other.model.unused.weight)


def test_gathering_changes_nothing_and_copies() -> None:
    model, optimizer = made()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights, moments = gather_state(model, optimizer, NAMES)
    assert equal(before, dict(model.state_dict())) and moments == {} and not optimizer.state
    train(model, optimizer, range(1))
    assert torch.equal(weights["first.weight"], before["model.first.weight"])
    weights, moments = gather_state(model, optimizer, NAMES)
    kept = {name: value.clone() for name, value in (weights | moments).items()}
    other, second = made(start=7)
    restore_state(other, second, NAMES, weights, moments)
    assert second.param_groups[0]["betas"] == (0.9, 0.95) and second.param_groups[0]["lr_scale"] == 1.0
    train(other, second, range(2))
    assert equal(kept, weights | moments), "what was restored from is not trained on"


def test_a_run_of_another_kind_is_refused() -> None:
    model, optimizer = made()
    weights, moments = gather_state(model, optimizer, NAMES)
    with pytest.raises(ValueError, match="first.weight trains now but is not in the checkpoint; resume with"):
        restore_state(model, optimizer, NAMES, {n: v for n, v in weights.items() if n != "first.weight"}, moments)
    with pytest.raises(ValueError, match="frozen.weight is in the checkpoint but does not train now"):
        restore_state(model, optimizer, NAMES, weights | {"frozen.weight": torch.zeros(8, 8)}, moments)


def test_the_state_of_another_optimizer_is_refused() -> None:
    model, optimizer = made()
    train(model, optimizer, range(2))
    weights, moments = gather_state(model, optimizer, NAMES)
    other = made(start=7)[0]
    momentum = torch.optim.SGD([value for value in other.parameters() if value.requires_grad], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"state exp_avg, exp_avg_sq, step, but this run's SGD keeps momentum_buffer.*--output_dir"):
        restore_state(other, momentum, NAMES, weights, moments)
    with pytest.raises(ValueError, match="optimizer state for strange.weight, which this run has not"):
        restore_state(*made(), NAMES, weights, moments | {"step.strange.weight": torch.tensor(1.0)})


def test_an_incomplete_random_state_is_refused() -> None:
    with pytest.raises(ValueError, match="random states lack that of numpy_gauss"):
        restore_random({name: value for name, value in gather_random().items() if name != "0.numpy_gauss"})


def test_random_numbers_go_on() -> None:
    seed(5)
    random.gauss(0, 1), np.random.randn()  # both keep a second number back
    state = gather_random()
    first = (random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), torch.rand(2).tolist())
    restore_random(state)
    assert first == (random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), torch.rand(2).tolist())
    restore_random({})
    restore_random({"1.torch": torch.zeros(1)})  # of a process that is not there now


# -- several processes --------------------------------------------------------------------------------------------


def replicated(module: nn.Module) -> nn.Module:
    return DistributedDataParallel(module, find_unused_parameters=True)


def sharded(module: nn.Module) -> nn.Module:
    for part in (module.model.first, module.model.second):
        fully_shard(part)
    return fully_shard(module)


WRAPS = {"replicated": replicated, "sharded": sharded}


def join(rank: int, world: int, folder: Path) -> None:
    """One of `world` processes, for both ways to spread a model."""
    torch.set_num_threads(1)
    meeting, patience = f"file://{folder / 'meeting'}", timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=patience)
    try:
        for kind, wrap in WRAPS.items():
            again = stopped_and_resumed(folder / kind, wrap, rank)
            start = gather_state(*made(wrap), NAMES)[0]
            results = (*again, *uninterrupted(wrap), start)
            assert rank == 0 or not any(results), "only the first process has the whole"
            if rank == 0:
                torch.save(results, folder / f"{kind}.pt")
    finally:
        gc.collect()  # a reducer that lies in a cycle must not outlive the group that it holds
        dist.destroy_process_group()


@pytest.fixture(scope="module", params=[1, 2])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what `join` wrote; starting processes takes longest, so they are started once."""
    folder = tmp_path_factory.mktemp(f"world{request.param}")
    if request.param == 1:
        join(0, 1, folder)
    else:
        torch.multiprocessing.spawn(join, (request.param, folder), nprocs=request.param)
    return folder


@pytest.mark.parametrize("kind", WRAPS)
def test_many_processes_as_one(runs: Path, kind: str) -> None:
    """A run that was put away and taken up ends as if it had not been, with whole weights on the first process."""
    weights, moments, plain_weights, plain_moments, start = torch.load(runs / f"{kind}.pt", weights_only=True)
    assert equal(weights, plain_weights) and equal(moments, plain_moments)
    assert set(weights) == TRAINED and moments["exp_avg.first.weight"].shape == (8, 6)
    seed(0)
    fresh = {NAMES[name]: value.detach() for name, value in SmallModule().named_parameters() if NAMES[name] in TRAINED}
    assert equal(start, fresh), "whole values, under their own names"


@pytest.mark.parametrize("kind", WRAPS)
def test_one_process_takes_up_what_others_put_away(runs: Path, kind: str) -> None:
    found = RunCheckpoints(runs / kind).newest()
    model, optimizer = made(start=7)
    restore_state(model, optimizer, NAMES, found.weights, found.optimizer)
    restore_random(found.random)
    assert torch.equal(torch.get_rng_state(), found.random["0.torch"])
    again = gather_state(model, optimizer, NAMES)
    assert equal(again[0], found.weights) and equal(again[1], found.optimizer)
