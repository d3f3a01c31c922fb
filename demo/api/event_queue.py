"""The events of a request, waited for without holding a thread of the server, until they end or the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.requests import Request

from demo.service.errors import user_errors
from demo.service.request import SubmittedRequest
from demo.service.take_events import TakeEvent, follow


class EventQueue:
    """The events of all takes in the order they come. Made and used in the server's event loop."""

    def __init__(self, asked: SubmittedRequest) -> None:
        self._asked = asked
        self._box: asyncio.Queue[TakeEvent | None] = asyncio.Queue()  # None: the client has left
        self._open = len(asked.tickets)
        self._next: TakeEvent | None = None  # heard already, by `wait`
        self.gone = False  # the client
        follow(asked.tickets, partial(_post, asyncio.get_running_loop(), self._box))

    async def next(self) -> TakeEvent | None:
        """The next event; None after the last one and when the client has left. Raises `Refused` for a take that failed."""
        found, self._next = self._next, None
        while found is None and self._open and not self.gone:
            found = self._taken(await self._box.get())
        return found

    async def wait(self, seconds: float) -> bool:
        """Whether there is something for `next` within so many seconds, be it the end."""
        try:
            async with asyncio.timeout(seconds):
                self._next = await self.next()
        except TimeoutError:
            return False
        return True

    def _taken(self, heard: TakeEvent | None) -> TakeEvent | None:
        if heard is None:
            self.gone = True
        elif isinstance(heard.event, Exception):
            with user_errors(self._asked.names):
                raise heard.event
        elif heard.event is None:
            self._open -= 1
        else:
            return heard
        return None

    def close(self) -> None:
        """Stops the work; what has ended stays as it is."""
        self._asked.cancel()

    @asynccontextmanager
    async def left_with(self, request: Request) -> AsyncIterator[None]:
        """Inside, the work is stopped as soon as the client of `request` is gone."""

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                continue
            self.close()
            self._box.put_nowait(None)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()


def _post(loop: asyncio.AbstractEventLoop, box: asyncio.Queue[TakeEvent | None], heard: TakeEvent) -> None:
    try:
        loop.call_soon_threadsafe(box.put_nowait, heard)
    except RuntimeError:
        if not loop.is_closed():  # a server that has stopped listens to nothing
            raise
