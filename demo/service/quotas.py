"""Limits on concurrent requests per caller and per client address, so that no client fills the engine's queue alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from demo.service.errors import UserFacingError
from demo.service.take_events import cancel_all

if TYPE_CHECKING:
    from llama.serving.request import Request

MAX_PER_CALLER = 16  # running or queued answers of one caller; the engine holds 80 of all callers
MAX_PER_ADDRESS = 48  # of all callers at one address: users behind one proxy, or a client that sends a new user name with each request


class ConcurrencyLimiter:
    """Counts unfinished requests by caller and by client address. Thread-safe."""

    def __init__(self, max_per_caller: int = MAX_PER_CALLER, max_per_address: int = MAX_PER_ADDRESS) -> None:
        self._max_per_caller, self._max_per_address, self._guard = max_per_caller, max_per_address, threading.Lock()
        self._open: list[tuple[str, str, Request]] = []

    def acquire(self, caller: str, client_address: str, submissions: Sequence[Callable[[], Request]]) -> tuple[Request, ...]:
        """Submits all requests or none. Raises `UserFacingError` if they would exceed a limit.

        caller: key of the caller, which a client can choose freely. client_address: IP address, which it cannot choose
        (empty: unknown, not limited). submissions: each submits one request to the engine.
        """
        with self._guard:
            self._open = [entry for entry in self._open if not entry[-1].finished]
            of_caller = sum(entry_caller == caller for entry_caller, _, _ in self._open)
            _check_quota(of_caller, len(submissions), self._max_per_caller, "of your answers")
            if client_address:
                at_address = sum(entry_address == client_address for _, entry_address, _ in self._open)
                _check_quota(at_address, len(submissions), self._max_per_address, "answers for your address")
            requests = _submit_all(submissions)
            self._open += [(caller, client_address, request) for request in requests]
        return requests


def _check_quota(running: int, more: int, most: int, what: str) -> None:
    if running + more > most:
        raise UserFacingError(f"{running} {what} are under way and {more} more would be too many, the most is {most}; "
                      "wait until some have ended, or stop some.", "busy")


def _submit_all(submissions: Sequence[Callable[[], Request]]) -> tuple[Request, ...]:
    requests: list[Request] = []
    try:
        for submit in submissions:
            requests.append(submit())
    except BaseException:
        cancel_all(requests)
        raise
    return tuple(requests)
