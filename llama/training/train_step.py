"""One step of the optimiser, from micro-batches of every process.

Its loss is the mean over all tokens and all condition positions of the step, so that nothing depends on how these are cut
into micro-batches and processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llama.config import MODALITIES
from llama.data.collate import Batch
from llama.modules.losses import IGNORE
from llama.training.config import TrainConfig
from llama.training.distributed import DistributedContext, mark_collective
from llama.training.feature_cache import FeatureCache
from llama.training.module import MUSIC, TrainingBatch, TrainingModule

MODALITY_KEYS = (*MODALITIES, MUSIC)
MAX_NAMED = 16  # examples that an error lists
SKIPPED = "skipped.txt"  # in OUTPUT_DIR: what could not be read


@dataclass
class TrainStep:
    """What a step needs, and what it found broken on the way."""

    config: TrainConfig
    team: DistributedContext
    learner: TrainingModule
    features: FeatureCache
    optimizer: Any  # torch's, in accelerate's wrapper
    broken: list[str] = field(default_factory=list)  # "source: reason" of examples that could not be read

    def lesson(self, batch: Batch) -> TrainingBatch:
        """Frozen parts have their say, and everything goes to the device."""
        place = self.team.accelerator.device
        media = {name: self.on_device(self.features.complete(slots)) for name, slots in batch.media.items()}
        captions = [caption for caption in batch.captions if caption is not None]
        states, mask = self.features.targets(captions) if captions else (None, None)
        if states is not None:
            states, mask = states.to(place), mask.to(place)
        return TrainingBatch(
            batch.tokens.to(place), batch.labels.to(place), media, states, mask, batch.captions, batch.tasks, batch.sources
        )

    def on_device(self, rows: Sequence[Any]) -> list[Any]:
        place = self.team.accelerator.device
        return [None if row is None else {name: value.to(place) for name, value in row.items()} for row in rows]

    def step(self, batches: Sequence[Batch]) -> dict[str, float]:
        """One update from this process's micro-batches. Raises ValueError for too much that cannot be read, and
        FloatingPointError for a loss that is not finite, both naming the examples, before anything is changed."""
        self.check_broken(batches)
        lessons = [self.lesson(batch) for batch in batches]
        words, condition, *flags = self.team.total(self.counts(lessons))
        held = [name for name, flag in zip(MODALITY_KEYS, flags, strict=True) if flag]
        sums = torch.zeros(2, dtype=torch.float64)
        for place, lesson in enumerate(lessons):
            with self.team.holding_back(last=place == len(lessons) - 1):
                with self.team.accelerator.autocast():
                    found = self.team.wrapped(lesson, held)
                parts = found["words"].sum() / max(words, 1), found["condition"].sum() / max(condition, 1)
                loss = parts[0] + self.config.condition_weight * parts[1] + found["tie"]
                sums += torch.stack([part.detach().cpu().double() for part in parts])
                self.team.accelerator.backward(loss * self.team.world)  # gradients are averaged over processes
        losses = self.team.total(list(sums))
        self.check_finite(losses, sums, lessons)
        norm = self.update(lessons)
        total = losses[0] + self.config.condition_weight * losses[1]
        return {"loss": total, "words": losses[0], "condition": losses[1], "gradient_norm": norm}

    def counts(self, lessons: Sequence[TrainingBatch]) -> list[float]:
        """Tokens to predict, condition weight, and which media and music this process has."""
        words = sum(int((lesson.labels[:, 1:] != IGNORE).sum()) for lesson in lessons)
        condition = 0.0
        for lesson in lessons:
            if lesson.states is not None:
                condition += float(self.learner.condition.apply(lesson.states, lesson.mask)[1].sum())
        holds = set().union(*(lesson.holds() for lesson in lessons))
        return [words, condition, *(float(name in holds) for name in MODALITY_KEYS)]

    def update(self, lessons: Sequence[TrainingBatch]) -> float:
        accelerator = self.team.accelerator
        norm = accelerator.clip_grad_norm_(self.learner.parameters(), self.config.clip)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if not math.isfinite(norm) and self.config.precision != "fp16":  # fp16's scaler leaves such a step out by itself
            self.stop("The gradients of a step are not finite", lessons)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def check_finite(self, losses: Sequence[float], mine: Tensor, lessons: Sequence[TrainingBatch]) -> None:
        if not all(map(math.isfinite, losses)):
            guilty = lessons if not bool(torch.isfinite(mine).all()) else []
            self.stop("The loss is not finite", guilty)

    def stop(self, what: str, lessons: Sequence[TrainingBatch]) -> None:
        sources = [source for names in self.team.together([s for one in lessons for s in one.sources]) for source in names]
        raise mark_collective(FloatingPointError(
            f"{what}, in the batch of {', '.join(sources[:MAX_NAMED])}{' ...' if len(sources) > MAX_NAMED else ''}; look at these "
            "examples, or lower lr; --resume goes on from the last checkpoint."
        ))  # fmt: skip

    def check_broken(self, batches: Iterable[Batch]) -> None:
        """Names what could not be read, once each, and stops beyond the limit."""
        fresh = [f"{one.source}: {one.reason}" for batch in batches for one in batch.skipped]
        if not self.team.total([len(fresh)])[0]:
            return
        found = dict.fromkeys(line for lines in self.team.together(fresh) for line in lines if line not in self.broken)
        self.broken += found
        if found and self.team.main:
            with (Path(self.config.output_dir) / SKIPPED).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in found)
        if len(self.broken) > self.config.max_broken:
            count, first = len(self.broken), self.broken[0]
            raise mark_collective(
                ValueError(f"{count} examples could not be read, and max_broken allows {self.config.max_broken}; {first}")
            )
