"""A training loop whose length is a time, not a number of steps.

A recipe gives its networks, its optimizer and a function that computes the loss of the next batch. The loop sets the learning
rate, counts the time, saves, resumes and stops. A checkpoint holds the random states and the place in the data too: a resumed
run takes the steps of an uninterrupted one. Checkpoints written before this loop existed lack these and cannot be resumed.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from llama.files import atomic_path
from llama.training.trainer import graceful_interrupt

MAX_STEP_SECONDS = 20.0  # that one step counts at most, so that a pause of the machine does not count as training
T = TypeVar("T")


class Stateful(Protocol):
    """What a checkpoint holds a part of: a network, or the batches that are left."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def cosine(progress: float) -> float:
    """Half a cosine, from 1 at progress 0 to 0 at progress 1."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training.

    minutes: of its steps; evaluation and saving come on top. rate: the highest, reached after `warmup` steps. decay: share of
    it at a share of the time, both from 0 to 1. processor_time: count this process's processor time, not wall-clock time.
    """

    minutes: float
    rate: float
    warmup: int
    decay: Callable[[float], float] = cosine
    processor_time: bool = False

    def learning_rate(self, step: int, progress: float) -> float:
        return self.rate * min(1.0, (step + 1) / self.warmup) * self.decay(progress)

    def now(self) -> float:
        return time.process_time() if self.processor_time else time.monotonic()


class TimedTrainer:
    """Trains `parts` for the time of `schedule`; its checkpoint is one file, replaced atomically.

    parts: networks and other state, by their names in the checkpoint. rng: the numpy generator that the recipe draws from
    beside torch's, if it does. values: further entries of the checkpoint, which the recipe may change. save_every: seconds of training.
    """

    def __init__(
        self,
        parts: Mapping[str, Stateful],
        optimizer: Optimizer,
        schedule: Schedule,
        rng: np.random.Generator | None = None,
        *,
        max_norm: float = 1.0,
        checkpoint: Path | None = None,
        save_every: float = 90.0,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.parts, self.optimizer, self.schedule, self.rng = parts, optimizer, schedule, rng or np.random.default_rng(0)
        self.max_norm, self.checkpoint, self.save_every = max_norm, checkpoint, save_every
        self.values = dict(values or {})
        self.parameters = [value for part in parts.values() if isinstance(part, nn.Module) for value in part.parameters()]
        self.step, self.seconds, self._seconds_before = 0, 0.0, 0.0

    @property
    def progress(self) -> float:
        """Share of the time that is spent, from 0 to 1."""
        return min(1.0, self.seconds / (60 * self.schedule.minutes))

    def steps(self, compute_loss: Callable[[], tuple[Tensor, T]]) -> Iterator[T]:
        """Trains until the time is spent. Yields after each step what `compute_loss` returned beside the loss.

        SIGINT and SIGTERM stop it after a step, with a checkpoint: the generator raises SystemExit.
        """
        with graceful_interrupt() as interrupted:
            while self.seconds < 60 * self.schedule.minutes:
                yield self._step(compute_loss)
                if interrupted() or self.due(self.save_every) or self.progress == 1.0:
                    self.save()
                if interrupted():
                    raise SystemExit(f"Stopped after {self.step} steps; {self.checkpoint or 'no checkpoint'} keeps them.")

    def _step(self, compute_loss: Callable[[], tuple[Tensor, T]]) -> T:
        started = self.schedule.now()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(self.step, self.progress)
        loss, result = compute_loss()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, self.max_norm)
        self.optimizer.step()
        self.step, self._seconds_before = self.step + 1, self.seconds
        self.seconds += min(self.schedule.now() - started, MAX_STEP_SECONDS)
        return result

    def due(self, every: float) -> bool:
        """Whether the last step passed a multiple of `every` seconds of training."""
        return self.seconds // every > self._seconds_before // every

    def save(self) -> None:
        """Writes the checkpoint, if the trainer has one."""
        if self.checkpoint:
            with atomic_path(self.checkpoint) as partial:
                torch.save(self.state_dict(), partial)

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        progress = {"optimizer": self.optimizer.state_dict(), "step": self.step, "spent": self.seconds}
        return {**self.values, **parts, **progress, "random": random_state(self.rng)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken. Raises ValueError naming what it lacks."""
        if missing := sorted(self.state_dict().keys() - state.keys()):
            raise ValueError(f"{self.checkpoint} has no {missing[0]!r}: another version wrote it. Remove it to train from the beginning.")
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["spent"]
        self.values = {name: state[name] for name in self.values}
        set_random_state(self.rng, state["random"])  # last: parts may draw numbers


class BatchQueue(Generic[T]):
    """Batches of one epoch after another, drawn from `rng` and torch's generator by `refill`, taken from its end.

    Its state is that of the generators before the last refill and the number of batches taken since: the batches themselves
    hold features, and would make the checkpoint large.
    """

    def __init__(self, refill: Callable[[], list[T]], rng: np.random.Generator) -> None:
        self.refill, self.rng = refill, rng
        self.batches: list[T] = []
        self.taken, self.random = 0, random_state(rng)

    def next(self) -> T:
        if not self.batches:
            self.random = random_state(self.rng)
            self.batches, self.taken = self.refill(), 0
        self.taken += 1
        return self.batches.pop()

    def state_dict(self) -> dict[str, Any]:
        return {"random": self.random, "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        set_random_state(self.rng, state["random"])
        self.random, self.taken = state["random"], state["taken"]
        self.batches = self.refill()[: -self.taken] if self.taken else []


def shuffled_batches(order: Sequence[int], size: int) -> list[list[int]]:
    """Indices in groups of `size`, the first group at the end; what is left over is dropped, unless it is all there is."""
    return [list(order[start : start + size]) for start in range(0, max(1, len(order) - size + 1), size)][::-1]


def random_state(rng: np.random.Generator) -> dict[str, Any]:
    """State of `rng` and of torch's generator, as numbers and a tensor that torch.load reads without un-pickling objects."""
    return {"torch": torch.get_rng_state(), "numpy": rng.bit_generator.state}


def set_random_state(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Inverse of `random_state`."""
    torch.set_rng_state(state["torch"])
    rng.bit_generator.state = state["numpy"]


def mean_losses(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the named losses of several steps."""
    return {name: sum(step[name] for step in losses) / len(losses) for name in losses[0]}


def append_csv(path: Path, row: Mapping[str, object], header: bool = True) -> None:
    """Appends a row to a CSV file; a new file begins with the names, if `header`."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new and header:
            writer.writerow(row)
        writer.writerow(row.values())
