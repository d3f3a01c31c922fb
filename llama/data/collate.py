"""Collation: reads and tokenizes examples and pads them into batches, replacing those that cannot be read.

Legend: B rows of a batch, T tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from llama.config import MODALITIES
from llama.data.examples import Example, MediaRef
from llama.data.tokenization import TokenizedExample, tokenize_example
from llama.modules.losses import IGNORE
from llama.modules.tokenizer import Tokenizer

MAX_FAILURES = 1000  # consecutive unreadable examples after which the source itself is taken to be unreadable

Reader = Callable[[MediaRef], Any]


@dataclass(frozen=True)
class Skipped:
    """An example that could not be read, with the reason as a sentence."""

    source: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """One micro-batch. Rows are padded on the right, where causal attention never reads. Each tuple has one entry a row."""

    tokens: Tensor  # [B, T] int64
    labels: Tensor  # [B, T] int64, IGNORE on prompts and padding
    media: Mapping[str, tuple[Any | None, ...]]  # by modality: the reader's result for each row's medium
    captions: tuple[str | None, ...]  # of the music to generate; None: a text-only row
    tasks: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()  # unreadable examples that were replaced while this batch was read


def collate(
    rows: Sequence[TokenizedExample], prepared: Sequence[Mapping[str, Any]], pad_id: int, skipped: Sequence[Skipped] = ()
) -> Batch:
    """Batch of tokenized rows; `prepared` has the reader's results of each row's media ({modality: result})."""
    width = max(len(row.tokens) for row in rows)
    examples = [row.example for row in rows]
    return Batch(
        torch.tensor([[*row.tokens, *[pad_id] * (width - len(row.tokens))] for row in rows]),
        torch.tensor([[*row.labels, *[IGNORE] * (width - len(row.labels))] for row in rows]),
        {name: tuple(media.get(name) for media in prepared) for name in MODALITIES},
        tuple(example.caption for example in examples),
        tuple(example.task for example in examples),
        tuple(example.source for example in examples),
        tuple(skipped),
    )


@dataclass(frozen=True)
class BatchBuilder:
    """Builds batches; an example that cannot be read is replaced by the next one of its row."""

    tokenizer: Tokenizer
    reader: Reader
    max_tokens: int

    def batch(self, rows: Iterable[Iterator[Example]]) -> Batch | str:
        """A batch with, for each row, the first of its candidates that can be read.

        Returns an error sentence instead if a row has no readable candidate: as a value it passes from a worker process
        without a traceback.
        """
        built: list[tuple[TokenizedExample, dict[str, Any]]] = []
        skipped: dict[tuple[str, str, str], Skipped] = {}
        for candidates in rows:
            row = self._first_readable(islice(candidates, MAX_FAILURES), skipped)
            if row is None:
                last = list(skipped.values())[-1]
                return (f"None of {len(skipped)} examples in a row could be read, the last being {last.source} "
                        f"({last.reason}); check the folder of their media.")  # fmt: skip
            built.append(row)
        tokenized, prepared = zip(*built, strict=True)
        return collate(tokenized, prepared, self.tokenizer.eos, tuple(skipped.values()))

    def _first_readable(
        self, candidates: Iterator[Example], skipped: dict[tuple[str, str, str], Skipped]
    ) -> tuple[TokenizedExample, dict[str, Any]] | None:
        for example in candidates:
            key = (example.source, example.instruction, example.answer)
            if key in skipped:
                continue
            try:
                media = {name: getattr(example, name) for name in MODALITIES}
                prepared = {name: self.reader(medium) for name, medium in media.items() if medium is not None}
                return tokenize_example(self.tokenizer, example, self.max_tokens), prepared
            except (ValueError, OSError) as error:
                skipped[key] = Skipped(example.source, str(error))
        return None

