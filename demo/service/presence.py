"""Presence of browser pages: a page whose connection was lost has a grace period to reconnect before its session ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

GRACE_SECONDS = 90.0  # pages send a heartbeat every 30 seconds, and browsers throttle hidden pages to one a minute


class Presence:
    """Timers of the pages that are disconnected. Thread-safe. grace: seconds to reconnect."""

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self._grace, self._guard = grace, threading.Lock()
        self._leaving: dict[str, threading.Timer] = {}

    def connection_lost(self, token: str, on_leave: Callable[[], None]) -> None:
        """Starts the grace period of a session's page; `on_leave` is called at its end unless `connected` is called before."""
        timer = threading.Timer(self._grace, self._expire, (token, on_leave))
        timer.daemon = True
        with self._guard:
            previous, self._leaving[token] = self._leaving.get(token), timer
        if previous is not None:
            previous.cancel()
        timer.start()

    def connected(self, token: str) -> None:
        """Cancels the grace period."""
        with self._guard:
            timer = self._leaving.pop(token, None)
        if timer is not None:
            timer.cancel()

    def _expire(self, token: str, on_leave: Callable[[], None]) -> None:
        with self._guard:
            due = self._leaving.pop(token, None) is threading.current_thread()
        if due:
            on_leave()
