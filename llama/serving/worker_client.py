"""The music of an engine made in a process of its own, so that words and music do not wait for one Python.

Meant for a small decoder on a CPU: its steps are short, and most of their time is Python's, which one process spends on one
core at a time. The other process (`player`) has a copy of the decoder. What goes between the two is values and arrays: a tensor
would go through shared memory, of which containers have little.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import torch

from llama.decoders.musicgen.lm import SMALL_MODEL_PARAMS
from llama.generation import MusicChunk
from llama.media.audio import Waveform
from llama.serving.music_batch import Conditioning, EventSink
from llama.serving.music_worker import DecoderSpec, run_worker
from llama.serving.request import EngineDeadError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from llama.mumu_llama import MuMuLLaMA

WORKER_DIED = "The process that makes the music ended before the piece was ready; ask again."
SHUTDOWN_TIMEOUT = 5.0  # seconds in which it ends by itself

Message = tuple[Any, ...]


def should_use_worker(model: MuMuLLaMA) -> bool:
    """Whether a process for its music makes a model quicker: several cores, a decoder of small steps, and no accelerator."""
    decoder: Any = model.music_decoder
    if decoder is None or not hasattr(decoder, "code_batch") or torch.device(decoder.device).type != "cpu" or cpu_count() < 2:
        return False
    weights = list(decoder.model.parameters())
    return sum(weight.numel() for weight in weights) <= SMALL_MODEL_PARAMS and all(weight.dtype == torch.float32 for weight in weights)


def cpu_count() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MusicWorkerClient:
    """The pieces that the other process plays, from this side. Nobody who asks waits for it: a thread starts the process, and
    another one when that has died; a second thread sends it what is asked.
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.members: list[EventSink] = []  # the engine's thread has nothing to do for them
        self.process: SpawnProcess | None = None
        self._guard, self._wanted, self._closed = threading.Lock(), threading.Event(), False
        self._number = itertools.count()
        self._playing: dict[int, PendingMusic] = {}  # by the process of now, or of soon
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._keeper = threading.Thread(target=self._keep, name="music", daemon=True)
        self._keeper.start()

    def join(self, listener: EventSink, conditioning: Conditioning) -> None:
        condition, mask = (None if one is None else one.cpu().numpy() for one in conditioning())
        with self._guard:
            number = next(self._number)
            self._playing[number] = PendingMusic(listener)
            self._outbox.put(("join", number, condition, mask, listener.options))
        self._wanted.set()

    def leave(self, listener: EventSink) -> None:
        with self._guard:
            for number in [number for number, piece in self._playing.copy().items() if piece.listener is listener]:
                self._playing.pop(number, None)
                self._outbox.put(("leave", number))

    def close(self) -> None:
        with self._guard:
            self._closed = True
            self._outbox.put(("end",))
        self._wanted.set()
        self._keeper.join(2 * SHUTDOWN_TIMEOUT)
        if self._keeper.is_alive() and self.process is not None:
            self.process.kill()
            self._keeper.join()

    # -- the thread that keeps it going -----------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closed:
            self._wanted.clear()
            spoke = self._run(self._playing, self._outbox)
            with self._guard:  # who joins now is either told here, or is of the next process
                self._fail_all()
                self._playing, self._outbox = {}, SimpleQueue()
            if not (spoke or self._closed):
                self._wanted.wait()  # one that dies at once is started again when it is needed, not for ever

    def _run(self, playing: dict[int, PendingMusic], outbox: SimpleQueue[Message | None]) -> bool:
        """One process from its start to its end; whether anything was heard of it."""
        try:
            process, pipe = self._started()
        except OSError:
            logging.exception("the process that makes the music could not be started")
            return False
        sender = threading.Thread(target=_send, args=(outbox, pipe), name="music-asked", daemon=True)
        sender.start()
        spoke = _read_events(pipe, playing)
        process.join(SHUTDOWN_TIMEOUT)
        process.kill()  # does nothing to one that has ended
        process.join()
        outbox.put(None)
        sender.join()
        pipe.close()
        return spoke

    def _started(self) -> tuple[Any, Connection]:
        # spawned: a fork would copy locks that threads of this process hold
        pipe, theirs = multiprocessing.Pipe()
        spec = DecoderSpec.of(self.decoder)
        process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(theirs, spec), name="music", daemon=True)
        process.start()
        self.process = process
        theirs.close()
        return process, pipe

    def _fail_all(self) -> None:
        for piece in list(self._playing.values()):
            piece.listener.fail(EngineDeadError(WORKER_DIED))


def _send(outbox: SimpleQueue[Message | None], pipe: Connection) -> None:
    """Until None is to be sent, or nobody hears it: whoever hears the other end knows that, too."""
    while (message := outbox.get()) is not None:
        try:
            pipe.send(message)
        except OSError:
            return


def _read_events(pipe: Connection, playing: dict[int, PendingMusic]) -> bool:
    """Until the other end is closed, by whatever ended its process; whether it said anything."""
    spoke = False
    while True:
        try:
            kind, number, *values = pipe.recv()
        except (EOFError, OSError):
            return spoke
        except Exception:  # what came is no message: this process cannot be talked to any more
            logging.exception("the process that makes the music was not understood")
            return spoke
        spoke = True
        piece = playing.get(number)
        if piece is not None:
            try:
                piece.hear(kind, *values)
            except Exception as error:  # handed to the request that it belongs to; the others are still to be heard
                piece.listener.fail(error)
            if piece.listener.over:
                playing.pop(number, None)


class PendingMusic:
    """One of the pieces that are made elsewhere, put together for its listener."""

    def __init__(self, listener: EventSink) -> None:
        self.listener, self._chunks = listener, list[Waveform]()

    def hear(self, kind: str, *values: Any) -> None:
        if kind == "tell":
            self.listener.tell(values[0])
        elif kind == "sound":
            samples, rate = values
            self._chunks.append(Waveform(torch.from_numpy(samples), rate))
            self.listener.tell(MusicChunk(self._chunks[-1]))
        elif kind == "finish":
            whole = torch.cat([chunk.samples for chunk in self._chunks], -1)
            self.listener.finish(Waveform(whole, self._chunks[-1].sample_rate), values[0])
        else:
            self.listener.fail(values[0])
