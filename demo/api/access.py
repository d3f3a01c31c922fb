"""Access to the API: authentication, and limits on the size, time and memory of request bodies."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from fastapi import Request

from demo.api.protocol import RATE_LIMITED, ApiError
from demo.service.auth import Login
from llama.errors import shorten

BODY_TIMEOUT = 120.0  # seconds for a body to arrive: the largest one at 5 Mbit/s
WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # content encoding -> `wbits` of zlib
INFLATED_BYTES = 1 << 20  # decompressed at a time: a body of kilobytes may hold gigabytes


def authentication(auth: str | None) -> Callable[[Request], None]:
    """FastAPI dependency that checks `auth`, "user:password", sent by HTTP Basic or as a Bearer token; None: no login.

    Raises ValueError for an `auth` without user or password.
    """
    login = None if auth is None else Login.parse(auth)

    def check(request: Request) -> None:
        if login is not None and not login.admits(request.headers.get("authorization", "")):
            raise unauthorized()

    return check


def client_address(request: Request) -> str:
    """IP address that a request comes from; empty if unknown."""
    return request.client.host if request.client is not None else ""


def unauthorized() -> ApiError:
    """401 error of a request without the login."""
    message = "The user or password is wrong or missing; send user:password as the API key or by HTTP Basic."
    return ApiError(message, status=401, code="invalid_api_key", headers={"WWW-Authenticate": 'Basic realm="MuMu-LLaMA", charset="UTF-8"'})


class BodyMemoryBudget:
    """Global limit on the memory used by request bodies that are being received. Used in the server's event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0

    @contextmanager
    def reserve(self) -> Iterator[Callable[[int], None]]:
        """Context manager that yields `acquire(bytes)`; everything acquired is released at its end.

        `acquire` raises `ApiError` (429) if the limit would be exceeded.
        """
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
    """Receives the body of a request. A larger one than `limit` bytes, announced or sent, is rejected before it is stored.

    A body in gzip or deflate is decompressed while it arrives, with the same limit on what it holds.
    Content types other than JSON are rejected: browsers send those across origins without asking the server first.
    acquire: called with the size of each chunk before it is stored; within: seconds for the whole body.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError("The content type is not application/json; send JSON, and say so in the header Content-Type.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _body_too_large(limit)
    content = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in _decompress(request.stream(), request.headers.get("content-encoding", "")):
                if len(content) + len(chunk) > limit:
                    raise _body_too_large(limit)
                acquire(len(chunk))
                content += chunk
    except TimeoutError as error:
        message = f"The request had not arrived after {within:g} seconds; send it again, in one go."
        raise ApiError(message, status=408, code="timeout", headers={"Connection": "close"}) from error
    return bytes(content)


async def _decompress(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The body in parts of at most `INFLATED_BYTES` where it is compressed. Raises `ApiError`: 415 for another encoding."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        async for chunk in chunks:
            yield chunk
        return
    if name not in WINDOW_BITS:
        message = f"The content encoding '{shorten(encoding)}' is not known here; send the body as it is, or in gzip or deflate."
        raise ApiError(message, status=415, code="unsupported_content_encoding")
    decoder = zlib.decompressobj(WINDOW_BITS[name])
    async for chunk in chunks:
        full = True  # whether there may be more than the last part
        while full:
            part = _inflate(decoder, chunk, name)
            chunk = decoder.unconsumed_tail
            full = len(part) == INFLATED_BYTES
            yield part
            await asyncio.sleep(0)  # others are answered in between
        if decoder.unused_data:  # the decoder would keep all that follows its end, and copy it with each chunk
            raise _body_damaged(name)
    if not decoder.eof:
        raise _body_damaged(name)


def _inflate(decoder: zlib._Decompress, chunk: bytes, name: str) -> bytes:
    try:
        return decoder.decompress(chunk, INFLATED_BYTES)
    except zlib.error as error:
        raise _body_damaged(name) from error


def _body_damaged(name: str) -> ApiError:
    return ApiError(f"The body of the request is no whole {name} file, as its Content-Encoding says; send it again, or uncompressed.")


def _body_too_large(limit: int) -> ApiError:
    message = f"The request is larger than {limit / 1e6:.0f} MB, the most that is taken; send shorter or fewer files."
    return ApiError(message, status=413, code="request_too_large", headers={"Connection": "close"})
