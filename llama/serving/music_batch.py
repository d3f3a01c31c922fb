"""Continuous batching of music: one frame of codes of every request a step; a thread pool decodes the codes to sound."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Generic

from llama.decoders.base import ScoreEditor
from llama.media.score import Score
from llama.serving.batch import step_and_isolate
from llama.serving.music_backend import RequestT, SynthesisBuilder
from llama.serving.music_job import EditJob, MusicJob

if TYPE_CHECKING:
    from llama.decoders.base import BatchableDecoder, SynthesisRequest
    from llama.decoders.edit_plan import EditPlan
    from llama.decoders.musicgen.sampling import Grammar
    from llama.serving.music_backend import EventSink

RENDER_THREADS = 2  # threads that decode codes to sound: a long piece does not block the next


class MusicBatch(Generic[RequestT]):
    """`MusicBackend` with continuous batching: requests are added and removed between two frames of the decoder."""

    def __init__(self, decoder: BatchableDecoder, pool: ThreadPoolExecutor) -> None:
        self.decoder, self.pool = decoder, pool
        self._code_batch = decoder.code_batch()
        self._jobs: dict[RequestT, MusicJob | EditJob] = {}

    @property
    def needs_step(self) -> bool:
        return bool(self._jobs)

    def add(self, request: RequestT, build: SynthesisBuilder) -> None:
        """Starts a new piece or an edit. What is composed for a score is sampled in the batch; a recording is edited like a new piece."""
        synthesis = build()
        if synthesis.edit is not None and isinstance(self.decoder, ScoreEditor) and self.decoder.edits_scores:
            self._add_edit(request, synthesis, self.decoder)
            return
        frames = self.decoder.frames(synthesis)
        job = partial(MusicJob, request, decoder=self.decoder, pool=self.pool)
        self._add(request, job, synthesis, frames, self.decoder.grammar(frames))

    def _add_edit(self, request: RequestT, synthesis: SynthesisRequest, editor: ScoreEditor) -> None:
        source, edit = synthesis.source, synthesis.edit
        assert isinstance(source, Score) and edit is not None, "the decoder has checked it"
        job = partial(EditJob, request, editor=editor, pool=self.pool, sample_rate=self.decoder.sample_rate)
        if not edit.composed_parts(source):
            self.pool.submit(_begin_exact, request, job, partial(editor.edit_plan, source, edit))
            return
        plan = editor.edit_plan(source, edit)
        assert plan.recomposition is not None, "parts are composed"
        self._add(request, partial(job, plan=plan), synthesis, plan.recomposition.frames, plan.recomposition.grammar)

    def _add(
        self, request: RequestT, make_job: Callable[..., MusicJob | EditJob], synthesis: SynthesisRequest, frames: int,
        grammar: Grammar | None,
    ) -> None:
        """Adds the codes of a piece to the batch, and the job that plays them."""
        sequence = self._code_batch.add(synthesis, frames, grammar)
        try:
            self._jobs[request] = make_job(sequence=sequence)
        except BaseException:
            self._code_batch.remove(sequence)
            raise

    def remove(self, request: RequestT) -> None:
        if request in self._jobs:
            sequence = self._jobs.pop(request).sequence
            assert sequence is not None, "a job without codes is not in the batch"
            self._code_batch.remove(sequence)

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


def _begin_exact(request: EventSink, make_job: Callable[..., EditJob], make_plan: Callable[[], EditPlan]) -> None:
    """Begins an edit that composes nothing, on a thread of the pool: planning it takes seconds of a long score."""
    if request.finished:
        return
    try:
        make_job(plan=make_plan(), sequence=None)
    except Exception as error:  # fail only this request
        request.fail(error)
