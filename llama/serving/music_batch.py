"""Pieces played together, a frame of each at a time; sound is made of their codes on other threads, as it falls due."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from llama.generation import Event, GenerationOptions, MusicChunk, Progress
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from llama.decoders.musicgen.continuous_batch import CodeSequence
    from llama.media.score import Score

PROGRESS_SECONDS = 0.1  # between two reports: each wakes a thread, which takes its time from the decoding
RENDER_THREADS = 2  # threads that make sound of codes: a long piece does not hold the next


Conditioning = Callable[[], tuple[Tensor, Tensor | None]]  # what a piece is made of [1, tokens, width], its mask [1, tokens]


class EventSink(Protocol):
    """Who waits for a piece: a ticket of the engine, or whoever stands for one in another process. over: it waits no more."""

    options: GenerationOptions
    over: bool

    def tell(self, event: Event) -> None: ...

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None: ...

    def fail(self, error: Exception) -> None: ...


Waits = TypeVar("Waits", bound=EventSink)


class SerialExecutor:
    """Work of one piece on a pool of threads: one thing at a time, in the order in which it was given."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._lock = pool, threading.Lock()
        self._work: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._work.append(work)
            first = len(self._work) == 1
        if first:
            self._pool.submit(self._next)

    def _next(self) -> None:
        self._work[0]()
        with self._lock:
            self._work.popleft()
            more = bool(self._work)
        if more:
            self._pool.submit(self._next)


class MusicJob:
    """One piece on its way from codes to sound."""

    def __init__(self, listener: EventSink, part: CodeSequence, decoder: Any, pool: ThreadPoolExecutor) -> None:
        self.listener, self.part, self.decoder = listener, part, decoder
        self.streamer = decoder.audio_streamer(part.request)
        self.chunks: list[Tensor] = []
        self.work = SerialExecutor(pool)
        self.reported = 0.0
        self._report()

    def follow(self) -> None:
        """To be called after every frame: sound that is due is made elsewhere, from a copy of the codes."""
        complete, frames = self.part.complete, self.part.frames
        if self.part.done:
            self._report()
            self.work.submit(partial(self._guarded, self._rest, self._codes(frames)))
            return
        if time.monotonic() - self.reported > PROGRESS_SECONDS:
            self._report()
        if complete < frames and self.streamer.chunk_ready(complete):
            self.work.submit(partial(self._guarded, self._more, self._codes(complete)))

    def _codes(self, frames: int) -> Tensor:
        """[1, K, frames]."""
        return torch.from_numpy(self.part.codes[None, :, :frames].copy())

    def _report(self) -> None:
        self.reported = time.monotonic()
        seconds = self.part.request.seconds
        self.listener.tell(Progress(seconds * self.part.complete / self.part.frames, seconds))

    def _guarded(self, work: Callable[[Tensor], None], codes: Tensor) -> None:
        """Work on a thread of the pool: an error is the request's own, and who has gone is not worked for."""
        if self.listener.over:
            return
        try:
            work(codes.to(self.decoder.device))
        except Exception as error:  # handed to the request that it belongs to
            self.listener.fail(error)

    def _more(self, codes: Tensor) -> None:
        self._heard(self.streamer.next_chunk(codes))

    def _rest(self, codes: Tensor) -> None:
        sound, scores = self.streamer.finish(codes)
        self._heard(sound)
        whole = torch.cat(self.chunks, -1)
        self.listener.finish(Waveform(whole, self.decoder.sample_rate), scores[0] if scores else None)

    def _heard(self, sound: Tensor) -> None:
        """A chunk [1, channels, n]."""
        if sound.shape[-1]:
            self.chunks.append(sound[0].float().cpu())
            self.listener.tell(MusicChunk(Waveform(self.chunks[-1], self.decoder.sample_rate)))


class MusicBatch(Generic[Waits]):
    """Performances that take their frames together, for decoders whose pieces may join between frames."""

    def __init__(self, decoder: Any, pool: ThreadPoolExecutor) -> None:
        self.decoder, self.pool = decoder, pool
        self.code_batch = decoder.code_batch()
        self.playing: dict[Waits, MusicJob] = {}

    @property
    def members(self) -> list[Waits]:
        return list(self.playing)

    def join(self, listener: Waits, conditioning: Conditioning) -> None:
        options, decoder = listener.options, self.decoder
        condition, mask = conditioning()
        request = decoder.request(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=[options.seed])
        frames = decoder.frames(request)
        part = self.code_batch.add(request, frames, decoder.grammar(frames))
        try:
            self.playing[listener] = MusicJob(listener, part, decoder, self.pool)
        except BaseException:
            self.code_batch.remove(part)
            raise

    def leave(self, listener: Waits) -> None:
        if listener in self.playing:
            self.code_batch.remove(self.playing.pop(listener).part)

    def step(self) -> dict[Waits, Exception]:
        """A frame of every piece; whose codes are done leaves, and is heard of when its sound is made."""
        owners = {performance.part: listener for listener, performance in self.playing.items()}
        failed = {owners[part]: error for part, error in self.code_batch.step().items()}
        for listener, performance in list(self.playing.items()):
            if listener not in failed:
                try:
                    performance.follow()
                except Exception as error:  # handed to the request that it belongs to
                    failed[listener] = error
                    continue
                if performance.part.done:
                    self.leave(listener)
        return failed

    def attempt(self, listener: Waits) -> None:
        self.code_batch.probe_step(self.playing[listener].part)

    def close(self) -> None:
        """Nothing of it goes on by itself."""
