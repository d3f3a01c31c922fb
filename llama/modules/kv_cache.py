"""Key-value cache of fixed capacity, an argument of the transformer; `KVCache.cat` makes a larger one.

Unfilled columns are NaN, so that reading past the end is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from llama.config import LlamaConfig


@dataclass
class KVCache:
    """Keys and values of every layer, and those of the adapter prompts, which are the same at every step.

    keys, values: [layers, B, kv_heads, capacity, head_dim]; `length` columns are filled.
    start: [B], the first column of each left-padded row that is not padding.
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
        """A cache of `batch` rows and `capacity` free columns; `start` is 0 if not given."""
        shape = (config.n_layers, batch, config.kv_heads, capacity, config.head_dim)
        keys = torch.full(shape, float("nan"), device=device, dtype=dtype)
        start = torch.zeros(batch, dtype=torch.long, device=device) if start is None else start
        return cls(keys, torch.full_like(keys, float("nan")), start)

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def padded(self) -> bool:
        """Whether any row starts after column 0, so that attention needs a mask."""
        if self._padded is None:
            self._padded = bool((self.start > 0).any())
        return self._padded

    _padded: bool | None = field(default=None, repr=False)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values [B, kv_heads, T, head_dim] behind the filled columns; return all columns filled so far.

        Does not change `length`: `advance` does, once for all layers.
        """
        stop = self.length + keys.shape[2]
        assert stop <= self.capacity, f"cache of {self.capacity} columns cannot hold {stop}"
        layer_cache = self.keys[layer], self.values[layer]
        for buffer, fresh in zip(layer_cache, (keys, values), strict=True):
            buffer.narrow(2, self.length, keys.shape[2]).copy_(fresh)
        return layer_cache[0].narrow(2, 0, stop), layer_cache[1].narrow(2, 0, stop)

    def advance(self, count: int) -> None:
        """Count `count` more columns as filled, after every layer has appended them."""
        self.length += count

    def row(self, index: int) -> KVCache:
        """View of one row, without the padding before its start. `cat` joins rows again and copies them once."""
        first_column, rows = int(self.start[index]), slice(index, index + 1)
        keys, values = (tensor[:, rows, :, first_column : self.length] for tensor in (self.keys, self.values))
        prompts = {layer: (k[rows], v[rows]) for layer, (k, v) in self.prompts.items()}
        return KVCache(keys, values, torch.zeros_like(self.start[rows]), self.length - first_column, prompts)

    @classmethod
    def cat(cls, caches: Sequence[KVCache], free_columns: int) -> KVCache:
        """Concatenate the rows of `caches`, aligned at their newest columns, with `free_columns` more columns of capacity.

        All caches must have prompts in the same layers.
        """
        length = max(cache.length for cache in caches)
        layers, _, heads, _, width = caches[0].keys.shape
        rows = [cache.keys.shape[1] for cache in caches]
        keys = caches[0].keys.new_empty((layers, sum(rows), heads, length + free_columns, width))
        start = torch.cat([cache.start + length - cache.length for cache in caches])
        result = cls(keys, torch.empty_like(keys), start, length)
        for target, sources in ((result.keys, [cache.keys for cache in caches]), (result.values, [cache.values for cache in caches])):
            target[..., length:, :] = float("nan")
            for target_rows, source, cache in zip(target.split(rows, 1), sources, caches, strict=True):
                padding = length - cache.length
                target_rows[..., :padding, :] = 0  # columns before a row's start have attention weight 0; NaN would still spread
                target_rows[..., padding:length, :] = source[..., : cache.length, :]
        for layer in caches[0].prompts:
            keys_of, values_of = zip(*(cache.prompts[layer] for cache in caches), strict=True)
            result.prompts[layer] = torch.cat(keys_of), torch.cat(values_of)
        return result
