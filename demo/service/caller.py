"""Identity of a caller: its client address, and the key under which its requests are counted."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request


def _caller() -> str:
    """Each call has a session of its own, so that it is the address and the key that tell who asks, as in the API."""
    request = _request()
    return caller(request, "") if request is not None else ""


def page_client_address() -> str:
    """Where the event of the page that runs now comes from; empty where none does."""
    request = _request()
    return client_address(request) if request is not None else ""


def _request() -> Any:
    from gradio.context import LocalContext

    return LocalContext.request.get(None)


def caller(request: Request, user: str) -> str:
    """Key of the caller of a request: a hash of its API key, client address and user name. user: as the client sent it."""
    parts = (request.headers.get("authorization", ""), client_address(request), user)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def client_address(request: Request) -> str:
    """IP address that a request comes from; empty if unknown. The only part of a caller's identity it cannot choose."""
    return request.client.host if request.client is not None else ""
