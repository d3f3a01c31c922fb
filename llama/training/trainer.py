"""Training: a configuration and a stage in, weights out; stopped at any moment, it goes on where it was."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from llama.checkpoint.delta import BaseReference, check_base, check_base_reference
from llama.data.batch_sampler import WINDOW
from llama.data.collate import Batch
from llama.data.mixture import ExampleMixture, StreamMixture
from llama.training.config import TrainConfig
from llama.training.distributed import DistributedContext, run_on_main
from llama.training.loader import LoaderOptions, train_batches, validation_batches
from llama.training.logger import RunLogger, write_examples
from llama.training.module import TrainingBatch, TrainingModule, internal_name
from llama.training.run_checkpoints import RunCheckpoint, RunCheckpoints
from llama.training.run_state import gather_random, gather_state, restore_random, restore_state
from llama.training.stages import Stage
from llama.training.train_step import TrainStep
from llama.training.validation import evaluate, pick_examples, sample_answers

IDENTITY = {
    "seed": "seed", "global_batch": "batch_size x accumulation x processes", "processes": "a number of processes of", "window": "window",
}  # fmt: skip


@dataclass
class Trainer:
    """Everything that one stage's training holds on to."""

    config: TrainConfig
    stage: Stage
    updater: TrainStep
    neighbours: dict[str, nn.Module | None]
    tokenizer: Any
    scheduler: Any
    snapshots: RunCheckpoints
    origin: BaseReference
    learned: ExampleMixture | StreamMixture
    held_out: ExampleMixture | StreamMixture | None
    total: int  # steps
    made: int = 0  # steps so far

    @property
    def team(self) -> DistributedContext:
        return self.updater.team

    @property
    def learner(self) -> TrainingModule:
        return self.updater.learner

    @property
    def names(self) -> dict[str, str]:
        """Names of what trains: in the learner -> in the files."""
        return {name: internal_name(name) for name, value in self.learner.named_parameters() if value.requires_grad}

    # -- the loop ---------------------------------------------------------------------------------------------------

    def go(self, start: int) -> int:
        """Steps from `start` on; the number of steps that were made in all, fewer than `total` if it was told to stop."""
        if start >= self.total:
            return start
        self.made = start
        batches = train_batches(
            LoaderOptions.of(self.config), self.tokenizer, self.learned, self.updater.features.reader,
            self.team.rank, self.team.world, start,
        )  # fmt: skip
        with self.reports(start) as reports, graceful_interrupt() as asked:
            clock = Clock()
            for step, values in enumerate(clock.measure(islice(batches, self.total - start), self.update), start + 1):
                reports.step(step, self.told(step, values, clock) if reports.main and reports.due(step) else None)
                stopping = self.team.total([float(asked())])[0] > 0
                if step % self.config.save_every == 0 or step == self.total or stopping:
                    self.save(step)
                if self.config.validate_every and (step % self.config.validate_every == 0 or step == self.total):
                    self.validate(step, reports)
                if stopping:
                    reports.say(f"Stopped as asked after step {step}; --resume goes on from there.")
                    return step
        return self.total

    def update(self, batches: Sequence[Batch]) -> dict[str, float]:
        self.scheduler.step_update(self.made)
        self.made += 1
        return self.updater.step(batches)

    def reports(self, start: int) -> RunLogger:
        config = self.config
        return RunLogger(config.output_dir, self.total, start, config.tensorboard, self.team.main, config.log_every)

    def told(self, step: int, values: dict[str, float], clock: Clock) -> dict[str, float]:
        size = self.config.batch_size * self.config.accumulation * self.team.world
        rate = self.scheduler.optimizer.param_groups[0]["lr"]
        told = {**values, "learning_rate": rate, "examples_per_second": size * clock.rate()}
        if isinstance(self.learned, ExampleMixture):
            told["epoch"] = step * size / self.learned.epoch_size
        return told

    def validate(self, step: int, reports: RunLogger) -> None:
        """Losses by task, and answers to look at in OUTPUT_DIR/examples."""
        if self.held_out is None:
            return
        config, features, read = self.config, self.updater.features, []

        def lessons() -> Iterator[TrainingBatch]:
            found = validation_batches(
                LoaderOptions.of(config), self.tokenizer, self.held_out, features.reader, self.team.rank, self.team.world
            )
            for batch in found:
                read.append(dataclasses.replace(batch, media={}))  # its names alone are needed after
                yield self.updater.lesson(batch)

        scores = evaluate(self.learner, self.team, lessons())
        reports.validation(step, scores.losses, scores.rows)
        self.updater.check_broken(read)
        if config.examples and (self.team.main or self.team.sharded):
            self.show(step)
        self.team.accelerator.wait_for_everyone()

    def show(self, step: int) -> None:
        """Generated answers to a few held-out examples that can be read."""
        config, broken = self.config, tuple(self.updater.broken)
        rows = self.held_out.sample(config.validation_rows, 0)
        chosen = pick_examples([one for one in rows if not any(line.startswith(f"{one.source}: ") for line in broken)], config.examples)
        said = sample_answers(self.learner, self.team, self.neighbours, chosen, config.example_seconds, config.seed)
        if self.team.main:
            write_examples(Path(config.output_dir) / "examples" / f"step-{step:06d}", said)

    # -- keeping ----------------------------------------------------------------------------------------------------

    def save(self, step: int) -> None:
        """A checkpoint, whole or not at all; every process takes part."""
        weights, moments = gather_state(self.learner, self.updater.optimizer, self.names)
        random, scaler = gather_random(), self.team.accelerator.scaler
        progress = {"broken": self.updater.broken, "scaler": scaler.state_dict() if scaler is not None else None, **self.identity()}
        snapshot = RunCheckpoint(step, weights, moments, random, progress, self.origin)
        run_on_main(self.team.accelerator, lambda: self.snapshots.save(snapshot) and None)

    def resume(self) -> int:
        """The step that the newest checkpoint holds, which the run is brought to. Raises ValueError where it cannot be."""
        found: list[RunCheckpoint] = []
        step, progress = run_on_main(self.team.accelerator, lambda: self.fitting(found))
        weights, moments, random = (found[0].weights, found[0].optimizer, found[0].random) if found else ({}, {}, {})
        restore_state(self.learner, self.updater.optimizer, self.names, weights, moments)
        restore_random(random)
        if self.team.accelerator.scaler is not None and progress.get("scaler"):
            self.team.accelerator.scaler.load_state_dict(progress["scaler"])
        self.updater.broken = list(progress["broken"])
        return step

    def fitting(self, found: list[RunCheckpoint]) -> tuple[int, dict[str, Any]]:
        """The newest checkpoint, into `found`, if this run can go on from it: its step and progress. Raises ValueError."""
        snapshot = self.snapshots.newest()
        if snapshot is None:
            raise ValueError(f"{self.config.output_dir} holds no checkpoint to resume; leave --resume out to begin.")
        check_base_reference(snapshot.origin, self.stage.number, self.config.preset, self.snapshots.last)
        check_base(snapshot.origin, self.origin)
        for name, mine in self.identity().items():
            if (theirs := {"window": WINDOW, **snapshot.progress}.get(name)) != mine:  # earlier checkpoints name no window
                raise ValueError(
                    f"{self.config.output_dir} was begun with {IDENTITY[name]} {theirs}, this run has {mine}: it would see other data; "
                    f"give {theirs} again, or another --output_dir."
                )
        found.append(snapshot)
        return snapshot.step, dict(snapshot.progress)

    def identity(self) -> dict[str, int]:
        """What decides which examples a step sees. A stream is dealt out to processes; a list is not."""
        same = {"seed": self.config.seed, "global_batch": self.config.batch_size * self.config.accumulation * self.team.world}
        if isinstance(self.learned, StreamMixture):
            return {**same, "processes": self.team.world}
        return {**same, "window": self.config.window}


class Clock:
    """Steps a second since it was last asked, without what lies between steps (saving, validating)."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0

    def measure(self, batches: Iterator[Any], step: Callable[[Any], Any]) -> Iterator[Any]:
        """What `step` makes of each of the batches; the time counts that takes, and the time to read them."""
        begun = time.monotonic()
        for batch in batches:
            made = step(batch)
            self.steps, self.seconds = self.steps + 1, self.seconds + time.monotonic() - begun
            yield made
            begun = time.monotonic()

    def rate(self) -> float:
        steps, seconds = self.steps, self.seconds
        self.steps, self.seconds = 0, 0.0
        return steps / seconds if seconds else 0.0


@contextmanager
def graceful_interrupt() -> Iterator[Any]:
    """Ctrl-C and a scheduler's SIGTERM end the run after the step under way, with a checkpoint; a second one at once."""
    asked: list[int] = []

    def take(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- setting up -----------------------------------------------------------------------------------------------------
