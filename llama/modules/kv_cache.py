"""The key-value cache, a value that is handed in. Unfilled places are NaN, so a read past the end shows."""

from __future__ import annotations

from collections.abc import Sequence
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

    def select(self, rows: Sequence[int]) -> KVCache:
        """A copy of the rows with these indices, without the leading columns that none of them attends to."""
        index = torch.tensor(rows, device=self.start.device)
        start = self.start[index]
        low = int(start.min())
        keys, values = (tensor[:, index, :, low : self.length] for tensor in (self.keys, self.values))
        prompts = {layer: (k[index], v[index]) for layer, (k, v) in self.prompts.items()}
        return KVCache(keys, values, start - low, self.length - low, prompts)

    @classmethod
    def cat(cls, caches: Sequence[KVCache], room: int) -> KVCache:
        """One cache with the rows of all `caches` in order, their newest columns aligned, and `room` free columns.

        All caches must hold the prompts of the same layers.
        """
        length = max(cache.length for cache in caches)
        layers, _, heads, _, width = caches[0].keys.shape
        rows = [cache.keys.shape[1] for cache in caches]
        keys = caches[0].keys.new_full((layers, sum(rows), heads, length + room, width), float("nan"))
        start = torch.cat([cache.start + length - cache.length for cache in caches])
        result = cls(keys, torch.full_like(keys, float("nan")), start, length)
        for target, sources in ((result.keys, [cache.keys for cache in caches]), (result.values, [cache.values for cache in caches])):
            target[..., :length, :] = 0  # columns before a row's start are read with weight zero, so they must be numbers
            for target_rows, source, cache in zip(target.split(rows, 1), sources, caches, strict=True):
                target_rows[..., length - cache.length : length, :] = source[..., : cache.length, :]
        for layer in caches[0].prompts:
            keys_of, values_of = zip(*(cache.prompts[layer] for cache in caches), strict=True)
            result.prompts[layer] = torch.cat(keys_of), torch.cat(values_of)
        return result
