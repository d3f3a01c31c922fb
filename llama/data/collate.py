"""From examples to batches: what is read, when, and in whose company.

Legend: B rows of a batch, T tokens of its longest.
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

MAX_FAILURES = 1000  # examples in a row that may be broken before their folder must be

Reader = Callable[[MediaRef], Any]


@dataclass(frozen=True)
class Skipped:
    """An example that could not be read, and why in a sentence."""

    source: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right, where causality keeps the padding out of sight. Each tuple has one entry a row."""

    tokens: Tensor  # [B, T] int64
    labels: Tensor  # [B, T] int64, IGNORE on prompts and padding
    media: Mapping[str, tuple[Any | None, ...]]  # by modality: what the reader made of each row's medium
    captions: tuple[str | None, ...]  # of the music to make
    tasks: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()  # broken examples that were found on the way and replaced


# -- batches ------------------------------------------------------------------------------------------------------


def collate(
    rows: Sequence[TokenizedExample], prepared: Sequence[Mapping[str, Any]], pad_id: int, skipped: Sequence[Skipped] = ()
) -> Batch:
    """Rows and what was made of their media, row by row ({modality: anything}), as one batch."""
    width = max(len(row.tokens) for row in rows)
    examples = [row.example for row in rows]
    return Batch(
        torch.tensor([[*row.tokens, *[pad_id] * (width - len(row.tokens))] for row in rows]),
        torch.tensor([[*row.labels, *[IGNORE] * (width - len(row.labels))] for row in rows]),
        {name: tuple(media.get(name) for media in prepared) for name in MODALITIES},
        tuple(one.caption for one in examples),
        tuple(one.task for one in examples),
        tuple(one.source for one in examples),
        tuple(skipped),
    )


@dataclass(frozen=True)
class BatchBuilder:
    """Makes batches of examples; the broken ones are replaced by what comes after them."""

    tokenizer: Tokenizer
    reader: Reader
    max_tokens: int

    def batch(self, places: Iterable[Iterator[Example]]) -> Batch | str:
        """One row of each place: its first example that can be read. A sentence where a place has none."""
        made: list[tuple[TokenizedExample, dict[str, Any]]] = []
        broken: dict[tuple[str, str, str], Skipped] = {}
        for candidates in places:
            one = self._first(islice(candidates, MAX_FAILURES), broken)
            if one is None:
                last = list(broken.values())[-1]
                return (f"None of {len(broken)} examples in a row could be read, the last being {last.source} "
                        f"({last.reason}); check the folder of their media.")  # fmt: skip
            made.append(one)
        rows, prepared = zip(*made, strict=True)
        return collate(rows, prepared, self.tokenizer.eos, tuple(broken.values()))

    def _first(
        self, candidates: Iterator[Example], broken: dict[tuple[str, str, str], Skipped]
    ) -> tuple[TokenizedExample, dict[str, Any]] | None:
        for example in candidates:
            key = (example.source, example.instruction, example.answer)
            if key in broken:
                continue
            try:
                media = {name: getattr(example, name) for name in MODALITIES}
                prepared = {name: self.reader(medium) for name, medium in media.items() if medium is not None}
                return tokenize_example(self.tokenizer, example, self.max_tokens), prepared
            except (ValueError, OSError) as error:
                broken[key] = Skipped(example.source, str(error))
        return None


# -- loaders ------------------------------------------------------------------------------------------------------
