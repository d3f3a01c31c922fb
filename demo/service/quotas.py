"""How much of the engine's queue is one caller's and one address's, so that nobody fills it alone and shuts the others out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from demo.service.errors import UserFacingError
from demo.service.take_events import cancel

if TYPE_CHECKING:
    from llama.serving.request import Request

MAX_PER_CALLER = 16  # answers of one caller that are worked at or wait; the engine holds 80 of all callers
MAX_PER_ADDRESS = 48  # of all callers at one address, which may be those behind a proxy, or one who takes a new name for each request


class ConcurrencyLimiter:
    """The tickets under way, by caller and by address. May be used from any thread."""

    def __init__(self, most: int = MAX_PER_CALLER, most_at: int = MAX_PER_ADDRESS) -> None:
        self._most, self._most_at, self._guard = most, most_at, threading.Lock()
        self._open: list[tuple[str, str, Request]] = []

    def take(self, caller: str, payer: str, wanted: Sequence[Callable[[], Request]]) -> tuple[Request, ...]:
        """Submits all that is wanted, or nothing. Raises `UserFacingError` where that is more than one share.

        caller: who asks, by names that a client may choose. payer: the address they come from, which it may not (empty: none).
        """
        with self._guard:
            self._open = [held for held in self._open if not held[-1].over]
            _fits(sum(who == caller for who, _, _ in self._open), len(wanted), self._most, "of your answers")
            if payer:
                _fits(sum(where == payer for _, where, _ in self._open), len(wanted), self._most_at, "answers for your address")
            tickets = _all_or_none(wanted)
            self._open += [(caller, payer, ticket) for ticket in tickets]
        return tickets


def _fits(held: int, wanted: int, most: int, whose: str) -> None:
    if held + wanted > most:
        raise UserFacingError(f"{held} {whose} are under way and {wanted} more would be too many, the most is {most}; "
                      "wait until some have ended, or stop some.", "busy")


def _all_or_none(wanted: Sequence[Callable[[], Request]]) -> tuple[Request, ...]:
    tickets: list[Request] = []
    try:
        for submit in wanted:
            tickets.append(submit())
    except BaseException:
        cancel(tickets)
        raise
    return tuple(tickets)
