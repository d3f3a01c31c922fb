"""Runs shards in worker processes of this machine. A worker that dies, as for want of memory, is replaced and its shard tried again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from DataSet.pipeline.run_options import RunOptions, ShardReport
from DataSet.pipeline.shard_job import GROWTH, ShardJob
from DataSet.pipeline.shard_task import ShardTask
from DataSet.pipeline.step import Step, StepFactory
from DataSet.pipeline.worker_fault import WorkerFault
from llama.console import signals_as_exit

JOIN_SECONDS = 10.0  # until a worker that was asked to end is killed
MAIN_IS_GONE = (EOFError, BrokenPipeError, ConnectionResetError)
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class Worker:
    """A worker process from this side. batch: ids of the items that it computes now."""

    index: int
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    task: ShardTask | None = None
    batch: tuple[str, ...] = ()

    def give(self, task: ShardTask) -> None:
        self.task, self.batch = task, ()
        with suppress(BrokenPipeError, ConnectionResetError):  # it has died: the end of its pipe is read next
            self.pipe.send((task.shard, task.batch_size, frozenset(task.lost)))

    def ask_to_end(self) -> None:
        """One in the midst of a shard is stopped, and removes its temporary files; others end when their pipe is closed."""
        self.pipe.close()
        if self.task:
            self.process.terminate()  # once: a second signal would interrupt the removal

    def wait_for_end(self) -> None:
        self.process.join(JOIN_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class ProcessRunner:
    """Worker processes that each hold an instance of the step and get a shard at a time."""

    def __init__(self, job: ShardJob, factory: StepFactory, options: RunOptions) -> None:
        self._job, self._factory, self._options = job, factory, options
        self._context = multiprocessing.get_context("spawn")  # forked processes cannot use CUDA, nor torch's threads
        self._workers: list[Worker] = []

    def run(self, shards: Sequence[int]) -> Iterator[ShardReport]:
        """Reports of the shards as they are finished. Raises the faults of the workers, and WorkerDiedError."""
        tasks, is_first = deque(map(ShardTask, shards)), True
        while tasks or any(worker.task for worker in self._workers):
            self._give(tasks, 1 if is_first else self._options.workers)
            for pipe in wait([worker.pipe for worker in self._workers]):
                worker = next(worker for worker in self._workers if worker.pipe is pipe)
                try:
                    message = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    if task := self._replace(worker):
                        tasks.appendleft(task)
                    continue
                if isinstance(message, ShardReport):
                    worker.task, worker.batch, is_first = None, (), False
                    yield message
                elif isinstance(message, WorkerFault):
                    worker.task = None
                    message.throw()
                else:
                    worker.batch = message

    def close(self) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        for worker in self._workers:
            worker.wait_for_end()
        self._workers.clear()

    def _give(self, tasks: deque[ShardTask], most: int) -> None:
        """Gives waiting shards to workers without one; starts workers as long as there are shards, up to `most`."""
        idle = [worker for worker in self._workers if not worker.task]
        while tasks and (idle or len(self._workers) < most):
            (idle.pop() if idle else self._start()).give(tasks.popleft())

    def _start(self) -> Worker:
        index = min(set(range(self._options.workers)) - {worker.index for worker in self._workers})
        ours, theirs = self._context.Pipe()
        devices = visible_devices(index, self._options.gpus_per_worker, os.environ.get(VISIBLE))
        threads = max(1, (os.cpu_count() or 1) // self._options.workers)
        process = self._context.Process(target=run_worker, args=(theirs, self._job, self._factory, devices, threads), daemon=True)
        process.start()
        theirs.close()  # or the end of the pipe would not be seen when the worker dies
        self._workers.append(Worker(index, process, ours))
        return self._workers[-1]

    def _replace(self, worker: Worker) -> ShardTask | None:
        """Forgets a worker that died, and returns its shard to be tried again after a wait."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        task, code = worker.task, worker.process.exitcode
        if task is None:
            return None
        task.add_death(worker.batch, self._job.tries)
        self._options.log(f"{self._job.spec.name}: a worker process ended in shard {task.shard} (exit code {code}); a new one computes it again.")
        self._job.sleep(self._job.wait * GROWTH ** max(0, task.deaths - 1))
        return task


def visible_devices(index: int, count: int, visible: str | None) -> str | None:
    """Value of CUDA_VISIBLE_DEVICES for a worker that gets `count` GPUs of its own; None leaves it as it is."""
    if not count:
        return None
    numbers = range(index * count, (index + 1) * count)
    if visible is None:
        return ",".join(map(str, numbers))
    names = visible.split(",")
    if numbers.stop > len(names):
        raise ValueError(f"{VISIBLE} names {len(names)} GPUs, and worker {index + 1} would need number {numbers.stop}; take fewer workers.")
    return ",".join(names[number] for number in numbers)


def run_worker(pipe: Connection, job: ShardJob, factory: StepFactory, devices: str | None, threads: int) -> None:
    """Main function of a worker: computes shards until the pipe is closed. Ctrl-C reaches all processes; the main one ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if devices is not None:
        os.environ[VISIBLE] = devices
    with signals_as_exit():
        try:
            step = job.make_step(factory)
        except Exception as error:
            _send(pipe, WorkerFault.of(error))
            return
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)
        while message := _receive(pipe):
            answer = _answer(job, step, pipe, *message)
            if not _send(pipe, answer) or isinstance(answer, WorkerFault):
                return


def _answer(
    job: ShardJob, step: Step, pipe: Connection, shard: int, batch_size: int, lost: frozenset[str]
) -> ShardReport | WorkerFault:
    try:
        return job.run(shard, step, pipe.send, batch_size, lost)
    except Exception as error:
        return WorkerFault.of(error)


def _receive(pipe: Connection) -> tuple[int, int, frozenset[str]] | None:
    """The next task; None if the main process has closed the pipe or is gone."""
    try:
        return pipe.recv()
    except MAIN_IS_GONE:
        return None


def _send(pipe: Connection, message: ShardReport | WorkerFault) -> bool:
    try:
        pipe.send(message)
    except MAIN_IS_GONE:
        return False
    return True
