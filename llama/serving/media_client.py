"""Client of the media worker: a server that outlives the files it is sent.

A file that crashes its decoder, hangs or takes too much memory ends one process, which is replaced, and costs one request one
sentence. Command line and Python users read files in their own process.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from PIL import Image

from llama.dialogue import Turn
from llama.media.audio import Waveform, as_waveform
from llama.media.score_file import read_score
from llama.serving.media_worker import (
    ReadingFault,
    Task,
    memory_limits_exist,
    read_frames,
    read_picture,
    read_sound,
    receive_value,
    run_worker,
)
from llama.serving.request import EngineDeadError, QueueFullError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from llama.media.score import Score

GIGABYTE = 1 << 30
MODULES = ("av", "llama.media.audio_reader", "llama.media.image", "llama.media.video")  # none imports torch
START_TIMEOUT = 120.0  # seconds; on a busy machine the imports take some ten
SHUTDOWN_TIMEOUT = 5.0

DIED = "{} ended the process that reads files; it is damaged or too large, so export it again or give another one."
OUT_OF_MEMORY = "{} takes more than {:g} GB of memory to read; give a shorter or smaller one."
TOO_SLOW = "{} takes longer than {:g} seconds to read; give a shorter or smaller one."
UNREADABLE = "{} cannot be read; it is damaged, so export it again or give another one."
BUSY = "The files of other requests are still being read after {:g} seconds; try again in a moment."
CLOSED = "The engine was closed before the file was read; start it again and ask once more."
NOT_STARTED = "The process that reads files does not start, which is noted in the log of the server."

P = ParamSpec("P")
T = TypeVar("T")


class MediaWorkerClient:
    """Runs functions that decode users' files in one worker process, one at a time; also a context manager. Thread-safe.

    seconds: of one call. memory: bytes that one call may take beside what the idle worker has. queue_seconds: that a call waits
    for the calls before it. modules: what the worker imports at its start, so that the first call does not wait for it.
    The main module is imported in the worker again, so importing it must not start one.
    """

    def __init__(
        self, *, seconds: float = 60.0, memory: int = 2 * GIGABYTE, queue_seconds: float = 60.0,
        modules: Sequence[str] = MODULES,
    ) -> None:
        self.seconds, self.memory, self.queue_seconds, self._modules = seconds, memory, queue_seconds, tuple(modules)
        self._lock, self._closed = threading.Lock(), False
        if not memory_limits_exist():
            logging.warning("this system does not limit the memory of a process, so neither is that of reading a user's file")
        self._worker = self._start()

    @property
    def pid(self) -> int | None:
        """Process id of the present worker."""
        return self._worker.process.pid

    def call(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args, **kwargs)` in the worker. name: of the file, with which the sentences begin.

        The function is a module's own; it returns a plain value, an array or a tuple of these. Raises its ValueError and
        FileNotFoundError; ValueError in one sentence where it fails otherwise, ends the worker, or exceeds a limit; QueueFullError
        where calls before it take too long; EngineDeadError after `close`.
        """
        if not self._lock.acquire(timeout=self.queue_seconds):
            raise QueueFullError(BUSY.format(self.queue_seconds))
        try:
            if self._closed:
                raise EngineDeadError(CLOSED)
            return self._call(name, Task(function, args, kwargs, self.seconds))
        finally:
            self._lock.release()

    def load(self, turn: Turn, frames: int | None) -> Turn:
        """The turn with its files read, equal to what encoders read themselves. frames: of a clip (None: clips are not read)."""
        media: dict[str, Any] = {}
        if isinstance(turn.audio, str):
            media["audio"] = self.read_sound(turn.audio)
        if isinstance(turn.image, str):
            media["image"] = Image.fromarray(self.call(turn.image, read_picture, turn.image))
        if isinstance(turn.video, str) and frames is not None:
            media["video"] = self.call(turn.video, read_frames, turn.video, frames)
        return replace(turn, **media)

    def read_sound(self, path: str) -> Waveform:
        """`Waveform.read` of a file."""
        samples, rate = self.call(path, read_sound, path)
        return as_waveform(Path(path), samples, rate)

    def read_score(self, path: str) -> Score:
        """`read_score` of a file of notes."""
        return self.call(path, read_score, path)

    def close(self) -> None:
        """Ends the worker; a call under way raises EngineDeadError. Idempotent."""
        self._closed = True
        self._worker.process.kill()
        with self._lock:
            self._worker.end()

    def __enter__(self) -> MediaWorkerClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- with the lock ------------------------------------------------------------------------------------------

    def _start(self) -> _Worker:
        if self._closed:
            raise EngineDeadError(CLOSED)
        return _Worker(self._modules, self.memory)

    def _replace(self) -> None:
        """Ends the worker and starts another, whose imports are not waited for."""
        self._worker.end()
        self._worker = self._start()

    def _call(self, name: str, task: Task) -> Any:
        try:
            self._begin(task)
            result = self._worker.result(task.seconds)
        except WorkerDied as death:
            self._replace()
            logging.warning("the media worker %s in %s; another one was started", death, task.function.__name__)
            raise ValueError(TOO_SLOW.format(name, task.seconds) if death.timed_out else DIED.format(name)) from death
        except BaseException:  # of this process, such as a lack of memory: the rest of the message may be in the pipe
            self._replace()
            raise
        if isinstance(result, ReadingFault):
            raise self._fault(name, task, result)
        if isinstance(result, Exception):
            raise result
        return result

    def _begin(self, task: Task) -> None:
        """Has the worker begin with the task. A worker that died while it was idle is replaced: the file is not to blame."""
        for _ in range(2):
            try:
                return self._worker.begin(task)
            except WorkerDied as death:
                logging.warning("the media worker %s while it was idle; another one was started", death)
                self._replace()
        raise EngineDeadError(NOT_STARTED)

    def _fault(self, name: str, task: Task, fault: ReadingFault) -> ValueError:
        logging.warning("the media worker failed in %s: %s", task.function.__name__, fault.description)
        if fault.kind != "memory":
            return ValueError(UNREADABLE.format(name))
        self._replace()  # its libraries may hold what they could not finish
        return ValueError(OUT_OF_MEMORY.format(name, self.memory / GIGABYTE))


class WorkerDied(Exception):
    """The worker process ended in the middle of something. timed_out: it was killed for that."""

    def __init__(self, exit_code: int | None, timed_out: bool) -> None:
        self.timed_out = timed_out
        reason = f"ended by signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"ended with code {exit_code}"
        super().__init__("exceeded its time" if timed_out else reason)


class _Worker:
    """One worker process and the pipe to it."""

    def __init__(self, modules: Sequence[str], memory: int) -> None:
        # spawn: a fork would copy locks that threads of this process hold
        self.pipe, worker_pipe = multiprocessing.Pipe()
        self.process: SpawnProcess = multiprocessing.get_context("spawn").Process(
            target=run_worker, args=(worker_pipe, modules, memory), name="media", daemon=True
        )
        self.process.start()
        worker_pipe.close()
        self._ready = False

    def begin(self, task: Task) -> None:
        """Returns once the worker has begun with the task. Raises WorkerDied."""
        with self._deadline(START_TIMEOUT):
            if not self._ready:
                self._ready = self.pipe.recv() == "ready"
            self.pipe.send(task)
            self.pipe.recv()

    def result(self, seconds: float) -> Any:
        """The result of the task. Raises WorkerDied, also where it takes longer."""
        with self._deadline(seconds):
            return receive_value(self.pipe)

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        """Kills the process after so many seconds, wherever this thread waits for it; its end closes the pipe."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self.process.kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, OSError) as error:
            self.process.join(SHUTDOWN_TIMEOUT)
            raise WorkerDied(self.process.exitcode, expired.is_set()) from error
        finally:
            timer.cancel()

    def end(self) -> None:
        """Ends the process. Idempotent."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
