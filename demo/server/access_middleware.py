"""ASGI middleware for access control: Host and Origin checks, login, limits on request bodies, and security headers."""

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
from demo.api.protocol import RATE_LIMITED, ApiError
from demo.server.cors import CorsPolicy
from demo.service.auth import GUESS_DELAY, GuessLimiter, Login, TooManyGuesses

# Pages may load files of this server only. gradio needs inline scripts and eval for its page.
CONTENT_SECURITY_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),  # URLs of media contain the session's token
    (b"x-content-type-options", b"nosniff"),
)
PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")  # the rest of a rejected body may still be on its way

OPEN_PATHS = ("/health",)  # without a login: it tells nothing of the server's users
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")  # Host names of a server that listens on this machine only
UPLOAD_PATH = "/gradio_api/upload"
MAX_BODY_BYTES = 1 << 20  # of a request without files, and of the multipart form around files
MAX_FULL_FILES = 4  # files of the maximum size in one upload
MAX_DISCARDED_BYTES = 8 << 20  # read and dropped of a rejected body: most clients read the answer only after they have sent all
LINGER_SECONDS = 1.0  # time limit for that
WRONG_LOGIN_DELAY = GUESS_DELAY  # seconds before the answer to a wrong login, to slow guessing down

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AccessMiddleware:
    """Checks every request before the application sees it, and adds the security headers to every response.

    login: required for every path (None: no login) but OPEN_PATHS. api_prefix: paths with this prefix belong to the API, which gets JSON
    errors and limits its bodies itself. hosts: accepted Host names (None: any), against DNS rebinding, where another site
    points its own name at this machine. upload_bytes: size of the largest file (None: any). cors: which pages of other sites may use
    the API.
    """

    def __init__(
        self, app: Any, login: Login | None = None, api_prefix: str | None = None, hosts: Sequence[str] | None = None,
        upload_bytes: int | None = None, cors: CorsPolicy | None = None,
    ) -> None:
        self.cors = cors or CorsPolicy(())
        self.app, self.login, self.api_prefix, self.hosts, self.upload_bytes = app, login, api_prefix, hosts, upload_bytes
        self._guesses = GuessLimiter(WRONG_LOGIN_DELAY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        origin = self.cors.allowed_origin(scope) if self._is_api(scope["path"]) else None
        if origin is not None and scope["type"] == "http":
            send = self.cors.add_headers(send, origin)
        if reason := rejection_reason(scope, self.hosts, any_origin=origin is not None):
            return await _reject(scope, BoundedExchange(receive, send, None), 403, reason)
        if origin is not None and self.cors.is_preflight(scope):
            return await self.cors.answer_preflight(scope, send)
        try:
            authorized = await self._is_authorized(scope)
        except TooManyGuesses as error:
            return await self._refuse_guess(scope, send, error)
        if not authorized:
            return await self._request_login(scope, send)
        exchange = BoundedExchange(receive, send, self._body_limit(scope["path"]))
        if exchange.max_bytes is None or _content_length(scope) <= exchange.max_bytes:
            try:
                await self.app(scope, exchange.receive, exchange.send)
            except ClientDisconnect:
                pass  # raised in the application when a client leaves during its request: no answer is needed
            if not exchange.too_large:
                return
        reason = f"This is larger than {(exchange.max_bytes or 0) / 1e6:.0f} MB, the most that is taken at once; send less, or in parts."
        await _reject(scope, exchange, 413, reason)

    def _is_api(self, path: str) -> bool:
        return self.api_prefix is not None and path.startswith(self.api_prefix)

    def _body_limit(self, path: str) -> int | None:
        """Largest body of a request in bytes; None where the API limits it, or where there is no limit."""
        if self._is_api(path):
            return None
        if not path.startswith(UPLOAD_PATH):
            return MAX_BODY_BYTES
        return None if self.upload_bytes is None else MAX_FULL_FILES * self.upload_bytes + MAX_BODY_BYTES

    async def _is_authorized(self, scope: Scope) -> bool:
        if self.login is None or scope["path"] in OPEN_PATHS and scope["method"] in ("GET", "HEAD"):
            return True
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not authorization:  # as browsers ask first: not a guess
            return False
        with self._guesses.attempt(scope["client"][0] if scope.get("client") else "") as attempt:
            while (seconds := attempt.seconds_to_check()) > 0:
                await asyncio.sleep(seconds)
            if self.login.admits(authorization):
                return True
            await asyncio.sleep(attempt.failed())
        return False

    async def _refuse_guess(self, scope: Scope, send: Send, error: TooManyGuesses) -> None:
        """Answers 429, in the API's JSON form or as text."""
        content, content_type = str(error).encode(), PLAIN_TEXT
        if self._is_api(scope["path"]):
            api_error = ApiError(str(error), status=429, code="rate_limit_exceeded", kind=RATE_LIMITED)
            content, content_type = json.dumps(api_error.body()).encode(), JSON
        await _respond(scope, send, 429, content, content_type, (b"retry-after", str(error.retry_after).encode()))

    async def _request_login(self, scope: Scope, send: Send) -> None:
        """Answers 401, in the API's JSON form or as text."""
        error = unauthorized()
        content, content_type = b"Give the user and the password of this server.", PLAIN_TEXT
        if self._is_api(scope["path"]):
            content, content_type = json.dumps(error.body()).encode(), JSON
        challenge = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await _respond(scope, send, error.status, content, content_type, *challenge)


@dataclass
class BoundedExchange:
    """A request and its response, with a limit on the bytes of the body (max_bytes; None: no limit).

    A body beyond the limit looks to the application like a client that has disconnected. too_large: the limit was exceeded
    before the response started, so that the middleware answers instead. complete: the whole body has been received.
    """

    receive_raw: Receive
    send_raw: Send
    max_bytes: int | None
    received: int = 0
    response_started: bool = False
    too_large: bool = False
    complete: bool = False

    async def receive(self) -> Message:
        message = await self.receive_raw()
        self.received += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        self.complete = not message.get("more_body", False)
        if self.max_bytes is None or self.received <= self.max_bytes:
            return message
        self.too_large = self.too_large or not self.response_started
        return {"type": "http.disconnect"}

    async def discard(self, max_bytes: int) -> None:
        """Reads and drops the rest of the body, at most `max_bytes` bytes."""
        limit = self.received + max_bytes
        while not self.complete and self.received <= limit:
            await self.receive()

    async def send(self, message: Message) -> None:
        if self.too_large:
            return  # the application's answer to a disconnect that did not happen
        if message["type"] == "http.response.start":
            self.response_started = True
            headers = list(message.get("headers", []))
            names = {name.lower() for name, _ in headers}
            message = {**message, "headers": headers + [header for header in HEADERS if header[0] not in names]}
        await self.send_raw(message)


def rejection_reason(scope: Scope, hosts: Sequence[str] | None = None, *, any_origin: bool = False) -> str | None:
    """Why a request gets 403: an unknown Host, or an Origin of another site unless any_origin. None: it is allowed."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if hosts is not None and _split_url("//" + headers.get(b"host", "")).hostname not in hosts:
        return "This server does not go by that name; use the address that it printed."
    origin = headers.get(b"origin")
    if origin is not None and not any_origin and _split_url(origin).netloc not in (headers.get(b"host"), headers.get(b"x-forwarded-host")):
        return "A page of another site may not speak to this server."
    return None


def _split_url(url: str) -> SplitResult:
    """The parts of a client's URL; empty parts, which match no host, for an invalid one."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _content_length(scope: Scope) -> int:
    """The announced size of the body in bytes; 0 if it is unknown."""
    value = dict(scope["headers"]).get(b"content-length", b"")
    return int(value) if value.isdigit() else 0


async def _reject(scope: Scope, exchange: BoundedExchange, status: int, reason: str) -> None:
    """Answers, then reads on for a moment: closing a connection with unread data would discard the answer too."""
    if scope["type"] == "websocket":
        return await exchange.send_raw({"type": "websocket.close", "code": 1008})
    await _start_response(exchange.send_raw, status, reason.encode(), PLAIN_TEXT, CLOSE)
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await exchange.discard(MAX_DISCARDED_BYTES)
    await exchange.send_raw({"type": "http.response.body", "body": b""})


async def _respond(scope: Scope, send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008})
    await _start_response(send, status, content, *headers)
    await send({"type": "http.response.body", "body": b""})


async def _start_response(send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Sends a response except for its last, empty message. Content-Length lets a client read it before that message."""
    length = b"content-length", str(len(content)).encode()
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content, "more_body": True})
