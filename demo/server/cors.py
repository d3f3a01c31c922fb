"""Cross-origin resource sharing: which pages of other sites may use the API from a browser (https://fetch.spec.whatwg.org).

Nothing is shared by default. Cookies are never part of it: a program sends the login in its Authorization header.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from llama.errors import shorten

ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?|null")
ANY = "*"
HEADER_NAMES = re.compile(r"[A-Za-z0-9-]{1,64}(?:\s*,\s*[A-Za-z0-9-]{1,64}){0,31}")
METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
EXPOSED = b"Content-Disposition, Location, Retry-After, X-Answer, X-Ignored-Fields, X-Piece-Id, X-Seconds, X-Seed"
MAX_AGE = b"600"  # seconds for which a browser keeps the answer to a preflight

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


def parse_origins(values: Sequence[str]) -> tuple[str, ...]:
    """Origins such as "https://example.com:8443", or "*" for all. Raises ValueError for anything else."""
    origins = tuple(value.strip().rstrip("/").lower() for value in values)
    for value, origin in zip(values, origins, strict=True):
        if origin != ANY and not ORIGIN.fullmatch(origin):
            raise ValueError(f"--cors-origin '{shorten(value)}' is no origin; give one such as https://example.com, without a path, or *.")
    return origins


class CorsPolicy:
    """Origins whose pages may use the API. origins: as `parse_origins` returns them."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def allowed_origin(self, scope: Scope) -> str | None:
        """The origin of a request of another site's page, if it may use the API."""
        origin = _header(scope, b"origin").lower()
        is_allowed = bool(origin) and (ANY in self._origins or origin in self._origins) and ORIGIN.fullmatch(origin)
        return origin if is_allowed else None

    def is_preflight(self, scope: Scope) -> bool:
        """Whether it is a browser's question before the request itself, which has no login yet."""
        return bool(scope["type"] == "http" and scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method"))

    def add_headers(self, send: Send, origin: str) -> Send:
        """A `send` whose responses the pages of `origin` may read, errors included."""
        allowed = ANY if ANY in self._origins else origin

        async def send_shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                shared = [(b"access-control-allow-origin", allowed.encode()), (b"access-control-expose-headers", EXPOSED),
                          (b"vary", b"Origin"), (b"cross-origin-resource-policy", b"cross-origin")]  # fmt: skip
                message = {**message, "headers": [*message.get("headers", []), *shared]}
            await send(message)

        return send_shared

    async def answer_preflight(self, scope: Scope, send: Send) -> None:
        """Says which methods and headers a request may have."""
        names = _header(scope, b"access-control-request-headers")
        headers = [(b"access-control-allow-methods", METHODS), (b"access-control-max-age", MAX_AGE)]
        if HEADER_NAMES.fullmatch(names):
            headers.append((b"access-control-allow-headers", names.encode()))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
