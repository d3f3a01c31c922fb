"""Rows of words decoded together, each with options of its own: a newcomer joins between two tokens, who has ended leaves.

All rows share the newest column of one left-padded cache and count their positions from their own first column, so that
the model computes a batch as it always does. A newcomer's prompt is read alone and its keys and values are put beside
the others', their newest columns in line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.generation import GenerationOptions, RowState, sample_next_token
from llama.modules.kv_cache import KVCache

if TYPE_CHECKING:
    from llama.mumu_model import ModalityFeatures, MuMuModel

CACHE_GROWTH = 64  # columns by which a cache that is full grows: a copy of all keys and values, so not at every token


@dataclass(eq=False)
class TextSequence:
    """A row, how its words are chosen, and its generator: what it draws does not depend on its neighbours."""

    row: RowState
    options: GenerationOptions
    generator: torch.Generator = field(default_factory=torch.Generator)
    told: float = float("-inf")  # when words of it were told last, on the clock of who tells them

    def __post_init__(self) -> None:
        self.generator.manual_seed(self.options.seed)

    def take(self, logits: Tensor, hidden: Tensor, likeliest: int) -> None:
        """Logits [1, V], the state [D] that gave them and their likeliest token -> the next token of the row."""
        warm = self.options.temperature > 0
        token = int(sample_next_token(logits, self.options, [self.generator])) if warm else likeliest
        self.row.take(token, hidden)


class TextBatch:
    """Lines that are being written. Not safe to be used by two threads at once."""

    def __init__(self, model: MuMuModel) -> None:
        self.model = model
        self.members: list[TextSequence] = []
        self._cache: KVCache | None = None
        self._cached: list[TextSequence] = []  # whose rows the cache holds, in order
        self._fresh: dict[TextSequence, KVCache] = {}  # of those who joined since the last step

    @torch.no_grad()
    def join(self, line: TextSequence, prompt: Sequence[int], features: ModalityFeatures | None) -> None:
        """Reads a newcomer's prompt, alone, and chooses its first token; from the next step on it is one of the lines."""
        model = self.model
        cache = KVCache.empty(model.config.llama, 1, len(prompt), device=model.device, dtype=model.dtype)
        output = model(torch.tensor([list(prompt)], device=model.device), features, cache, last_only=True)
        logits = output.logits[:, -1].float()
        line.take(logits, output.hidden[0, -1], int(logits.argmax()))
        self.members.append(line)
        self._fresh[line] = cache

    def leave(self, line: TextSequence) -> None:
        """Whether it has ended or not; without lines nothing is held."""
        self.members.remove(line)
        self._fresh.pop(line, None)
        if not self.members:
            self._cache, self._cached = None, []

    @torch.no_grad()
    def step(self) -> dict[TextSequence, Exception]:
        """One token of every line; returns the lines that failed by themselves. An error of all is raised, and nothing moves."""
        if self._cache is None or self._cached != self.members or self._cache.length == self._cache.capacity:
            self._cache, self._cached = self._arranged(self.members, CACHE_GROWTH), list(self.members)
            self._fresh.clear()
        logits, hidden = self._read(self._cache, self.members)
        failed: dict[TextSequence, Exception] = {}
        for place, (line, likeliest) in enumerate(zip(self.members, logits.argmax(-1).tolist(), strict=True)):
            try:
                line.take(logits[place : place + 1], hidden[place], likeliest)
            except Exception as error:  # handed to the request that it belongs to
                failed[line] = error
        return failed

    @torch.no_grad()
    def attempt(self, line: TextSequence) -> None:
        """The next step of one line alone, its result thrown away: raises what that line would raise."""
        self._read(self._arranged([line], 1), [line])

    def _read(self, cache: KVCache, lines: Sequence[TextSequence]) -> tuple[Tensor, Tensor]:
        """Every line's newest token -> logits [n, V] and hidden [n, D]."""
        tokens = torch.tensor([[line.row.tokens[-1]] for line in lines], device=self.model.device)
        output = self.model(tokens, None, cache, last_only=True)
        return output.logits[:, -1].float(), output.hidden[:, -1]

    def _arranged(self, lines: Sequence[TextSequence], room: int) -> KVCache:
        """A new cache of these lines; columns that none of them sees are dropped."""
        known = [place for place, line in enumerate(self._cached) if line in lines]
        caches = ([self._cache.select(known)] if known else []) + [self._fresh[line] for line in lines if line in self._fresh]
        return KVCache.cat(caches, room)
