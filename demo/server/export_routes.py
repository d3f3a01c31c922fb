"""HTTP routes for what the page shows and a musician takes home of a piece: /media/{token}/{name}/{form}.

Everything is made when it is asked for. `score` is JSON for the page's piano roll, `stem` the sound of one part, `sheet` sheet music
and `spectrogram` a picture; the other forms are downloads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, JSONResponse, Response

from demo.page.spectrogram import spectrogram
from demo.server.file_stream import is_growing
from demo.server.media_routes import HEADERS, find_file
from demo.service.errors import UserFacingError, user_errors
from demo.service.exports import EXPORT_FORMATS, NO_NOTES
from demo.service.piece_files import PieceFiles
from demo.service.score_view import score_view
from demo.service.service import ChatService
from demo.service.sessions import Session
from llama.media.score import Score

STATUSES = {"user": 400, "busy": 429, "full": 503, "server": 500}
# Sheet music has its style and its font in the file. Neither they nor anything else in it may load or run something.
SVG_HEADERS = {**HEADERS, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; font-src data:; sandbox"}
GROWING = "The piece is still being made; ask again when it is complete."


class _Piece(NamedTuple):
    session: Session
    sound: Path
    score: Score | None


def export_router(service: ChatService) -> APIRouter:
    """Router of these forms. name: of the piece's wav file in the session's folder."""
    router = APIRouter()
    router.include_router(_page_router(service))

    @router.api_route("/media/{token}/{name}/{form}", methods=["GET", "HEAD"], include_in_schema=False)
    def export(token: str, name: str, form: str, bars: str = Query("")) -> Response:
        with _http_errors():
            if form not in EXPORT_FORMATS:
                raise FileNotFoundError(form)
            piece = _find(service, token, name)
            file = service.exporter.export(piece.session, piece.sound, piece.score, form, bars)
        return FileResponse(file.path, headers=HEADERS, media_type=file.content_type, filename=file.name)

    return router


def _page_router(service: ChatService) -> APIRouter:
    """Router of the forms that the page shows and plays."""
    router, files = APIRouter(), PieceFiles(service.exporter)

    @router.api_route("/media/{token}/{name}/score", methods=["GET", "HEAD"], include_in_schema=False)
    def score(token: str, name: str) -> Response:
        with _http_errors():
            piece = _find(service, token, name)
            if piece.score is None:
                raise UserFacingError(NO_NOTES)
            with user_errors():
                return JSONResponse(score_view(piece.score), headers=HEADERS)

    @router.api_route("/media/{token}/{name}/stem", methods=["GET", "HEAD"], include_in_schema=False)
    def stem(token: str, name: str, part: str = Query("")) -> Response:
        with _http_errors():
            return FileResponse(files.stem(*_find(service, token, name), part), headers=HEADERS, media_type="audio/wav")

    @router.api_route("/media/{token}/{name}/sheet", methods=["GET", "HEAD"], include_in_schema=False)
    def sheet(token: str, name: str, page: int = Query(0), size: str = Query("wide")) -> Response:
        """Without a page, or with page 0, how many there are."""
        with _http_errors():
            pages = files.sheet(*_find(service, token, name), size)
            if not page:
                return JSONResponse({"pages": len(pages)}, headers=HEADERS)
            if not 1 <= page <= len(pages):
                raise UserFacingError(f"The sheet music has no page {page}; give one from 1 to {len(pages)}.")
        return Response(pages[page - 1], headers=SVG_HEADERS, media_type="image/svg+xml")

    @router.api_route("/media/{token}/{name}/spectrogram", methods=["GET", "HEAD"], include_in_schema=False)
    def picture(token: str, name: str, dark: bool = Query(False)) -> Response:
        with _http_errors():
            piece = _find(service, token, name)
            if is_growing(piece.sound):
                raise UserFacingError(GROWING)
            kind = "spectrogram-dark" if dark else "spectrogram"

            def draw() -> bytes:
                return spectrogram(service.read_sound(piece.sound), dark)  # a recording is decoded outside of this process

            path = files.picture(piece.session, piece.sound, kind, draw)
        return FileResponse(path, headers=HEADERS, media_type="image/png")

    return router


def _find(service: ChatService, token: str, name: str) -> _Piece:
    """Raises FileNotFoundError where the session does not exist or has no such media file."""
    session, sound = service.sessions.get(token), find_file(service.sessions, token, name)
    if session is None:
        raise FileNotFoundError(name)
    return _Piece(session, sound, service.sessions.scores.get(sound))


@contextmanager
def _http_errors() -> Iterator[None]:
    """One answer for all that is not there, so that it does not reveal whether a token or a file exists."""
    try:
        yield
    except FileNotFoundError:
        raise HTTPException(404, "There is no such file here; it may have been deleted with its session.", HEADERS) from None
    except UserFacingError as error:
        raise HTTPException(STATUSES[error.category], str(error), HEADERS) from error
