"""How much of the engine's queue is one caller's, so that nobody fills it alone and shuts the others out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from demo.refusals import Refused
from demo.takes import cancel

if TYPE_CHECKING:
    from llama.engine import Ticket

MOST_OPEN = 16  # answers of one caller that are worked at or wait; the engine holds 80 of all callers


class Shares:
    """The tickets under way, by caller. May be used from any thread."""

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most, self._guard = most, threading.Lock()
        self._open: list[tuple[str, Ticket]] = []

    def take(self, caller: str, wanted: Sequence[Callable[[], Ticket]]) -> tuple[Ticket, ...]:
        """Submits all that is wanted, or nothing. Raises `Refused` where that is more than one caller's share."""
        with self._guard:
            self._open = [(who, ticket) for who, ticket in self._open if not ticket.over]
            mine = sum(who == caller for who, _ in self._open)
            if mine + len(wanted) > self._most:
                raise Refused(f"{mine} of your answers are under way and {len(wanted)} more would be too many, the most is {self._most}; "
                              "wait until some have ended, or stop some.", "busy")
            tickets = _all_or_none(wanted)
            self._open += [(caller, ticket) for ticket in tickets]
        return tickets


def _all_or_none(wanted: Sequence[Callable[[], Ticket]]) -> tuple[Ticket, ...]:
    tickets: list[Ticket] = []
    try:
        for submit in wanted:
            tickets.append(submit())
    except BaseException:
        cancel(tickets)
        raise
    return tuple(tickets)
