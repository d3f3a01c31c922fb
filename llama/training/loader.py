"""Data loaders of a training: batches by step for learning, fixed ones for validation."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from llama.data.batch_sampler import BatchSampler
from llama.data.collate import Batch, BatchBuilder, Reader
from llama.data.examples import Example
from llama.data.mixture import ExampleMixture, StreamMixture
from llama.data.tokenization import tokenize_example
from llama.modules.tokenizer import Tokenizer
from llama.training.config import TrainConfig


def train_batches(
    config: TrainConfig,
    tokenizer: Tokenizer,
    examples: ExampleMixture | StreamMixture,
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
    writer = BatchBuilder(tokenizer, reader, config.max_tokens)
    tokenize_example(tokenizer, Example("", "", "edit", "", caption=""), config.max_tokens)
    batches: Dataset[Batch | str]
    sampler: Iterable[tuple[int, int]] | None = None
    if isinstance(examples, StreamMixture):
        batches = StreamDataset(writer, examples, config, rank, world, start_step * config.accumulation)
    else:
        order = BatchSampler.of(examples, config.seed, config.batch_size, config.accumulation, world, config.window)
        batches, sampler = MapDataset(writer, examples, order), MicroBatchSampler(start_step, config.accumulation, rank, world)
    found = DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=config.workers,
        collate_fn=_identity,
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),  # its own: the loader must not draw from the random state of the training
    )
    return _steps(iter(found), config.accumulation)


def validation_batches(
    config: TrainConfig, tokenizer: Tokenizer, examples: ExampleMixture | StreamMixture, reader: Reader, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """The same `config.validation_rows` examples each time, shared out: every process gets equally many batches."""
    rows = sorted(examples.some(config.validation_rows, 0), key=lambda one: len(one.instruction) + len(one.answer))
    if not rows:
        raise ValueError("There are no examples to validate on; give `validation` sources or a larger `holdout`.")
    parts = world * -(-len(rows) // (config.batch_size * world))
    writer = BatchBuilder(tokenizer, reader, config.max_tokens)
    for part in np.array_split(np.resize(np.arange(len(rows)), max(parts, len(rows))), parts)[rank::world]:
        yield _read(writer.batch(iter([*rows[place:], *rows[:place]]) for place in part))


@dataclass(frozen=True)
class MicroBatchSampler:
    """(step, place of the micro-batch) that a process reads, forever: of `world` processes, r reads m x world + r as its m-th."""

    start_step: int
    accumulation: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for step in count(self.start_step):
            yield from ((step, micro * self.world + self.rank) for micro in range(self.accumulation))


@dataclass(frozen=True)
class MapDataset(Dataset["Batch | str"]):
    writer: BatchBuilder
    examples: ExampleMixture
    order: BatchSampler

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
class StreamDataset(IterableDataset["Batch | str"]):
    """Every worker walks the whole stream and reads the media of its share of batches: bytes are cheap, decoding is not."""

    writer: BatchBuilder
    examples: StreamMixture
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
                    yield self.writer.batch(_lookahead(flow, ahead, place) for place in range(size))
                del ahead[:size]
        except (ValueError, OSError) as error:  # of the stream itself: told as a sentence, not as a worker's trace
            yield str(error)


def _lookahead(flow: Iterator[Example], ahead: list[Example], place: int) -> Iterator[Example]:
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


def _ignore_signals(worker: int) -> None:
    """Ctrl-C and a scheduler reach all processes of a run at once, and the training ends its step before it goes: workers
    read on for it till then. They leave when it tells them to, or when it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _identity(found: Any) -> Any:
    return found
