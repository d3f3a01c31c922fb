"""A request on its way through the engine: what its client sees of it, and what the engine keeps beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

import torch

from llama.dialogue import Reply, Turn
from llama.generation import Done, Event, GenerationOptions, RowState

if TYPE_CHECKING:
    from llama.media.audio import Waveform
    from llama.media.score import Score
    from llama.mumu_model import ModalityFeatures

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)


class QueueFullError(ValueError):
    """The queue is full; nothing was taken."""


class EngineDeadError(RuntimeError):
    """What answers has ended, through no fault of the request's."""


class Request:
    """One request. Its events are told once, to who iterates over it or to who `follow`s it; to who iterates slowly they wait
    here, so that nobody else is held.
    """

    def __init__(self, turn: Turn, options: GenerationOptions, row: RowState, ahead: Callable[[Request], int], wake: Callable[[], None]):
        self.turn, self.options, self.row = turn, options, row
        self.prompt: list[int] = []
        self.features: ModalityFeatures | None = None
        self.ready = False  # its media have been read
        self.cancelled = self.over = False
        self._events: SimpleQueue[Event | Exception | None] = SimpleQueue()
        self._hand: Callable[[Event | Exception | None], object] = self._events.put
        self._ahead, self._wake, self._told_all = ahead, wake, False
        self._lock = threading.RLock()  # telling makes objects, which may collect an answer that nobody holds, which cancels

    def __iter__(self) -> Iterator[Event]:
        """Blocks until the next event; ends after `Done`, raises the request's own error, ends quietly after `cancel()`."""
        while not self._told_all:
            event = self._events.get()
            self._told_all = self.cancelled or event is None or isinstance(event, (Done, Exception))
            if self.cancelled or event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event

    def follow(self, put: Callable[[Event | Exception | None], None]) -> None:
        """Has every event put there as it comes, those that wait here first: `Done`, the request's own error, or None after
        `cancel()` is the last. put: called by the threads that do the work, so it neither waits nor raises.
        """
        with self._lock:
            while not self._events.empty():
                put(self._events.get())
            self._hand = put

    def cancel(self) -> None:
        """Its rows leave at the next token or frame. Safe from any thread, and again."""
        self.cancelled = True
        self._end(None)

    @property
    def ahead(self) -> int:
        """Requests that must begin, or end, before this one begins; 0 once it is being answered."""
        return self._ahead(self)

    # -- the engine's side --------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        with self._lock:
            if not self.over:
                self._hand(event)

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None:
        """The last event: the whole reply."""
        self._end(Done(Reply(self.row.text(), tuple(self.row.tokens), music, self.row.finish, score)))

    def fail(self, error: Exception) -> None:
        """Tells the client, in a sentence where memory ran out; after the end nothing is told any more."""
        self._end(_out_of_memory(error) if isinstance(error, OUT_OF_MEMORY) else error)

    def _end(self, last: Event | Exception | None) -> None:
        with self._lock:
            if self.over:
                return
            self.over = True
            self._hand(last)
        self._wake()


def _out_of_memory(error: Exception) -> MemoryError:
    told = MemoryError("There was not enough memory for this request; ask for a shorter piece or give a shorter file, or try again later.")
    told.__cause__ = error
    return told
