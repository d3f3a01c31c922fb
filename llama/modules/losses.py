"""Training losses: cross entropy on the answer, regression on the music decoder's condition."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from llama.modules.output_projector import CONDITION_SCALE

IGNORE = -100  # label of positions without a loss: prompt and padding


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits [B, T, V] against labels [B, T], each position predicting the next label.

    Labels equal to `IGNORE` do not count. Without any other label the loss is 0, with a gradient of zeros.
    """
    predicted, target = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    if not bool((target != IGNORE).any()):
        return 0.0 * predicted.sum()
    return F.cross_entropy(predicted.float(), target, ignore_index=IGNORE)


def condition_loss(projected: Tensor, states: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error of the projector's output against 10 x the text encoder's states, both [B, tokens, width].

    `mask` [B, tokens] excludes padding; without it every position counts, as in the published training.
    """
    error = condition_error(projected, states)
    if mask is None:
        return error.mean()
    return (error * mask).sum() / mask.sum()


def condition_error(projected: Tensor, states: Tensor) -> Tensor:
    """Mean squared error of each position, [B, tokens], of the projector's output against 10 x the text encoder's states."""
    return (projected.float() - CONDITION_SCALE * states.float()).square().mean(dim=-1)


def audio_token_positions(labels: Tensor, first_audio_token: int) -> Tensor:
    """(row, position) of each output that predicts the first audio token, [rows with music, 2]."""
    return (labels[:, 1:] == first_audio_token).nonzero()
