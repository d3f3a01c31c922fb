"""Shard task: a shard that is in work, and what is known of workers that died of it, to find the item that ends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TRIES_WORDS = "take fewer workers, or a smaller model, if memory is short"


class WorkerDiedError(ValueError):
    """Worker processes end again and again without an error of their own, as for want of memory."""


@dataclass
class ShardTask:
    """A shard that waits for a worker or is in work.

    deaths: workers that died of it, since the last item was given up; alone: its items are computed one by one; lost: ids of items that
    are given up, since they ended `tries` workers.
    """

    shard: int
    deaths: int = 0
    alone: bool = False
    lost: set[str] = field(default_factory=set)

    @property
    def batch_size(self) -> int:
        """1 for items one by one, 0 for the job's own."""
        return int(self.alone)

    def add_death(self, batch: Sequence[str], tries: int) -> None:
        """Notes that a worker died while it computed the items of `batch`, or none yet. Raises WorkerDiedError after `tries` of none."""
        self.deaths += 1
        if not batch and self.deaths >= tries:
            raise WorkerDiedError(f"{self.deaths} worker processes ended before they computed an item of shard {self.shard}; {TRIES_WORDS}.")
        if len(batch) == 1 and self.deaths >= tries:
            self.lost.add(batch[0])
            self.deaths = 0
        self.alone = self.alone or bool(batch)
