"""Trainer: the training loop of one stage, with validation, checkpoints, exact resuming and a graceful stop."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from llama.checkpoint.delta import BaseReference, check_base, check_base_reference
from llama.data.batch_sampler import WINDOW
from llama.data.collate import Batch
from llama.data.fingerprint import SourceFingerprint, difference, fingerprint
from llama.data.mixture import ExampleMixture, StreamMixture
from llama.modules.tokenizer import Tokenizer
from llama.training.config import TrainConfig
from llama.training.distributed import DistributedContext, raise_collective, run_on_main
from llama.training.loader import LoaderOptions, train_batches, validation_batches
from llama.training.logger import RunLogger, write_examples
from llama.training.module import TrainingBatch, TrainingModule, internal_name
from llama.training.run_checkpoints import RunCheckpoint, RunCheckpoints
from llama.training.run_state import gather_random, gather_state, restore_random, restore_state
from llama.training.stages import Stage
from llama.training.train_step import TrainStep
from llama.training.validation import evaluate, pick_examples, sample_answers

if TYPE_CHECKING:
    from timm.scheduler.scheduler import Scheduler

InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")

DATA_ORDER = {  # in words, for an error message
    "seed": "seed", "global_batch": "batch_size x accumulation x processes", "processes": "a number of processes of", "window": "window",
}  # fmt: skip
DATA = "data"  # key of a checkpoint's progress: the fingerprint of the data; runs of earlier versions have none


@dataclass
class Trainer:
    """Runs the training of one stage, from its first step or from a checkpoint to its last."""

    config: TrainConfig
    stage: Stage
    train_step: TrainStep
    components: dict[str, nn.Module | None]  # frozen parts, put into the model to generate answers
    tokenizer: Tokenizer
    scheduler: Scheduler
    checkpoints: RunCheckpoints
    base: BaseReference
    train_data: ExampleMixture | StreamMixture
    validation_data: ExampleMixture | StreamMixture | None
    total_steps: int
    step: int = 0  # steps done so far

    @property
    def context(self) -> DistributedContext:
        return self.train_step.context

    @property
    def module(self) -> TrainingModule:
        return self.train_step.module

    @property
    def trained_names(self) -> dict[str, str]:
        """Names of the trainable parameters: in the training module -> internal names."""
        return {name: internal_name(name) for name, parameter in self.module.named_parameters() if parameter.requires_grad}

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self, start: int) -> int:
        """Trains from step `start` on. Returns the number of the last step, below `total_steps` if a signal stopped it."""
        if start >= self.total_steps:
            return start
        self.step = start
        batches = train_batches(
            LoaderOptions.of(self.config), self.tokenizer, self.train_data, self.train_step.features.reader,
            self.context.rank, self.context.world, start,
        )  # fmt: skip
        with self.open_logger(start) as logger, graceful_interrupt() as interrupted:
            timer = StepTimer()
            for step, values in enumerate(timer.measure(islice(batches, self.total_steps - start), self.update), start + 1):
                logger.log_step(step, self.log_values(step, values, timer) if logger.is_main and logger.is_due(step) else None)
                stopping = self.context.sum([float(interrupted())])[0] > 0
                if step % self.config.save_every == 0 or step == self.total_steps or stopping:
                    self.save(step)
                if self.config.validate_every and (step % self.config.validate_every == 0 or step == self.total_steps):
                    self.validate(step, logger)
                if stopping:
                    logger.message(f"Stopped as asked after step {step}; --resume goes on from there.")
                    return step
        return self.total_steps

    def update(self, batches: Sequence[Batch]) -> dict[str, float]:
        """One step: sets the learning rate and updates the weights; returns what the log needs of it."""
        self.scheduler.step_update(self.step)
        self.step += 1
        return self.train_step.step(batches)

    def open_logger(self, start: int) -> RunLogger:
        config = self.config
        return RunLogger(config.output_dir, self.total_steps, start, config.tensorboard, self.context.is_main, config.log_every)

    def log_values(self, step: int, values: dict[str, float], timer: StepTimer) -> dict[str, float]:
        """The columns of a log row: the step's losses, learning rate, speed, and of lists the epoch."""
        size = self.config.batch_size * self.config.accumulation * self.context.world
        learning_rate = self.scheduler.optimizer.param_groups[0]["lr"]
        row = {**values, "learning_rate": learning_rate, "examples_per_second": size * timer.rate()}
        if isinstance(self.train_data, ExampleMixture):
            row["epoch"] = step * size / self.train_data.epoch_size
        return row

    def validate(self, step: int, logger: RunLogger) -> None:
        """Logs validation losses by task, and writes sample answers to OUTPUT_DIR/examples."""
        if self.validation_data is None:
            return
        config, context, validated = self.config, self.context, list[Batch]()
        batches = validation_batches(
            LoaderOptions.of(config), self.tokenizer, self.validation_data, self.train_step.features.reader, context.rank, context.world
        )

        def prepared() -> Iterator[TrainingBatch]:
            for batch in batches:
                validated.append(dataclasses.replace(batch, media={}))  # without media: only `Batch.skipped` is needed later
                yield self.train_step.prepare(batch)

        scores = evaluate(self.module, context, prepared())
        logger.log_validation(step, scores.losses, scores.rows)
        self.train_step.check_skipped(validated)
        if config.examples and (context.is_main or context.sharded):
            self.write_samples(step, self.validation_data)
        context.accelerator.wait_for_everyone()

    def write_samples(self, step: int, data: ExampleMixture | StreamMixture) -> None:
        """Generates answers to a few validation examples that can be read, and writes them to OUTPUT_DIR/examples."""
        config, skipped = self.config, tuple(self.train_step.skipped)
        rows = data.sample(config.validation_rows, 0)
        readable = [row for row in rows if not any(line.startswith(f"{row.source}: ") for line in skipped)]
        chosen = pick_examples(readable, config.examples)
        samples = sample_answers(self.module, self.context, self.components, chosen, config.example_seconds, config.seed)
        if self.context.is_main:
            write_examples(Path(config.output_dir) / "examples" / f"step-{step:06d}", samples)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def save(self, step: int) -> None:
        """Writes a checkpoint atomically; every process must call it."""
        weights, moments = gather_state(self.module, self.train_step.optimizer, self.trained_names)
        random, scaler = gather_random(), self.context.accelerator.scaler
        scaler_state = scaler.state_dict() if scaler is not None else None

        def write() -> None:
            progress = {"broken": self.train_step.skipped, "scaler": scaler_state, DATA: self.data_fingerprint, **self.data_order()}
            self.checkpoints.save(RunCheckpoint(step, weights, moments, random, progress, self.base))

        run_on_main(self.context.accelerator, write)

    def resume(self) -> int:
        """Restores the newest undamaged checkpoint and returns its step. ValueError if there is none or it is of another run."""
        read: list[RunCheckpoint] = []  # filled on the main process alone
        step, progress = run_on_main(self.context.accelerator, lambda: self.read_compatible(read))
        weights, moments, random = (read[0].weights, read[0].optimizer, read[0].random) if read else ({}, {}, {})
        try:
            restore_state(self.module, self.train_step.optimizer, self.trained_names, weights, moments)
            restore_random(random)
        except ValueError as error:
            raise_collective(error, self.context.is_main)
        if self.context.accelerator.scaler is not None and progress.get("scaler"):
            self.context.accelerator.scaler.load_state_dict(progress["scaler"])
        self.train_step.skipped = list(progress["broken"])
        return step

    def read_compatible(self, read: list[RunCheckpoint]) -> tuple[int, dict[str, Any]]:
        """Appends the newest checkpoint to `read` and returns its step and progress; ValueError if it is of another run."""
        checkpoint = self.checkpoints.newest()
        if checkpoint is None and self.checkpoints.steps():
            raise ValueError(f"All checkpoints in {self.checkpoints.folder} are damaged; begin again with another --output_dir.")
        if checkpoint is None:
            raise ValueError(f"{self.config.output_dir} holds no checkpoint to resume; leave --resume out to begin.")
        check_base_reference(checkpoint.base, self.stage.number, self.config.preset, self.checkpoints.last)
        check_base(checkpoint.base, self.base)
        for name, ours in self.data_order().items():
            if (theirs := {"window": WINDOW, **checkpoint.progress}.get(name)) != ours:  # older checkpoints have no window
                raise ValueError(
                    f"{self.config.output_dir} was begun with {DATA_ORDER[name]} {theirs}, this run has {ours}: it would see other data; "
                    f"give {theirs} again, or another --output_dir."
                )
        self.check_data(checkpoint.progress)
        read.append(checkpoint)
        return checkpoint.step, dict(checkpoint.progress)

    def check_data(self, progress: Mapping[str, Any]) -> None:
        """Raises ValueError where the lists or shards are not those that the run was begun with."""
        if DATA in progress and (changed := difference(progress[DATA], self.data_fingerprint)) is not None:
            raise ValueError(
                f"{self.config.output_dir} was begun with {changed}, so it would see other data; put them back as they were, or "
                f"give another --output_dir, with --model {self.checkpoints.last} to keep what was learned."
            )

    @cached_property
    def data_fingerprint(self) -> list[SourceFingerprint]:
        """Of the training data; the main process alone needs it."""
        return fingerprint(self.config.data.get(self.stage.number, ()), self.train_data)

    def data_order(self) -> dict[str, int]:
        """The values that decide which examples a step sees. A stream is divided among the processes; a list is not."""
        values = {"seed": self.config.seed, "global_batch": self.config.batch_size * self.config.accumulation * self.context.world}
        if isinstance(self.train_data, StreamMixture):
            return {**values, "processes": self.context.world}
        return {**values, "window": self.config.window}


class StepTimer:
    """Measures steps a second, without the time between steps (saving, validation)."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0

    def measure(self, batches: Iterator[InputT], step: Callable[[InputT], ResultT]) -> Iterator[ResultT]:
        """Yields `step(batch)` for each batch; measures the time of reading the batch and of the step."""
        start = time.monotonic()
        for batch in batches:
            result = step(batch)
            self.steps, self.seconds = self.steps + 1, self.seconds + time.monotonic() - start
            yield result
            start = time.monotonic()

    def rate(self) -> float:
        """Steps a second since the last call; 0 without any."""
        steps, seconds = self.steps, self.seconds
        self.steps, self.seconds = 0, 0.0
        return steps / seconds if seconds else 0.0


@contextmanager
def graceful_interrupt() -> Iterator[Callable[[], bool]]:
    """Context that yields a function telling whether SIGINT or SIGTERM arrived; a second signal acts as usual.

    The trainer then finishes its step and writes a checkpoint before it stops.
    """
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, handlers[number])

    handlers: dict[int, Any] = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
