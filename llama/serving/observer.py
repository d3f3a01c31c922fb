"""What an engine tells of its requests to those who measure it: waits, music and ends, without words or sound."""

from __future__ import annotations

import time
from typing import Literal, Protocol

from llama.generation import Done, Event, MusicChunk, TextDelta

Outcome = Literal["completed", "failed", "cancelled"]


class RequestObserver(Protocol):
    """Receiver of these. Its methods are called by the engine's threads, so they must neither wait nor raise."""

    def first_text(self, seconds: float) -> None:
        """The first words of a request came so long after it was submitted."""

    def first_sound(self, seconds: float) -> None:
        """The first sound of a request came so long after it was submitted."""

    def ended(self, outcome: Outcome, music_seconds: float) -> None:
        """A request has ended, with so much music."""


class NoObserver:
    """Observer that drops everything."""

    def first_text(self, seconds: float) -> None: ...

    def first_sound(self, seconds: float) -> None: ...

    def ended(self, outcome: Outcome, music_seconds: float) -> None: ...


class RequestTimer:
    """Passes the events of one request on to an observer. Not thread-safe: the request calls it under its lock."""

    def __init__(self, observer: RequestObserver) -> None:
        self._observer, self._start = observer, time.monotonic()
        self._has_text = self._has_sound = False

    def see(self, event: Event | Exception | None) -> None:
        """Called with every event, and with the last one: `Done`, the request's error, or None where it was cancelled."""
        waited = time.monotonic() - self._start
        done = event if isinstance(event, Done) else None
        music = None if done is None else done.reply.music
        if not self._has_text and (isinstance(event, TextDelta) or done is not None):
            self._has_text = True
            self._observer.first_text(waited)
        if not self._has_sound and (isinstance(event, MusicChunk) or music is not None):
            self._has_sound = True
            self._observer.first_sound(waited)
        if done is not None or event is None or isinstance(event, Exception):
            outcome: Outcome = "completed" if done is not None else "cancelled" if event is None else "failed"
            self._observer.ended(outcome, 0.0 if music is None else music.seconds)
