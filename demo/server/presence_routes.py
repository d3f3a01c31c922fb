"""HTTP routes for the presence messages of open pages."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response

from demo.service.presence import Presence


def presence_router(presence: Presence, close: Callable[[str], None]) -> APIRouter:
    """Router of the messages that page.js sends. close: closes the session of a token; the token is the permission."""
    router = APIRouter()

    @router.post("/page/{token}/here", status_code=204, include_in_schema=False)
    def here(token: str) -> Response:
        presence.connected(token)
        return Response(status_code=204)

    @router.post("/page/{token}/gone", status_code=204, include_in_schema=False)
    def gone(token: str) -> Response:
        presence.connected(token)
        close(token)
        return Response(status_code=204)

    return router
