"""Endpoints of stored pieces, `/v1/audio/{id}/{form}`, and of the model."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from demo.api.generations import PRIVATE, file_response
from demo.api.job import JobHandler
from demo.api.protocol import ApiError, unknown_model
from demo.api.response import JsonResponse
from demo.api.route import caller_of
from demo.service.exports import EXPORT_FORMATS
from llama.errors import shorten

Json = dict[str, Any]
VIEWS = ("score", "stem", "sheet")  # forms to show and to play, beside those to take home
STORED_FORMS = ("wav", *(form for form in EXPORT_FORMATS if form not in ("wav", *VIEWS)), *VIEWS)
SVG_HEADERS = {**PRIVATE, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; font-src data:; sandbox"}


class PieceEndpoints:
    """Endpoints of stored pieces and of the model. created: seconds since 1970."""

    def __init__(self, handler: JobHandler, model: str, created: int) -> None:
        self._handler, self._model = handler, model
        self._model_info = {"id": model, "object": "model", "created": created, "owned_by": "mumu-llama"}

    async def list_models(self) -> Json:
        """List of models, which has one entry."""
        return {"object": "list", "data": [self._model_info]}

    async def model_info(self, name: str) -> Json:
        """Model of that name. Raises `ApiError` (404) for another name."""
        if name.removesuffix("/") != self._model:
            raise unknown_model(name, self._model)
        return self._model_info

    async def unknown_route(self, request: Request) -> None:
        """404 error for every other path."""
        route = f"{request.method} {shorten(request.url.path)}"
        raise ApiError(f"There is no {route} here; GET /docs lists what there is.", status=404, code="unknown_url")

    async def export(
        self, request: Request, audio_id: str, form: str, bars: str = "", part: str = "", page: str = "", size: str = "wide", user: str = ""
    ) -> Response:
        """A piece of the last hour in another form. bars: of a loop; part: of a stem; page, size: of a sheet. user: as in its request."""
        if form not in STORED_FORMS:
            raise ApiError(f"There is no form {shorten(form)} of a piece; use {', '.join(STORED_FORMS)}.", status=404, code="unknown_url")
        caller = caller_of(request, user)
        if form == "score":
            return JsonResponse(await run_in_threadpool(self._handler.score, audio_id, caller), headers=PRIVATE)
        if form == "stem":
            path = await run_in_threadpool(self._handler.stem, audio_id, caller, part)
            return FileResponse(path, headers=PRIVATE, media_type="audio/wav", filename=f"{part}.wav")
        if form == "sheet":
            pages = await run_in_threadpool(self._handler.sheet, audio_id, caller, size)
            return _sheet(pages, page)
        return file_response(await run_in_threadpool(self._handler.export, audio_id, caller, form, bars), PRIVATE)


def _sheet(pages: list[str], page: str) -> Response:
    """One page of sheet music; without its number, how many there are. Raises `ApiError` (400)."""
    if not page:
        return JsonResponse({"pages": len(pages)}, headers=PRIVATE)
    if not page.isascii() or not page.isdigit() or not 1 <= int(page[:9]) <= len(pages):
        raise ApiError(f"The sheet music has no page {shorten(page)}; give one from 1 to {len(pages)}.", param="page")
    return Response(pages[int(page) - 1], headers=SVG_HEADERS, media_type="image/svg+xml")
