"""Serving engine: many requests, one model, with continuous batching.

One thread decodes text for all requests; others encode media and find out edits; the music is made on the decoding thread or by a
`MusicBackend` with its own thread or process. Requests are isolated: events wait in the request, errors go to the request that
caused them, and every answer equals `model.respond(turn, options)` alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from llama.answers import answer_by_rule
from llama.decoders.base import BatchableDecoder
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.dialogue import MEDIA, Turn
from llama.editing import check_edits, edit_request, holds_text
from llama.generation import GenerationOptions, RowState, TextDelta, music_request
from llama.serving.batch import step_and_isolate
from llama.serving.encoder_cache import MAX_ENTRIES, EncoderCache
from llama.serving.music_batch import RENDER_THREADS, MusicBatch
from llama.serving.observer import NoObserver, RequestObserver, RequestTimer
from llama.serving.request import EngineDeadError, QueueFullError, Request
from llama.serving.request_preparer import RequestPreparer, set_turn
from llama.serving.single_thread import use_single_thread
from llama.serving.static_music_batch import StaticBatcher
from llama.serving.text_batch import TextBatch, TextSequence
from llama.serving.worker_client import MusicWorkerClient

if TYPE_CHECKING:
    from llama.mumu_model import MuMuModel
    from llama.serving.media_client import MediaWorkerClient
    from llama.serving.music_backend import MusicBackend

TEXT_EVENT_INTERVAL = 0.05  # seconds between two text events of a request, the first sent at once: each costs a wake-up and a packet

__all__ = ["QueueFullError", "Engine", "EngineDeadError", "Request", "use_single_thread"]


class Engine:
    """Answers many requests with one model, which it owns until `close()`; also a context manager.

    max_running_requests: requests decoded together. max_queued_requests: requests that may wait beside them.
    encoder_threads: threads that read and encode media. encoder_cache_size: media whose features are cached; 0 caches none.
    use_worker: makes the music in a process of its own, for models where `worker_client.should_use_worker` is true. The main
    module is imported there again, so importing it must not start an engine.
    media_worker: reads the files of turns in a process of its own (None: the encoder threads read them); its owner closes it.
    on_failure: called on the engine's thread when that ends by an error of its own, after which no request is answered.
    observer: an attribute that may be set at any time; it is told of the requests submitted from then on.
    """

    def __init__(
        self, model: MuMuModel, *, max_running_requests: int = 16, max_queued_requests: int = 64, encoder_threads: int = 2,
        encoder_cache_size: int = MAX_ENTRIES, use_worker: bool = False, media_worker: MediaWorkerClient | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        _check_at_least("max_running_requests", max_running_requests, 1)
        _check_at_least("max_queued_requests", max_queued_requests, 0)
        _check_at_least("encoder_threads", encoder_threads, 1)
        _check_at_least("encoder_cache_size", encoder_cache_size, 0)
        self.model, self.max_running_requests, self.max_queued_requests = model, max_running_requests, max_queued_requests
        self._changed = threading.Condition()  # guards the lists of requests, and wakes the engine's thread
        self._waiting: list[Request] = []
        self._running: list[Request] = []  # until their last event is delivered
        self._planned: list[Request] = []  # of these: whose text has ended, and whose edit is known since the last step
        self._sequences: dict[Request, TextSequence] = {}
        self._owners: dict[TextSequence, Request] = {}
        self._text_batch = TextBatch(model)
        self._media_worker = media_worker
        self._preparer = RequestPreparer(
            model, EncoderCache(encoder_cache_size), media_worker, threads=encoder_threads, ready=self._wake, planned=self._add_planned
        )
        self._render_pool = ThreadPoolExecutor(RENDER_THREADS, "renderer")
        self._music = self._music_backend(use_worker)
        self.closed: str | None = None  # why no request is answered any more
        self.observer: RequestObserver = NoObserver()
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def _music_backend(self, use_worker: bool) -> MusicBackend[Request]:
        decoder = self.model.music_decoder
        if use_worker and isinstance(decoder, MusicGenDecoder):
            return MusicWorkerClient(decoder)
        if isinstance(decoder, BatchableDecoder):
            return MusicBatch(decoder, self._render_pool)
        return StaticBatcher(decoder, self.max_running_requests)

    def submit(self, turn: Turn, options: GenerationOptions | None = None) -> Request:
        """Queues a request and returns its handle.

        Raises QueueFullError if too many wait, ValueError if the turn cannot be answered, EngineDeadError after the end.
        """
        options = options or GenerationOptions()
        check_edits(self.model, [turn], options)
        row, timer = RowState(self.model, options.max_tokens, options.stop, turn.text), RequestTimer(self.observer)
        request = Request(turn, options, row, self._queue_position, self._wake, timer)
        set_turn(self.model, request, turn)
        has_media = turn.score is not None or any(getattr(turn, name) is not None for name in MEDIA)
        request.ready = not has_media
        request.answer = None if has_media else answer_by_rule(self.model, turn, options)
        with self._changed:
            self._check_capacity()
            if has_media:  # first: if the pool refuses, the request must not wait for features that never come
                self._preparer.encode(request)
            self._waiting.append(request)
            self._changed.notify()
        return request

    def _check_capacity(self) -> None:
        if self.closed is not None:
            raise EngineDeadError(self.closed)
        count = sum(not request.finished for request in [*self._waiting, *self._running])
        if count >= self.max_running_requests + self.max_queued_requests:
            raise QueueFullError(f"{count} requests are being answered or wait already, which is the most; try again in a moment.")

    @property
    def load(self) -> tuple[int, int]:
        """Number of requests that are being answered, and of those that wait."""
        with self._changed:
            running, waiting = ([request for request in requests if not request.finished] for requests in (self._running, self._waiting))
        return len(running), len(waiting)

    def close(self) -> None:
        """Ends all threads and fails the requests under way with EngineDeadError. Idempotent."""
        self._stop("The engine was closed before the answer was ready; start it again and ask once more.")
        self._thread.join()
        self._preparer.close()
        self._render_pool.shutdown(cancel_futures=True)
        self._music.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- on any thread ------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _queue_position(self, request: Request) -> int:
        with self._changed:
            waiting = [other for other in self._waiting if not other.finished]
            if request not in waiting:
                return 0
            running = sum(not other.finished for other in self._running)
            return waiting.index(request) + int(running >= self.max_running_requests)

    def _stop(self, reason: str, cause: BaseException | None = None) -> None:
        with self._changed:
            self.closed = self.closed or reason
            unanswered = [*self._waiting, *self._running]
            self._changed.notify()
        for request in unanswered:
            error = EngineDeadError(reason)
            error.__cause__ = cause
            request.fail(error)

    def _add_planned(self, request: Request) -> None:
        """Tells the engine's thread that the edit of a request is known, or that it failed."""
        with self._changed:
            self._planned.append(request)
            self._changed.notify()

    # -- on the engine's thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        use_single_thread(self.model)
        try:
            while self._step():
                pass
        except BaseException as error:
            self._stop("The engine stopped by a mistake of its own, which is noted in its log; start it again.", error)
            self._on_failure()
            raise

    def _step(self) -> bool:
        """One scheduler step: waits for work, aborts ended requests, prefills ready ones, and decodes one token and one frame of all.

        Returns False once the engine is closed.
        """
        with self._changed:
            self._changed.wait_for(self._has_work)
            if self.closed is not None:
                return False
            ended = [request for request in self._running if request.finished]
            self._running = [request for request in self._running if not request.finished]
            self._waiting = [request for request in self._waiting if not request.finished]
            admitted = self._ready()[: self.max_running_requests - len(self._running)]
            self._waiting = [request for request in self._waiting if request not in admitted]
            self._running += admitted
            planned, self._planned = [request for request in self._planned if not request.finished], []
        for request in ended:
            self._abort(request)
        for request in admitted:
            self._run_isolated(request, self._prefill)
        for request in planned:
            self._run_isolated(request, self._begin_music)
        failed = {self._owners[sequence]: error for sequence, error in step_and_isolate(self._text_batch).items()}
        for request in [self._owners[sequence] for sequence in self._text_batch.members]:
            if request not in failed:
                self._run_isolated(request, self._emit_text)
        failed |= self._music.step()
        for request, error in failed.items():
            self._abort(request)
            request.fail(error)
        return True

    def _has_work(self) -> bool:
        if self.closed is not None or self._planned or self._text_batch.members or self._music.needs_step:
            return True
        ended = any(request.finished for request in (*self._running, *self._waiting))
        return ended or bool(self._ready()) and len(self._running) < self.max_running_requests

    def _ready(self) -> list[Request]:
        return [request for request in self._waiting if request.ready]

    def _abort(self, request: Request) -> None:
        """Removes a request from the batches."""
        if request in self._sequences:
            self._remove_sequence(request)
        self._music.remove(request)

    def _remove_sequence(self, request: Request) -> None:
        sequence = self._sequences.pop(request)
        del self._owners[sequence]
        if sequence in self._text_batch.members:
            self._text_batch.remove(sequence)

    def _run_isolated(self, request: Request, work: Callable[[Request], None]) -> None:
        """Runs work that concerns one request alone: an error aborts and fails that request only."""
        try:
            work(request)
        except Exception as error:  # fail only this request
            self._abort(request)
            request.fail(error)

    def _prefill(self, request: Request) -> None:
        if request.plan is not None:
            request.row.say(request.plan.text)
            self._begin_music(request)
            return
        if request.answer is not None:
            request.row.say(request.answer)
            if delta := request.row.delta():
                request.emit(TextDelta(delta))
            request.finish()
            return
        sequence = TextSequence(request.row, request.options)
        self._sequences[request], self._owners[sequence] = sequence, request
        self._text_batch.add(sequence, request.prompt, request.features)
        self._emit_text(request)

    def _emit_text(self, request: Request) -> None:
        """Sends new text if the interval has passed. A row that has ended moves on to the music, or finishes its request.

        The text of what may be an edit waits until that is known.
        """
        sequence, now = self._sequences[request], time.monotonic()
        due = request.row.finish is not None or now - sequence.last_emit >= TEXT_EVENT_INTERVAL
        if due and not holds_text(request.turn, request.options) and (delta := request.row.delta()):
            request.emit(TextDelta(delta))
            sequence.last_emit = now
        if request.row.finish is None:
            return
        self._remove_sequence(request)
        if holds_text(request.turn, request.options):
            self._preparer.plan(request)
        else:
            self._begin_music(request)

    def _begin_music(self, request: Request) -> None:
        """After the text, and its plan if it may be an edit: starts the edit or the new piece, or finishes a request without music."""
        model, row, turn, options, plan = self.model, request.row, request.turn, request.options, request.plan
        if plan is not None:
            request.options = replace(options, edit=plan.edit, bar_count=None)
            request.emit(TextDelta(plan.text))
            if not plan.makes_music:
                row.finish = "stop"
                request.finish()
                return
            self._music.add(request, lambda: request.synthesis or edit_request(model, row, turn, options, plan))
            return
        if delta := row.delta():  # text that was held back and is the model's own
            request.emit(TextDelta(delta))
        if row.finish == "music" and options.music:
            self._music.add(request, lambda: music_request(model, [row], [turn], options))
        else:
            request.finish()


def _check_at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} {value!r} is out of range; give a whole number from {least}.")
