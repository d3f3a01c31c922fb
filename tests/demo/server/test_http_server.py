"""HTTP server: the limit on connections, and the timeout that aborts stalled clients only."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from demo.server import http_server as limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.page_server import running, serving
from tests.scripted_engine import ScriptedEngine

BLOCK = 1 << 16  # bytes
MOMENT = 0.4  # seconds after which a client has stalled, here


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALL_TIMEOUT", MOMENT)


def wait_for(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def connected(address: str, content: bytes = b"") -> socket.socket:
    """A client that takes in little, and has sent so much."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(20)
    url = httpx.URL(address)
    made.connect((url.host, url.port))
    made.sendall(content)
    return made


def cut(client: socket.socket) -> bool:
    """Whether the server ends the connection without a word."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def flood() -> Iterator[tuple[str, Callable[[], int], threading.Event]]:
    """(address, how many are connected, set once a stream has ended): all day, everything in one piece, and little by little."""
    app, ended = FastAPI(), threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(BLOCK)
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def quiet() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(MOMENT / 2)
            yield b"."

    async def late(request: Request) -> Response:
        await asyncio.sleep(2 * MOMENT)  # the body comes meanwhile, and is in the way
        return Response(str(len(await request.body())))

    app.add_api_route("/endless", lambda: StreamingResponse(endless()))
    app.add_api_route("/whole", lambda: Response(bytes(300 * BLOCK)))
    app.add_api_route("/quiet", lambda: StreamingResponse(quiet()))
    app.add_api_route("/late", late, methods=["POST"])
    with running(app) as (address, server):
        yield address, lambda: len(server.server_state.connections), ended


def test_uvicorn_has_the_parts_that_the_stall_timeout_relies_on() -> None:
    """Private parts of uvicorn's HTTP/1.1 protocol; an update that drops one fails here first."""
    from uvicorn.protocols.http import flow_control, h11_impl

    version = f"uvicorn {uvicorn.__version__} is installed"
    for name in ("handle_events", "handle_websocket_upgrade", "pause_writing", "resume_writing", "connection_made", "connection_lost"):
        assert hasattr(h11_impl.H11Protocol, name), f"{version}, whose H11Protocol has no {name}: stalled clients are not cut."
    for name in ("flow", "cycle", "transport", "loop"):
        source = inspect.getsource(h11_impl.H11Protocol.__init__)
        assert f"self.{name}" in source, f"{version}, whose H11Protocol has no {name}: stalled clients are not cut."
    for name in ("response_complete", "more_body"):
        source = inspect.getsource(h11_impl.RequestResponseCycle.__init__)
        assert f"self.{name}" in source, f"{version}, whose request cycle has no {name}: stalled clients are not cut."
    for name in ("read_paused", "write_paused"):
        source = inspect.getsource(flow_control.FlowControl.__init__)
        assert f"self.{name}" in source, f"{version}, whose FlowControl has no {name}: slow clients look like stalled ones."


@pytest.mark.parametrize("path", ["endless", "whole"])
def test_who_reads_nothing_is_cut(impatient: None, flood: tuple, path: str) -> None:
    address, count, ended = flood
    with connected(address, f"GET /{path} HTTP/1.1\r\nHost: server\r\n\r\n".encode()):
        wait_for(count)
        wait_for(lambda: not count())
    assert path == "whole" or ended.wait(20)


@pytest.mark.parametrize("part", [b"", b"GET /qui", b"POST /late HTTP/1.1\r\nHost: server\r\nContent-Length: 9\r\n\r\nhalf"])
def test_who_does_not_go_on_is_cut(impatient: None, flood: tuple, part: bytes) -> None:
    with connected(flood[0], part) as client:
        assert cut(client)


def test_a_second_request_that_does_not_go_on_is_cut(impatient: None, flood: tuple) -> None:
    with connected(flood[0], b"GET /none HTTP/1.1\r\nHost: server\r\n\r\n") as client:
        first = b""
        while b"Not Found\"}" not in first:
            first += client.recv(4096)
        client.sendall(b"GET /qui")
        assert cut(client)


def test_a_head_that_trickles_is_cut(impatient: None, flood: tuple) -> None:
    with connected(flood[0], b"GET / HTTP/1.1\r\n") as client:
        with pytest.raises(OSError):
            for _ in range(200):
                client.sendall(b"a: b\r\n")
                time.sleep(MOMENT / 10)


def test_a_stream_with_little_to_say_goes_on(impatient: None, flood: tuple) -> None:
    assert httpx.get(f"{flood[0]}quiet", timeout=20).content == b"...."


class Talk(asyncio.Protocol):
    """What a connection becomes, of a library for it that need not be installed: it answers when others have been cut."""

    def __init__(self, **given: object) -> None:
        pass

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asyncio.get_running_loop().call_later(2 * MOMENT, transport.write, b"still here")  # type: ignore[attr-defined]


def test_a_connection_that_became_another_is_left_alone(impatient: None) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    with running(FastAPI()) as (address, server):
        server.config.ws_protocol_class = Talk
        with connected(address, b"GET /talk HTTP/1.1\r\nHost: server\r\n" + upgrade + b"\r\n") as client:
            assert client.recv(4096) == b"still here"


def test_nobody_is_cut_for_an_application_that_is_late(impatient: None, flood: tuple) -> None:
    content = bytes(5 * BLOCK)
    assert httpx.post(f"{flood[0]}late", content=content, timeout=20).text == str(len(content))


def test_a_full_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 3)
    with running(FastAPI()) as (address, server):
        with connected(address), connected(address):
            wait_for(lambda: len(server.server_state.connections) == 2)
            assert httpx.get(address).status_code == httpx.codes.SERVICE_UNAVAILABLE
        wait_for(lambda: not server.server_state.connections)
        assert httpx.get(address).status_code == httpx.codes.NOT_FOUND


def test_nobody_works_for_who_reads_nothing(impatient: None, tmp_path: Path) -> None:
    """A piece too large for the buffers on the way, of which more is to come when its client is cut."""
    engine, sessions = ScriptedEngine(), Sessions(tmp_path)
    with serving(ChatService(engine, sessions)) as address:  # type: ignore[arg-type]
        said = {"messages": [{"role": "user", "content": "wait play"}], "modalities": ["text", "audio"], "stream": True, "seconds": 600}
        body = json.dumps(said).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with connected(address, f"{head}\r\n\r\n".encode() + body):
            wait_for(lambda: engine.requests)
            for _ in range(6):  # two words, that it begins, a quarter, how far it is, another one
                engine.leaves.release()
            [ticket] = engine.requests
            assert ticket.cancelled.wait(20) and ticket.finished.wait(20)
            wait_for(lambda: not [one for one in sessions.root.iterdir() if one.name != "arrived"])
    sessions.close_all()
