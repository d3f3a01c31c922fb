"""Client of the music worker process, so that text and music do not share one Python interpreter.

Meant for a small decoder on a CPU: its steps are short and most of their time is Python's, which one process spends on one core
at a time. The worker (`music_worker`) has a copy of the decoder.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic

import torch

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.lm import SMALL_MODEL_PARAMS
from llama.generation import MusicChunk
from llama.media.audio import Waveform
from llama.serving.music_backend import Conditioning, EventSink, RequestT
from llama.serving.music_worker import WorkerDecoderSpec, run_worker
from llama.serving.request import EngineDeadError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from llama.mumu_model import MuMuModel

WORKER_DIED = "The process that makes the music ended before the piece was ready; ask again."
SHUTDOWN_TIMEOUT = 5.0  # seconds for the worker to end by itself before it is killed

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
    """`MusicBackend` in a worker process. Calls never block: one thread starts and restarts the worker, one sends to it."""

    needs_step = False

    def __init__(self, decoder: MusicGenDecoder) -> None:
        self.decoder = decoder
        self.process: SpawnProcess | None = None
        self._lock, self._needed, self._closed = threading.Lock(), threading.Event(), False
        self._request_ids = itertools.count()
        self._pending: dict[int, PendingMusic] = {}  # of the running worker, or of the next one
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._supervisor = threading.Thread(target=self._supervise, name="music-worker", daemon=True)
        self._supervisor.start()

    def add(self, request: RequestT, conditioning: Conditioning) -> None:
        condition, mask = (None if tensor is None else tensor.cpu().numpy() for tensor in conditioning())
        with self._lock:
            request_id = next(self._request_ids)
            self._pending[request_id] = PendingMusic(request)
            self._outbox.put(("add", request_id, condition, mask, request.options))
        self._needed.set()

    def remove(self, request: RequestT) -> None:
        with self._lock:
            for request_id in [number for number, music in self._pending.copy().items() if music.sink is request]:
                self._pending.pop(request_id, None)
                self._outbox.put(("remove", request_id))

    def step(self) -> dict[RequestT, Exception]:
        """Does nothing: the worker takes its own steps."""
        return {}

    def close(self) -> None:
        """Ends the worker; kills it if it does not end within SHUTDOWN_TIMEOUT."""
        with self._lock:
            self._closed = True
            self._outbox.put(("end",))
        self._needed.set()
        self._supervisor.join(2 * SHUTDOWN_TIMEOUT)
        if self._supervisor.is_alive() and self.process is not None:
            self.process.kill()
            self._supervisor.join()

    # -- the supervising thread -----------------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Starts the worker, and another one whenever it has ended, until the client is closed."""
        while not self._closed:
            self._needed.clear()
            received = self._run_process(self._pending, self._outbox)
            with self._lock:  # a request added now either fails here or belongs to the next worker
                self._fail_pending()
                self._pending, self._outbox = {}, SimpleQueue()
            if not (received or self._closed):
                self._needed.wait()  # a worker that dies at once is not restarted in a loop, only for the next request

    def _run_process(self, pending: dict[int, PendingMusic], outbox: SimpleQueue[Message | None]) -> bool:
        """Runs one worker from its start to its end; returns whether it sent anything."""
        try:
            process, pipe = self._start_process()
        except OSError:
            logging.exception("the music worker could not be started")
            return False
        sender = threading.Thread(target=_send, args=(outbox, pipe), name="music-sender", daemon=True)
        sender.start()
        received = _read_events(pipe, pending)
        process.join(SHUTDOWN_TIMEOUT)
        process.kill()  # does nothing to a process that has ended
        process.join()
        outbox.put(None)
        sender.join()
        pipe.close()
        return received

    def _start_process(self) -> tuple[SpawnProcess, Connection]:
        # spawn: a fork would copy locks that threads of this process hold
        pipe, worker_pipe = multiprocessing.Pipe()
        spec = WorkerDecoderSpec.of(self.decoder)
        process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(worker_pipe, spec), name="music", daemon=True)
        process.start()
        self.process = process
        worker_pipe.close()
        return process, pipe

    def _fail_pending(self) -> None:
        for music in list(self._pending.values()):
            music.sink.fail(EngineDeadError(WORKER_DIED))


def _send(outbox: SimpleQueue[Message | None], pipe: Connection) -> None:
    """Sends the messages of the outbox until None. Ends quietly if the pipe is closed: the reading thread notices that, too."""
    while (message := outbox.get()) is not None:
        try:
            pipe.send(message)
        except OSError:
            return


def _read_events(pipe: Connection, pending: dict[int, PendingMusic]) -> bool:
    """Handles the worker's messages until the pipe is closed by the end of the worker; returns whether there was any."""
    received = False
    while True:
        try:
            kind, request_id, *values = pipe.recv()
        except (EOFError, OSError):
            return received
        except Exception:  # not a message: the stream is corrupt, so this worker cannot be used any more
            logging.exception("a message of the music worker could not be read")
            return received
        received = True
        music = pending.get(request_id)
        if music is not None:
            try:
                music.handle(kind, *values)
            except Exception as error:  # fail only this request
                music.sink.fail(error)
            if music.sink.finished:
                pending.pop(request_id, None)


class PendingMusic:
    """The music of one request in the worker: collects its chunks for the complete reply."""

    def __init__(self, sink: EventSink) -> None:
        self.sink, self._chunks = sink, list[Waveform]()

    def handle(self, kind: str, *values: Any) -> None:
        """One message of `RemoteSink`."""
        if kind == "event":
            self.sink.emit(values[0])
        elif kind == "chunk":
            samples, sample_rate = values
            self._chunks.append(Waveform(torch.from_numpy(samples), sample_rate))
            self.sink.emit(MusicChunk(self._chunks[-1]))
        elif kind == "finish":
            music = torch.cat([chunk.samples for chunk in self._chunks], -1)
            self.sink.finish(Waveform(music, self._chunks[-1].sample_rate), values[0])
        else:
            self.sink.fail(values[0])
