"""Client of the music worker process, so that text and music do not share one Python interpreter.

Meant for a small decoder on a CPU: its steps are short and most of their time is Python's, which one process spends on one core
at a time. The worker (`music_worker`) has a copy of the decoder. A worker that dies or hangs is replaced, and its pieces are made
again: seed and conditioning are known, so they come out the same.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic

import torch

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.lm import SMALL_MODEL_PARAMS
from llama.serving.music_backend import RequestT, SynthesisBuilder
from llama.serving.music_worker import OF_NO_REQUEST, WorkerDecoderSpec, picklable_request, run_worker
from llama.serving.pending_music import WORKER_DIED, PendingMusic
from llama.serving.request import EngineDeadError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from llama.mumu_model import MuMuModel

MAX_DEATHS = 2  # of workers that make one piece, after which it is given up
SHUTDOWN_TIMEOUT = 5.0  # seconds for the worker to end by itself before it is killed
PING_INTERVAL = 1.0  # seconds between two questions to a worker that makes music
LOOP_TIMEOUT = 30.0  # seconds for the worker's loop to answer, between two of its steps of less than one second
START_TIMEOUT = 300.0  # seconds for the worker to start: imports and weights
PIECE_TIMEOUT = 120.0  # seconds without news of a piece that is made, while the loop answers

Message = tuple[Any, ...]


def should_use_worker(model: MuMuModel) -> bool:
    """Whether a music worker makes this model faster: several cores, a small float32 MusicGen, and no accelerator."""
    decoder = model.music_decoder
    if not isinstance(decoder, MusicGenDecoder) or decoder.device.type != "cpu" or cpu_count() < 2:
        return False
    weights = list(decoder.model.parameters())
    return sum(weight.numel() for weight in weights) <= SMALL_MODEL_PARAMS and all(weight.dtype == torch.float32 for weight in weights)


def cpu_count() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MusicWorkerClient(Generic[RequestT]):
    """`MusicBackend` in a worker process. Calls never block: one thread starts and restarts the worker, one sends to it, one
    notices that it hangs.

    The pieces of a worker that died are made again one at a time, each alone, so that a request that kills every worker is told
    from those that were made beside it. It fails at its second worker's death.
    """

    needs_step = False

    def __init__(self, decoder: MusicGenDecoder) -> None:
        self.decoder = decoder
        self.process: SpawnProcess | None = None
        self._lock, self._needed, self._closed = threading.Lock(), threading.Event(), False
        self._request_ids = itertools.count()
        self._pending: dict[int, PendingMusic] = {}  # until the last event of the request
        self._worker: WorkerConnection | None = None  # while one runs
        self._supervisor = threading.Thread(target=self._supervise, name="music-worker", daemon=True)
        self._supervisor.start()

    def add(self, request: RequestT, build: SynthesisBuilder) -> None:
        music = PendingMusic(request, picklable_request(build()))
        with self._lock:
            self._pending[next(self._request_ids)] = music
            self._send_due()
        self._needed.set()

    def remove(self, request: RequestT) -> None:
        with self._lock:
            for request_id in [number for number, music in self._pending.items() if music.sink is request]:
                self._drop(request_id)

    def step(self) -> dict[RequestT, Exception]:
        """Does nothing: the worker takes its own steps."""
        return {}

    def close(self) -> None:
        """Ends the worker; kills it if it does not end within SHUTDOWN_TIMEOUT."""
        with self._lock:
            self._closed = True
            if self._worker is not None:
                self._worker.send("end")
        self._needed.set()
        self._supervisor.join(2 * SHUTDOWN_TIMEOUT)
        if self._supervisor.is_alive() and self.process is not None:
            self.process.kill()
            self._supervisor.join()

    # -- with the lock --------------------------------------------------------------------------------------------

    def _send_due(self) -> None:
        """Sends what the worker may make now: every piece, but those that a worker died of one at a time and alone."""
        if self._worker is None:
            return
        suspects = [request_id for request_id, music in self._pending.items() if music.deaths]
        for request_id in suspects[:1] or list(self._pending):
            music = self._pending[request_id]
            if not music.sent:
                music.sent = True
                self._worker.send("add", request_id, music.synthesis, music.sink.options)

    def _drop(self, request_id: int) -> None:
        music = self._pending.pop(request_id, None)
        if music is not None and music.sent and self._worker is not None:
            self._worker.send("remove", request_id)
        self._send_due()

    def _take_failed(self, was_ready: bool) -> list[PendingMusic]:
        """After a worker's end: counts it against the pieces that it made, and returns those that are given up.

        One that did not become ready counts against all, which bounds the attempts to start one that cannot run.
        """
        for music in self._pending.values():
            music.deaths += music.sent or not was_ready
            music.restart()
        ended = [music for music in self._pending.values() if music.deaths >= MAX_DEATHS or music.sink.finished or self._closed]
        self._pending = {number: music for number, music in self._pending.items() if music not in ended}
        return ended

    # -- the supervising thread -----------------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Starts the worker, and another one whenever it has ended, until the client is closed."""
        while not self._closed:
            self._needed.clear()
            was_ready = self._run_process()
            with self._lock:
                failed, again = self._take_failed(was_ready), len(self._pending)
            if not self._closed:
                logging.warning("the music worker ended; another one is started, and %d piece(s) are begun again", again)
            for music in failed:
                music.sink.fail(EngineDeadError(WORKER_DIED))
            if not (was_ready or again or self._closed):
                self._needed.wait()  # a worker that dies at once is not restarted in a loop, only for the next request

    def _run_process(self) -> bool:
        """Runs one worker from its start to its end; returns whether it became ready."""
        try:
            process, pipe = self._start_process()
        except Exception:  # of the system, or a lack of memory for the copy of the weights: the requests are to be told
            logging.exception("the music worker could not be started")
            return False
        worker = WorkerConnection(pipe)
        watch = threading.Thread(target=self._watch, args=(worker, process.kill), name="music-watch", daemon=True)
        watch.start()
        with self._lock:
            self._worker = worker
            self._send_due()
            if self._closed:
                worker.send("end")
        self._read_messages(worker)
        with self._lock:
            self._worker = None
        worker.ended.set()
        if self._closed:
            process.join(SHUTDOWN_TIMEOUT)
        process.kill()  # does nothing to a process that has ended
        process.join()
        watch.join()
        worker.close()
        return worker.ready

    def _start_process(self) -> tuple[SpawnProcess, Connection]:
        # spawn: a fork would copy locks that threads of this process hold
        pipe, worker_pipe = multiprocessing.Pipe()
        spec = WorkerDecoderSpec.of(self.decoder)
        process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(worker_pipe, spec), name="music", daemon=True)
        process.start()
        self.process = process
        worker_pipe.close()
        return process, pipe

    def _read_messages(self, worker: WorkerConnection) -> None:
        """Handles the worker's messages until the pipe is closed by the end of the worker."""
        while (message := worker.receive()) is not None:
            kind, request_id, *values = message
            worker.silent_seconds = 0.0 if request_id == OF_NO_REQUEST else worker.silent_seconds
            worker.ready |= kind == "ready"
            with self._lock:
                music = self._pending.get(request_id)
            if music is None:
                continue
            try:
                music.handle(kind, *values)
            except Exception as error:  # fail only this request
                music.sink.fail(error)
            if music.sink.finished:
                with self._lock:
                    self._drop(request_id)

    # -- the watching thread --------------------------------------------------------------------------------------

    def _watch(self, worker: WorkerConnection, kill: Callable[[], None]) -> None:
        """Kills a worker that hangs: its loop must answer between two steps, and each of its pieces must go on.

        Seconds are counted in intervals, so that those in which this process itself was stopped do not count.
        """
        while not worker.ended.wait(PING_INTERVAL):
            with self._lock:
                made = [music for music in self._pending.values() if music.sent]
            if not made:
                worker.silent_seconds = 0.0
                continue
            worker.silent_seconds += PING_INTERVAL
            if worker.ready:
                worker.send("ping")
                for music in made:
                    music.silent_seconds += PING_INTERVAL
            timeout = LOOP_TIMEOUT if worker.ready else START_TIMEOUT
            if worker.silent_seconds > timeout or any(music.silent_seconds > PIECE_TIMEOUT for music in made):
                logging.error("the music worker does not answer and is killed")
                kill()
                return


class WorkerConnection:
    """The pipe to one worker: a thread of its own sends, so that `send` never blocks, also where the worker hangs."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self.ready, self.silent_seconds, self.ended = False, 0.0, threading.Event()
        self._sender = threading.Thread(target=self._send_all, name="music-sender", daemon=True)
        self._sender.start()

    def send(self, *message: Any) -> None:
        self._outbox.put(message)

    def receive(self) -> Message | None:
        """The worker's next message; None at its end."""
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            return None
        except Exception:  # not a message: the stream is corrupt, so this worker cannot be used any more
            logging.exception("a message of the music worker could not be read")
            return None

    def close(self) -> None:
        """To be called after the worker's end."""
        self._outbox.put(None)
        self._sender.join()
        self._pipe.close()

    def _send_all(self) -> None:
        """Sends until None. Ends quietly if the pipe is closed: the reading thread notices that, too."""
        while (message := self._outbox.get()) is not None:
            try:
                self._pipe.send(message)
            except OSError:
                return
