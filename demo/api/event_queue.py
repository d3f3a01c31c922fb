"""Asynchronous queue of a request's events, which also ends when the client disconnects. Waiting uses no server thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.requests import Request

from demo.service.errors import user_errors
from demo.service.request import SubmittedRequest
from demo.service.take_events import TakeEvent, add_listeners


class EventQueue:
    """Events of all takes in order of arrival. Created and used in the server's event loop."""

    def __init__(self, submitted: SubmittedRequest) -> None:
        self._submitted = submitted
        self._queue: asyncio.Queue[TakeEvent | None] = asyncio.Queue()  # None: the client disconnected
        self._running_takes = len(submitted.requests)
        self._buffered: TakeEvent | None = None  # received by `wait`
        self.disconnected = False
        add_listeners(submitted.requests, partial(_put_threadsafe, asyncio.get_running_loop(), self._queue))

    async def next(self) -> TakeEvent | None:
        """Next event; None after the last one and when the client disconnects. Raises `UserFacingError` for a failed take."""
        event, self._buffered = self._buffered, None
        while event is None and self._running_takes and not self.disconnected:
            event = self._process(await self._queue.get())
        return event

    async def wait(self, seconds: float) -> bool:
        """Whether `next` has a result, the end included, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                self._buffered = await self.next()
        except TimeoutError:
            return False
        return True

    def _process(self, take_event: TakeEvent | None) -> TakeEvent | None:
        if take_event is None:
            self.disconnected = True
        elif isinstance(take_event.event, Exception):
            with user_errors(self._submitted.names):
                raise take_event.event
        elif take_event.event is None:
            self._running_takes -= 1
        else:
            return take_event
        return None

    def close(self) -> None:
        """Cancels every unfinished take."""
        self._submitted.cancel()

    @asynccontextmanager
    async def cancel_on_disconnect(self, request: Request) -> AsyncIterator[None]:
        """Context manager that cancels the takes as soon as the client of `request` disconnects."""

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                continue
            self.close()
            self._queue.put_nowait(None)

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()


def _put_threadsafe(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[TakeEvent | None], take_event: TakeEvent) -> None:
    try:
        loop.call_soon_threadsafe(queue.put_nowait, take_event)
    except RuntimeError:
        if not loop.is_closed():  # events after the end of the server are dropped
            raise
