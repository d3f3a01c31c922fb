"""Options of a run of a step, and the report about it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, get_args

Runner = Literal["local", "processes", "ray"]
RUNNERS: tuple[Runner, ...] = get_args(Runner)
OK = "ok"  # stands among the rules in counts
ERROR, TRANSIENT = "error", "transient"  # rules of items that could not be computed: `retry` computes them again
BROKEN = (ERROR, TRANSIENT)
NAMED = 5  # failed items that a message names


@dataclass(frozen=True)
class RunOptions:
    """How a step is run; the result does not depend on it.

    workers: processes, each with its own instance of the step. gpus_per_worker: of the machine or cluster. batch_size: items that the
    step gets at once. tries: of a batch that raises TransientError, and of a shard whose worker died; wait: seconds before the second
    try, twice as long before each further one; sleep: waits them. max_broken: failed items in this run, a number or, as a float, a
    share of all items, above which the run stops. retry: compute items again that failed in an earlier run. log: takes sentences.
    """

    runner: Runner = "local"
    workers: int = 1
    batch_size: int = 8
    tries: int = 3
    max_broken: int | float = 0.1
    retry: bool = False
    log: Callable[[str], None] = print
    gpus_per_worker: int = 0
    wait: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise ValueError(f"runner is {self.runner!r}; give one of {', '.join(RUNNERS)}.")
        for name in ("workers", "batch_size", "tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a whole number from 1.")
        if self.runner == "local" and self.workers > 1:
            raise ValueError(f"The runner local has one worker, not {self.workers}; give the runner processes or ray.")
        if self.max_broken < 0 or (isinstance(self.max_broken, float) and self.max_broken > 1):
            raise ValueError(f"max_broken is {self.max_broken}; give a whole number from 0, or a share from 0.0 to 1.0.")
        if self.wait < 0 or self.gpus_per_worker < 0:
            raise ValueError("wait and gpus_per_worker may not be negative.")

    def broken_limit(self, item_count: int) -> int:
        """How many items may fail. A share is rounded up, so that one bad item does not stop the run of a small folder."""
        return ceil(round(self.max_broken * item_count, 6)) if isinstance(self.max_broken, float) else self.max_broken


@dataclass(frozen=True)
class ShardReport:
    """What happened to one shard. rules: outcomes by rule, "ok" among them; failures: sentences about the items that failed now."""

    shard: int
    computed: int
    skipped: int
    rules: Mapping[str, int]
    failures: tuple[str, ...] = ()
    seconds: float = 0.0  # of its computation, without the loading of the step


@dataclass(frozen=True)
class StepReport:
    """What a run of a step did. rules: outcomes of all items by rule, "ok" among them; seconds: of the whole run."""

    name: str
    rules: Mapping[str, int]
    computed_items: int
    skipped_items: int
    computed_shards: int
    skipped_shards: int
    seconds: float
    workers: int = 1
    failures: tuple[str, ...] = field(default=(), repr=False)  # the first that failed in this run

    @property
    def kept(self) -> int:
        return self.rules.get(OK, 0)

    @property
    def items_per_second(self) -> float:
        """Computed items a second, the loading of the step included; 0 if nothing was computed."""
        return self.computed_items / self.seconds if self.computed_items and self.seconds else 0.0

    def __str__(self) -> str:
        """One line, such as "segment: 12 ok, 3 silent; 15 computed in 2.1 s (7.1 a second), 0 there already"."""
        rules = ", ".join(f"{count} {rule}" for rule, count in sorted(self.rules.items(), key=lambda pair: (pair[0] != OK, pair[0])))
        speed = f" in {self.seconds:.1f} s ({self.items_per_second:.1f} a second)" if self.computed_items else ""
        return f"{self.name}: {rules or 'no items'}; {self.computed_items} computed{speed}, {self.skipped_items} there already"


class ReportSum:
    """Sum of shard reports; the shards themselves are not kept."""

    def __init__(self) -> None:
        self.rules: Counter[str] = Counter()
        self.computed_items = self.skipped_items = self.computed_shards = self.skipped_shards = self.broken = 0
        self.failures: list[str] = []

    def add(self, report: ShardReport) -> None:
        self.rules.update(report.rules)
        self.computed_items += report.computed
        self.skipped_items += report.skipped
        self.computed_shards += bool(report.computed)
        self.skipped_shards += not report.computed
        self.broken += len(report.failures)
        self.failures.extend(report.failures[: NAMED - len(self.failures)])

    def result(self, name: str, seconds: float, workers: int) -> StepReport:
        return StepReport(
            name, dict(self.rules), self.computed_items, self.skipped_items, self.computed_shards, self.skipped_shards, seconds,
            workers, tuple(self.failures),
        )  # fmt: skip
