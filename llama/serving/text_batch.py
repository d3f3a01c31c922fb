"""Continuous batching of text: requests are added and removed between decoding steps, each with its own options.

All rows share the newest column of one left-padded cache and count their positions from their own first column, so the model
computes an ordinary batch. A new request's prompt is prefilled alone; its keys and values are then put beside those of the
others, their newest columns aligned.
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

CACHE_GROWTH = 64  # free columns of a rebuilt cache: rebuilding copies all keys and values, so it is not done at every token


@dataclass(eq=False)
class TextSequence:
    """One row of the batch with its options and its own generator, so that its tokens do not depend on the other rows."""

    row: RowState
    options: GenerationOptions
    generator: torch.Generator = field(default_factory=torch.Generator)
    last_emit: float = float("-inf")  # when text was last sent to the client, on the engine's clock

    def __post_init__(self) -> None:
        self.generator.manual_seed(self.options.seed)

    def append_token(self, logits: Tensor, hidden: Tensor, argmax: int) -> None:
        """Chooses the next token. logits [1, V]; hidden [D], the state that gave them; argmax: their most likely token."""
        sampled = self.options.temperature > 0
        token = int(sample_next_token(logits, self.options, [self.generator])) if sampled else argmax
        self.row.append(token, hidden)


class TextBatch:
    """The text sequences that are decoded together, and their cache. Not thread-safe."""

    def __init__(self, model: MuMuModel) -> None:
        self.model = model
        self.members: list[TextSequence] = []
        self._cache: KVCache | None = None
        self._cache_rows: list[TextSequence] = []  # the sequence of each row of the cache
        self._prefilled: dict[TextSequence, KVCache] = {}  # caches of the sequences added since the last step

    @torch.no_grad()
    def add(self, sequence: TextSequence, prompt: Sequence[int], features: ModalityFeatures | None) -> None:
        """Prefills the prompt of a new sequence and chooses its first token; it takes part from the next step on."""
        model = self.model
        cache = KVCache.empty(model.config.llama, 1, len(prompt), device=model.device, dtype=model.dtype)
        output = model(torch.tensor([list(prompt)], device=model.device), features, cache, last_only=True)
        logits = output.logits[:, -1].float()
        sequence.append_token(logits, output.hidden[0, -1], int(logits.argmax()))
        self.members.append(sequence)
        self._prefilled[sequence] = cache

    def remove(self, sequence: TextSequence) -> None:
        """Removes a sequence, whether it has ended or not; an empty batch frees its cache."""
        self.members.remove(sequence)
        self._prefilled.pop(sequence, None)
        if not self.members:
            self._cache, self._cache_rows = None, []

    @torch.no_grad()
    def step(self) -> dict[TextSequence, Exception]:
        """One token of every sequence; returns the errors of single sequences. If the model fails, raises and changes nothing."""
        if self._cache is None or self._cache_rows != self.members or self._cache.length == self._cache.capacity:
            self._cache, self._cache_rows = self._build_cache(self.members, CACHE_GROWTH), list(self.members)
            self._prefilled.clear()
        logits, hidden = self._forward(self._cache, self.members)
        failed: dict[TextSequence, Exception] = {}
        for row, (sequence, argmax) in enumerate(zip(self.members, logits.argmax(-1).tolist(), strict=True)):
            try:
                sequence.append_token(logits[row : row + 1], hidden[row], argmax)
            except Exception as error:  # fail only this request
                failed[sequence] = error
        return failed

    @torch.no_grad()
    def probe_step(self, sequence: TextSequence) -> None:
        """The next step of one sequence alone, without its effect: raises what that sequence would raise."""
        self._forward(self._build_cache([sequence], 1), [sequence])

    def _forward(self, cache: KVCache, sequences: Sequence[TextSequence]) -> tuple[Tensor, Tensor]:
        """Feeds the newest token of each of n sequences -> logits [n, V] and hidden [n, D]."""
        tokens = torch.tensor([[sequence.row.tokens[-1]] for sequence in sequences], device=self.model.device)
        output = self.model(tokens, None, cache, last_only=True)
        return output.logits[:, -1].float(), output.hidden[:, -1]

    def _build_cache(self, sequences: Sequence[TextSequence], room: int) -> KVCache:
        """A new cache of these sequences, without the columns that none of them attends to, and with `room` free columns."""
        rows = [index for index, sequence in enumerate(self._cache_rows) if sequence in sequences]
        prefilled = [self._prefilled[sequence] for sequence in sequences if sequence in self._prefilled]
        cached = [self._cache.row(index) for index in rows] if self._cache is not None else []
        return KVCache.cat([*cached, *prefilled], room)
