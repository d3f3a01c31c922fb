"""Several tickets of the engine heard as one: each has a thread that waits for its events and hands them on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama.engine import Ticket
    from llama.generation import Event


@dataclass(frozen=True)
class Heard:
    """What take number `take` has to tell: an event, the error that ended it, or None at its end."""

    take: int
    event: Event | Exception | None


def follow(tickets: Sequence[Ticket], put: Callable[[Heard], None]) -> None:
    """Hands on every event of every ticket as it comes, from threads that end when their ticket does.

    put: takes one `Heard`, from any thread, and does not wait: a slow listener must not hold the engine's events.
    """
    for take, ticket in enumerate(tickets):
        threading.Thread(target=_pump, args=(take, ticket, put), name=f"take-{take}", daemon=True).start()


def _pump(take: int, ticket: Ticket, put: Callable[[Heard], None]) -> None:
    try:
        for event in ticket:
            put(Heard(take, event))
    except Exception as error:  # handed on: it is raised where the events are read
        put(Heard(take, error))
    else:
        put(Heard(take, None))


def cancel(tickets: Sequence[Ticket]) -> None:
    """Stops the work of all of them; what has ended stays as it is."""
    for ticket in tickets:
        ticket.cancel()
