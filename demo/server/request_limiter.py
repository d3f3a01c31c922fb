"""Limit on the requests that are answered at the same time, of all clients and of one address."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
FULL = "The server has as many requests as it can answer at once; try again in a few seconds."
ADDRESS_FULL = "Your address has as many requests here as it may have at once; wait until some have ended."
RETRY_AFTER = 5  # seconds


class RequestLimiter:
    """ASGI middleware that answers 503 beyond `total` requests at a time, and beyond `per_address` of one client address.

    Streams to open pages count for as long as they are open. An address cannot hold what others need.
    """

    def __init__(self, app: Any, total: int, per_address: int) -> None:
        self.app, self._total, self._per_address = app, total, per_address
        self._open: Counter[str] = Counter()  # requests by address; in the event loop only

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        address = scope["client"][0] if scope.get("client") else ""
        reason = FULL if self._open.total() >= self._total else ADDRESS_FULL if self._open[address] >= self._per_address else None
        if reason is not None:
            return await _refuse(send, reason)
        self._open[address] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


async def _refuse(send: Callable[[Message], Awaitable[None]], reason: str) -> None:
    """Answers 503 in the form of the API's errors, and closes the connection, since the request's body may be on its way."""
    content = json.dumps({"error": {"message": reason, "type": "server_error", "param": None, "code": "overloaded"}}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()),
        (b"retry-after", str(RETRY_AFTER).encode()), (b"connection", b"close"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": content})
