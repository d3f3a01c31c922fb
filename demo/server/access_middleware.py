"""The door of the server: who may come in, with how much, and what the pages that go out may load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.requests import ClientDisconnect

from demo.api.access import unauthorized
from demo.service.auth import Login

# What a page may load: its own files. gradio builds its page from inline scripts and templates.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),  # addresses of media hold the session's token
    (b"x-content-type-options", b"nosniff"),
)
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")  # what was refused unread may still be coming

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")  # what a server that only this machine can reach goes by
UNUSED = ("proxy=", "file=http:", "file=https:", "process_recording", "deep_link", "vibe", "undo-vibe", "stream/")
UPLOAD = "/gradio_api/upload"
MAX_BODY_BYTES = 1 << 20  # bytes of a request without files, and of the form around files
MAX_FILES = 4  # of the largest ones in one upload
MAX_DISCARDED_BYTES = 8 << 20  # bytes that are still taken of what was refused: whoever sends them hears of it only then
LINGER_SECONDS = 1.0  # seconds that they have for it
WRONG_LOGIN_DELAY = 0.5  # seconds that a wrong login waits for its answer, so that guessing takes long

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AccessMiddleware:
    """Asks everybody for the login, whatever they want, and says in every answer what a page may load.

    keeps: paths that begin so are the API's: they are told in its clients' form, and bound what they read themselves.
    hosts: the names that the server goes by (None: any); another site may let its own name lead to this machine, and then
    speaks as if it were this one. upload_bytes: of the largest file (None: any).
    """

    def __init__(
        self, app: Any, login: Login | None = None, keeps: str | None = None, hosts: Sequence[str] | None = None,
        upload_bytes: int | None = None,
    ) -> None:
        self.app, self.login, self.keeps, self.hosts, self.upload_bytes = app, login, keeps, hosts, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if reason := refusal(scope, self.hosts):
            return await _turn_away(scope, BoundedExchange(receive, send, None), 403, reason)
        if not await self._knows(scope):
            return await self._ask(scope, send)
        visit = BoundedExchange(receive, send, self._most(scope["path"]))
        if visit.most is None or _announced(scope) <= visit.most:
            try:
                await self.app(scope, visit.receive, visit.send)
            except ClientDisconnect:
                pass  # whoever has left in the middle of a request needs no answer
            if not visit.over:
                return
        too_large = f"This is larger than {(visit.most or 0) / 1e6:.0f} MB, the most that is taken at once; send less, or in parts."
        await _turn_away(scope, visit, 413, too_large)

    def _kept(self, scope: Scope) -> bool:
        return self.keeps is not None and scope["path"].startswith(self.keeps)

    def _most(self, path: str) -> int | None:
        """Bytes of a request's body; None: it is bounded further inside, or nowhere."""
        if self.keeps is not None and path.startswith(self.keeps):
            return None
        if not path.startswith(UPLOAD):
            return MAX_BODY_BYTES
        return None if self.upload_bytes is None else MAX_FILES * self.upload_bytes + MAX_BODY_BYTES

    async def _knows(self, scope: Scope) -> bool:
        if self.login is None:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        admitted = self.login.admits(given)
        if given and not admitted:
            await asyncio.sleep(WRONG_LOGIN_DELAY)
        return admitted

    async def _ask(self, scope: Scope, send: Send) -> None:
        told = unauthorized()
        form = json.dumps(told.body()).encode(), JSON
        plain = b"Give the user and the password of this server.", PLAIN
        content, kind = form if self._kept(scope) else plain
        ask = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
        await _answer(scope, send, told.status, content, kind, *ask)


@dataclass
class BoundedExchange:
    """One request on its way in and its answer on the way out. most: bytes that are read of it (None: any number).

    over: it was larger, and nobody has begun to answer it; what read it was told that the client has left. whole: no more
    of it is to come.
    """

    taken: Receive
    given: Send
    most: int | None
    read: int = 0
    begun: bool = False
    over: bool = False
    whole: bool = False

    async def receive(self) -> Message:
        message = await self.taken()
        self.read += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        self.whole = not message.get("more_body", False)
        if self.most is None or self.read <= self.most:
            return message
        self.over = self.over or not self.begun
        return {"type": "http.disconnect"}

    async def rest(self, most: int) -> None:
        """Reads on, and keeps nothing, until all has come or so many bytes have."""
        until = self.read + most
        while not self.whole and self.read <= until:
            await self.receive()

    async def send(self, message: Message) -> None:
        if self.over:
            return  # of an error that is no error of the reader's
        if message["type"] == "http.response.start":
            self.begun = True
            present = list(message.get("headers", []))
            names = {name.lower() for name, _ in present}
            message = {**message, "headers": present + [pair for pair in HEADERS if pair[0] not in names]}
        await self.given(message)


def refusal(scope: Scope, hosts: Sequence[str] | None = None) -> str | None:
    """Why a request is not for the page, if so: a page of another site speaks, or a route is asked for that nothing here uses."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if hosts is not None and _parts("//" + headers.get(b"host", "")).hostname not in hosts:
        return "This server does not go by that name; use the address that it printed."
    origin = headers.get(b"origin")
    if origin is not None and _parts(origin).netloc not in (headers.get(b"host"), headers.get(b"x-forwarded-host")):
        return "A page of another site may not speak to this server."
    path = scope["path"].lower()
    if path.startswith("/gradio_api/") and path[len("/gradio_api/"):].startswith(UNUSED):
        return "This server does not offer that."
    return None


def _parts(address: str) -> SplitResult:
    """Of an address as a client has it; one that is none has no parts, and is nobody's."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _announced(scope: Scope) -> int:
    """Bytes of the body, where the client tells them."""
    told = dict(scope["headers"]).get(b"content-length", b"")
    return int(told) if told.isdigit() else 0


async def _turn_away(scope: Scope, visit: BoundedExchange, status: int, reason: str) -> None:
    """Answers, and closes the connection a little later: closed on what still comes, it would take the answer along."""
    if scope["type"] == "websocket":
        return await visit.given({"type": "websocket.close", "code": 1008})
    await _begin(visit.given, status, reason.encode(), PLAIN, CLOSE)
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await visit.rest(MAX_DISCARDED_BYTES)
    await visit.given({"type": "http.response.body", "body": b""})


async def _answer(scope: Scope, send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008})
    await _begin(send, status, content, *headers)
    await send({"type": "http.response.body", "body": b""})


async def _begin(send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    """All of an answer but its end. Its length is told, so that a client that sends need not wait for the end."""
    length = b"content-length", str(len(content)).encode()
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content, "more_body": True})
