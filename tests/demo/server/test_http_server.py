"""HTTP server: the limit on connections, and the timeout that aborts stalled clients only."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from demo.server import descriptors
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
    monkeypatch.setattr(limits, "HEAD_TIMEOUT", MOMENT)


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
    for name in ("flow", "cycle", "transport", "loop", "connections", "client"):
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


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with room for 8 connections: 6 requests at a time, 4 of one address."""
    monkeypatch.setattr(limits, "connection_limit", lambda: 8)


def ask_from(address: str, client_address: str) -> httpx.Response:
    return httpx.get(address, headers={"X-Forwarded-For": client_address}, timeout=20)


def test_a_full_server_says_so(small: None, flood: tuple) -> None:
    address, count, _ = flood

    def opened(client_address: str) -> socket.socket:
        head = f"GET /endless HTTP/1.1\r\nHost: server\r\nX-Forwarded-For: {client_address}\r\n\r\n"
        client = connected(address, head.encode())
        assert client.recv(4) == b"HTTP"
        return client

    with ExitStack() as clients:
        for _ in range(4):
            clients.enter_context(opened("192.0.2.1"))
        refused = ask_from(address, "192.0.2.1")
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE and int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"]["message"].startswith("Your address has as many requests here")
        assert ask_from(address, "192.0.2.2").status_code == httpx.codes.NOT_FOUND, "another address has room"
        for number in range(2):
            clients.enter_context(opened(f"192.0.2.{3 + number}"))
        refused = ask_from(address, "192.0.2.9")
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert refused.json()["error"]["message"].startswith("The server has as many requests")
    wait_for(lambda: not count())
    assert ask_from(address, "192.0.2.9").status_code == httpx.codes.NOT_FOUND


def test_connections_without_a_request_give_way(small: None, flood: tuple) -> None:
    address, count, _ = flood
    with ExitStack() as clients:
        working = clients.enter_context(connected(address, b"GET /quiet HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n"))
        assert working.recv(4) == b"HTTP"
        idle = [clients.enter_context(connected(address, b"GET /qui" if number % 2 else b"")) for number in range(30)]
        assert httpx.get(address, timeout=20).status_code == httpx.codes.NOT_FOUND
        assert count() <= 8 and cut(idle[0]), "the oldest goes first"
        answer = b""
        while part := working.recv(4096):
            answer += part
        assert answer.count(b"1\r\n.\r\n") == 4, "a request goes on"


def test_a_connection_gives_way_only_while_nothing_of_it_is_under_way(small: None, flood: tuple) -> None:
    address, count, _ = flood
    with ExitStack() as clients:
        for number in range(6):
            head = f"GET /endless HTTP/1.1\r\nHost: server\r\nX-Forwarded-For: 192.0.2.{number}\r\n\r\n"
            assert clients.enter_context(connected(address, head.encode())).recv(4) == b"HTTP"
        idle = [clients.enter_context(connected(address)) for _ in range(9)]
        wait_for(lambda: count() == 8)
        assert all(cut(client) for client in idle[:7])


def test_the_limit_fits_the_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert descriptors.connection_limit() == descriptors.MAX_CONNECTIONS
    monkeypatch.setattr(descriptors, "_open_descriptors", lambda: 50)
    for limit, connections in ((256, 87), (40, descriptors.MIN_CONNECTIONS), (1024, 471), (1 << 20, descriptors.MAX_CONNECTIONS)):
        monkeypatch.setattr(descriptors, "_descriptor_limit", lambda limit=limit: limit)
        assert descriptors.connection_limit() == connections


def test_a_listener_without_descriptors_closes_what_comes() -> None:
    """In a process of its own, whose every descriptor is taken; asyncio's own way is thousands of lines a second."""
    code = """
import asyncio, logging, os, resource, socket, sys
from demo.server.descriptors import ListeningSocket
logging.basicConfig(format="%(message)s")
async def main():
    listener = ListeningSocket(socket.create_server(("127.0.0.1", 0)))
    server = await asyncio.start_server(lambda reader, writer: writer.write(b"hello"), sock=listener, backlog=2048)
    address, clients = listener.getsockname(), [socket.socket() for _ in range(5)]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
    for client in clients:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, address)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 9), 10) == b"", "closed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    reader, writer = await asyncio.open_connection(*address)
    assert await reader.read(5) == b"hello", "and goes on when there is room again"
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["a connection was closed, since no file descriptor was left for it (Too many open files)"] * 5


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
