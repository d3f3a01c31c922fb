"""HTTP routes by which an open page tells that it is still there."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response

from demo.service.presence import Presence


def presence_router(presence: Presence, close: Callable[[str], None]) -> APIRouter:
    """What the page's script says of itself. close: ends the session of a token; who knows one may end it."""
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
