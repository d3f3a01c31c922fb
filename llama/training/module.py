"""Training module: the part of the model that trains; it takes a micro-batch and returns sums of losses.

The losses are sums and not means: the mean is taken over a whole optimizer step, so that the gradients do not depend on
how the step is divided into micro-batches and processes.

Legend: B rows, T tokens, M rows with music, K condition tokens, W condition width, D the LLaMA's width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

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

POOLED = ("channels", "mixed", "recurrent", "timbre", "rhythm", "harmony")  # cached audio features of one vector, or one a layer
MUSIC = "music"  # beside the input media: a modality that a step may have, and whose parameters must then be in every process's graph


@dataclass(frozen=True)
class TrainingBatch:
    """One micro-batch on the device, with the outputs of the frozen encoders and the frozen text encoder."""

    tokens: Tensor  # [B, T] int64
    labels: Tensor  # [B, T]
    media: Mapping[str, Sequence[Mapping[str, Tensor] | None]]  # cached encoder features, one entry a row
    states: Tensor | None  # [M, K, W] text states of the captions
    mask: Tensor | None  # [M, K]
    captions: tuple[str | None, ...] = ()  # one entry a row
    tasks: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def modalities(self) -> set[str]:
        """The input media and MUSIC, as far as any row of this micro-batch has them."""
        media = {name for name, rows in self.media.items() if any(row is not None for row in rows)}
        return media | ({MUSIC} if self.states is not None else set())


@dataclass(frozen=True)
class ConditionWeights:
    """Weights of the positions in the regression of the music decoder's condition.

    padding: of positions after the caption's end. "ignore" leaves them out; "count" regresses the text encoder's states
    there too, as the published training did; "silence" regresses zeros. The first `summary_tokens` positions (the
    configuration's condition_registers) weigh `summary_weight` times as much.
    """

    padding: str = "ignore"
    summary_tokens: int = 0
    summary_weight: float = 1.0

    def apply(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Targets [M, K, W] and weights [M, K]."""
        weight = mask.float() if self.padding == "ignore" else torch.ones_like(mask, dtype=torch.float32)
        weight[:, : self.summary_tokens] *= self.summary_weight
        return states * mask[..., None] if self.padding == "silence" else states, weight


class TrainingModule(nn.Module):
    """The model without its frozen components, as the module that is wrapped, sharded and trained.

    new_rows: of the output layer only the audio tokens' rows train, as a parameter of their own. feature_noise: standard
    deviation of the noise on audio features, as a share of theirs over a batch.
    """

    def __init__(
        self, model: MuMuLLaMA, condition: ConditionWeights | None = None, *, new_rows: bool = False, feature_noise: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.condition, self.feature_noise = condition or ConditionWeights(), feature_noise
        self.prototypes = model.prototypes
        rows = model.llama.output.weight.detach()[-AUDIO_TOKENS:].float().clone()
        self.new_rows = nn.Parameter(rows) if new_rows else None

    def forward(self, batch: TrainingBatch, step_modalities: Iterable[str] = ()) -> dict[str, Tensor]:
        """Loss sums by row: words [B], words_count [B], condition [M], condition_count [M]; and `zero_grad_anchor` [].

        step_modalities: the modalities of the step's micro-batches on all processes. Parameters of those that this
        micro-batch lacks get a zero gradient through `zero_grad_anchor`, so that all processes reduce the same set.
        """
        out = self.model(batch.tokens, self.features(batch))
        logits = self.logits(out.logits, out.hidden)
        target = batch.labels[:, 1:]
        predicted = target != IGNORE  # prompts and padding are half of all positions
        losses = F.cross_entropy(logits[:, :-1][predicted].float(), target[predicted], reduction="none")
        sums = {"words": losses.new_zeros(target.shape).masked_scatter(predicted, losses).sum(1), "words_count": predicted.sum(1)}
        sums["condition"], sums["condition_count"] = self.condition_losses(batch, out.hidden)
        return {**sums, "zero_grad_anchor": self.zero_grad_anchor(set(step_modalities) - batch.modalities())}

    def features(self, batch: TrainingBatch) -> ModalityFeatures:
        """The adapters' prompts for the batch's media, with noise on audio features while training."""
        media = dict(batch.media)
        if self.training and self.feature_noise and "audio" in media:
            media["audio"] = add_noise(media["audio"], self.feature_noise)
        by_modality = {
            name: prompts(cast(UnderstandingAdapter, self.model.adapters[name]), rows, self.prototypes if name == "audio" else None)
            for name, rows in media.items()
            if any(row is not None for row in rows)
        }
        return ModalityFeatures(**by_modality)

    def logits(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """The logits, with the audio tokens' columns computed from `new_rows` where these train."""
        if self.new_rows is None:
            return logits
        columns = F.linear(self.model.llama.norm(hidden), self.new_rows.to(hidden.dtype))
        return torch.cat([logits[..., :-AUDIO_TOKENS], columns.to(logits.dtype)], dim=-1)

    def condition_losses(self, batch: TrainingBatch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted squared errors of the condition, summed over its positions, and the sums of the weights; both [M]."""
        if batch.states is None or batch.mask is None:
            return hidden.new_zeros(0), hidden.new_zeros(0)
        outputs = torch.stack([hidden[row, at : at + AUDIO_TOKENS] for row, at in self.audio_positions(batch.labels)])
        projected = self.model.project(outputs, self.model.audio_token_embeddings(len(outputs)))
        states, weight = self.condition.apply(batch.states, batch.mask)
        return (condition_error(projected, states) * weight).sum(1), weight.sum(1)

    def audio_positions(self, labels: Tensor) -> list[tuple[int, int]]:
        """(row, position that predicts the first audio token) of each row with music."""
        first = self.model.config.llama.vocab_size - AUDIO_TOKENS
        return sorted(dict(audio_token_positions(labels, first).tolist()).items())

    def zero_grad_anchor(self, missing: set[str]) -> Tensor:
        """Zero, with a zero gradient for each trainable parameter of the missing modalities."""
        total = self.model.llama.norm.weight.new_zeros(())
        modules = [*(self.model.adapters[name] for name in MODALITIES if name in missing)]
        if MUSIC in missing:
            modules.append(self.model.output_projector)
        for module in modules:
            for parameter in module.parameters():
                if parameter.requires_grad:
                    total = total + 0.0 * parameter.float().sum()
        return total


def add_noise(rows: Sequence[Mapping[str, Tensor] | None], share: float) -> list[Mapping[str, Tensor] | None]:
    """Pooled features plus Gaussian noise of `share` of each number's standard deviation over the rows.

    It keeps the model from memorizing recordings.
    """
    deviations: dict[str, Tensor] = {}
    for name in POOLED:
        if features := [row[name] for row in rows if row is not None and name in row]:
            deviations[name] = share * torch.stack(features).float().std(0, correction=0)

    def noisy(row: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: value + deviations[name] * torch.randn_like(deviations[name]) if name in deviations else value
            for name, value in row.items()
        }

    return [None if row is None else noisy(row) for row in rows]


def internal_name(name: str) -> str:
    """A parameter's name in the training module -> its internal name, as in the model and its files."""
    return AUDIO_TOKEN_ROWS if name == "new_rows" else name.removeprefix("model.")


def mark_trainable(module: TrainingModule, names: Iterable[str], frozen_dtype: torch.dtype | None = None) -> None:
    """Makes exactly the parameters `names` (internal names) trainable, in float32; the others are cast to `frozen_dtype`."""
    trainable = set(names)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(internal_name(name) in trainable)
        dtype = torch.float32 if parameter.requires_grad else frozen_dtype or parameter.dtype
        if parameter.dtype != dtype:
            parameter.data = parameter.data.to(dtype)


def fold_zero_lora(module: TrainingModule) -> None:
    """Merges frozen LoRA branches whose B matrix is zero, so they are not computed."""
    for layer in module.modules():
        if isinstance(layer, LoRALinear) and layer.l1 is not None:
            if not (layer.l1.requires_grad or layer.l2.requires_grad or bool(layer.l2.any())):
                layer.merge()


def open_gates(model: MuMuLLaMA, start: float) -> None:
    """Sets the gates of all attention blocks to `start`."""
    for block in model.llama.layers:
        block.attention.gate.data.fill_(start)


def checkpoint_activations(model: MuMuLLaMA, kind: str, offload: bool = False) -> None:
    """Activation checkpointing of the LLaMA's blocks: their activations are recomputed in the backward pass.

    kind: "none", "torch", or "fairscale", which with `offload` keeps the blocks' inputs in the CPU's memory.
    """
    if kind == "fairscale":
        from fairscale.nn import checkpoint_wrapper

        for block in model.llama.layers:
            checkpoint_wrapper(block, offload_to_cpu=offload)
    elif kind == "torch":
        for block in model.llama.layers:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]


def detach_components(model: MuMuLLaMA) -> dict[str, nn.Module | None]:
    """Removes the frozen components from the model and returns them, so that they are not wrapped, sharded or saved."""
    components = {name: getattr(model, name) for name in COMPONENTS}
    for name in COMPONENTS:
        setattr(model, name, None)
    return components


@contextmanager
def complete_model(module: TrainingModule, components: Mapping[str, nn.Module | None]) -> Iterator[MuMuLLaMA]:
    """Context: the model in evaluation mode, with its components and with `new_rows` written into the output layer.

    Both are undone afterwards.
    """
    model, output = module.model, module.model.llama.output.weight
    original_rows = output.detach()[-AUDIO_TOKENS:].clone()
    for name, component in components.items():
        setattr(model, name, component)
    if module.new_rows is not None:
        output.data[-AUDIO_TOKENS:] = module.new_rows.detach().to(output.dtype)
    module.eval()
    try:
        yield model
    finally:
        module.train()
        output.data[-AUDIO_TOKENS:] = original_rows
        detach_components(model)
