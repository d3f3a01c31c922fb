"""Static batching of music, for decoders that make a whole piece at once and cannot take a request in between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Generic

import torch
from torch import Tensor

from llama.generation import MusicChunk, Progress
from llama.media.audio import Waveform
from llama.serving.music_backend import Conditioning, EventSink, RequestT

if TYPE_CHECKING:
    from llama.decoders.base import AudioGenerator, MusicDecoder
    from llama.media.score import Score


class StaticBatcher(Generic[RequestT]):
    """`MusicBackend` on a thread of its own: waiting requests with equal length, guidance and conditioning form one batch."""

    needs_step = False

    def __init__(self, decoder: MusicDecoder | None, max_batch_size: int) -> None:
        """decoder: None for a model without one; computing the condition of a request then raises."""
        self.decoder, self.max_batch_size = decoder, max_batch_size
        self._changed = threading.Condition()
        self._waiting: list[RequestT] = []
        self._conditionings: dict[RequestT, Conditioning] = {}  # of the requests that wait or are in the running batch
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="static-music", daemon=True)
        self._thread.start()

    def add(self, request: RequestT, conditioning: Conditioning) -> None:
        request.emit(Progress(0.0, request.options.seconds))
        with self._changed:
            self._conditionings[request] = conditioning
            self._waiting.append(request)
            self._changed.notify()

    def remove(self, request: RequestT) -> None:
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                del self._conditionings[request]

    def step(self) -> dict[RequestT, Exception]:
        """Does nothing: the thread makes the music."""
        return {}

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._synthesize_or_split(batch)
            for request in batch:
                del self._conditionings[request]

    def _next_batch(self) -> list[RequestT] | None:
        """The request that has waited longest and those with an equal `_batch_key`; None after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            key = _batch_key(self._waiting[0])
            batch = [request for request in self._waiting if _batch_key(request) == key][: self.max_batch_size]
            self._waiting = [request for request in self._waiting if request not in batch]
        return batch

    def _synthesize_or_split(self, batch: Sequence[RequestT]) -> None:
        """Makes the music of a batch; if that fails, of each request alone, so that an error reaches only its cause."""
        batch = [request for request in batch if not request.finished]
        if not batch:
            return
        try:
            self._synthesize(batch)
        except Exception as error:  # fail only this request
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                for request in batch:
                    self._synthesize_or_split([request])

    def _synthesize(self, batch: Sequence[RequestT]) -> None:
        options = batch[0].options
        pairs = [self._conditionings[request]() for request in batch]
        condition = torch.cat([condition for condition, _ in pairs])
        masks = [mask for _, mask in pairs if mask is not None]
        decoder = self.decoder
        assert decoder is not None, "conditioning raises without a decoder"
        synthesis = decoder.request(
            condition, options.seconds, mask=torch.cat(masks) if masks else None, guidance=options.guidance,
            seeds=[request.options.seed for request in batch],
        )
        sound, scores = _collect(decoder.synthesize(synthesis, partial(_emit_progress, batch)))
        _emit_progress(batch, 1.0)
        for row, request in enumerate(batch):
            music = Waveform(sound[row], decoder.sample_rate)
            request.emit(MusicChunk(music))
            request.finish(music, scores[row] if scores else None)


class AllCancelled(Exception):
    """Ends the synthesis of a batch all of whose requests have ended."""


def _emit_progress(batch: Sequence[EventSink], share: float) -> None:
    """share: finished part of the music, 0 to 1. Raises `AllCancelled` if no request of the batch still wants it."""
    if all(request.finished for request in batch):
        raise AllCancelled
    for request in batch:
        request.emit(Progress(share * request.options.seconds, request.options.seconds))


def _collect(chunks: AudioGenerator) -> tuple[Tensor, list[Score] | None]:
    """All chunks joined, [B, channels, n], and the scores that the generator returns."""
    parts: list[Tensor] = []
    while True:
        try:
            parts.append(next(chunks).float().cpu())
        except StopIteration as end:
            return torch.cat(parts, -1), end.value


def _batch_key(request: EventSink) -> tuple[object, ...]:
    """What the requests of one batch have in common."""
    return request.options.seconds, request.options.guidance, request.options.conditioning
