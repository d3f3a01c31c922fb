"""Understanding adapters: mix -> pool -> project -> three gated blocks (M2UGen, arXiv 2311.11255, section 3).

Shapes: B rows, L layer states (or one), T frames (or tokens), F encoder width, P prompt positions, D the LLaMA's width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.config import AdapterConfig
from llama.modules.pooling import HarmonyPool, RhythmPool, TimbrePool
from llama.modules.transformer import RMSNorm

MODALITY_WEIGHT = 1 / (1 + 1e-6)  # the published normalisation: one medium of weight 1 over (sum of weights + 1e-6)
BRIDGE_EPS = 1e-6  # epsilon of the blocks' norms; the LLaMA's own is 1e-5

CachedFeatures = Mapping[str, Tensor]  # reduced features of one medium in the cache, see FeatureReduction
Retrieval = Callable[[Tensor], Tensor]  # unit features [B, F] -> unit features moved towards their nearest prototypes


class ChannelMix(nn.Module):
    """Weighted sum over layers or tokens (a 1x1 convolution): one weight each and a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1), 1 / channels))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> [B, ...]."""
        return torch.einsum("bc...,c->b...", x, self.weight[0, :, 0]) + self.bias


def l2_normalize(x: Tensor) -> Tensor:
    """Unit features [..., F], times the published modality weight."""
    return MODALITY_WEIGHT * F.normalize(x, dim=-1)


def retrieve(mixed: Tensor, retrieval: Retrieval | None) -> Tensor:
    """Unit feature of the time mean of mixed states [B, F], moved towards its nearest prototypes if there is an index."""
    return retrieval(l2_normalize(mixed)) if retrieval else l2_normalize(mixed)


class RecurrentPool(nn.Module):
    """Recurrent pool: an RNN over time, then attention over its outputs (MuMu-LLaMA, arXiv 2412.06660)."""

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
    """Residual SwiGLU block: y + W2(silu(W1 z) * W3 z) with z = norm(y); square matrices without biases."""

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
    """Adapter of one modality: encoder states [B, L, T, F] -> adapter prompt [B, P, D], one position for each pool.

    `idle` is an unused recurrent pool: published checkpoints contain one whose width fits neither the encoder nor the
    projection. It is loaded and saved, so that no tensor of such a checkpoint is lost, and never computed.
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
        """Width of the vector that pool `name` returns."""
        return self.config.feature_dim if name in ("mean", "recurrent") else self.config.pool_dim

    def frames(self, states: Tensor) -> dict[str, Tensor]:
        """Input of each pool, [B, T, C], from states [B, L, T, F]; `concat_windows` joins the windows of a long recording in T."""
        if self.config.mix == "tokens":
            return {"mean": self.mix(states[:, 0]).unsqueeze(1)}
        return {name: self._frames_for(name, states) for name in self.config.pools}

    def _frames_for(self, name: str, states: Tensor) -> Tensor:
        if name in ("rhythm", "harmony", "timbre"):
            return self.pools[name].frames(states)
        mixed = self.mix(states)
        return l2_normalize(mixed) if name == "recurrent" else mixed

    def pool(self, frames: dict[str, Tensor], retrieval: Retrieval | None = None) -> list[Tensor]:
        """One vector [B, C] for each pool from the frames of the complete medium."""
        pooled = []
        for name in self.config.pools:
            if name == "mean":
                pooled.append(retrieve(frames[name].mean(dim=1), retrieval))
            else:
                pooled.append(self.pools[name](frames[name]))
        return pooled

    def pool_cached(self, cached: CachedFeatures, retrieval: Retrieval | None = None) -> list[Tensor]:
        """One vector [B, C] for each pool from cached features of B media of one length; equals `pool(frames(states))`."""
        return [cached[name] if name in cached else self._pool_cached(name, cached, retrieval) for name in self.config.pools]

    def _pool_cached(self, name: str, cached: CachedFeatures, retrieval: Retrieval | None) -> Tensor:
        if name == "mean":
            return retrieve(cached["mixed"] if "mixed" in cached else self.mix(cached["channels"]), retrieval)
        if name == "recurrent" and "frames" in cached:
            return self.pools[name](cached["frames"])
        windows = [cached[f"states.{index}"] for index in range(sum(key.startswith("states.") for key in cached))]
        return self.pools[name](torch.cat([self._frames_for(name, window) for window in windows], dim=1))

    def prompts(self, pooled: Sequence[Tensor]) -> Tensor:
        """Adapter prompt [B, P, D] of the pooled vectors."""
        y = torch.stack([project(vector) for project, vector in zip(self.project, pooled, strict=True)], dim=1)
        for block in self.blocks:
            y = block(y)
        return y

    def forward(self, states: Tensor, retrieval: Retrieval | None = None) -> Tensor:
        return self.prompts(self.pool(self.frames(states), retrieval))


def build_pool(name: str, config: AdapterConfig) -> nn.Module | None:
    """The module of pool `name`; None for the mean, which has no weights."""
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
    """Concatenate the windows of one recording in time. Every frame has the same weight, so a window counts by its length."""
    return {name: torch.cat([window[name] for window in windows], dim=1) for name in windows[0]}
