"""Several tickets of the engine heard as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from llama.generation import Done

if TYPE_CHECKING:
    from llama.generation import Event
    from llama.serving.request import Request


@dataclass(frozen=True)
class TakeEvent:
    """What take number `take` has to tell: an event, the error that ended it, or None at its end."""

    take: int
    event: Event | Exception | None


def add_listeners(requests: Sequence[Request], callback: Callable[[TakeEvent], None]) -> None:
    """Hands on every event of every ticket as it comes; the last of each is an error, or None.

    put: takes one `TakeEvent`, from any thread, and neither waits nor raises: the engine's own threads call it.
    """
    for take, request in enumerate(requests):
        request.follow(partial(_forward, callback, take))


def _forward(callback: Callable[[TakeEvent], None], take: int, event: Event | Exception | None) -> None:
    callback(TakeEvent(take, event))
    if isinstance(event, Done):
        callback(TakeEvent(take, None))


def cancel_all(requests: Sequence[Request]) -> None:
    """Stops the work of all of them; what has ended stays as it is."""
    for request in requests:
        request.cancel()
