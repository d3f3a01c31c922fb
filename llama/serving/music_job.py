"""The music of one request of a `MusicBatch`: its codes come from the batch, its sound from a pool of threads."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.generation import MusicChunk, Progress
from llama.media.audio import Waveform
from llama.serving.serial_executor import SerialExecutor

if TYPE_CHECKING:
    from llama.decoders.base import BatchableDecoder, ScoreEditor
    from llama.decoders.edit_plan import EditPlan
    from llama.decoders.musicgen.continuous_batch import CodeSequence
    from llama.media.score import Score
    from llama.serving.music_backend import EventSink

PROGRESS_SECONDS = 0.1  # between two progress events: each wakes a thread, which takes its time from the decoding


class Job(ABC):
    """Base of the jobs that make a piece: tasks on the pool that fail their request alone, chunks, and progress."""

    def __init__(self, sink: EventSink, pool: ThreadPoolExecutor, seconds: float, sample_rate: int) -> None:
        """seconds: length of the whole piece."""
        self.sink, self.seconds, self.sample_rate = sink, seconds, sample_rate
        self.executor, self.chunks = SerialExecutor(pool), list[Tensor]()
        self._last_progress = 0.0
        self.emit_progress(0.0)

    @abstractmethod
    def on_step(self) -> None:
        """Called after every frame of the batch."""

    def emit_progress(self, share: float) -> None:
        """Emits how much of the piece, 0 to 1, is made; not oftener than every PROGRESS_SECONDS, but its begin and its end."""
        if 0 < share < 1 and time.monotonic() - self._last_progress <= PROGRESS_SECONDS:
            return
        self._last_progress = time.monotonic()
        self.sink.emit(Progress(self.seconds * share, self.seconds))

    def submit(self, task: Callable[[], None]) -> None:
        """Queues a task for a thread of the pool; it is left out if the request has ended by then."""
        self.executor.submit(partial(self._run_task, task))

    def _run_task(self, task: Callable[[], None]) -> None:
        if self.sink.finished:
            return
        try:
            task()
        except Exception as error:  # fail only this request
            self.sink.fail(error)

    def emit_chunk(self, sound: Tensor) -> None:
        """`sound` [channels, n]; n may be 0."""
        if sound.shape[-1]:
            self.chunks.append(sound.float().cpu())
            self.sink.emit(MusicChunk(Waveform(self.chunks[-1], self.sample_rate)))

    def finish(self, score: Score | None) -> None:
        """Ends the request with all chunks as its music."""
        self.sink.finish(Waveform(torch.cat(self.chunks, -1), self.sample_rate), score)


class MusicJob(Job):
    """A new piece: its sound is decoded in chunks while its codes grow."""

    def __init__(self, sink: EventSink, sequence: CodeSequence, decoder: BatchableDecoder, pool: ThreadPoolExecutor) -> None:
        self.sequence, self.decoder = sequence, decoder
        self.streamer = decoder.audio_streamer(sequence.request)
        super().__init__(sink, pool, sequence.request.seconds, decoder.sample_rate)

    def on_step(self) -> None:
        """Emits progress, and submits a copy of the codes to the pool when a chunk is ready."""
        complete, frames = self.sequence.complete, self.sequence.frames
        if self.sequence.done:
            self.emit_progress(1.0)
            self.submit(partial(self._render_last, self._codes(frames)))
            return
        self.emit_progress(complete / frames)
        if complete < frames and self.streamer.chunk_ready(complete):
            self.submit(partial(self._render_chunk, self._codes(complete)))

    def _codes(self, frames: int) -> Tensor:
        """[1, K, frames]."""
        return torch.from_numpy(self.sequence.codes[None, :, :frames].copy())

    def _render_chunk(self, codes: Tensor) -> None:
        self.emit_chunk(self.streamer.next_chunk(codes.to(self.decoder.device))[0])

    def _render_last(self, codes: Tensor) -> None:
        sound, scores = self.streamer.finish(codes.to(self.decoder.device))
        self.emit_chunk(sound[0])
        self.finish(scores[0] if scores else None)


class EditJob(Job):
    """An edited piece: what it composes comes from the batch first, then the edited score is played block by block."""

    def __init__(
        self, sink: EventSink, sequence: CodeSequence | None, plan: EditPlan, editor: ScoreEditor, pool: ThreadPoolExecutor,
        sample_rate: int,
    ) -> None:
        """sequence: the codes of what is composed; None if nothing is, and the piece is played at once."""
        self.sequence, self.plan, self.editor = sequence, plan, editor
        super().__init__(sink, pool, plan.seconds, sample_rate)
        if sequence is None:
            self.submit(partial(self._begin, None))

    def on_step(self) -> None:
        assert self.sequence is not None, "only jobs with codes are in the batch"
        self.emit_progress(self.sequence.complete / self.sequence.frames)
        if self.sequence.done:
            self.submit(partial(self._begin, torch.from_numpy(self.sequence.codes.copy())))

    def _begin(self, codes: Tensor | None) -> None:
        score = self.plan.score(codes)
        self._play(score, self.editor.render_stream(score))

    def _play(self, score: Score, blocks: Iterator[Waveform]) -> None:
        """One block of the sound; the next one is another task."""
        block = next(blocks, None)
        if block is None:
            self._emit_played(1.0)
            self.finish(score)
            return
        self.emit_chunk(block.samples)
        self._emit_played(sum(chunk.shape[-1] for chunk in self.chunks) / self.sample_rate / self.seconds)
        self.submit(partial(self._play, score, blocks))

    def _emit_played(self, share: float) -> None:
        """Emits the progress of a piece of which nothing is composed; that of others was that of their codes."""
        if self.sequence is None:
            self.emit_progress(min(share, 1.0))
