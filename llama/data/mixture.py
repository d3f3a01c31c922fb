"""Example mixtures: several sources read as one set, each with a weight, and the split into training and validation.

An epoch shows each source as often as its weight says: 3 is three rounds, 0.5 the half that the epoch before did not
show, and every round is a new permutation (see `BatchSampler`). A mixture with a stream can only be read sequentially.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count, islice
from math import ceil
from typing import overload

import numpy as np

from llama.config import MODALITIES
from llama.data.examples import Example
from llama.data.json_lists import STREAMED, read_source
from llama.data.source import Source
from llama.data.tar_shards import stream
from llama.dialogue import format_prompt

SHUFFLE_BUFFER = 100  # examples of a stream kept in memory, with their media, to draw from


class Subset(Sequence[Example]):
    """A list's examples at `indices`, without a copy of them. (torch's class of this name is no sequence: it cannot be sliced.)"""

    def __init__(self, examples: Sequence[Example], indices: np.ndarray) -> None:
        self.examples, self.indices = examples, indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Subset: ...

    def __getitem__(self, index: int | slice) -> Example | Subset:
        if isinstance(index, slice):
            return Subset(self.examples, self.indices[index])
        return self.examples[int(self.indices[index])]


@dataclass(frozen=True)
class ExampleMixture:
    """The examples of several sources, concatenated, with each source's weight: how often an epoch shows it."""

    parts: tuple[Sequence[Example], ...]
    weights: tuple[float, ...]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        return tuple(int(end) for end in np.cumsum([len(part) for part in self.parts]))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Example:
        part = bisect_right(self.ends, index)
        return self.parts[part][index - (self.ends[part - 1] if part else 0)]

    @property
    def epoch_counts(self) -> tuple[int, ...]:
        """How many examples of each source an epoch shows; at least one of a source that is not empty."""
        pairs = zip(self.parts, self.weights, strict=True)
        return tuple(min(len(part), 1) * max(1, round(weight * len(part))) for part, weight in pairs)

    @property
    def epoch_size(self) -> int:
        return sum(self.epoch_counts)

    def lengths(self) -> np.ndarray:
        """Approximate lengths in characters, [examples]. Tokenizing millions of texts to sort them would take longer than the
        sorting saves."""
        frame = len(format_prompt(""))
        sizes = (frame + len(example.instruction) + len(example.answer) for part in self.parts for example in part)
        return np.fromiter(sizes, dtype=np.int64, count=len(self))

    def sample(self, limit: int, seed: int) -> list[Example]:
        """At most `limit` examples, drawn at random; the same for the same seed."""
        return [self[int(index)] for index in np.random.default_rng([seed, 2]).permutation(len(self))[:limit]]


@dataclass(frozen=True)
class StreamMixture:
    """Sources of which at least one is a stream, mixed by their weights (`Source.times`).

    `share`: examples count if their `split_hash` is in this range (see `split`).
    """

    sources: tuple[Source, ...]
    parts: tuple[Sequence[Example] | None, ...]  # None: a stream
    stage: int
    share: tuple[float, float] = (0.0, 1.0)
    _samples: dict[tuple[int, int], list[Example]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def examples(self, seed: int, rank: int = 0, world: int = 1) -> Iterator[Example]:
        """Endless iterator over the process's shuffled examples, each source as often as its weight says. Media stay undecoded."""
        iterators = [self._endless(index, seed, rank, world) for index in range(len(self.sources))]
        counts = [0] * len(iterators)
        while True:
            index = min(range(len(iterators)), key=lambda at: (counts[at] + 1) / self.sources[at].times)
            counts[index] += 1
            yield next(iterators[index])

    def sample(self, limit: int, seed: int) -> list[Example]:
        """At most `limit` examples of the first epoch, equally many of each source, the same on every process.

        The result is cached with its media in memory, because finding a small `share` takes reading many more examples.
        """
        if (limit, seed) not in self._samples:
            each = ceil(limit / len(self.sources))
            epochs = (islice(self._epoch(index, 0, seed, 0, 1), each) for index in range(len(self.sources)))
            self._samples[limit, seed] = list(islice(chain.from_iterable(epochs), limit))
        return list(self._samples[limit, seed])

    def _endless(self, index: int, seed: int, rank: int, world: int) -> Iterator[Example]:
        for epoch in count():
            empty = True
            for example in _shuffled(self._epoch(index, epoch, seed, rank, world), [seed, epoch, index, rank]):
                empty = False
                yield example
            if empty:
                raise ValueError(f"{self.sources[index].label} has no examples for process {rank} of {world}; add some.")

    def _epoch(self, index: int, epoch: int, seed: int, rank: int, world: int) -> Iterator[Example]:
        """The process's examples of one source in one epoch, inside `share`."""
        part = self.parts[index]
        if part is None:
            examples = stream(self.sources[index], self.stage, epoch, seed, rank, world)
        else:
            order = np.random.default_rng([seed, epoch, index]).permutation(len(part))[rank::world]
            examples = (part[int(number)] for number in order)
        return (example for example in examples if self.share[0] <= split_hash(example) < self.share[1])


def read_examples(sources: Sequence[Source], stage: int) -> ExampleMixture | StreamMixture:
    """The examples of a stage's sources. Lists are read now, streams opened when they are iterated. ValueError without examples."""
    if not sources:
        raise ValueError(f"Stage {stage} has no data; name its sources under `data` in the configuration.")
    parts = tuple(None if source.form in STREAMED else read_source(source, stage) for source in sources)
    for source, part in zip(sources, parts, strict=True):
        if part is not None and not len(part):
            raise ValueError(f"{source.label} has no examples; add some or take it out of the configuration.")
        if source.times <= 0:
            raise ValueError(f"{source.label} is to be shown {source.times} times; give more than 0 or take it out.")
    lists = tuple(part for part in parts if part is not None)
    if len(lists) < len(parts):
        return StreamMixture(tuple(sources), parts, stage)
    return ExampleMixture(lists, tuple(source.times for source in sources))


def split(examples: ExampleMixture | StreamMixture, share: float) -> tuple[ExampleMixture | StreamMixture, ExampleMixture | StreamMixture]:
    """(training, validation): about `share` of the examples is held out for validation, by `split_hash`.

    So the side of an example does not depend on its position, its folder or the other examples.
    """
    if not 0 <= share < 1:
        raise ValueError(f"A share of {share} cannot be held out; give at least 0 and less than 1.")
    if isinstance(examples, StreamMixture):
        return replace(examples, share=(share, 1.0)), replace(examples, share=(0.0, share))
    masks = [np.array([split_hash(example) < share for example in part], dtype=bool) for part in examples.parts]
    training, validation = (
        ExampleMixture(
            tuple(Subset(part, np.flatnonzero(mask == side)) for part, mask in zip(examples.parts, masks, strict=True)), examples.weights
        )
        for side in (False, True)
    )
    if share and not len(validation):
        raise ValueError(f"A holdout of {share} leaves none of {len(examples)} examples for validation; give a larger share.")
    return training, validation


def split_hash(example: Example) -> float:
    """Hash of the example in [0, 1); decides whether it is held out, independent of order and location."""
    return int.from_bytes(hashlib.sha256(example_key(example).encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48


def example_key(example: Example) -> str:
    """What identifies an example, wherever it lies: its texts and the names of its media."""
    media = [getattr(example, name) for name in MODALITIES]
    names = ["" if medium is None else medium.path.name if medium.path is not None else medium.source for medium in media]
    return "\0".join([example.instruction, example.answer, *names])


def _shuffled(examples: Iterator[Example], seed: list[int]) -> Iterator[Example]:
    """The examples in the random order that a buffer of SHUFFLE_BUFFER allows."""
    rng, buffer = np.random.default_rng(seed), list(islice(examples, SHUFFLE_BUFFER))
    for example in examples:
        index = int(rng.integers(len(buffer)))
        buffer[index], drawn = example, buffer[index]
        yield drawn
    yield from (buffer[int(index)] for index in rng.permutation(len(buffer)))
