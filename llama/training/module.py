"""The part of the model that trains, as one module: a batch in, sums of losses out.

Sums, not means: the mean is taken over everything that one step of the optimiser sees, however that is cut into
micro-batches and processes, so that the cut does not change what is learned.

Legend: B rows, T tokens, M rows that make music, K condition tokens, W condition width, D the LLaMA's width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from llama.checkpoint.delta import AUDIO_TOKEN_ROWS
from llama.config import AUDIO_TOKENS, COMPONENTS, MODALITIES
from llama.modules.adapters import UnderstandingAdapter
from llama.modules.lora import LoRALinear
from llama.modules.losses import IGNORE, audio_token_positions, condition_error
from llama.mumu_llama import MuMuLLaMA
from llama.mumu_model import ModalityFeatures
from llama.training.feature_cache import prompts

if TYPE_CHECKING:
    from llama.training.config import TrainConfig

POOLED = ("channels", "mixed", "recurrent", "timbre", "rhythm", "harmony")  # what is kept of a recording as one vector, or one a layer
MUSIC = "music"  # beside the media: what a step may hold, and so what must be in every process's graph


@dataclass(frozen=True)
class TrainingBatch:
    """One micro-batch on the device, with everything that frozen parts say about it."""

    tokens: Tensor  # [B, T] int64
    labels: Tensor  # [B, T]
    media: Mapping[str, Sequence[Mapping[str, Tensor] | None]]  # reduced encoder states, a slot a row
    states: Tensor | None  # [M, K, W] text states of the captions
    mask: Tensor | None  # [M, K]
    captions: tuple[str | None, ...] = ()  # a slot a row
    tasks: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def holds(self) -> set[str]:
        """Media and music that this micro-batch has."""
        found = {name for name, rows in self.media.items() if any(row is not None for row in rows)}
        return found | ({MUSIC} if self.states is not None else set())


@dataclass(frozen=True)
class ConditionWeights:
    """How positions of the condition count in its regression.

    padding: "ignore" leaves positions after the caption's end out; "count" regresses them too, as the published training
    did; "silence" draws them to zero. The first `registers` positions weigh `register_weight` times as much.
    """

    padding: str = "ignore"
    registers: int = 0
    register_weight: float = 1.0

    def apply(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Targets [M, K, W] and weights [M, K]."""
        weight = mask.float() if self.padding == "ignore" else torch.ones_like(mask, dtype=torch.float32)
        weight[:, : self.registers] *= self.register_weight
        return states * mask[..., None] if self.padding == "silence" else states, weight


class TrainingModule(nn.Module):
    """`model` without its frozen neighbours; with `new_rows`, the audio tokens' rows of the output map train alone."""

    def __init__(self, model: MuMuLLaMA, condition: ConditionWeights | None = None, *, new_rows: bool = False, blur: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.condition, self.blur = condition or ConditionWeights(), blur
        self.neighbours = model.prototypes
        rows = model.llama.output.weight.detach()[-AUDIO_TOKENS:].float().clone()
        self.new_rows = nn.Parameter(rows) if new_rows else None

    def forward(self, lesson: TrainingBatch, held: Iterable[str] = ()) -> dict[str, Tensor]:
        """Sums a row: words [B], words_count [B], condition [M], condition_count [M]; `tie`, a zero with gradients.

        held: what the whole step holds in any process. What it holds and this micro-batch does not is tied in with a
        gradient of zero: all processes must agree on which parameters have one.
        """
        out = self.model(lesson.tokens, self.features(lesson))
        logits = self.logits(out.logits, out.hidden)
        target = lesson.labels[:, 1:]
        learned = target != IGNORE  # prompts and padding are half of all positions
        each = F.cross_entropy(logits[:, :-1][learned].float(), target[learned], reduction="none")
        sums = {"words": each.new_zeros(target.shape).masked_scatter(learned, each).sum(1), "words_count": learned.sum(1)}
        sums["condition"], sums["condition_count"] = self.regress(lesson, out.hidden)
        return {**sums, "tie": self.tie(set(held) - lesson.holds())}

    def features(self, lesson: TrainingBatch) -> ModalityFeatures:
        media = dict(lesson.media)
        if self.training and self.blur and "audio" in media:
            media["audio"] = add_noise(media["audio"], self.blur)
        found = {
            name: prompts(cast(UnderstandingAdapter, self.model.adapters[name]), rows, self.neighbours if name == "audio" else None)
            for name, rows in media.items()
            if any(row is not None for row in rows)
        }
        return ModalityFeatures(**found)

    def logits(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """The audio tokens' columns by rows of their own, where these train."""
        if self.new_rows is None:
            return logits
        mine = F.linear(self.model.llama.norm(hidden), self.new_rows.to(hidden.dtype))
        return torch.cat([logits[..., :-AUDIO_TOKENS], mine.to(logits.dtype)], dim=-1)

    def regress(self, lesson: TrainingBatch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors of the condition, summed over its positions, and the weight of these; both [M]."""
        if lesson.states is None or lesson.mask is None:
            return hidden.new_zeros(0), hidden.new_zeros(0)
        picked = torch.stack([hidden[row, at : at + AUDIO_TOKENS] for row, at in self.audio_positions(lesson.labels)])
        projected = self.model.project(picked, self.model.audio_token_embeddings(len(picked)))
        states, weight = self.condition.apply(lesson.states, lesson.mask)
        return (condition_error(projected, states) * weight).sum(1), weight.sum(1)

    def audio_positions(self, labels: Tensor) -> list[tuple[int, int]]:
        """(row, position that predicts the first audio token) of each row with music."""
        first = self.model.config.llama.vocab_size - AUDIO_TOKENS
        return sorted(dict(audio_token_positions(labels, first).tolist()).items())

    def tie(self, missing: set[str]) -> Tensor:
        total = self.model.llama.norm.weight.new_zeros(())
        parts = [*(self.model.adapters[name] for name in MODALITIES if name in missing)]
        if MUSIC in missing:
            parts.append(self.model.output_projector)
        for part in parts:
            for value in part.parameters():
                if value.requires_grad:
                    total = total + 0.0 * value.float().sum()
        return total


def add_noise(rows: Sequence[Mapping[str, Tensor] | None], share: float) -> list[Mapping[str, Tensor] | None]:
    """Pooled features with noise of so much of each number's spread over the rows: recordings are not learnt by heart."""
    spread: dict[str, Tensor] = {}
    for part in POOLED:
        if known := [row[part] for row in rows if row is not None and part in row]:
            spread[part] = share * torch.stack(known).float().std(0, correction=0)

    def noisy(row: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {part: value + spread[part] * torch.randn_like(spread[part]) if part in spread else value for part, value in row.items()}

    return [None if row is None else noisy(row) for row in rows]


def internal_name(name: str) -> str:
    """A parameter's name in the learner -> in the files."""
    return AUDIO_TOKEN_ROWS if name == "new_rows" else name.removeprefix("model.")


def mark_trainable(learner: TrainingModule, names: Iterable[str], frozen: torch.dtype | None = None) -> None:
    """Exactly `names` (own names) train, in float32; all else is frozen, in `frozen` (None: as it is)."""
    wanted = set(names)
    for name, value in learner.named_parameters():
        value.requires_grad_(internal_name(name) in wanted)
        kind = torch.float32 if value.requires_grad else frozen or value.dtype
        if value.dtype != kind:
            value.data = value.data.to(kind)


def fold_zero_lora(learner: TrainingModule) -> None:
    """Low-rank branches that say nothing and do not train are not computed: folding them in adds zeros."""
    for part in learner.modules():
        if isinstance(part, LoRALinear) and part.l1 is not None:
            if not (part.l1.requires_grad or part.l2.requires_grad or bool(part.l2.any())):
                part.merge()


def open_gates(model: MuMuLLaMA, start: float) -> None:
    for block in model.llama.layers:
        block.attention.gate.data.fill_(start)


def checkpoint_activations(model: MuMuLLaMA, kind: str, offload: bool = False) -> None:
    """Blocks forget their activations and compute them again in the backward pass.

    kind: "none", "torch", or "fairscale", which can keep what it does keep in the CPU's memory (`offload`).
    """
    if kind == "fairscale":
        from fairscale.nn import checkpoint_wrapper

        for block in model.llama.layers:
            checkpoint_wrapper(block, offload_to_cpu=offload)
    elif kind == "torch":
        for block in model.llama.layers:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]


def detach_components(model: MuMuLLaMA) -> dict[str, nn.Module | None]:
    """The frozen neighbours out of the model, so that only what trains is wrapped, sharded and saved."""
    found = {name: getattr(model, name) for name in COMPONENTS}
    for name in COMPONENTS:
        setattr(model, name, None)
    return found


@contextmanager
def complete_model(learner: TrainingModule, neighbours: Mapping[str, nn.Module | None]) -> Iterator[MuMuLLaMA]:
    """The model as its user has it, for a while: with neighbours, and the new rows in their place."""
    model, output = learner.model, learner.model.llama.output.weight
    kept = output.detach()[-AUDIO_TOKENS:].clone()
    for name, part in neighbours.items():
        setattr(model, name, part)
    if learner.new_rows is not None:
        output.data[-AUDIO_TOKENS:] = learner.new_rows.detach().to(output.dtype)
    learner.eval()
    try:
        yield model
    finally:
        learner.train()
        output.data[-AUDIO_TOKENS:] = kept
        detach_components(model)


def condition_weights(config: TrainConfig) -> ConditionWeights:
    return ConditionWeights(config.condition_padding, config.condition_registers, config.register_weight)
