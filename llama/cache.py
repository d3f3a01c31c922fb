"""The key-value cache, a value that is handed in. Unfilled places are NaN, so a read past the end shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from llama.config import LlamaConfig


@dataclass
class KVCache:
    """Keys and values of every layer, and of the adapter prompts, which are the same at every step.

    keys, values: [layers, B, kv_heads, capacity, head_dim]; `length` columns are filled.
    start: [B], the first real column of each left-padded row.
    """

    keys: Tensor
    values: Tensor
    start: Tensor
    length: int = 0
    prompts: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # layer -> keys, values [B, kv_heads, P, head_dim]

    @classmethod
    def empty(
        cls, config: LlamaConfig, batch: int, capacity: int, *, device: torch.device, dtype: torch.dtype, start: Tensor | None = None
    ) -> KVCache:
        shape = (config.n_layers, batch, config.kv_heads, capacity, config.head_dim)
        keys = torch.full(shape, float("nan"), device=device, dtype=dtype)
        start = torch.zeros(batch, dtype=torch.long, device=device) if start is None else start
        return cls(keys, torch.full_like(keys, float("nan")), start)

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def padded(self) -> bool:
        """Whether any row starts after column 0 (then attention needs a mask)."""
        if self._padded is None:
            self._padded = bool((self.start > 0).any())
        return self._padded

    _padded: bool | None = field(default=None, repr=False)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores [B, kv_heads, T, head_dim] after the filled columns; returns all that is filled now.

        `length` is moved on by `advance`, once for all layers.
        """
        stop = self.length + keys.shape[2]
        assert stop <= self.capacity, f"cache of {self.capacity} columns asked to hold {stop}"
        held = self.keys[layer], self.values[layer]
        for place, fresh in zip(held, (keys, values), strict=True):
            place.narrow(2, self.length, keys.shape[2]).copy_(fresh)
        return held[0].narrow(2, 0, stop), held[1].narrow(2, 0, stop)

    def advance(self, count: int) -> None:
        self.length += count
