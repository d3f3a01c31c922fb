"""The timed training loop: its clock, its rate, its checkpoints, and that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recipes.nano import timed_loop
from recipes.nano.timed_loop import (
    MAX_STEP_SECONDS,
    BatchQueue,
    Schedule,
    TimedTrainer,
    append_csv,
    cosine,
    mean_losses,
    shuffled_batches,
)


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock on which every step takes `seconds`."""
    pace, ticks = SimpleNamespace(seconds=1.0), itertools.count()
    tick = lambda: next(ticks) * pace.seconds  # noqa: E731
    monkeypatch.setattr(timed_loop, "time", SimpleNamespace(monotonic=tick, process_time=tick))
    return pace


class Regression:
    """A small recipe: rows drawn from a queue, noise from both generators."""

    def __init__(self, checkpoint: Path | None, seconds: float = 10, **options: Any) -> None:
        torch.manual_seed(3)
        self.model, self.rng = nn.Linear(3, 1), np.random.default_rng(4)
        self.batches = BatchQueue(lambda: shuffled_batches(self.rng.permutation(11).tolist(), 4), self.rng)
        self.trainer = TimedTrainer(
            {"model": self.model, "batches": self.batches}, torch.optim.AdamW(self.model.parameters()), Schedule(seconds / 60, 0.1, 4),
            self.rng, checkpoint=checkpoint, **options,
        )  # fmt: skip
        self.rates: list[float] = []
        self.drawn: list[list[int]] = []

    def loss(self) -> tuple[Tensor, float]:
        self.drawn.append(self.batches.next())
        rows = torch.tensor(self.drawn[-1])[:, None] + torch.randn(len(self.drawn[-1]), 3) + self.rng.random()
        value = (self.model(rows) - 1).square().mean()
        return value, value.item()

    def run(self) -> list[float]:
        losses = []
        for value in self.trainer.steps(self.loss):
            losses.append(value)
            self.rates.append(self.trainer.optimizer.param_groups[0]["lr"])
        return losses


def test_the_rate_follows_the_time(pace: SimpleNamespace) -> None:
    recipe = Regression(None)
    recipe.run()
    expected = [0.1 * min(1, (step + 1) / 4) * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert recipe.rates == pytest.approx(expected) and recipe.trainer.step == 10
    assert (cosine(0), cosine(0.5), cosine(1)) == pytest.approx((1, 0.5, 0))


def test_a_pause_and_the_time_between_steps_do_not_count(pace: SimpleNamespace) -> None:
    recipe = Regression(None, seconds=2 * MAX_STEP_SECONDS)
    steps = recipe.trainer.steps(recipe.loss)
    next(steps)
    timed_loop.time.monotonic()  # an evaluation
    assert recipe.trainer.seconds == 1
    pace.seconds = 3600.0
    next(steps)
    assert recipe.trainer.seconds == 1 + MAX_STEP_SECONDS


def test_a_resumed_run_equals_an_uninterrupted_one(pace: SimpleNamespace, tmp_path: Path) -> None:
    whole = Regression(None)
    losses = whole.run()
    for stop in range(1, 10):
        first = Regression(tmp_path / "run.pt")
        seen = list(itertools.islice(first.trainer.steps(first.loss), stop))
        first.trainer.save()
        second = Regression(tmp_path / "run.pt")
        second.trainer.load_state_dict(torch.load(tmp_path / "run.pt", weights_only=True))
        assert seen + second.run() == losses and first.drawn + second.drawn == whole.drawn
        assert torch.equal(second.model.weight, whole.model.weight)


def test_batches_of_an_epoch_hold_every_row_once() -> None:
    assert shuffled_batches(range(9), 4) == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert shuffled_batches(range(3), 4) == [[0, 1, 2]], "fewer rows than a batch"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_step_with_a_checkpoint(pace: SimpleNamespace, tmp_path: Path, number: int) -> None:
    recipe, before = Regression(tmp_path / "run.pt"), signal.getsignal(number)

    def interrupted_loss() -> tuple[Tensor, float]:
        if recipe.trainer.step == 2:
            signal.raise_signal(number)
        return recipe.loss()

    with pytest.raises(SystemExit, match="3 steps"):
        for _ in recipe.trainer.steps(interrupted_loss):
            pass
    assert torch.load(tmp_path / "run.pt", weights_only=True)["step"] == 3
    assert signal.getsignal(number) is before


def test_it_saves_at_intervals_and_at_the_end(pace: SimpleNamespace, tmp_path: Path) -> None:
    recipe, saved = Regression(tmp_path / "run.pt", save_every=4), []
    for _ in recipe.trainer.steps(recipe.loss):
        saved.append(torch.load(tmp_path / "run.pt", weights_only=True)["step"] if (tmp_path / "run.pt").exists() else 0)
    assert saved == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]  # as the recipe sees it, before the step's own save
    assert torch.load(tmp_path / "run.pt", weights_only=True)["step"] == 10
    assert not list(tmp_path.glob(".partial*"))


def test_no_time_trains_and_writes_nothing(tmp_path: Path) -> None:
    recipe = Regression(tmp_path / "run.pt", seconds=0)
    assert recipe.run() == [] and not (tmp_path / "run.pt").exists()


def test_something_is_due_when_a_step_passes_its_time(pace: SimpleNamespace) -> None:
    pace.seconds, recipe = 0.75, Regression(None, seconds=6)
    due = [recipe.trainer.due(2) for _ in recipe.trainer.steps(recipe.loss)]
    assert [round(0.75 * (step + 1), 2) for step, flag in enumerate(due) if flag] == [2.25, 4.5, 6.0]


def test_values_of_the_recipe_are_kept(pace: SimpleNamespace) -> None:
    first, second = (Regression(None, values={"frames": 0}) for _ in range(2))
    first.trainer.values["frames"] = 7
    second.trainer.load_state_dict(first.trainer.state_dict())
    assert second.trainer.values == {"frames": 7}


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    recipe = Regression(tmp_path / "run.pt")
    state = recipe.trainer.state_dict()
    del state["random"]
    with pytest.raises(ValueError, match=r"run.pt has no 'random'.*Remove it"):
        recipe.trainer.load_state_dict(state)


def test_a_log_begins_with_its_names(tmp_path: Path) -> None:
    for step in (1, 2):
        append_csv(tmp_path / "log.csv", {"step": step, "loss": f"{0.5:.3f}"})
        append_csv(tmp_path / "bare.csv", {"step": step}, header=False)
    assert (tmp_path / "log.csv").read_text().split() == ["step,loss", "1,0.500", "2,0.500"]
    assert (tmp_path / "bare.csv").read_text().split() == ["1", "2"]
    assert mean_losses([{"a": 1.0}, {"a": 2.0}]) == {"a": 1.5}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A loop that a test leaves half-way must not keep the signal handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
