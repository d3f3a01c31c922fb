"""A request to the engine: its events as the client sees them, and the state that the engine keeps for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

import torch

from llama.dialogue import Turn
from llama.generation import Done, Event, GenerationOptions, RowState
from llama.serving.observer import NoObserver, RequestTimer

if TYPE_CHECKING:
    from llama.decoders.base import SynthesisRequest
    from llama.edit_plans import PlannedEdit
    from llama.media.audio import Waveform
    from llama.media.score import Score
    from llama.mumu_model import ModalityFeatures

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)


class QueueFullError(ValueError):
    """The engine's queue is full; the request was not accepted."""


class EngineDeadError(RuntimeError):
    """The engine or its music worker ended; the request is not at fault."""


class Request:
    """Handle of one submitted request: an iterator over its events, which can also be cancelled.

    Each event is delivered once, to the iterator or to the callback given to `add_listener`. Events are queued, so a slow
    reader does not block the engine.
    """

    def __init__(
        self, turn: Turn, options: GenerationOptions, row: RowState, queue_position: Callable[[Request], int],
        wake_engine: Callable[[], None], timer: RequestTimer | None = None,
    ) -> None:
        self.turn, self.options, self.row = turn, options, row
        self.prompt: list[int] = []
        self.features: ModalityFeatures | None = None
        self.answer: str | None = None  # of a request that needs no language model
        self.plan: PlannedEdit | None = None  # of an edit, once its text has ended
        self.synthesis: SynthesisRequest | None = None  # of an edit that composes nothing, beside its plan
        self.ready = False  # its media are encoded, so decoding may begin
        self.cancelled = self.finished = False
        self._events: SimpleQueue[Event | Exception | None] = SimpleQueue()
        self._deliver: Callable[[Event | Exception | None], object] = self._events.put
        self._queue_position, self._wake_engine, self._exhausted = queue_position, wake_engine, False
        self._timer = timer or RequestTimer(NoObserver())
        # Reentrant: `emit` allocates, which may run the garbage collector, which may collect a dropped answer and cancel it.
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[Event]:
        """Blocks until the next event. Ends after `Done` or `cancel()`; raises the request's own error."""
        while not self._exhausted:
            event = self._events.get()
            self._exhausted = self.cancelled or event is None or isinstance(event, (Done, Exception))
            if self.cancelled or event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event

    def add_listener(self, callback: Callable[[Event | Exception | None], None]) -> None:
        """Sends every event to `callback` instead of the iterator, those already queued first.

        The last call is a `Done`, the request's own error, or None after `cancel()`. The engine's threads call it, so it
        must neither wait nor raise.
        """
        with self._lock:
            while not self._events.empty():
                callback(self._events.get())
            self._deliver = callback

    def cancel(self) -> None:
        """Ends the request; its rows leave the batches at the next token or frame. Thread-safe and idempotent."""
        self.cancelled = True
        self._end(None)

    @property
    def queue_position(self) -> int:
        """Number of requests that must start or end before this one starts; 0 once it has started."""
        return self._queue_position(self)

    # -- called by the engine -----------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Delivers an event; does nothing once the request has ended."""
        with self._lock:
            if not self.finished:
                self._timer.see(event)
                self._deliver(event)

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None:
        """Delivers the last event, `Done` with the complete reply."""
        plan = self.plan
        self._end(Done(self.row.reply(music, score) if plan is None else self.row.reply(music, score, plan.report, plan.text)))

    def fail(self, error: Exception) -> None:
        """Delivers an error as the last event; out of memory becomes a sentence for the user."""
        self._end(_user_error(error) if isinstance(error, OUT_OF_MEMORY) else error)

    def _end(self, last: Event | Exception | None) -> None:
        with self._lock:
            if self.finished:
                return
            self.finished = True
            self._timer.see(last)
            self._deliver(last)
        self._wake_engine()


def _user_error(cause: Exception) -> MemoryError:
    error = MemoryError("There was not enough memory for this request; ask for a shorter piece or give a shorter file, or try again later.")
    error.__cause__ = cause
    return error
