"""The server itself: how many it lets in, how long it waits for who neither reads nor speaks, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.page.theme import TITLE

SHUTDOWN_TIMEOUT = 3  # seconds that open streams have to end when the server stops
MAX_CONNECTIONS = 512  # at a time; whoever comes then is told 503
STALL_TIMEOUT = 150.0  # seconds without a step of the client's; the API tells of a late body before


def serve(app: FastAPI, host: str, port: int, tunnel: Callable[[int], str] | None = None) -> None:
    """Until Ctrl-C, which lets open answers end for a moment. Raises OSError where the port is taken.

    tunnel: makes a public address of a port (None: there is to be none).
    """
    if threading.current_thread() is threading.main_thread():  # what stops services ends it as Ctrl-C does, files and all
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as door:
        shown = f"[{host}]" if ":" in host else host
        print(f"{TITLE}: http://{shown}:{door.getsockname()[1]}/", flush=True)
        if tunnel is not None:
            print(f"Public address: {tunnel(door.getsockname()[1])}", flush=True)
        server(app).run(sockets=[door])


class GracefulServer(uvicorn.Server):
    """A server whose end is told to open pages first: their connections would hold it up, and end in errors."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for route in self.config.app.routes:  # type: ignore[union-attr]
            ended = getattr(getattr(route, "app", None), "stop_event", None)  # gradio's
            if ended is not None:
                ended.set()
        await super().shutdown(sockets)


class StallTimeoutProtocol(H11Protocol):
    """A connection that is cut when its client stalls: reads nothing of what waits for it, or does not go on with its request.

    It would hold its memory, its place and its row of the engine for ever. A stream that has little to say is none of
    those: what it says is taken at once, however rarely that is.
    """

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        if self.flow.write_paused or self.transport.get_protocol() is not self:
            return
        if self.cycle is None or self.cycle.response_complete:  # a request has come in part, however often it grows
            if self._limit is None:
                self._watch()
        elif self.cycle.more_body:
            self._watch()
        else:
            self._rest()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._rest()  # nothing of what comes now is told to this class, nor that the connection ends
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._rest()
        self._limit = self.loop.call_later(STALL_TIMEOUT, self._cut)

    def _cut(self) -> None:
        if self.flow.read_paused and not self.flow.write_paused:  # it is the application that is late
            self._watch()
        else:
            self.transport.abort()

    def _rest(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def server(app: FastAPI) -> uvicorn.Server:
    """Of that application, on sockets that its `run` is given."""
    return GracefulServer(uvicorn.Config(
        app, http=StallTimeoutProtocol, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_TIMEOUT, access_log=False,
        limit_concurrency=MAX_CONNECTIONS
    ))  # fmt: skip
