"""The music worker: a process of its own that holds a copy of the decoder and makes the music of the engine's requests.

`worker_client` is the engine's side. Values and NumPy arrays cross the pipe, never tensors: those would go through shared
memory, of which containers have little.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from llama.decoders.base import SynthesisRequest
from llama.generation import Event, GenerationOptions, MusicChunk
from llama.hf import suppress_hf_logging
from llama.media.audio import Waveform
from llama.serving.music_batch import RENDER_THREADS, MusicBatch
from llama.serving.request import OUT_OF_MEMORY

if TYPE_CHECKING:
    from llama.decoders.musicgen.decoder import MusicGenDecoder
    from llama.media.score import Score

SETTINGS = ("guidance", "temperature", "top_k", "context_window", "chroma_extractor")  # of a decoder, beside config and weights
OF_NO_REQUEST = -1  # in place of a request's number, in messages about the worker itself


@dataclass(frozen=True)
class WorkerDecoderSpec:
    """A picklable description of a decoder, from which another process builds an equal one.

    config: of transformers' model; state: weights under their published names; settings: attributes that a user may have set.
    """

    config: Mapping[str, Any]
    state: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, decoder: MusicGenDecoder) -> WorkerDecoderSpec:
        state = {name: value.detach().cpu().numpy() for name, value in decoder.export_state().items()}
        settings = {name: getattr(decoder, name) for name in SETTINGS}
        return cls(decoder.model.config.to_dict(), state, settings)

    def decoder(self) -> MusicGenDecoder:
        from llama.decoders.musicgen.decoder import MusicGenDecoder
        from llama.decoders.notes import codec as note_codec

        note_codec.register()
        with suppress_hf_logging():
            decoder = MusicGenDecoder.from_state(self.config, {name: torch.from_numpy(value) for name, value in self.state.items()})
        for name, value in self.settings.items():
            setattr(decoder, name, value)
        return decoder


class WaveformArray(NamedTuple):
    """A recording without tensors: samples [channels, n]."""

    samples: NDArray[Any]
    sample_rate: int


class RemoteSink:
    """`EventSink` in the worker: sends the events of one request through the pipe to the engine's process."""

    def __init__(self, request_id: int, options: GenerationOptions, send: Callable[..., None]) -> None:
        self.request_id, self.options, self._send = request_id, options, send
        self.finished = False

    def emit(self, event: Event) -> None:
        if isinstance(event, MusicChunk):
            self._send_message("chunk", event.music.samples.numpy(), event.music.sample_rate)
        else:
            self._send_message("event", event)

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None:
        self._send_message("finish", score)
        self.finished = True

    def fail(self, error: Exception) -> None:
        self._send_message("fail", _picklable(error))
        self.finished = True

    def _send_message(self, kind: str, *values: object) -> None:
        if not self.finished:
            self._send(kind, self.request_id, *values)


def picklable_request(request: SynthesisRequest) -> dict[str, Any]:
    """The fields of a request, tensors and recordings as arrays; `request_from` is the inverse."""
    return {item.name: _without_tensors(getattr(request, item.name)) for item in fields(request)}


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Waveform):
        return WaveformArray(value.samples.numpy(), value.sample_rate)
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value


def request_from(values: Mapping[str, Any]) -> SynthesisRequest:
    """The request of these fields."""
    return SynthesisRequest(**{name: _with_tensors(value) for name, value in values.items()})


def _with_tensors(value: Any) -> Any:
    if isinstance(value, WaveformArray):
        return Waveform(torch.from_numpy(value.samples), value.sample_rate)
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _picklable(error: Exception) -> Exception:
    """The error itself where users may see it; otherwise a built-in one with the same text, since it may not pickle."""
    if type(error) in (ValueError, MemoryError):
        return error
    return MemoryError(str(error)) if isinstance(error, OUT_OF_MEMORY) else RuntimeError(f"{type(error).__name__}: {error}")


def run_worker(pipe: Connection, spec: WorkerDecoderSpec) -> None:
    """Main function of the worker process: runs until it is told to end or the engine's process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the engine ends this one
    torch.set_num_threads(1)
    decoder = spec.decoder()
    with ThreadPoolExecutor(RENDER_THREADS, "renderer") as pool:
        try:
            WorkerLoop(pipe, MusicBatch(decoder, pool)).run()
        except (EOFError, OSError):  # the engine's process is gone
            os._exit(0)  # without waiting for tasks still in the pool


class WorkerLoop:
    """Main loop of the worker: takes commands from the pipe and steps the batch."""

    def __init__(self, pipe: Connection, batch: MusicBatch[RemoteSink]) -> None:
        self._pipe, self._batch, self._send_lock = pipe, batch, threading.Lock()
        self._sinks: dict[int, RemoteSink] = {}

    def run(self) -> None:
        """Returns after the command "end"; raises EOFError or OSError when the other end of the pipe is closed."""
        commands = {"add": self._add, "remove": self._remove, "ping": self._pong}
        self._send("ready", OF_NO_REQUEST)
        while True:
            while self._pipe.poll(0 if self._batch.needs_step else None):
                kind, *values = self._pipe.recv()
                if kind == "end":
                    return
                commands[kind](*values)
            for sink, error in self._batch.step().items():
                self._batch.remove(sink)
                sink.fail(error)

    def _add(self, request_id: int, synthesis: Mapping[str, Any], options: GenerationOptions) -> None:
        sink = self._sinks[request_id] = RemoteSink(request_id, options, self._send)
        try:
            self._batch.add(sink, lambda: request_from(synthesis))
        except Exception as error:  # fail only this request
            sink.fail(error)
        self._sinks = {number: sink for number, sink in self._sinks.items() if not sink.finished}

    def _remove(self, request_id: int) -> None:
        if request_id in self._sinks:
            sink = self._sinks.pop(request_id)
            sink.finished = True
            self._batch.remove(sink)

    def _pong(self) -> None:
        """Says that the loop is alive, which no other thread could."""
        self._send("pong", OF_NO_REQUEST)

    def _send(self, *message: object) -> None:
        with self._send_lock:
            self._pipe.send(message)
