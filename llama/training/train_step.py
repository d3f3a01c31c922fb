"""Training step: one optimizer update from the micro-batches of every process.

Its loss is the mean over all tokens and all condition positions of the step, so that the update does not depend on how
the step is divided into micro-batches and processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from llama.config import MODALITIES
from llama.data.collate import Batch
from llama.modules.adapters import CachedFeatures
from llama.modules.losses import IGNORE
from llama.training.config import Precision
from llama.training.distributed import DistributedContext, raise_collective
from llama.training.feature_cache import FeatureCache
from llama.training.module import MUSIC, TrainingBatch, TrainingModule

MODALITY_KEYS = (*MODALITIES, MUSIC)
MAX_NAMED = 16  # examples that an error message lists
SKIPPED = "skipped.txt"  # file in OUTPUT_DIR with the examples that could not be read


@dataclass
class TrainStep:
    """Updates the training module from batches, and counts the examples that could not be read.

    condition_weight: of the condition's error beside the words'. clip: the largest gradient norm. precision: with "fp16" a step
    whose gradients overflow is skipped. max_broken: examples that may be unreadable, listed in OUTPUT_DIR/skipped.txt.
    """

    condition_weight: float
    clip: float
    precision: Precision
    max_broken: int
    output_dir: Path
    context: DistributedContext
    module: TrainingModule
    features: FeatureCache
    optimizer: Optimizer
    skipped: list[str] = field(default_factory=list)  # "source: reason" of examples that could not be read

    def prepare(self, batch: Batch) -> TrainingBatch:
        """The batch on the device, with the outputs of the frozen encoders for its media and captions."""
        device = self.context.accelerator.device
        media = {name: self.to_device(self.features.encode_missing(rows)) for name, rows in batch.media.items()}
        captions = [caption for caption in batch.captions if caption is not None]
        states, mask = self.features.targets(captions) if captions else (None, None)
        if states is not None and mask is not None:
            states, mask = states.to(device), mask.to(device)
        return TrainingBatch(
            batch.tokens.to(device), batch.labels.to(device), media, states, mask, batch.captions, batch.tasks, batch.sources
        )

    def to_device(self, rows: Sequence[CachedFeatures | None]) -> list[CachedFeatures | None]:
        device = self.context.accelerator.device
        return [None if row is None else {name: value.to(device) for name, value in row.items()} for row in rows]

    def step(self, batches: Sequence[Batch]) -> dict[str, float]:
        """One update from this process's micro-batches; returns the losses and the gradient norm.

        Raises ValueError if more than `max_broken` examples could not be read, and FloatingPointError for a loss that is
        not finite. Both name the examples and are raised before any parameter changes.
        """
        self.check_skipped(batches)
        micro_batches = [self.prepare(batch) for batch in batches]
        words, condition, *flags = self.context.sum(self.counts(micro_batches))
        step_modalities = [name for name, flag in zip(MODALITY_KEYS, flags, strict=True) if flag]
        sums = torch.zeros(2, dtype=torch.float64)
        for number, batch in enumerate(micro_batches, 1):
            with self.context.no_sync(unless=number == len(micro_batches)):
                with self.context.accelerator.autocast():
                    outputs = self.context.wrapped_module(batch, step_modalities)
                parts = outputs["words"].sum() / max(words, 1), outputs["condition"].sum() / max(condition, 1)
                loss = parts[0] + self.condition_weight * parts[1] + outputs["zero_grad_anchor"]
                sums += torch.stack([part.detach().cpu().double() for part in parts])
                self.context.accelerator.backward(loss * self.context.world)  # gradients are averaged over processes
        losses = self.context.sum(list(sums))
        self.check_finite(losses, sums, micro_batches)
        norm = self.update(micro_batches)
        total = losses[0] + self.condition_weight * losses[1]
        return {"loss": total, "words": losses[0], "condition": losses[1], "gradient_norm": norm}

    def counts(self, batches: Sequence[TrainingBatch]) -> list[float]:
        """This process's tokens to predict, its condition weight, and a flag for each of MODALITY_KEYS."""
        words = sum(int((batch.labels[:, 1:] != IGNORE).sum()) for batch in batches)
        condition = 0.0
        for batch in batches:
            if batch.states is not None and batch.mask is not None:
                condition += float(self.module.condition.apply(batch.states, batch.mask)[1].sum())
        modalities = set().union(*(batch.modalities() for batch in batches))
        return [words, condition, *(float(name in modalities) for name in MODALITY_KEYS)]

    def update(self, batches: Sequence[TrainingBatch]) -> float:
        """Clips the gradients and steps the optimizer; returns the gradient norm before clipping."""
        accelerator = self.context.accelerator
        norm = accelerator.clip_grad_norm_(self.module.parameters(), self.clip)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if not math.isfinite(norm) and self.precision != "fp16":  # fp16's scaler skips such a step
            self.fail("The gradients of a step are not finite", batches)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def check_finite(self, losses: Sequence[float], own_sums: Tensor, batches: Sequence[TrainingBatch]) -> None:
        """Raises FloatingPointError, naming the examples of processes whose own sums are not finite."""
        if not all(map(math.isfinite, losses)):
            self.fail("The loss is not finite", batches if not bool(torch.isfinite(own_sums).all()) else [])

    def fail(self, reason: str, batches: Sequence[TrainingBatch]) -> None:
        own_sources = [source for batch in batches for source in batch.sources]
        sources = [source for names in self.context.all_gather(own_sources) for source in names]
        raise_collective(FloatingPointError(
            f"{reason}, in the batch of {', '.join(sources[:MAX_NAMED])}{' ...' if len(sources) > MAX_NAMED else ''}; look at these "
            "examples, or lower lr; --resume goes on from the last checkpoint."
        ), self.context.is_main)  # fmt: skip

    def check_skipped(self, batches: Iterable[Batch]) -> None:
        """Writes each example that could not be read to skipped.txt once; ValueError if they are more than `max_broken`."""
        lines = [f"{example.source}: {example.reason}" for batch in batches for example in batch.skipped]
        if not self.context.sum([len(lines)])[0]:
            return
        new_lines = dict.fromkeys(line for rank_lines in self.context.all_gather(lines) for line in rank_lines if line not in self.skipped)
        self.skipped += new_lines
        if new_lines and self.context.is_main:
            with (self.output_dir / SKIPPED).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in new_lines)
        if len(self.skipped) > self.max_broken:
            count, first = len(self.skipped), self.skipped[0]
            raise_collective(
                ValueError(f"{count} examples could not be read, and max_broken allows {self.max_broken}; {first}"),
                self.context.is_main,
            )
