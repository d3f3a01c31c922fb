"""Feature reduction: what of an encoder's output is kept in the feature cache."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from llama.modules.adapters import CachedFeatures, UnderstandingAdapter, l2_normalize


class FeatureReduction:
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
        return l2_normalize(self.frozen["mix"](cast)) if part in ("frames", "recurrent") else self.frozen[part].frames(cast)

    def whole(self, windows: Sequence[CachedFeatures], frames: int) -> dict[str, Tensor]:
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
