"""Static batching of music, for decoders that make a whole piece at once and cannot take a request in between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Generic

import torch
from torch import Tensor

from llama.generation import MusicChunk, Progress
from llama.media.audio import Waveform
from llama.serving.music_backend import EventSink, RequestT, SynthesisBuilder

if TYPE_CHECKING:
    from llama.decoders.base import MusicDecoder, SynthesisRequest
    from llama.media.score import Score


class StaticBatcher(Generic[RequestT]):
    """`MusicBackend` on a thread of its own: waiting requests with equal length, guidance and conditioning form one batch.

    An edit is a batch of its own, since it has a source.
    """

    needs_step = False

    def __init__(self, decoder: MusicDecoder | None, max_batch_size: int) -> None:
        """decoder: None for a model without one; building the synthesis of a request then raises."""
        self.decoder, self.max_batch_size = decoder, max_batch_size
        self._changed = threading.Condition()
        self._waiting: list[RequestT] = []
        self._builders: dict[RequestT, SynthesisBuilder] = {}  # of the requests that wait or are in the running batch
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="static-music", daemon=True)
        self._thread.start()

    def add(self, request: RequestT, build: SynthesisBuilder) -> None:
        if request.options.edit is None:  # the length of an edit is known when it is begun
            request.emit(Progress(0.0, request.options.seconds))
        with self._changed:
            self._builders[request] = build
            self._waiting.append(request)
            self._changed.notify()

    def remove(self, request: RequestT) -> None:
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                del self._builders[request]

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
                del self._builders[request]

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
        """Makes the music of a batch. Chunks of a single request are sent as they come; others wait, since each may be made again."""
        synthesis, decoder = _join([self._builders[request]() for request in batch]), self.decoder
        assert decoder is not None, "building raises without a decoder"
        progress = partial(_emit_progress, batch, synthesis.seconds)
        if synthesis.edit is not None:
            progress(0.0)
        chunks, music = list[Tensor](), decoder.synthesize(synthesis, progress)
        while True:
            try:
                chunk = next(music).float().cpu()
            except StopIteration as end:
                scores: list[Score] | None = end.value
                break
            _check_wanted(batch)
            chunks.append(chunk)
            if len(batch) == 1:
                batch[0].emit(MusicChunk(Waveform(chunk[0], decoder.sample_rate)))
        progress(1.0)
        sound = torch.cat(chunks, -1)
        for row, request in enumerate(batch):
            music_of_row = Waveform(sound[row], decoder.sample_rate)
            if len(batch) > 1:
                request.emit(MusicChunk(music_of_row))
            request.finish(music_of_row, scores[row] if scores else None)


def _join(requests: Sequence[SynthesisRequest]) -> SynthesisRequest:
    """Requests of one row each, which differ in condition, mask and seed alone, as the rows of one."""
    masks = [request.mask for request in requests if request.mask is not None]
    return replace(
        requests[0], condition=torch.cat([request.condition for request in requests]), mask=torch.cat(masks) if masks else None,
        seeds=tuple(seed for request in requests for seed in request.seeds),
    )


class AllCancelled(Exception):
    """Ends the synthesis of a batch all of whose requests have ended."""


def _check_wanted(batch: Sequence[EventSink]) -> None:
    """Raises `AllCancelled` if no request of the batch still wants its music."""
    if all(request.finished for request in batch):
        raise AllCancelled


def _emit_progress(batch: Sequence[EventSink], seconds: float, share: float) -> None:
    """seconds: length of the music; share: finished part of it, 0 to 1."""
    _check_wanted(batch)
    for request in batch:
        request.emit(Progress(share * seconds, seconds))


def _batch_key(request: EventSink) -> tuple[object, ...]:
    """What the requests of one batch have in common; an edit shares it with none."""
    options = request.options
    return options.seconds, options.guidance, options.conditioning, None if options.edit is None else id(request)
