"""Shard job: computes what a step has not yet given for a shard, and writes its file. All runners do this, in whatever process."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from DataSet.pipeline.run_options import BROKEN, ERROR, NAMED, OK, TRANSIENT, ShardReport
from DataSet.pipeline.shard_file import DamagedShardError, json_line
from DataSet.pipeline.shard_store import Record, ShardStore, StepShard, digest_of_input, digest_of_inputs
from DataSet.pipeline.step import Outcome, Rejection, Step, StepFactory, StepInput, StepSpec, TransientError
from llama.errors import USER_ERRORS, sentence

GROWTH = 2  # of the wait, from try to try
Progress = Callable[[tuple[str, ...]], None]


class BrokenItemsError(ValueError):
    """More items failed than a run allows; the message names the first ones."""


@dataclass(frozen=True)
class ShardPlan:
    """A shard's inputs, the digest of each, and the records that stay.

    digests: id of the item -> digest. is_whole: the file is there and is of these inputs.
    """

    inputs: Sequence[StepInput]
    digests: dict[str, str]
    records: dict[str, Record]
    is_whole: bool
    damage: str = ""

    @property
    def missing(self) -> list[StepInput]:
        return [value for value in self.inputs if value.item.id not in self.records]

    @property
    def is_done(self) -> bool:
        return self.is_whole and len(self.records) == len(self.inputs)


@dataclass(frozen=True)
class ShardJob:
    """A step over the shards of a store, with what its workers need of RunOptions. It can be pickled if `sleep` can."""

    store: ShardStore
    spec: StepSpec
    after: tuple[StepSpec, ...]
    batch_size: int
    tries: int
    broken_limit: int
    retry: bool
    wait: float
    sleep: Callable[[float], None]

    def plan(self, shard: int) -> ShardPlan:
        """What is there of a shard and what is missing. Raises ValueError if an earlier step has not run on it."""
        inputs = self.store.inputs(shard, self.after)
        digests = {value.item.id: digest_of_input(value) for value in inputs}
        try:
            found, damage = self.store.read_step(self.spec, shard), ""
        except DamagedShardError as error:
            found, damage = None, str(error)
        records = {} if found is None else {name: record for name, record in found.records.items() if self._stays(record, digests.get(name))}
        is_whole = found is not None and found.inputs == digest_of_inputs(digests)
        return ShardPlan(inputs, digests, records, is_whole, damage)

    def _stays(self, record: Record, inputs: str | None) -> bool:
        is_broken = isinstance(record.outcome, Rejection) and record.outcome.rule in BROKEN
        return record.inputs == inputs and not (self.retry and is_broken)

    def make_step(self, factory: StepFactory) -> Step:
        step = factory()
        if step.spec != self.spec:
            raise ValueError(f"The factory makes the step {step.spec.folder}, not {self.spec.folder}; give its own spec.")
        return step

    def run(self, shard: int, step: Step, progress: Progress | None = None, batch_size: int = 0, lost: Collection[str] = ()) -> ShardReport:
        """Computes what is missing of a shard and writes its file.

        progress: is told the ids of each batch before it is computed. batch_size: in place of the job's. lost: ids of items that ended
        a worker's process, which are recorded as failed. Raises BrokenItemsError when more items fail than the job allows.
        """
        started = time.perf_counter()
        plan = self.plan(shard)
        records, failures = dict(plan.records), []
        missing = plan.missing
        size = batch_size or self.batch_size
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            if progress:
                progress(tuple(value.item.id for value in batch))
            for value, outcome in zip(batch, self._batch_outcomes(step, batch, lost), strict=True):
                records[value.item.id] = Record(plan.digests[value.item.id], outcome)
                if isinstance(outcome, Rejection) and outcome.rule in BROKEN:
                    failures.append(f"{value.item.id} ({value.item.key}): {outcome.why}")
                    check_broken(self.spec, len(failures), self.broken_limit, failures)
        self.store.write_step(self.spec, shard, StepShard(digest_of_inputs(plan.digests), records))
        seconds = time.perf_counter() - started
        return ShardReport(shard, len(missing), len(plan.records), count_rules(records), tuple(failures), seconds)

    def _batch_outcomes(self, step: Step, batch: Sequence[StepInput], lost: Collection[str]) -> list[Outcome]:
        if any(value.item.id in lost for value in batch):
            assert len(batch) == 1, "an item that ended its worker is computed alone"
            return [Rejection(TRANSIENT, "The worker process ended while it computed this item.")]
        return self._outcomes(step, batch)

    def _outcomes(self, step: Step, batch: Sequence[StepInput]) -> list[Outcome]:
        """The outcomes of a batch. If it fails as a whole, each item is computed alone, so that only those that fail are recorded."""
        try:
            outcomes = list(self._call(step, batch))
        except (TransientError, MemoryError, *USER_ERRORS) as error:
            if len(batch) > 1:
                return [outcome for value in batch for outcome in self._outcomes(step, [value])]
            return [Rejection(ERROR if isinstance(error, USER_ERRORS) else TRANSIENT, sentence(error))]
        self._check(batch, outcomes)
        return outcomes

    def _call(self, step: Step, batch: Sequence[StepInput]) -> Sequence[Outcome]:
        """The outcomes of a batch, after at most `tries` tries with a growing wait between them."""
        for index in range(self.tries):
            try:
                return step(batch)
            except Exception as error:
                if not _is_transient(error):
                    raise
                if index + 1 == self.tries:
                    raise TransientError(sentence(error)) from error
            self.sleep(self.wait * GROWTH**index)
        raise AssertionError("no tries")

    def _check(self, batch: Sequence[StepInput], outcomes: Sequence[Outcome]) -> None:
        """Raises RuntimeError, a fault of the step, for a wrong number of outcomes and for values that JSON cannot hold."""
        if len(outcomes) != len(batch):
            raise RuntimeError(f"The step {self.spec.name} gave {len(outcomes)} outcomes for {len(batch)} items.")
        for value, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Rejection):
                try:
                    json_line(outcome)
                except (TypeError, ValueError) as error:
                    raise RuntimeError(f"The step {self.spec.name} gave values for item {value.item.id} that are no JSON.") from error


def count_rules(records: dict[str, Record]) -> dict[str, int]:
    return dict(Counter(record.outcome.rule if isinstance(record.outcome, Rejection) else OK for record in records.values()))


def check_broken(spec: StepSpec, broken: int, limit: int, failures: Sequence[str]) -> None:
    """Raises BrokenItemsError if more items failed than `limit`; `failures` are sentences about the first ones."""
    if broken > limit:
        named = "; ".join(failure.rstrip(".") for failure in failures[:NAMED])
        raise BrokenItemsError(
            f"The step {spec.name} stopped, because more than {limit} items failed. The first: {named}. "
            "Mend them or raise max_broken, and run it again: finished shards stay."
        )


def _is_transient(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # a step that does not use it need not load it
    return isinstance(error, (TransientError, MemoryError)) or (torch is not None and isinstance(error, torch.OutOfMemoryError))
