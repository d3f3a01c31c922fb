"""HTTP routes of a page session's state: /page/{token}/events as server-sent events, and /page/{token}/state for one question.

Without `since`, a version that the page knows, the first state has everything; later ones have what has changed. There is no thread
for each page that follows: a change wakes its coroutine. A browser opens six connections to a server, so most of its tabs ask.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from demo.api.sse import ClosingResponse
from demo.page.page_session import CLOSED

if TYPE_CHECKING:
    from demo.page.page_registry import PageRegistry
    from demo.page.page_session import PageSession

MIN_INTERVAL = 0.1  # seconds between two events of a page
ALIVE_INTERVAL = 15.0  # seconds without an event until a comment is sent: proxies end silent connections
ALIVE = b": alive\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}  # nginx passes each event on


class StopEvent:
    """Ends all event streams when the server stops. `set` is called in the event loop."""

    def __init__(self) -> None:
        self._wakers: set[asyncio.Event] = set()
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        for waker in self._wakers:
            waker.set()

    def is_set(self) -> bool:
        return self._is_set

    def add(self, waker: asyncio.Event) -> None:
        """Sets `waker`, too, when this is set."""
        self._wakers.add(waker)

    def remove(self, waker: asyncio.Event) -> None:
        self._wakers.discard(waker)


def events_router(pages: PageRegistry) -> APIRouter:
    """Router of the events. The token is the permission: one answer for every token that is not, or no more."""
    router, stop = APIRouter(), StopEvent()

    @router.get("/page/{token}/state", include_in_schema=False)
    def state(token: str, since: str = "") -> Response:
        """204 where nothing has changed."""
        page = pages.find(token)
        if page is None:
            return JSONResponse({"error": CLOSED}, 404, HEADERS)
        if page.version <= (known := _version(since)):
            return Response(status_code=204, headers=HEADERS)
        return JSONResponse(page.snapshot(known), headers=HEADERS)

    async def events(token: str, since: str = "") -> Response:
        page = await asyncio.to_thread(pages.find, token)  # deletes the files of a session that is over
        if page is None:
            return JSONResponse({"error": CLOSED}, 404, HEADERS)
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        try:
            page.add_listener(wake)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 429, {**HEADERS, "Retry-After": "5"})
        stop.add(changed)

        async def leave() -> None:
            page.remove_listener(wake)
            stop.remove(changed)

        return ClosingResponse(_events(page, pages, changed, stop, _version(since)), leave, HEADERS)

    events.stop_event = stop  # type: ignore[attr-defined]  # `demo.server.gradio_patches.stop_events` finds it
    router.add_api_route("/page/{token}/events", events, methods=["GET"], include_in_schema=False)
    return router


def _version(since: str) -> int:
    """The version that a page knows; 0 for what is none."""
    return int(since) if re.fullmatch("[0-9]{1,15}", since) else 0


async def _events(
    page: PageSession, pages: PageRegistry, changed: asyncio.Event, stop: StopEvent, version: int
) -> AsyncIterator[bytes]:
    while not page.closed and not stop.is_set():
        changed.clear()
        if page.version > version:
            state = page.snapshot(version)
            version = state["version"]
            yield f"event: state\ndata: {json.dumps(state, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
            await asyncio.sleep(MIN_INTERVAL)
        try:
            async with asyncio.timeout(ALIVE_INTERVAL):
                await changed.wait()
        except TimeoutError:
            if await asyncio.to_thread(pages.find, page.session.token) is None:  # an open page keeps its session alive
                return
            yield ALIVE
