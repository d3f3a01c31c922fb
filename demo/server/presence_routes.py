"""HTTP routes for the presence messages of open pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from demo.page.page_session import CLOSED

if TYPE_CHECKING:
    from demo.service.sessions import Sessions


def presence_router(sessions: Sessions) -> APIRouter:
    """Router of the messages of a page. The token is the permission.

    here: the page is open; 404 tells it that its session is over. away: it was left; `Sessions.away_seconds` later its session ends,
    unless it comes back.
    """
    router = APIRouter()

    @router.post("/page/{token}/here", include_in_schema=False)
    def here(token: str) -> Response:
        return Response(status_code=204) if sessions.here(token) is not None else JSONResponse({"error": CLOSED}, 404)

    @router.post("/page/{token}/away", include_in_schema=False)
    def away(token: str) -> Response:
        sessions.away(token)
        return Response(status_code=204)

    return router
