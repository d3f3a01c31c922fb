"""From examples to batches: what is read, when, and in whose company.

Legend: B rows of a batch, T tokens of its longest.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from llama.config import MODALITIES
from llama.examples import Example, Medium
from llama.losses import IGNORE
from llama.order import Examples, Order, Streams
from llama.rows import Row, write_row
from llama.settings import TrainConfig
from llama.tokenizer import Tokenizer

TRIES = 1000  # examples in a row that may be broken before their folder must be

Reader = Callable[[Medium], Any]


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
    rows: Sequence[Row], prepared: Sequence[Mapping[str, Any]], pad_id: int, skipped: Sequence[Skipped] = ()
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
class Writer:
    """Makes batches of examples; the broken ones are replaced by what comes after them."""

    tokenizer: Tokenizer
    reader: Reader
    max_tokens: int

    def batch(self, places: Iterable[Iterator[Example]]) -> Batch | str:
        """One row of each place: its first example that can be read. A sentence where a place has none."""
        made: list[tuple[Row, dict[str, Any]]] = []
        broken: dict[tuple[str, str, str], Skipped] = {}
        for candidates in places:
            one = self._first(islice(candidates, TRIES), broken)
            if one is None:
                last = list(broken.values())[-1]
                return (f"None of {len(broken)} examples in a row could be read, the last being {last.source} "
                        f"({last.reason}); check the folder of their media.")  # fmt: skip
            made.append(one)
        rows, prepared = zip(*made, strict=True)
        return collate(rows, prepared, self.tokenizer.eos, tuple(broken.values()))

    def _first(
        self, candidates: Iterator[Example], broken: dict[tuple[str, str, str], Skipped]
    ) -> tuple[Row, dict[str, Any]] | None:
        for example in candidates:
            key = (example.source, example.instruction, example.answer)
            if key in broken:
                continue
            try:
                media = {name: getattr(example, name) for name in MODALITIES}
                prepared = {name: self.reader(medium) for name, medium in media.items() if medium is not None}
                return write_row(self.tokenizer, example, self.max_tokens), prepared
            except (ValueError, OSError) as error:
                broken[key] = Skipped(example.source, str(error))
        return None


# -- loaders ------------------------------------------------------------------------------------------------------


def loader(
    config: TrainConfig,
    tokenizer: Tokenizer,
    examples: Examples | Streams,
    reader: Reader,
    rank: int = 0,
    world: int = 1,
    start_step: int = 0,
) -> Iterator[list[Batch]]:
    """Lists of `accumulation` batches, one list a step from `start_step` on, forever, read by `config.workers` processes.

    `reader` makes of a medium what the batch shall hold of it. A broken example (its `ValueError` or `OSError`) is
    replaced by the next one and named in `Batch.skipped`, perhaps of several batches that came upon it. `ValueError`:
    nothing to read, `TRIES` broken ones in a row, or a `max_tokens` in which no example fits.
    """
    writer = Writer(tokenizer, reader, config.max_tokens)
    write_row(tokenizer, Example("", "", "edit", "", caption=""), config.max_tokens)
    batches: Dataset[Batch | str]
    sampler: Iterable[tuple[int, int]] | None = None
    if isinstance(examples, Streams):
        batches = _Flowing(writer, examples, config, rank, world, start_step * config.accumulation)
    else:
        order = Order.of(examples, config.seed, config.batch_size, config.accumulation, world, config.window)
        batches, sampler = _Placed(writer, examples, order), _Places(start_step, config.accumulation, rank, world)
    found = DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=config.workers,
        collate_fn=_as_it_is,
        worker_init_fn=_outlast,
        generator=torch.Generator(),  # its own: the loader must not draw from the random state of the training
    )
    return _steps(iter(found), config.accumulation)


def once(
    config: TrainConfig, tokenizer: Tokenizer, examples: Examples | Streams, reader: Reader, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """The same `config.validation_rows` examples each time, shared out: every process gets equally many batches."""
    rows = sorted(examples.some(config.validation_rows, 0), key=lambda one: len(one.instruction) + len(one.answer))
    if not rows:
        raise ValueError("There are no examples to validate on; give `validation` sources or a larger `holdout`.")
    parts = world * -(-len(rows) // (config.batch_size * world))
    writer = Writer(tokenizer, reader, config.max_tokens)
    for part in np.array_split(np.resize(np.arange(len(rows)), max(parts, len(rows))), parts)[rank::world]:
        yield _read(writer.batch(iter([*rows[place:], *rows[:place]]) for place in part))


@dataclass(frozen=True)
class _Places:
    """(step, place of the micro-batch) that a process reads, forever: of `world` processes, r reads m x world + r as its m-th."""

    start_step: int
    accumulation: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for step in count(self.start_step):
            yield from ((step, micro * self.world + self.rank) for micro in range(self.accumulation))


@dataclass(frozen=True)
class _Placed(Dataset["Batch | str"]):
    writer: Writer
    examples: Examples
    order: Order

    def __getitem__(self, index: tuple[int, int]) -> Batch | str:
        step, micro = index
        pairs, size = self.order.step(step), self.order.batch_size
        rests = (pairs[place:] for place in range(micro * size, (micro + 1) * size))
        return self.writer.batch(self._from(step, rest) for rest in rests)

    def _from(self, step: int, rest: list[tuple[int, int]]) -> Iterator[Example]:
        """The rest of a step's global batch, then the later steps."""
        later = chain.from_iterable(map(self.order.step, count(step + 1)))
        return (self.examples[index] for _, index in chain(rest, later))


@dataclass(frozen=True)
class _Flowing(IterableDataset["Batch | str"]):
    """Every worker walks the whole stream and reads the media of its share of batches: bytes are cheap, decoding is not."""

    writer: Writer
    examples: Streams
    config: TrainConfig
    rank: int
    world: int
    start: int  # micro-batches that were seen before

    def __iter__(self) -> Iterator[Batch | str]:
        worker = torch.utils.data.get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        flow, size = self.examples.examples(self.config.seed, self.rank, self.world), self.config.batch_size
        ahead: list[Example] = []
        try:
            for micro in count():
                ahead += islice(flow, size - len(ahead))
                if micro >= self.start and (micro - self.start) % workers == mine:
                    yield self.writer.batch(_looking(flow, ahead, place) for place in range(size))
                del ahead[:size]
        except (ValueError, OSError) as error:  # of the stream itself: told as a sentence, not as a worker's trace
            yield str(error)


def _looking(flow: Iterator[Example], ahead: list[Example], place: int) -> Iterator[Example]:
    """The examples from `place` on; what was only looked at stays in `ahead`."""
    for later in count(place):
        if later == len(ahead):
            ahead.append(next(flow))
        yield ahead[later]


def _steps(found: Iterator[Batch | str], accumulation: int) -> Iterator[list[Batch]]:
    while True:
        yield [_read(one) for one in islice(found, accumulation)]


def _read(found: Batch | str) -> Batch:
    if isinstance(found, str):
        raise ValueError(found)
    return found


def _outlast(worker: int) -> None:
    """Ctrl-C and a scheduler reach all processes of a run at once, and the training ends its step before it goes: workers
    read on for it till then. They leave when it tells them to, or when it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(found: Any) -> Any:
    return found
