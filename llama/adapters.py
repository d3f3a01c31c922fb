"""Understanding adapters: mix -> pool -> project -> three gated blocks (M2UGen, arXiv 2311.11255, section 3).

Legend: B rows, L layer states (or one), T frames (or tokens), F encoder width, P prompt positions, D the LLaMA's width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.config import AdapterConfig
from llama.pools import HarmonyPool, RhythmPool, TimbrePool
from llama.transformer import RMSNorm

MODALITY_WEIGHT = 1 / (1 + 1e-6)  # one medium of weight 1, over the sum of weights + 1e-6: what the weights were trained with
BRIDGE_EPS = 1e-6  # of the blocks' norms; the LLaMA's own is 1e-5

Kept = Mapping[str, Tensor]  # what a cache keeps of a medium, see `Reduction`
Neighbours = Callable[[Tensor], Tensor]  # unit features [B, F] -> unit features drawn to their nearest prototypes


class Mix(nn.Module):
    """A 1x1 convolution over layers or tokens: one weight each and a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1), 1 / channels))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> [B, ...]."""
        return torch.einsum("bc...,c->b...", x, self.weight[0, :, 0]) + self.bias


def unit(x: Tensor) -> Tensor:
    return MODALITY_WEIGHT * F.normalize(x, dim=-1)


def drawn(mixed: Tensor, neighbours: Neighbours | None) -> Tensor:
    """The time mean of mixed states [B, F] as a unit feature, drawn to its nearest prototypes where there are any."""
    return neighbours(unit(mixed)) if neighbours else unit(mixed)


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
        self.mix = Mix(config.channels)
        self.pools = nn.ModuleDict({name: pool for name in config.pools if (pool := build_pool(name, config)) is not None})
        self.project = nn.ModuleList(nn.Linear(self.pooled_dim(name), dim) for name in config.pools)
        self.blocks = nn.ModuleList(GatedBlock(dim) for _ in range(config.blocks))
        self.idle = RecurrentPool(config.idle_recurrent) if config.idle_recurrent else None

    def pooled_dim(self, name: str) -> int:
        return self.config.feature_dim if name in ("mean", "recurrent") else self.config.pool_dim

    def frames(self, states: Tensor) -> dict[str, Tensor]:
        """[B, L, T, F] -> what each pool keeps of it, [B, T, C]; a long recording's windows are joined in T by `join`."""
        if self.config.mix == "tokens":
            return {"mean": self.mix(states[:, 0]).unsqueeze(1)}
        return {name: self._frames_for(name, states) for name in self.config.pools}

    def _frames_for(self, name: str, states: Tensor) -> Tensor:
        if name in ("rhythm", "harmony", "timbre"):
            return self.pools[name].frames(states)
        mixed = self.mix(states)
        return unit(mixed) if name == "recurrent" else mixed

    def pool(self, frames: dict[str, Tensor], neighbours: Neighbours | None = None) -> list[Tensor]:
        """Frames over the whole of the medium -> one vector [B, C] for each pool."""
        pooled = []
        for name in self.config.pools:
            if name == "mean":
                pooled.append(drawn(frames[name].mean(dim=1), neighbours))
            else:
                pooled.append(self.pools[name](frames[name]))
        return pooled

    def pool_kept(self, kept: Kept, neighbours: Neighbours | None = None) -> list[Tensor]:
        """What a `Reduction` kept of media of one length, B together -> one vector [B, C] a pool, as `pool(frames(states))`."""
        return [kept[name] if name in kept else self._pool_kept(name, kept, neighbours) for name in self.config.pools]

    def _pool_kept(self, name: str, kept: Kept, neighbours: Neighbours | None) -> Tensor:
        if name == "mean":
            return drawn(kept["mixed"] if "mixed" in kept else self.mix(kept["channels"]), neighbours)
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


def join(windows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Windows of one recording, in order, as one: every frame weighs the same, so each window weighs by its length."""
    return {name: torch.cat([window[name] for window in windows], dim=1) for name in windows[0]}


class Reduction:
    """Encoder states of the windows of a medium -> the least of them that decides what its adapter makes of it.

    Kept are, by name and as far as the pools need them (`parts`): "channels" [C, F], what the mix sums over, their time mean
    taken, which may go before the mix; "mixed" [F], after a frozen mix of tokens; under a frozen pool's name its vector;
    "frames" [T, F] of a recurrent pool behind a frozen mix; for any other pool that trains whole "states", each window alone
    as "states.0" [L, T, F], "states.1" and on, for a pool may see where one ends.
    Frozen parts are copies, so that a learner may move or shard its own. `trained`: names of the model's parameters.
    """

    def __init__(self, adapter: UnderstandingAdapter, kind: str, trained: Collection[str]) -> None:
        self.config, self.dtype = adapter.config, adapter.mix.weight.dtype
        self._trained = {name.removeprefix(f"adapters.{kind}.") for name in trained if name.startswith(f"adapters.{kind}.")}
        self.parts: tuple[str, ...] = tuple(dict.fromkeys(self._part(name) for name in self.config.pools))
        used = {name: adapter.pools[name] for name in self.parts if name in adapter.pools}
        used |= {"mix": adapter.mix} if {"mixed", "frames", "recurrent"} & set(self.parts) else {}
        self.frozen = copy.deepcopy(nn.ModuleDict(used)).requires_grad_(False).eval()

    def _part(self, pool: str) -> str:
        """Which part of what is kept stands for a pool."""
        mixes, pools = self._trains("mix"), self._trains(f"pools.{pool}")
        if pool == "mean":
            return "mixed" if self.config.mix == "tokens" and not mixes else "channels"
        if pool == "recurrent" and not mixes:
            return "frames" if pools else "recurrent"
        return "states" if pools or pool == "recurrent" else pool

    def _trains(self, part: str) -> bool:
        return any(name.startswith(f"{part}.") for name in self._trained)

    def window(self, states: Tensor) -> dict[str, Tensor]:
        """States [1, L, T, F] of one window -> what `whole` needs of them, so that long recordings stay small."""
        self.frozen.to(states.device)
        return {part: self._of_window(part, states) for part in self.parts}

    def _of_window(self, part: str, states: Tensor) -> Tensor:
        if part == "states":
            return states
        if part == "channels":
            return states[:, 0] if self.config.mix == "tokens" else states.sum(2, dtype=torch.float32)
        cast = states.to(self.dtype)
        if part == "mixed":
            return self.frozen["mix"](cast[:, 0])
        return unit(self.frozen["mix"](cast)) if part in ("frames", "recurrent") else self.frozen[part].frames(cast)

    def whole(self, windows: Sequence[Kept], frames: int) -> dict[str, Tensor]:
        """All windows of one medium, in order, of `frames` frames together -> what is kept of it, on the CPU."""
        found = {part: self._of_whole(part, [window[part] for window in windows], frames)
                 for part in self.parts if part != "states"}
        found |= {f"states.{place}": window["states"] for place, window in enumerate(windows) if "states" in self.parts}
        return {part: value[0].cpu().clone() for part, value in found.items()}

    def _of_whole(self, part: str, windows: Sequence[Tensor], frames: int) -> Tensor:
        if self.config.mix == "tokens":
            return windows[0]
        if part == "channels":
            return torch.stack(list(windows)).sum(0) / frames  # so each window weighs by its length
        joined = torch.cat(list(windows), dim=1)
        return joined if part == "frames" else self.frozen[part](joined)
