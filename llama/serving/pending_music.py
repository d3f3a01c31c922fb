"""The music of one request in the music worker, as the engine's process sees it: what it is made of, and what has arrived of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from llama.generation import Event, MusicChunk, Progress
from llama.media.audio import Waveform
from llama.serving.music_backend import EventSink
from llama.serving.request import EngineDeadError

WORKER_DIED = "The process that makes the music ended before the piece was ready; ask again."


class PendingMusic:
    """Passes a worker's messages about one piece on to its request, and keeps the chunks for the complete reply.

    A piece whose worker died is made again from its start. The same seed gives the same samples, so those that the request has
    had already are compared, bit for bit, and not sent twice.
    """

    def __init__(self, sink: EventSink, synthesis: Mapping[str, Any]) -> None:
        """synthesis: what the music is made from, as `music_worker.picklable_request` gives it."""
        self.sink, self.synthesis = sink, synthesis
        self.deaths = 0  # workers that ended while they made it
        self.sent = False  # to the present worker
        self.silent_seconds = 0.0  # since the present worker's last message about it
        self._chunks: list[Waveform] = []  # sent to the request
        self._repeated: torch.Tensor | None = None  # [channels, n], samples sent before that this worker has yet to make again
        self._progress = -1.0  # seconds of the last progress event

    def restart(self) -> None:
        """Prepares for another worker, which makes the piece from its start."""
        self.sent, self.silent_seconds = False, 0.0
        self._repeated = torch.cat([chunk.samples for chunk in self._chunks], -1) if self._chunks else None

    def handle(self, kind: str, *values: Any) -> None:
        """One message of `music_worker.RemoteSink`. Raises EngineDeadError if a piece that is made again comes out differently."""
        self.silent_seconds = 0.0
        if kind == "event":
            self._emit(values[0])
        elif kind == "chunk":
            samples, sample_rate = values
            self._emit_chunk(torch.from_numpy(samples), sample_rate)
        elif kind == "finish":
            music = torch.cat([chunk.samples for chunk in self._chunks], -1)
            self.sink.finish(Waveform(music, self._chunks[-1].sample_rate), values[0])
        else:
            self.sink.fail(values[0])

    def _emit(self, event: Event) -> None:
        if isinstance(event, Progress):
            if event.seconds < self._progress:  # it never runs backwards
                return
            self._progress = event.seconds
        self.sink.emit(event)

    def _emit_chunk(self, samples: torch.Tensor, sample_rate: int) -> None:
        if self._repeated is not None:
            length = min(samples.shape[-1], self._repeated.shape[-1])
            if not torch.equal(samples[:, :length], self._repeated[:, :length]):
                raise EngineDeadError(WORKER_DIED)
            samples = samples[:, length:].contiguous()
            self._repeated = self._repeated[:, length:] if length < self._repeated.shape[-1] else None
        if samples.shape[-1]:
            self._chunks.append(Waveform(samples, sample_rate))
            self.sink.emit(MusicChunk(self._chunks[-1]))
