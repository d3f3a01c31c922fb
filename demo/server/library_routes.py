"""HTTP route of a page's whole library: /page/{token}/all.zip, written while it is sent.

HEAD says whether it can be had, and what it lacks, without writing anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from demo.page.page_session import CLOSED
from demo.server.export_routes import STATUSES
from demo.server.media_routes import HEADERS
from demo.service.errors import UserFacingError
from demo.service.library_archive import ArchivedPiece, archive_blocks, plan_archive

if TYPE_CHECKING:
    from demo.page.controller import Page
    from demo.page.page_session import PageSession

NAME = "mumu-llama-pieces.zip"
LEFT_OUT = "X-Left-Out"  # header: one sentence, percent-encoded UTF-8


def library_router(page: Page) -> APIRouter:
    """Router of the archive. The token is the permission. ?starred=1: of the pieces with a star alone."""
    router = APIRouter()

    @router.api_route("/page/{token}/all.zip", methods=["GET", "HEAD"], include_in_schema=False)
    def archive(request: Request, token: str, starred: bool = False) -> Response:
        state = page.pages.find(token)
        if state is None:
            raise HTTPException(404, CLOSED, HEADERS)
        try:
            plan = plan_archive(archived_pieces(page, state, starred))
        except UserFacingError as error:
            raise HTTPException(STATUSES[error.category], str(error), HEADERS) from error
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{NAME}"'}
        if plan.summary:
            headers[LEFT_OUT] = quote(plan.summary)
        if request.method == "HEAD":
            response = Response(headers=headers, media_type="application/zip")
            del response.headers["Content-Length"]  # not known before it is written
            return response
        blocks = archive_blocks(page.service.exporter, page.sessions, state.session, plan)
        return StreamingResponse(blocks, headers=headers, media_type="application/zip")

    return router


def archived_pieces(page: Page, state: PageSession, starred: bool) -> list[ArchivedPiece]:
    """The pieces of a page's session, oldest first."""
    with state.lock:
        records = [record for record in state.contents.pieces.values() if record.starred or not starred]
    scores, sounds = page.sessions.scores, [record.piece.sound for record in records]
    return [
        ArchivedPiece(sound, scores.get(sound), record.name, scores.label(sound)) for record, sound in zip(records, sounds, strict=True)
    ]
