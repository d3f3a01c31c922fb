"""HTTP route for what a musician takes home of a piece on the page: /media/{token}/{name}/{form}, made when it is asked for."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, Response

from demo.server.media_routes import HEADERS, find_file
from demo.service.errors import UserFacingError
from demo.service.exports import EXPORT_FORMATS
from demo.service.service import ChatService

STATUSES = {"user": 400, "busy": 429, "full": 503, "server": 500}


def export_router(service: ChatService) -> APIRouter:
    """Router of the exports. name: of the piece's wav file; form: a key of EXPORT_FORMATS; ?bars= of a loop."""
    router = APIRouter()

    @router.api_route("/media/{token}/{name}/{form}", methods=["GET", "HEAD"], include_in_schema=False)
    def export(token: str, name: str, form: str, bars: str = Query("")) -> Response:
        session = service.sessions.get(token)
        try:
            sound = find_file(service.sessions, token, name)
            if session is None or form not in EXPORT_FORMATS:
                raise FileNotFoundError(name)
            file = service.exporter.export(session, sound, service.sessions.scores.get(sound), form, bars)
        except FileNotFoundError:
            raise HTTPException(404, "There is no such file here; it may have been deleted with its session.", HEADERS) from None
        except UserFacingError as error:
            raise HTTPException(STATUSES[error.category], str(error), HEADERS) from error
        return FileResponse(file.path, headers=HEADERS, media_type=file.content_type, filename=file.name)

    return router
