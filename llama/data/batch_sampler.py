"""Batch sampler: which examples a step reads, as a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from llama.data.mixture import ExampleMixture

# Steps whose examples are sorted by length together, and the random share added to a length before sorting. Examples of
# similar length tend to be of the same task: on six kinds of data a step of 16 had 5.3 tasks and 21 % padding unsorted,
# 4.0 tasks and 12 % with these values, 3.1 tasks and 4 % with a window of 32 and a jitter of 0.1.
WINDOW, JITTER = 4, 0.3


@dataclass(frozen=True, eq=False)
class BatchSampler:
    """Maps a step's number to the examples of its global batch, the same on every process.

    Epochs follow each other without a gap; every `window` steps inside an epoch are sorted by length, which saves
    padding. The order depends on the seed and the step alone, so resuming needs no state.
    """

    lengths: np.ndarray  # [examples], characters
    source_sizes: tuple[int, ...]  # examples of each source
    epoch_counts: tuple[int, ...]  # of these, how many an epoch shows
    seed: int
    batch_size: int  # examples of one process and one accumulation step
    accumulation: int = 1
    world: int = 1  # processes
    window: int = WINDOW

    @classmethod
    def of(
        cls, examples: ExampleMixture, seed: int, batch_size: int, accumulation: int = 1, world: int = 1, window: int = WINDOW
    ) -> BatchSampler:
        """The sampler of a mixture. ValueError if it has no examples."""
        if examples.epoch_size == 0:
            raise ValueError("There are no examples to train on; check the data of the configuration and its `holdout`.")
        source_sizes = tuple(len(part) for part in examples.parts)
        return cls(examples.lengths(), source_sizes, examples.epoch_counts, seed, batch_size, accumulation, world, window)

    @property
    def epoch_size(self) -> int:
        return sum(self.epoch_counts)

    @property
    def global_batch_size(self) -> int:
        return self.batch_size * self.accumulation * self.world

    def steps(self, epochs: float) -> int:
        """The number of steps that `epochs` epochs take, rounded up."""
        return ceil(epochs * self.epoch_size / self.global_batch_size)

    def batch(self, step: int) -> list[tuple[int, int]]:
        """(epoch, index) of the examples of the step's global batch, from the shortest to the longest."""
        first, last = self._window(step)
        size = self.global_batch_size
        positions = np.arange(first * size, last * size)  # in the endless sequence of epochs
        indices = self._example_indices(positions)
        rng = np.random.default_rng([self.seed, first, 3])
        keys = self.lengths[indices] * (1 + JITTER * rng.random(len(indices)))
        chosen = np.argsort(keys, kind="stable").reshape(last - first, size)[rng.permutation(last - first)[step - first]]
        return [(int(positions[at]) // self.epoch_size, int(indices[at])) for at in chosen]

    def _window(self, step: int) -> tuple[int, int]:
        """First step of the step's window, and the step after its last.

        Windows do not cross epochs: sorting would put the copies of an example from two epochs into one step. So a step
        that spans two epochs is a window of its own.
        """
        size, epoch_size = self.global_batch_size, self.epoch_size
        epoch = step * size // epoch_size
        if ((step + 1) * size - 1) // epoch_size != epoch:
            return step, step + 1
        start, end = -(-epoch * epoch_size // size), (epoch + 1) * epoch_size // size
        first = start + (step - start) // self.window * self.window
        return first, min(first + self.window, end)

    def _example_indices(self, positions: np.ndarray) -> np.ndarray:
        """Indices of the examples at these positions of the endless sequence of epochs."""
        sizes = tuple(zip(self.source_sizes, self.epoch_counts, strict=True))
        epochs = range(int(positions[0]) // self.epoch_size, int(positions[-1]) // self.epoch_size + 1)
        orders = [_epoch_order(sizes, self.seed, epoch) for epoch in epochs]
        order = np.concatenate(orders) if len(orders) > 1 else orders[0]
        return order[positions - epochs[0] * self.epoch_size]


@lru_cache(maxsize=4)
def _epoch_order(sizes: tuple[tuple[int, int], ...], seed: int, epoch: int) -> np.ndarray:
    """Indices of an epoch's examples, sources evenly mixed; sizes: (examples, examples an epoch shows) of each source.

    A source is read round after round, each a permutation of its own, and an epoch takes the next `count` of that.
    """
    indices, keys, offset = [], [], 0
    for source, (size, count) in enumerate(sizes):
        if count:
            rounds = range(epoch * count // size, ((epoch + 1) * count - 1) // size + 1)
            order = np.concatenate([np.random.default_rng([seed, number, source, 0]).permutation(size) for number in rounds])
            start = epoch * count - rounds[0] * size
            indices.append(offset + order[start : start + count])
            keys.append((np.arange(count) + np.random.default_rng([seed, epoch, source, 1]).random(count)) / count)
        offset += size
    return np.concatenate(indices)[np.argsort(np.concatenate(keys), kind="stable")]
