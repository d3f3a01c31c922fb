"""Understanding adapters: mix -> pool -> project -> three gated blocks (M2UGen, arXiv 2311.11255, section 3).

Legend: B rows, L layer states (or one), T frames (or tokens), F encoder width, P prompt positions, D the LLaMA's width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.config import AdapterConfig
from llama.modules.pooling import HarmonyPool, RhythmPool, TimbrePool
from llama.modules.transformer import RMSNorm

MODALITY_WEIGHT = 1 / (1 + 1e-6)  # one medium of weight 1, over the sum of weights + 1e-6: what the weights were trained with
BRIDGE_EPS = 1e-6  # of the blocks' norms; the LLaMA's own is 1e-5

Kept = Mapping[str, Tensor]  # what a cache keeps of a medium, see `Reduction`
Neighbours = Callable[[Tensor], Tensor]  # unit features [B, F] -> unit features drawn to their nearest prototypes


class ChannelMix(nn.Module):
    """A 1x1 convolution over layers or tokens: one weight each and a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1), 1 / channels))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> [B, ...]."""
        return torch.einsum("bc...,c->b...", x, self.weight[0, :, 0]) + self.bias


def l2_normalize(x: Tensor) -> Tensor:
    return MODALITY_WEIGHT * F.normalize(x, dim=-1)


def retrieve(mixed: Tensor, neighbours: Neighbours | None) -> Tensor:
    """The time mean of mixed states [B, F] as a unit feature, drawn to its nearest prototypes where there are any."""
    return neighbours(l2_normalize(mixed)) if neighbours else l2_normalize(mixed)


class RecurrentPool(nn.Module):
    """A recurrent layer over time, then attention over its outputs (MuMu-LLaMA, arXiv 2412.06660)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(width, width, batch_first=True)
        self.attention = nn.Linear(width, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, F] -> [B, F]."""
        states, _ = self.rnn(frames)
        weights = self.attention(states).softmax(dim=1)
        return (weights * states).sum(dim=1)


class GatedBlock(nn.Module):
    """y + W2(silu(W1 z) * W3 z), z the normed y; square and without biases."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim, BRIDGE_EPS)
        self.f1 = nn.Linear(dim, dim, bias=False)
        self.f2 = nn.Linear(dim, dim, bias=False)
        self.f3 = nn.Linear(dim, dim, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        z = self.norm(y)
        return y + self.f2(F.silu(self.f1(z)) * self.f3(z))


class UnderstandingAdapter(nn.Module):
    """Encoder states [B, L, T, F] -> prompt positions [B, P, D], one for each pool.

    `idle` holds a recurrent pool that a published checkpoint carries but no path of it can use (its width fits neither
    the encoder nor the projection), so that such a checkpoint is saved as whole as it was loaded.
    """

    def __init__(self, config: AdapterConfig, dim: int) -> None:
        super().__init__()
        self.config, self.dim = config, dim
        self.mix = ChannelMix(config.channels)
        self.pools = nn.ModuleDict({name: pool for name in config.pools if (pool := build_pool(name, config)) is not None})
        self.project = nn.ModuleList(nn.Linear(self.pooled_dim(name), dim) for name in config.pools)
        self.blocks = nn.ModuleList(GatedBlock(dim) for _ in range(config.blocks))
        self.idle = RecurrentPool(config.idle_recurrent) if config.idle_recurrent else None

    def pooled_dim(self, name: str) -> int:
        return self.config.feature_dim if name in ("mean", "recurrent") else self.config.pool_dim

    def frames(self, states: Tensor) -> dict[str, Tensor]:
        """[B, L, T, F] -> what each pool keeps of it, [B, T, C]; a long recording's windows are joined in T by `concat_windows`."""
        if self.config.mix == "tokens":
            return {"mean": self.mix(states[:, 0]).unsqueeze(1)}
        return {name: self._frames_for(name, states) for name in self.config.pools}

    def _frames_for(self, name: str, states: Tensor) -> Tensor:
        if name in ("rhythm", "harmony", "timbre"):
            return self.pools[name].frames(states)
        mixed = self.mix(states)
        return l2_normalize(mixed) if name == "recurrent" else mixed

    def pool(self, frames: dict[str, Tensor], neighbours: Neighbours | None = None) -> list[Tensor]:
        """Frames over the whole of the medium -> one vector [B, C] for each pool."""
        pooled = []
        for name in self.config.pools:
            if name == "mean":
                pooled.append(retrieve(frames[name].mean(dim=1), neighbours))
            else:
                pooled.append(self.pools[name](frames[name]))
        return pooled

    def pool_kept(self, kept: Kept, neighbours: Neighbours | None = None) -> list[Tensor]:
        """What a `Reduction` kept of media of one length, B together -> one vector [B, C] a pool, as `pool(frames(states))`."""
        return [kept[name] if name in kept else self._pool_kept(name, kept, neighbours) for name in self.config.pools]

    def _pool_kept(self, name: str, kept: Kept, neighbours: Neighbours | None) -> Tensor:
        if name == "mean":
            return retrieve(kept["mixed"] if "mixed" in kept else self.mix(kept["channels"]), neighbours)
        if name == "recurrent" and "frames" in kept:
            return self.pools[name](kept["frames"])
        windows = [kept[f"states.{place}"] for place in range(sum(part.startswith("states.") for part in kept))]
        return self.pools[name](torch.cat([self._frames_for(name, window) for window in windows], dim=1))

    def prompts(self, pooled: Sequence[Tensor]) -> Tensor:
        """Pooled vectors -> [B, P, D]."""
        y = torch.stack([project(vector) for project, vector in zip(self.project, pooled, strict=True)], dim=1)
        for block in self.blocks:
            y = block(y)
        return y

    def forward(self, states: Tensor, neighbours: Neighbours | None = None) -> Tensor:
        return self.prompts(self.pool(self.frames(states), neighbours))


def build_pool(name: str, config: AdapterConfig) -> nn.Module | None:
    """The learned part of a pool; the mean has none."""
    if name == "recurrent":
        return RecurrentPool(config.feature_dim)
    if name == "rhythm":
        return RhythmPool(config.channels, config.feature_dim, config.frame_rate, config.pool_dim, spectrum=config.spectrum)
    if name == "harmony":
        return HarmonyPool(config.channels, config.feature_dim, config.pool_dim, spectrum=config.spectrum)
    if name == "timbre":
        return TimbrePool(config.feature_dim, config.pool_dim)
    return None


def concat_windows(windows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Windows of one recording, in order, as one: every frame weighs the same, so each window weighs by its length."""
    return {name: torch.cat([window[name] for window in windows], dim=1) for name in windows[0]}
