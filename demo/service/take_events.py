"""Merges the events of several engine requests, the takes of one chat request, into one stream."""

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
    """Event of take number `take`: an engine event, the error that ended the take, or None at its end."""

    take: int
    event: Event | Exception | None


def add_listeners(requests: Sequence[Request], callback: Callable[[TakeEvent], None]) -> None:
    """Forwards every event of every request to `callback`; the last event of each is an error or None.

    callback: called by the engine's threads, so it must neither block nor raise.
    """
    for take, request in enumerate(requests):
        request.add_listener(partial(_forward, callback, take))


def _forward(callback: Callable[[TakeEvent], None], take: int, event: Event | Exception | None) -> None:
    callback(TakeEvent(take, event))
    if isinstance(event, Done):
        callback(TakeEvent(take, None))


def cancel_all(requests: Sequence[Request]) -> None:
    """Cancels every unfinished request."""
    for request in requests:
        request.cancel()
