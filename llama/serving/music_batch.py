"""Continuous batching of music: one frame of codes of every request a step; a thread pool decodes the codes to sound."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Generic

import torch
from torch import Tensor

from llama.generation import MusicChunk, Progress
from llama.media.audio import Waveform
from llama.serving.batch import step_and_isolate
from llama.serving.music_backend import Conditioning, EventSink, RequestT

if TYPE_CHECKING:
    from llama.decoders.base import BatchableDecoder
    from llama.decoders.musicgen.continuous_batch import CodeSequence

PROGRESS_SECONDS = 0.1  # between two progress events: each wakes a thread, which takes its time from the decoding
RENDER_THREADS = 2  # threads that decode codes to sound: a long piece does not block the next


class SerialExecutor:
    """Runs the tasks of one piece on a shared thread pool, one at a time and in the order of submission."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._lock = pool, threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()

    def submit(self, task: Callable[[], None]) -> None:
        with self._lock:
            self._tasks.append(task)
            first = len(self._tasks) == 1
        if first:
            self._pool.submit(self._run_next)

    def _run_next(self) -> None:
        self._tasks[0]()
        with self._lock:
            self._tasks.popleft()
            pending = bool(self._tasks)
        if pending:
            self._pool.submit(self._run_next)


class MusicJob:
    """The music of one request: the codes decoded so far, and the stream that turns them into sound."""

    def __init__(self, sink: EventSink, sequence: CodeSequence, decoder: BatchableDecoder, pool: ThreadPoolExecutor) -> None:
        self.sink, self.sequence, self.decoder = sink, sequence, decoder
        self.streamer = decoder.audio_streamer(sequence.request)
        self.chunks: list[Tensor] = []
        self.executor = SerialExecutor(pool)
        self.last_progress = 0.0
        self._emit_progress()

    def on_step(self) -> None:
        """Called after every frame: emits progress, and submits a copy of the codes to the pool when a chunk is ready."""
        complete, frames = self.sequence.complete, self.sequence.frames
        if self.sequence.done:
            self._emit_progress()
            self.executor.submit(partial(self._run_task, self._render_last, self._codes(frames)))
            return
        if time.monotonic() - self.last_progress > PROGRESS_SECONDS:
            self._emit_progress()
        if complete < frames and self.streamer.chunk_ready(complete):
            self.executor.submit(partial(self._run_task, self._render_chunk, self._codes(complete)))

    def _codes(self, frames: int) -> Tensor:
        """[1, K, frames]."""
        return torch.from_numpy(self.sequence.codes[None, :, :frames].copy())

    def _emit_progress(self) -> None:
        self.last_progress = time.monotonic()
        seconds = self.sequence.request.seconds
        self.sink.emit(Progress(seconds * self.sequence.complete / self.sequence.frames, seconds))

    def _run_task(self, task: Callable[[Tensor], None], codes: Tensor) -> None:
        """Runs a task on a thread of the pool, unless the request has ended."""
        if self.sink.finished:
            return
        try:
            task(codes.to(self.decoder.device))
        except Exception as error:  # fail only this request
            self.sink.fail(error)

    def _render_chunk(self, codes: Tensor) -> None:
        self._emit_chunk(self.streamer.next_chunk(codes))

    def _render_last(self, codes: Tensor) -> None:
        sound, scores = self.streamer.finish(codes)
        self._emit_chunk(sound)
        music = torch.cat(self.chunks, -1)
        self.sink.finish(Waveform(music, self.decoder.sample_rate), scores[0] if scores else None)

    def _emit_chunk(self, sound: Tensor) -> None:
        """`sound` [1, channels, n]; n may be 0."""
        if sound.shape[-1]:
            self.chunks.append(sound[0].float().cpu())
            self.sink.emit(MusicChunk(Waveform(self.chunks[-1], self.decoder.sample_rate)))


class MusicBatch(Generic[RequestT]):
    """`MusicBackend` with continuous batching: requests are added and removed between two frames of the decoder."""

    def __init__(self, decoder: BatchableDecoder, pool: ThreadPoolExecutor) -> None:
        self.decoder, self.pool = decoder, pool
        self._code_batch = decoder.code_batch()
        self._jobs: dict[RequestT, MusicJob] = {}

    @property
    def needs_step(self) -> bool:
        return bool(self._jobs)

    def add(self, request: RequestT, conditioning: Conditioning) -> None:
        options, decoder = request.options, self.decoder
        condition, mask = conditioning()
        synthesis = decoder.request(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=[options.seed])
        frames = decoder.frames(synthesis)
        sequence = self._code_batch.add(synthesis, frames, decoder.grammar(frames))
        try:
            self._jobs[request] = MusicJob(request, sequence, decoder, self.pool)
        except BaseException:
            self._code_batch.remove(sequence)
            raise

    def remove(self, request: RequestT) -> None:
        if request in self._jobs:
            self._code_batch.remove(self._jobs.pop(request).sequence)

    def step(self) -> dict[RequestT, Exception]:
        """One frame of every request; returns those that failed. A request whose codes are complete leaves the batch."""
        owners = {job.sequence: request for request, job in self._jobs.items()}
        failed = {owners[sequence]: error for sequence, error in step_and_isolate(self._code_batch).items()}
        for request, job in list(self._jobs.items()):
            if request not in failed:
                try:
                    job.on_step()
                except Exception as error:  # fail only this request
                    failed[request] = error
                    continue
                if job.sequence.done:
                    self.remove(request)
        return failed

    def close(self) -> None:
        """Does nothing: the batch has no thread, and the pool belongs to the engine."""
