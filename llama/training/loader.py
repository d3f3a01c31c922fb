"""Data loaders: training batches by step, and a fixed set of validation batches."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from llama.data.batch_sampler import BatchSampler
from llama.data.collate import Batch, BatchBuilder, Reader
from llama.data.examples import Example
from llama.data.mixture import ExampleMixture, StreamMixture
from llama.data.tokenization import tokenize_example
from llama.modules.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llama.training.config import TrainConfig


@dataclass(frozen=True)
class LoaderOptions:
    """What the loaders need of a training's configuration; `TrainConfig` explains each value."""

    batch_size: int
    accumulation: int
    max_tokens: int
    window: int
    seed: int
    workers: int
    validation_rows: int

    @classmethod
    def of(cls, config: TrainConfig) -> LoaderOptions:
        return cls(
            config.batch_size, config.accumulation, config.max_tokens, config.window, config.seed, config.workers, config.validation_rows
        )


def train_batches(
    options: LoaderOptions,
    tokenizer: Tokenizer,
    examples: ExampleMixture | StreamMixture,
    reader: Reader,
    rank: int = 0,
    world: int = 1,
    start_step: int = 0,
) -> Iterator[list[Batch]]:
    """Endless iterator over steps from `start_step` on, each a list of `accumulation` batches, read by `workers` processes.

    `reader` turns a medium into its entry of `Batch.media`. An example whose reading raises `ValueError` or `OSError` is
    replaced by the next one and listed in `Batch.skipped`, possibly by several batches. Raises `ValueError` if there is
    nothing to read, `MAX_FAILURES` consecutive examples fail, or `max_tokens` is too small for any example.
    """
    builder = BatchBuilder(tokenizer, reader, options.max_tokens)
    tokenize_example(tokenizer, Example("", "", "edit", "", caption=""), options.max_tokens)  # raises if max_tokens is too small
    dataset: Dataset[Batch | str]
    sampler: Iterable[tuple[int, int]] | None = None
    if isinstance(examples, StreamMixture):
        start = start_step * options.accumulation
        dataset = StreamDataset(builder, examples, options.seed, options.batch_size, rank, world, start)
    else:
        order = BatchSampler.of(examples, options.seed, options.batch_size, options.accumulation, world, options.window)
        dataset, sampler = MapDataset(builder, examples, order), MicroBatchSampler(start_step, options.accumulation, rank, world)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        num_workers=options.workers,
        collate_fn=_identity,
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),  # its own, so that the loader does not change the random state of the training
    )
    return _steps(iter(loader), options.accumulation)


def validation_batches(
    options: LoaderOptions, tokenizer: Tokenizer, examples: ExampleMixture | StreamMixture, reader: Reader, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """The same `validation_rows` examples at every call, divided so that every process gets equally many batches."""
    rows = sorted(examples.sample(options.validation_rows, 0), key=lambda row: len(row.instruction) + len(row.answer))
    if not rows:
        raise ValueError("There are no examples to validate on; give `validation` sources or a larger `holdout`.")
    batches = world * -(-len(rows) // (options.batch_size * world))
    builder = BatchBuilder(tokenizer, reader, options.max_tokens)
    for indices in np.array_split(np.resize(np.arange(len(rows)), max(batches, len(rows))), batches)[rank::world]:
        yield _checked(builder.batch(iter([*rows[index:], *rows[:index]]) for index in indices))


@dataclass(frozen=True)
class MicroBatchSampler:
    """Endless (step, micro-batch number) of one process; its m-th micro-batch of a step has the number m * world + rank."""

    start_step: int
    accumulation: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for step in count(self.start_step):
            yield from ((step, micro * self.world + self.rank) for micro in range(self.accumulation))


@dataclass(frozen=True)
class MapDataset(Dataset["Batch | str"]):
    """Micro-batches of a mixture of lists by (step, micro-batch number)."""

    builder: BatchBuilder
    examples: ExampleMixture
    order: BatchSampler

    def __getitem__(self, index: tuple[int, int]) -> Batch | str:
        step, micro = index
        pairs, size = self.order.batch(step), self.order.batch_size
        return self.builder.batch(self._candidates(step, pairs[first:]) for first in range(micro * size, (micro + 1) * size))

    def _candidates(self, step: int, rest: list[tuple[int, int]]) -> Iterator[Example]:
        """Examples for one row: the rest of the step's global batch, then those of the later steps."""
        later = chain.from_iterable(map(self.order.batch, count(step + 1)))
        return (self.examples[index] for _, index in chain(rest, later))


@dataclass(frozen=True)
class StreamDataset(IterableDataset["Batch | str"]):
    """Micro-batches of a stream. Every worker iterates over the whole stream and decodes the media of its share of batches
    only, because reading bytes is cheap and decoding is not."""

    builder: BatchBuilder
    examples: StreamMixture
    seed: int
    batch_size: int
    rank: int
    world: int
    start: int  # micro-batches to skip: those before a resumed run

    def __iter__(self) -> Iterator[Batch | str]:
        worker = torch.utils.data.get_worker_info()
        worker_id, workers = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        examples, size = self.examples.examples(self.seed, self.rank, self.world), self.batch_size
        buffer: list[Example] = []
        try:
            for micro in count():
                buffer += islice(examples, size - len(buffer))
                if micro >= self.start and (micro - self.start) % workers == worker_id:
                    yield self.builder.batch(_lookahead(examples, buffer, first) for first in range(size))
                del buffer[:size]
        except (ValueError, OSError) as error:  # an error of the stream itself is passed on as a sentence, without a traceback
            yield str(error)


def _lookahead(examples: Iterator[Example], buffer: list[Example], first: int) -> Iterator[Example]:
    """The examples from index `first` of `buffer` on; those read ahead are appended to it, so none is lost."""
    for index in count(first):
        if index == len(buffer):
            buffer.append(next(examples))
        yield buffer[index]


def _steps(batches: Iterator[Batch | str], accumulation: int) -> Iterator[list[Batch]]:
    while True:
        yield [_checked(batch) for batch in islice(batches, accumulation)]


def _checked(batch: Batch | str) -> Batch:
    """The batch; ValueError for the error sentence that came in its place."""
    if isinstance(batch, str):
        raise ValueError(batch)
    return batch


def _ignore_signals(worker: int) -> None:
    """Workers ignore SIGINT and SIGTERM: the main process finishes its step and then stops them; they also end with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _identity(batch: Any) -> Any:
    """The collate function: samples are whole batches already."""
    return batch
