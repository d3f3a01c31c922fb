"""Feature reduction: the part of an encoder's output that the feature cache stores."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from llama.modules.adapters import CachedFeatures, UnderstandingAdapter, l2_normalize


class FeatureReduction:
    """Reduces the encoder states of a medium to the smallest features that its adapter's trainable parts depend on.

    Stored by name, as far as the pools need them (`parts`): "channels" [C, F], the time means of the channels that the mix
    sums; "mixed" [F], after a frozen mix of tokens; a frozen pool's vector under its name; "frames" [T, F] for a recurrent
    pool after a frozen mix; for any other trainable pool the complete states, one entry a window ("states.0" [L, T, F],
    "states.1", ...), because a pool may depend on the windows' boundaries.
    Frozen modules are copied, so that the training module can move or shard its own. `trained`: names of the model's
    trainable parameters.
    """

    def __init__(self, adapter: UnderstandingAdapter, kind: str, trained: Collection[str]) -> None:
        self.config, self.dtype = adapter.config, adapter.mix.weight.dtype
        self._trained = {name.removeprefix(f"adapters.{kind}.") for name in trained if name.startswith(f"adapters.{kind}.")}
        self.parts: tuple[str, ...] = tuple(dict.fromkeys(self._part(name) for name in self.config.pools))
        used = {name: adapter.pools[name] for name in self.parts if name in adapter.pools}
        used |= {"mix": adapter.mix} if {"mixed", "frames", "recurrent"} & set(self.parts) else {}
        self.frozen = copy.deepcopy(nn.ModuleDict(used)).requires_grad_(False).eval()

    def _part(self, pool: str) -> str:
        """The stored part that a pool is computed from."""
        mixes, pools = self._trains("mix"), self._trains(f"pools.{pool}")
        if pool == "mean":
            return "mixed" if self.config.mix == "tokens" and not mixes else "channels"
        if pool == "recurrent" and not mixes:
            return "frames" if pools else "recurrent"
        return "states" if pools or pool == "recurrent" else pool

    def _trains(self, part: str) -> bool:
        return any(name.startswith(f"{part}.") for name in self._trained)

    def reduce_window(self, states: Tensor) -> dict[str, Tensor]:
        """States [1, L, T, F] of one window -> the input of `join_windows`, so that long recordings take little memory."""
        self.frozen.to(states.device)
        return {part: self._reduce_part(part, states) for part in self.parts}

    def _reduce_part(self, part: str, states: Tensor) -> Tensor:
        if part == "states":
            return states
        if part == "channels":
            return states[:, 0] if self.config.mix == "tokens" else states.sum(2, dtype=torch.float32)
        states = states.to(self.dtype)
        if part == "mixed":
            return self.frozen["mix"](states[:, 0])
        return l2_normalize(self.frozen["mix"](states)) if part in ("frames", "recurrent") else self.frozen[part].frames(states)

    def join_windows(self, windows: Sequence[CachedFeatures], frames: int) -> dict[str, Tensor]:
        """All reduced windows of a medium, in order, with `frames` frames in total -> its stored features, on the CPU."""
        features = {part: self._join_part(part, [window[part] for window in windows], frames)
                    for part in self.parts if part != "states"}
        features |= {f"states.{number}": window["states"] for number, window in enumerate(windows) if "states" in self.parts}
        return {part: value[0].cpu().clone() for part, value in features.items()}

    def _join_part(self, part: str, windows: Sequence[Tensor], frames: int) -> Tensor:
        if self.config.mix == "tokens":
            return windows[0]
        if part == "channels":
            return torch.stack(list(windows)).sum(0) / frames  # so each window counts by its length
        joined = torch.cat(list(windows), dim=1)
        return joined if part == "frames" else self.frozen[part](joined)
