"""Which example comes when. Nothing is remembered: (seed, step) says it all, so a run that is resumed goes on for free.

An epoch shows each source `times` over: 3 is three rounds, 0.5 the half that the epoch before did not show. A round is a
permutation of its own. Inside a window of steps examples of like length share a step, which saves padding. A step's
global batch does not depend on how many processes and accumulation steps share it.
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

SHUFFLE_BUFFER = 100  # examples of a stream that wait to be drawn, their files in memory


class Subset(Sequence[Example]):
    """Some examples of a list, without a copy of them."""

    def __init__(self, part: Sequence[Example], indices: np.ndarray) -> None:
        self.part, self.indices = part, indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Subset: ...

    def __getitem__(self, index: int | slice) -> Example | Subset:
        return Subset(self.part, self.indices[index]) if isinstance(index, slice) else self.part[int(self.indices[index])]


@dataclass(frozen=True)
class ExampleMixture:
    """The examples of several sources end to end, and how often an epoch shows each source."""

    parts: tuple[Sequence[Example], ...]
    times: tuple[float, ...]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        return tuple(int(end) for end in np.cumsum([len(part) for part in self.parts]))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Example:
        part = bisect_right(self.ends, index)
        return self.parts[part][index - (self.ends[part - 1] if part else 0)]

    @property
    def shown(self) -> tuple[int, ...]:
        """Examples of each source in an epoch; at least one, where a source has any."""
        pairs = zip(self.parts, self.times, strict=True)
        return tuple(min(len(part), 1) * max(1, round(times * len(part))) for part, times in pairs)

    @property
    def epoch_size(self) -> int:
        return sum(self.shown)

    def lengths(self) -> np.ndarray:
        """Rough: characters, [examples]. Tokenising millions of texts only to sort them would take longer than it saves."""
        frame = len(format_prompt(""))
        sizes = (frame + len(one.instruction) + len(one.answer) for part in self.parts for one in part)
        return np.fromiter(sizes, dtype=np.int64, count=len(self))

    def some(self, limit: int, seed: int) -> list[Example]:
        """At most `limit` of them, drawn once and for all."""
        return [self[int(index)] for index in np.random.default_rng([seed, 2]).permutation(len(self))[:limit]]


@dataclass(frozen=True)
class StreamMixture:
    """Sources of which at least one can only be read from its start; `share`: the part of them that counts (see `split`)."""

    sources: tuple[Source, ...]
    parts: tuple[Sequence[Example] | None, ...]  # None: a stream
    stage: int
    share: tuple[float, float] = (0.0, 1.0)
    _kept: dict[tuple[int, int], list[Example]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def examples(self, seed: int, rank: int = 0, world: int = 1) -> Iterator[Example]:
        """Endless: sources in turn, each as often as its `times` says, shuffled. Media are not decoded."""
        flows = [self._endless(place, seed, rank, world) for place in range(len(self.sources))]
        drawn = [0] * len(flows)
        while True:
            place = min(range(len(flows)), key=lambda one: (drawn[one] + 1) / self.sources[one].times)
            drawn[place] += 1
            yield next(flows[place])

    def some(self, limit: int, seed: int) -> list[Example]:
        """At most `limit` of the first epoch, equally many of each source, the same for every process.

        Kept from the first call on, their files in memory: a small `share` is found by reading many times as many.
        """
        if (limit, seed) not in self._kept:
            share = ceil(limit / len(self.sources))
            epochs = (islice(self._epoch(place, 0, seed, 0, 1), share) for place in range(len(self.sources)))
            self._kept[limit, seed] = list(islice(chain.from_iterable(epochs), limit))
        return list(self._kept[limit, seed])

    def _endless(self, place: int, seed: int, rank: int, world: int) -> Iterator[Example]:
        for epoch in count():
            empty = True
            for example in _shuffled(self._epoch(place, epoch, seed, rank, world), [seed, epoch, place, rank]):
                empty = False
                yield example
            if empty:
                raise ValueError(f"{_name(self.sources[place])} has no examples for process {rank} of {world}; add some.")

    def _epoch(self, place: int, epoch: int, seed: int, rank: int, world: int) -> Iterator[Example]:
        part = self.parts[place]
        if part is None:
            found = stream(self.sources[place], self.stage, epoch, seed, rank, world)
        else:
            order = np.random.default_rng([seed, epoch, place]).permutation(len(part))[rank::world]
            found = (part[int(index)] for index in order)
        return (example for example in found if self.share[0] <= split_hash(example) < self.share[1])


def read_examples(sources: Sequence[Source], stage: int) -> ExampleMixture | StreamMixture:
    """Reads the manifests of a stage; streams are only opened when they are walked. `ValueError` where there is nothing."""
    if not sources:
        raise ValueError(f"Stage {stage} has no data; name its sources under `data` in the configuration.")
    parts = tuple(None if source.form in STREAMED else read_source(source, stage) for source in sources)
    for source, part in zip(sources, parts, strict=True):
        if part is not None and not len(part):
            raise ValueError(f"{_name(source)} has no examples; add some or take it out of the configuration.")
        if source.times <= 0:
            raise ValueError(f"{_name(source)} is to be shown {source.times} times; give more than 0 or take it out.")
    read = tuple(part for part in parts if part is not None)
    if len(read) < len(parts):
        return StreamMixture(tuple(sources), parts, stage)
    return ExampleMixture(read, tuple(source.times for source in sources))


def split(examples: ExampleMixture | StreamMixture, share: float) -> tuple[ExampleMixture | StreamMixture, ExampleMixture | StreamMixture]:
    """(for training, held out): about `share` of the examples is held out, by a hash of each.

    So a side depends on nothing but the example: not on its place, its folder, or what else there is.
    """
    if not 0 <= share < 1:
        raise ValueError(f"A share of {share} cannot be held out; give at least 0 and less than 1.")
    if isinstance(examples, StreamMixture):
        return replace(examples, share=(share, 1.0)), replace(examples, share=(0.0, share))
    held = [np.array([split_hash(one) < share for one in part], dtype=bool) for part in examples.parts]
    train, out = (
        ExampleMixture(tuple(Subset(part, np.flatnonzero(one == side)) for part, one in zip(examples.parts, held, strict=True)),
                 examples.times)
        for side in (False, True)
    )  # fmt: skip
    if share and not len(out):
        raise ValueError(f"A holdout of {share} leaves none of {len(examples)} examples for validation; give a larger share.")
    return train, out


def split_hash(example: Example) -> float:
    """0 <= place < 1, the same wherever and whenever the example is read."""
    media = [getattr(example, name) for name in MODALITIES]
    names = ["" if one is None else one.path.name if one.path is not None else one.source for one in media]
    key = "\0".join([example.instruction, example.answer, *names])
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48


def _shuffled(examples: Iterator[Example], seed: list[int]) -> Iterator[Example]:
    rng, waiting = np.random.default_rng(seed), list(islice(examples, SHUFFLE_BUFFER))
    for example in examples:
        place = int(rng.integers(len(waiting)))
        waiting[place], drawn = example, waiting[place]
        yield drawn
    yield from (waiting[int(place)] for place in rng.permutation(len(waiting)))


def _name(source: Source) -> str:
    return source.file or source.name or source.media or f"A source of form {source.form}"
