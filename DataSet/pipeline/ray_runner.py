"""Runs shards on Ray Data, on this machine or a cluster whose machines share the work folder.

A row is a shard, and the actor that computes it writes its file by rename. Ray's own checkpoints count what its write task has
finished: in a stopped job of 120 rows they had kept none of 110.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from DataSet.pipeline.run_options import RunOptions, ShardReport
from DataSet.pipeline.shard_job import GROWTH, ShardJob
from DataSet.pipeline.shard_task import ShardTask
from DataSet.pipeline.step import StepFactory
from DataSet.pipeline.worker_fault import WorkerFault
from llama.errors import importing
from llama.files import atomic_path

STORE_BYTES = 200 * 2**20  # Ray's object store holds numbers of shards and reports alone


class ShardActor:
    """A worker of Ray: makes the step once, then computes a shard a call. Errors come back as values, since one that is raised
    would end the whole job before the others' reports are read."""

    def __init__(self, job: ShardJob, factory: StepFactory, run: str) -> None:
        self._job, self._run_id = job, run
        self._fault: WorkerFault | None = None
        try:
            self._step = job.make_step(factory)
        except Exception as error:
            self._fault = WorkerFault.of(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {"report": [json.dumps(self._run(int(shard))) for shard in batch["shard"]]}

    def _run(self, shard: int) -> dict[str, Any]:
        if self._fault:
            return {"fault": asdict(self._fault)}
        note = AttemptNote(self._job.store.step_folder(self._job.spec) / f".attempt-{shard:05d}.json", self._run_id)
        try:
            task = note.task(shard, self._job.tries)
            if task.deaths:
                self._job.sleep(self._job.wait * GROWTH ** (task.deaths - 1))
            note.write(task, ())
            report = self._job.run(shard, self._step, partial(note.write, task), task.batch_size, task.lost)
            note.path.unlink(missing_ok=True)
            return asdict(report)
        except Exception as error:
            return {"fault": asdict(WorkerFault.of(error))}


@dataclass(frozen=True)
class AttemptNote:
    """A small file about the batch in work: Ray hands the shard of an actor that died to another without saying so.

    run: id of this run; a note that an earlier run left behind is ignored.
    """

    path: Path
    run: str

    def write(self, task: ShardTask, batch: tuple[str, ...]) -> None:
        values = {"run": self.run, "batch": batch, **asdict(task), "lost": sorted(task.lost)}
        with atomic_path(self.path, fsync=False) as partial_path:
            partial_path.write_text(json.dumps(values), encoding="utf-8")

    def task(self, shard: int, tries: int) -> ShardTask:
        """The shard's task, with the death of the actor that left a note. Raises WorkerDiedError."""
        values = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        if values.pop("run", None) != self.run:
            return ShardTask(shard)
        batch = values.pop("batch")
        task = ShardTask(**{**values, "lost": set(values["lost"])})
        task.add_death(batch, tries)
        return task


class RayRunner:
    """A pool of actors on a cluster that runs (RAY_ADDRESS), or on one that is started on this machine.

    An actor that dies is restarted by Ray and its shard computed again. Close leaves Ray running for the next step.
    """

    def __init__(self, job: ShardJob, factory: StepFactory, options: RunOptions) -> None:
        self._job, self._factory, self._options = job, factory, options
        start_ray(options.workers)

    def run(self, shards: Sequence[int]) -> Iterator[ShardReport]:
        """Reports of the shards as they are finished. The first one is a job by itself, so that it is timed before the others begin:
        that loads the step's model once more. Raises the faults of the actors."""
        for part in filter(None, (shards[:1], shards[1:])):
            yield from self._run_job(part)

    def _run_job(self, shards: Sequence[int]) -> Iterator[ShardReport]:
        import ray.data

        rows = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
        reports = rows.map_batches(
            ShardActor,
            fn_constructor_args=(self._job, self._factory, uuid.uuid4().hex),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(self._options.workers, len(shards))),
            num_cpus=1,
            num_gpus=self._options.gpus_per_worker or None,
        )
        try:
            for row in reports.iter_rows():
                values = json.loads(row["report"])
                if "fault" in values:
                    WorkerFault(**values["fault"]).throw()
                yield ShardReport(**{**values, "failures": tuple(values["failures"])})
        except SystemExit:  # of SIGTERM: Ray's own handler has set an alarm that aborts the process after three seconds
            signal.alarm(0)
            raise

    def close(self) -> None:
        """Has nothing to end: actors go with the job, whose iterator is closed."""


def start_ray(workers: int) -> None:
    """Connects to the cluster of RAY_ADDRESS, or starts Ray on this machine, without its dashboard and usage statistics."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with importing("ray", "scale"):
        import ray
        import ray.data
    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
    else:
        ray.init(
            num_cpus=workers, include_dashboard=False, object_store_memory=STORE_BYTES, log_to_driver=False, logging_level=logging.WARNING
        )  # fmt: skip
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
