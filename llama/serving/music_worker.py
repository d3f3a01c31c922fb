"""The other side of music that is made in a process of its own: what is started there, and the pieces that it plays."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from llama.generation import Event, GenerationOptions, MusicChunk
from llama.hf import suppress_hf_logging
from llama.media.audio import Waveform
from llama.serving.batch import step_and_isolate
from llama.serving.music_batch import RENDER_THREADS, MusicBatch
from llama.serving.request import OUT_OF_MEMORY

if TYPE_CHECKING:
    from llama.decoders.musicgen.decoder import MusicGenDecoder
    from llama.media.score import Score


@dataclass(frozen=True)
class DecoderSpec:
    """A decoder as values that any process can make one of: its configuration, its weights, and what was set by hand."""

    config: Mapping[str, Any]
    state: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, decoder: Any) -> DecoderSpec:
        state = {name: value.detach().cpu().numpy() for name, value in decoder.export_state().items()}
        settings = {name: getattr(decoder, name) for name in ("guidance", "temperature", "top_k", "span")}
        return cls(decoder.model.config.to_dict(), state, settings)

    def decoder(self) -> MusicGenDecoder:
        from llama.decoders.musicgen.decoder import MusicGenDecoder
        from llama.decoders.notes import codec as note_codec

        note_codec.register()
        with suppress_hf_logging():
            made = MusicGenDecoder.from_state(self.config, {name: torch.from_numpy(value) for name, value in self.state.items()})
        for name, value in self.settings.items():
            setattr(made, name, value)
        return made


class RemoteSink:
    """Stands for a listener in the process that plays."""

    def __init__(self, number: int, options: GenerationOptions, send: Callable[..., None]) -> None:
        self.number, self.options, self._send = number, options, send
        self.over = False

    def tell(self, event: Event) -> None:
        if isinstance(event, MusicChunk):
            self._say("sound", event.music.samples.numpy(), event.music.sample_rate)
        else:
            self._say("tell", event)

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None:
        self._say("finish", score)
        self.over = True

    def fail(self, error: Exception) -> None:
        self._say("fail", _sendable(error))
        self.over = True

    def _say(self, kind: str, *values: object) -> None:
        if not self.over:
            self._send(kind, self.number, *values)


def _sendable(error: Exception) -> Exception:
    """The error as users may meet it; any other as one that says the same, for it might not survive the way."""
    if type(error) in (ValueError, MemoryError):
        return error
    return MemoryError(str(error)) if isinstance(error, OUT_OF_MEMORY) else RuntimeError(f"{type(error).__name__}: {error}")


def run_worker(pipe: Connection, copy: DecoderSpec) -> None:
    """The main function of the process: plays what it is told to until it is told to end, or who told it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; whoever started this ends it
    torch.set_num_threads(1)
    decoder = copy.decoder()
    with ThreadPoolExecutor(RENDER_THREADS, "renderer") as pool:
        try:
            WorkerLoop(pipe, MusicBatch(decoder, pool)).run()
        except (EOFError, OSError):  # nobody is there any more
            os._exit(0)  # nor waits for what is still being rendered, as the pool would


class WorkerLoop:
    """The pieces that are played in this process, and the pipe on which they are asked for and heard."""

    def __init__(self, pipe: Connection, band: MusicBatch[RemoteSink]) -> None:
        self._pipe, self._band, self._guard = pipe, band, threading.Lock()
        self._listeners: dict[int, RemoteSink] = {}

    def run(self) -> None:
        while True:
            while self._pipe.poll(0 if self._band.members else None):
                kind, *values = self._pipe.recv()
                if kind == "end":
                    return
                self._join(*values) if kind == "join" else self._leave(*values)
            for listener, error in step_and_isolate(self._band).items():
                self._band.leave(listener)
                listener.fail(error)

    def _join(self, number: int, condition: Any, mask: Any, options: GenerationOptions) -> None:
        listener = self._listeners[number] = RemoteSink(number, options, self._send)
        try:
            self._band.join(listener, lambda: (torch.from_numpy(condition), None if mask is None else torch.from_numpy(mask)))
        except Exception as error:  # handed to the request that it belongs to
            listener.fail(error)
        self._listeners = {number: one for number, one in self._listeners.items() if not one.over}

    def _leave(self, number: int) -> None:
        if number in self._listeners:
            listener = self._listeners.pop(number)
            listener.over = True
            self._band.leave(listener)

    def _send(self, *message: object) -> None:
        with self._guard:
            self._pipe.send(message)
