"""Training: a configuration and a stage in, weights out; stopped at any moment, it goes on where it was."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llama.checkpoint import load, save_pretrained, save_published
from llama.config import VARIANTS
from llama.data import Batch, loader, once
from llama.features import Features
from llama.learner import (
    Learner,
    checkpoint_activations,
    choose_trainable,
    condition_weights,
    open_gates,
    own_name,
    take_neighbours,
    whole,
)
from llama.mumu_llama import MuMuLLaMA
from llama.order import Examples, Order, Streams, read_examples, split
from llama.overlay import NEW_ROWS, Origin, check_origin, write_text
from llama.parallel import Team, make_accelerator, team_for
from llama.reports import Reports, write_examples
from llama.run_state import gather_random, gather_state, restore_random, restore_state
from llama.settings import TrainConfig, to_yaml
from llama.snapshots import RunLock, Snapshot, Snapshots
from llama.stages import Stage, group_of, stage, trainable
from llama.updates import Updater
from llama.validation import pick, rehearse, score

UNDECAYED = ("*.gate", "*norm*.weight", "*new_rows", "*prefix_query.*", "*.queries")  # beside vectors and biases
STREAMED_STEPS = "A stream has no known length, so epochs cannot say how long to train; give max_steps."


@dataclass
class Run:
    """Everything that one stage's training holds on to."""

    config: TrainConfig
    stage: Stage
    updater: Updater
    neighbours: dict[str, nn.Module | None]
    tokenizer: Any
    scheduler: Any
    snapshots: Snapshots
    origin: Origin
    learned: Examples | Streams
    held_out: Examples | Streams | None
    total: int  # steps
    made: int = 0  # steps so far

    @property
    def team(self) -> Team:
        return self.updater.team

    @property
    def learner(self) -> Learner:
        return self.updater.learner

    @property
    def names(self) -> dict[str, str]:
        """Names of what trains: in the learner -> in the files."""
        return {name: own_name(name) for name, value in self.learner.named_parameters() if value.requires_grad}

    # -- the loop ---------------------------------------------------------------------------------------------------

    def go(self, start: int) -> int:
        """Steps from `start` on; the number of steps that were made in all, fewer than `total` if it was told to stop."""
        if start >= self.total:
            return start
        self.made = start
        batches = loader(
            self.config, self.tokenizer, self.learned, self.updater.features.reader, self.team.rank, self.team.world, start
        )
        with self.reports(start) as reports, watched() as asked:
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

    def reports(self, start: int) -> Reports:
        config = self.config
        return Reports(config.output_dir, self.total, start, config.tensorboard, self.team.main, config.log_every)

    def told(self, step: int, values: dict[str, float], clock: Clock) -> dict[str, float]:
        size = self.config.batch_size * self.config.accumulation * self.team.world
        rate = self.scheduler.optimizer.param_groups[0]["lr"]
        told = {**values, "learning_rate": rate, "examples_per_second": size * clock.rate()}
        if isinstance(self.learned, Examples):
            told["epoch"] = step * size / self.learned.epoch_size
        return told

    def validate(self, step: int, reports: Reports) -> None:
        """Losses by task, and answers to look at in OUTPUT_DIR/examples."""
        if self.held_out is None:
            return
        config, features = self.config, self.updater.features
        found = once(config, self.tokenizer, self.held_out, features.reader, self.team.rank, self.team.world)
        scores = score(self.learner, self.team, map(self.updater.lesson, found))
        reports.validation(step, scores.losses, scores.rows)
        if config.examples and (self.team.main or self.team.sharded):
            chosen = pick(self.held_out.some(config.validation_rows, 0), config.examples)
            said = rehearse(self.learner, self.team, self.neighbours, chosen, config.example_seconds, config.seed)
            if self.team.main:
                write_examples(Path(config.output_dir) / "examples" / f"step-{step:06d}", said)
        self.team.accelerator.wait_for_everyone()

    # -- keeping ----------------------------------------------------------------------------------------------------

    def save(self, step: int) -> None:
        """A checkpoint, whole or not at all; every process takes part."""
        weights, moments = gather_state(self.learner, self.updater.optimizer, self.names)
        random = gather_random()
        if self.team.main:
            progress = {"broken": self.updater.broken, **self.identity()}
            self.snapshots.save(Snapshot(step, weights, moments, random, progress, self.origin))
        self.team.accelerator.wait_for_everyone()

    def resume(self) -> int:
        """The step that the newest checkpoint holds, which the run is brought to. Raises ValueError where it cannot be."""
        snapshot = self.snapshots.newest() if self.team.main else None
        if self.team.main and snapshot is None:
            raise ValueError(f"{self.config.output_dir} holds no checkpoint to resume; leave --resume out to begin.")
        if snapshot is not None:
            check_origin(snapshot.origin, self.stage.number, self.config.preset, self.snapshots.last)
            self.check_identity(snapshot)
        weights, moments = (snapshot.weights, snapshot.optimizer) if snapshot is not None else ({}, {})
        restore_state(self.learner, self.updater.optimizer, self.names, weights, moments)
        restore_random(snapshot.random if snapshot is not None else {})
        step, broken = self.team.together((snapshot.step, snapshot.progress["broken"]) if snapshot is not None else None)[0]
        self.updater.broken = list(broken)
        return step

    def identity(self) -> dict[str, int]:
        """What decides which examples a step sees."""
        size = self.config.batch_size * self.config.accumulation * self.team.world
        return {"seed": self.config.seed, "global_batch": size}

    def check_identity(self, snapshot: Snapshot) -> None:
        for name, mine in self.identity().items():
            if (theirs := snapshot.progress.get(name)) != mine:
                words = {"seed": "seed", "global_batch": "batch_size x accumulation x processes"}[name]
                raise ValueError(
                    f"{self.config.output_dir} was begun with {words} {theirs}, this run has {mine}: it would see other data; "
                    f"give {theirs} again, or another --output_dir."
                )

    def export(self, target: str | Path) -> None:
        """The whole model: a .pth file in the published format, else a folder of ours."""
        if self.team.sharded:
            raise ValueError(
                f"A sharded model is not exported while it trains; run python -m llama.checkpoint convert {self.snapshots.last} {target}."
            )
        if self.team.main:
            with whole(self.learner, self.neighbours) as model:
                (save_published if str(target).endswith(".pth") else save_pretrained)(model, target)
        self.team.accelerator.wait_for_everyone()


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
def watched() -> Iterator[Any]:
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


def fit(config: TrainConfig, number: int, *, resume: bool = False, export: str | Path | None = None) -> Path:
    """Trains stage `number`; the folder of the newest weights, OUTPUT_DIR/last.

    resume: goes on from the newest checkpoint of OUTPUT_DIR. export: also writes the whole model there at the end.
    Raises ValueError, FileNotFoundError or OSError in one sentence, FloatingPointError for a loss that is not finite.
    """
    accelerator = make_accelerator(config)
    snapshots = Snapshots(Path(config.output_dir), config.keep)
    with RunLock(config.output_dir) if accelerator.is_main_process else nullcontext():
        if accelerator.is_main_process:
            begin(snapshots, resume)
        accelerator.wait_for_everyone()
        run = build(config, number, accelerator, snapshots)
        start = run.resume() if resume else 0
        if accelerator.is_main_process:  # not before: a run that is refused leaves what an earlier one wrote
            write_text(snapshots.output_dir / "config.yaml", to_yaml(config))
        step = run.go(start)
        if export is not None and step == run.total:
            run.export(export)
        accelerator.end_training()
    return snapshots.last


def begin(snapshots: Snapshots, resume: bool) -> None:
    """What an earlier run left is tidied, or refused."""
    if resume:
        snapshots.tidy()
    else:
        snapshots.check_fresh()


def build(config: TrainConfig, number: int, accelerator: Any, snapshots: Snapshots) -> Run:
    """The model with what trains chosen, its data, optimiser and schedule, each on every process."""
    learned, held_out = read_data(config, number)
    model = load_for(config, number, accelerator.device)
    check_parts(model, number, config)
    chosen = stage(number, config.preset, model.config.variant)
    names = trainable(model, chosen, config.freeze)
    features = Features(model, Path(config.cache_dir) if config.cache_dir else None, names)
    origin = Origin({**config.model.arguments(), "dtype": config.model.dtype}, model.config, number, config.preset)
    tokenizer, neighbours = model.tokenizer, take_neighbours(model)
    learner = learner_of(model, config, names)
    team = team_for(accelerator, learner, config)
    optimizer, total = optimizer_for(team, learner, config), steps_of(config, learned, team.world)
    updater = Updater(config, team, learner, features, optimizer)
    scheduler = schedule(optimizer, config, total)
    return Run(config, chosen, updater, neighbours, tokenizer, scheduler, snapshots, origin, learned, held_out, total)


def load_for(config: TrainConfig, number: int, device: torch.device) -> MuMuLLaMA:
    """What trains comes in float32, the rest in the type that is computed in. Raises ValueError where these contradict."""
    kinds = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    arguments = config.model.arguments()
    if config.precision == "no" and arguments["dtype"] not in (None, torch.float32):
        raise ValueError(
            f"precision no computes in float32, so the model cannot be {config.model.dtype}; give precision bf16, or leave dtype out."
        )
    if arguments["dtype"] is None:  # a CPU's half precision saves no time
        arguments["dtype"] = kinds[config.precision] if device.type == "cuda" else torch.float32
    groups = {group for variant in VARIANTS for group in stage(number, config.preset, variant).trains}
    return load(**arguments, merge_lora=False, device=device, precise=lambda name: group_of(name) in groups)


def learner_of(model: MuMuLLaMA, config: TrainConfig, names: tuple[str, ...]) -> Learner:
    if config.gate_start is not None:
        open_gates(model, config.gate_start)
    learner = Learner(model, condition_weights(config), new_rows=NEW_ROWS in names)
    choose_trainable(learner, names)
    checkpoint_activations(model, config.activation_checkpointing, config.offload)
    return learner.train()


def read_data(config: TrainConfig, number: int) -> tuple[Examples | Streams, Examples | Streams | None]:
    """(to learn from, held out)."""
    learned = read_examples(config.data.get(number, ()), number)
    if config.validation.get(number):
        return learned, read_examples(config.validation[number], number)
    return split(learned, config.holdout) if config.holdout else (learned, None)


def check_parts(model: MuMuLLaMA, number: int, config: TrainConfig) -> None:
    """What stages need of the model is asked for at once, not when the first example comes."""
    if model.tokenizer is None:
        raise ValueError("The model has no tokenizer.model; put LLaMA's into its folder, or give llama_dir.")
    music = any(source.form in ("captions_to_music", "songs", "instructions") for source in config.data.get(number, ()))
    if music and (model.music_decoder is None or getattr(model.music_decoder, "tokenizer", "") is None):
        raise ValueError(
            f"Stage {number} has examples with music, but the model no music decoder that reads captions; give music_decoder_path."
        )


def optimizer_for(team: Team, learner: Learner, config: TrainConfig) -> Any:
    """AdamW on what trains, without decay for vectors, gates, queries and single rows."""
    from timm.optim import param_groups_weight_decay

    groups = param_groups_weight_decay(learner, config.weight_decay, no_weight_decay_list=UNDECAYED)
    return team.accelerator.prepare_optimizer(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas))


def schedule(optimizer: Any, config: TrainConfig, total: int) -> Any:
    """Cosine from lr to min_lr over the steps, after a linear warm-up. It has no state: a step's number says its rate."""
    from timm.scheduler import CosineLRScheduler

    warmup = min(config.warmup_steps, total - 1)
    return CosineLRScheduler(
        getattr(optimizer, "optimizer", optimizer), t_initial=max(1, total - warmup), lr_min=config.min_lr, warmup_t=warmup,
        warmup_lr_init=config.lr / (warmup + 1), warmup_prefix=True, t_in_epochs=False,
    )  # fmt: skip


def steps_of(config: TrainConfig, learned: Examples | Streams, world: int) -> int:
    if config.max_steps is not None:
        return config.max_steps
    if isinstance(learned, Streams):
        raise ValueError(STREAMED_STEPS)
    return Order.of(learned, config.seed, config.batch_size, config.accumulation, world).steps(config.epochs)
