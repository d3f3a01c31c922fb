"""The sub-path at which a reverse proxy serves the page and the API, such as https://example.com/mumu."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

from llama.errors import shorten

ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d+)?(|/.*)")


def parse_root_path(value: str) -> str:
    """A path as "/mumu", or the whole address as "https://example.com/mumu"; empty for none.

    Raises ValueError for anything else.
    """
    given = value.strip().rstrip("/")
    address = ADDRESS.fullmatch(given)
    path = address[1] if address else given and "/" + given.removeprefix("/")
    if not ROOT_PATH.fullmatch(path):
        raise ValueError(f"--root_path '{shorten(value)}' is no path; give one such as /mumu, or the address, as https://example.com/mumu.")
    return given if address else path


def public_hosts(root_path: str) -> list[str]:
    """The host of a whole address, by whose name a proxy may call this server; none for a path."""
    name = urlsplit(root_path).hostname
    return [name] if name else []


class RootPathMiddleware:
    """Removes the sub-path from the paths of requests, so that it does not matter whether the proxy has removed it.

    The sub-path without a slash at its end is redirected there: the page's media have relative addresses. The host of a whole
    address stands for an X-Forwarded-Host that the proxy does not send. root_path: as `parse_root_path` returns it.
    """

    def __init__(self, app: Any, root_path: str) -> None:
        self.app, self._prefix, self._host = app, urlsplit(root_path).path, urlsplit(root_path).netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if self._host and not any(name == b"x-forwarded-host" for name, _ in scope["headers"]):
            scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-host", self._host.encode())]}
        path, raw_path = scope["path"], scope.get("raw_path") or b""
        if self._prefix and path == self._prefix and scope["type"] == "http":
            return await RedirectResponse(f"{self._prefix}/")(scope, receive, send)
        if self._prefix and path.startswith(f"{self._prefix}/"):
            scope = {**scope, "path": path.removeprefix(self._prefix), "raw_path": raw_path.removeprefix(self._prefix.encode())}
        await self.app(scope, receive, send)
