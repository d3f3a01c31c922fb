"""Output projector: hidden states of the audio tokens -> condition of the music decoder (M2UGen, arXiv 2311.11255)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llama.config import ProjectorConfig

CONDITION_SCALE = 10.0  # the projector is trained on 10 x the text encoder's states; its output is divided by this for the decoder


class OutputProjector(nn.Module):
    """Encoder-decoder transformer (post-norm, no masks) whose learned queries attend to the eight audio tokens."""

    def __init__(self, config: ProjectorConfig, dim: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(dim, config.hidden)
        self.queries = nn.Parameter(torch.randn(1, config.tokens, config.hidden))
        self.transformer = nn.Transformer(
            config.hidden, config.heads, config.layers, config.layers, config.ffn_dim, dropout=0.0, batch_first=True
        )
        self.outputs = nn.Linear(config.hidden, config.width)

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """10 x the condition, [B, tokens, width], of the audio tokens' hidden states and embeddings, both [B, 8, D]."""
        queries = self.queries.expand(hidden.shape[0], -1, -1)
        return self.outputs(self.transformer(self.inputs(hidden + embeddings), queries))
