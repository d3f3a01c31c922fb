"""Runs a step over a ledger: on one process, on several, or on Ray's; the files and the result are the same.

A shard is the unit of work: a worker computes what is missing of it and writes its file. The first shard is timed, and the log says
how long the rest will take before it begins.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.process_runner import ProcessRunner
from DataSet.pipeline.ray_runner import RayRunner
from DataSet.pipeline.run_options import ReportSum, RunOptions, ShardReport, StepReport
from DataSet.pipeline.shard_job import ShardJob, check_broken, count_rules
from DataSet.pipeline.step import StepFactory, StepSpec

__all__ = ["RunOptions", "StepReport", "run_step"]
LOG_SECONDS = 30.0  # between two lines about the progress


class ShardRunner(Protocol):
    """Workers that hold the step. Closed in any case, also after an error."""

    def run(self, shards: Sequence[int]) -> Iterator[ShardReport]:
        """Reports of the shards as they are finished, that of the first one alone before others begin. Raises what the step raises."""
        ...

    def close(self) -> None: ...


class LocalRunner:
    """Runs shards one after another in this process."""

    def __init__(self, job: ShardJob, factory: StepFactory) -> None:
        self._job, self._step = job, job.make_step(factory)

    def run(self, shards: Sequence[int]) -> Iterator[ShardReport]:
        for shard in shards:
            yield self._job.run(shard, self._step)

    def close(self) -> None:
        """Has nothing to end."""


def run_step(
    ledger: Ledger, factory: StepFactory, spec: StepSpec, after: Sequence[StepSpec] = (), options: RunOptions | None = None
) -> StepReport:
    """Computes the outcomes of a step that are missing in the ledger, and reports about all.

    after: every earlier step that rejects items or whose results this one reads. The factory is not called if nothing is missing.
    Raises BrokenItemsError (a ValueError) when more than `max_broken` items fail, and faults of the step as they are; the shards that
    were finished before stay.
    """
    options = options or RunOptions()
    started = time.perf_counter()
    ledger.store.prepare_step(spec)
    total = ReportSum()
    job = _job(ledger, spec, after, options)
    pending = _pending(job, ledger.shards(), total, options)
    if pending:
        try:
            _compute(job, factory, pending, total, options)
        except (KeyboardInterrupt, SystemExit):
            options.log(f"{spec.name}: interrupted; its finished shards stay, and the same command goes on.")
            raise
    return total.result(spec.name, time.perf_counter() - started, options.workers)


def _job(ledger: Ledger, spec: StepSpec, after: Sequence[StepSpec], options: RunOptions) -> ShardJob:
    limit = options.broken_limit(sum(1 for _ in ledger.items()) if isinstance(options.max_broken, float) else 0)
    return ShardJob(
        ledger.store, spec, tuple(after), options.batch_size, options.tries, limit, options.retry, options.wait, options.sleep
    )


def _pending(job: ShardJob, shards: range, total: ReportSum, options: RunOptions) -> dict[int, int]:
    """Shards with something to compute or to write, and how many items that is; the others are counted in `total`."""
    pending = {}
    for shard in shards:
        plan = job.plan(shard)
        if plan.damage:
            options.log(f"{plan.damage}; its items are computed again, and it is kept beside.")
        if plan.is_done:
            total.add(ShardReport(shard, 0, len(plan.records), count_rules(plan.records)))
        else:
            pending[shard] = len(plan.missing)
    return pending


def _compute(job: ShardJob, factory: StepFactory, pending: dict[int, int], total: ReportSum, options: RunOptions) -> None:
    order = sorted(pending, key=lambda shard: (not pending[shard], shard))  # first one with something to compute: it is timed
    if count := sum(pending.values()):
        options.log(f"{job.spec.name}: {count} items to compute")  # a model may load for minutes, and a first shard take long
    runner = _runner(job, factory, options)
    last, is_timed = time.monotonic(), False
    try:
        for report in runner.run(order):
            total.add(report)
            check_broken(job.spec, total.broken, job.broken_limit, total.failures)
            if not is_timed:
                is_timed = True
                _log_estimate(report, job.spec, pending, options)
            elif time.monotonic() - last > LOG_SECONDS:
                last = time.monotonic()
                options.log(f"{job.spec.name}: {total.computed_items} of {sum(pending.values())} items")
    finally:
        runner.close()


def _log_estimate(report: ShardReport, spec: StepSpec, pending: dict[int, int], options: RunOptions) -> None:
    left = sum(pending.values()) - report.computed
    if left and report.computed:
        hours = report.seconds / report.computed * left / options.workers / 3600
        hours_text = f"{hours:.2f}" if hours >= 0.01 else "less than 0.01"
        workers = f"{options.workers} worker{'s' if options.workers > 1 else ''}"
        gpus = options.workers * options.gpus_per_worker
        options.log(f"{spec.name}: {left} items, {hours_text} hours on {workers} ({gpus} GPU{'' if gpus == 1 else 's'})")


def _runner(job: ShardJob, factory: StepFactory, options: RunOptions) -> ShardRunner:
    if options.runner == "local":
        return LocalRunner(job, factory)
    if options.runner == "processes":
        return ProcessRunner(job, factory, options)
    return RayRunner(job, factory, options)
