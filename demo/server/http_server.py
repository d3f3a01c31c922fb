"""The HTTP server: uvicorn with a limit on connections, a timeout for stalled clients, and a graceful shutdown.

Everything that relies on uvicorn's private parts (`H11Protocol`, its `connections`, `flow` and `cycle`) is in this file;
tests/demo/server/test_http_server.py checks them against the installed version.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.page.theme import TITLE
from demo.server.descriptors import ListeningSocket, connection_limit
from demo.server.gradio_patches import stop_events
from demo.server.request_limiter import RequestLimiter

SHUTDOWN_TIMEOUT = 3  # seconds that open streams have to end when the server stops
HEAD_TIMEOUT = 20.0  # seconds for the head of a request to arrive on a new connection
STALL_TIMEOUT = 150.0  # seconds without progress by the client; longer than the API's own timeout for a body, which answers 408


def serve(app: FastAPI, host: str, port: int, tunnel: Callable[[int], str] | None = None) -> None:
    """Serves until Ctrl-C or SIGTERM; open answers then have `SHUTDOWN_TIMEOUT`. Raises OSError if the port is taken.

    tunnel: opens a public address for a port and returns it (None: local only).
    """
    if threading.current_thread() is threading.main_thread():  # SIGTERM ends the server as Ctrl-C does, with its clean-up
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ListeningSocket(socket.create_server((host, port), family=family)) as listener:
        url_host = f"[{host}]" if ":" in host else host
        print(f"{TITLE}: http://{url_host}:{listener.getsockname()[1]}/", flush=True)
        if tunnel is not None:
            print(f"Public address: {tunnel(listener.getsockname()[1])}", flush=True)
        create_server(app).run(sockets=[listener])


class GracefulServer(uvicorn.Server):
    """Server that ends the event streams of open pages before it shuts down: they would delay it and end in errors."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for event in stop_events(self._app.routes):
            event.set()
        await super().shutdown(sockets)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 connection that is aborted after `STALL_TIMEOUT` if its client stops reading or does not finish its request.

    A stalled client would hold its memory, its connection and its row of the engine for ever. A response stream with
    long pauses is not stalled, as long as the client takes what is sent. A connection without a request has `HEAD_TIMEOUT`,
    and gives way when a new one would exceed `max_connections`.
    """

    max_connections = 0  # set by `create_server`
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer(HEAD_TIMEOUT)
        self._opened = self.loop.time()
        if len(self.connections) > self.max_connections:
            self._make_room()

    def _make_room(self) -> None:
        """Closes the oldest connection without a request of the address that has most of them; this one if there is none."""
        idle = [other for other in self.connections if isinstance(other, BoundedProtocol) and other is not self and other.is_idle]
        of_address = Counter(other.address for other in idle)
        closed = min(idle, key=lambda other: (-of_address[other.address], other._opened), default=self)
        logging.warning("all %d connections are taken: one of %s was closed", self.max_connections, closed.address or "an unknown address")
        closed.transport.abort()
        self.connections.discard(closed)  # its `connection_lost` is called later; others may come before

    @property
    def is_idle(self) -> bool:
        """Whether no request has arrived that is still to be answered, and no answer is on its way."""
        return self.cycle is None or self.cycle.response_complete and not self.transport.get_write_buffer_size()

    @property
    def address(self) -> str:
        """IP address of the other end, which may be a proxy."""
        return self.client[0] if self.client else ""

    def handle_events(self) -> None:
        super().handle_events()
        if self.flow.write_paused or self.transport.get_protocol() is not self:
            return
        if self.cycle is None or self.cycle.response_complete:  # part of a request head: further parts do not extend the timeout
            if self._timer is None:
                self._start_timer(HEAD_TIMEOUT)
        elif self.cycle.more_body:
            self._start_timer()
        else:
            self._cancel_timer()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._cancel_timer()  # another protocol takes the connection over, and this one is not called any more
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def _start_timer(self, seconds: float | None = None) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(STALL_TIMEOUT if seconds is None else seconds, self._abort)

    def _abort(self) -> None:
        if self.flow.read_paused and not self.flow.write_paused:  # the application is slow to read, not the client to send
            self._start_timer()
        else:
            self.transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def create_server(app: FastAPI, max_connections: int | None = None) -> uvicorn.Server:
    """A server for the application. Its `run(sockets=...)` listens on the given sockets.

    max_connections: open at a time (None: as many as the process has file descriptors for). A quarter of them is kept for
    answers that say so, and one address has at most half of the requests.
    """
    limit = connection_limit() if max_connections is None else max_connections
    protocol = type("Protocol", (BoundedProtocol,), {"max_connections": limit})
    limited = RequestLimiter(app, max(1, limit * 3 // 4), max(1, limit // 2))
    return GracefulServer(uvicorn.Config(
        limited, http=protocol, loop="asyncio", ws="none", log_config=None, log_level="warning", access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    ), app)  # fmt: skip
