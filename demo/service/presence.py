"""Whether a browser page is still there. One that says goodbye goes at once; one whose connection was lost has a while to come back."""

from __future__ import annotations

import threading
from collections.abc import Callable

GRACE_SECONDS = 90.0  # seconds; a page that is there says so every 30, and browsers let hidden ones speak once a minute


class Presence:
    """Who may be leaving. Its methods may be called from any thread."""

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self._grace, self._guard = grace, threading.Lock()
        self._leaving: dict[str, threading.Timer] = {}

    def connection_lost(self, token: str, on_leave: Callable[[], None]) -> None:
        """The connection of that session's page has ended: `leave` is called unless it comes back."""
        timer = threading.Timer(self._grace, self._expire, (token, on_leave))
        timer.daemon = True
        with self._guard:
            previous, self._leaving[token] = self._leaving.get(token), timer
        if previous is not None:
            previous.cancel()
        timer.start()

    def connected(self, token: str) -> None:
        """It is there, or need not be waited for any more."""
        with self._guard:
            timer = self._leaving.pop(token, None)
        if timer is not None:
            timer.cancel()

    def _expire(self, token: str, on_leave: Callable[[], None]) -> None:
        with self._guard:
            due = self._leaving.pop(token, None) is threading.current_thread()
        if due:
            on_leave()
