"""Who may speak to the API, who is who, and how much they may say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import Request

from demo.api.protocol import RATE_LIMITED, ApiError
from demo.service.auth import Login

BODY_TIMEOUT = 120.0  # seconds in which a body has to arrive: the largest at 5 Mbit/s


def authentication(auth: str | None) -> Callable[[Request], None]:
    """A dependency that lets in who knows `auth`, "user:password", by HTTP Basic or as a Bearer token; None: everybody.

    Raises ValueError for an `auth` that nobody could give.
    """
    login = None if auth is None else Login.parse(auth)

    def check(request: Request) -> None:
        if login is not None and not login.admits(request.headers.get("authorization", "")):
            raise unauthorized()

    return check


def unauthorized() -> ApiError:
    """Whoever does not know the login."""
    message = "The user or password is wrong or missing; send user:password as the API key or by HTTP Basic."
    return ApiError(message, status=401, code="invalid_api_key", headers={"WWW-Authenticate": 'Basic realm="MuMu-LLaMA", charset="UTF-8"'})


class BodyMemoryBudget:
    """What the bodies of all requests hold together, in bytes, until they are read. Used in the server's event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0

    @contextmanager
    def reserve(self) -> Iterator[Callable[[int], None]]:
        """Inside, room can be taken, in bytes; it is given back at the end. Raises `ApiError` where there is none left."""
        own = 0

        def acquire(size: int) -> None:
            nonlocal own
            if self._used + size > self._limit:
                raise ApiError("Too much is being sent to this server at once; try again in a moment.", status=429,
                               code="rate_limit_exceeded", kind=RATE_LIMITED, headers={"Retry-After": "5", "Connection": "close"})
            own += size
            self._used += size

        try:
            yield acquire
        finally:
            self._used -= own


async def read_body(
    request: Request, limit: int, acquire: Callable[[int], None] = lambda size: None, within: float = BODY_TIMEOUT
) -> bytes:
    """The body, at most `limit` bytes of it; whoever announces or sends more is told so before it is held.

    Another type than JSON is refused, too: a page of somebody else's could have a browser send those to this machine.
    take: is told of all bytes before they are kept; within: seconds that the whole may take.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError("The content type is not application/json; send JSON, and say so in the header Content-Type.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _body_too_large(limit)
    content = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in request.stream():
                if len(content) + len(chunk) > limit:
                    raise _body_too_large(limit)
                acquire(len(chunk))
                content += chunk
    except TimeoutError as error:
        message = f"The request had not arrived after {within:g} seconds; send it again, in one go."
        raise ApiError(message, status=408, code="timeout", headers={"Connection": "close"}) from error
    return bytes(content)


def _body_too_large(limit: int) -> ApiError:
    message = f"The request is larger than {limit / 1e6:.0f} MB, the most that is taken; send shorter or fewer files."
    return ApiError(message, status=413, code="request_too_large", headers={"Connection": "close"})
