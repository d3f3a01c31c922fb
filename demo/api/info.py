"""Routes beside /v1 for those who run and learn the API: /health, /openapi.json and /docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from demo.api import response as api_reply
from demo.api.docs_page import docs_page
from demo.api.openapi import VERSION, openapi_document
from demo.api.operations import OPERATIONS
from demo.service.service import ChatService

Json = dict[str, Any]
NO_STORE = {"Cache-Control": "no-store"}


def build_info_router(service: ChatService, model: str, routes: Sequence[Any], base: str = "", *, needs_login: bool = False) -> APIRouter:
    """Router of these three. model: its name; routes: those of the API; base: as in `build_router`; needs_login: whether --auth is set.

    /health needs no login: those who watch over a server ask for it, and it tells nothing of its users.
    """
    router = APIRouter()
    documented: list[Any] = [*routes]

    @router.get("/health", response_model=None, **OPERATIONS["GET", "/health"].route_fields())
    async def health() -> Response:
        reason = service.engine.closed
        body = {
            "status": "ok" if reason is None else "unavailable", "live": True, "ready": reason is None, "model": model, "version": VERSION,
            "error": reason,
        }  # fmt: skip
        return api_reply.JsonResponse(body, 200 if reason is None else 503, headers=NO_STORE)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        document = openapi_document(documented, address_of(request, base), model=model, needs_login=needs_login)
        return api_reply.JsonResponse(document, headers=NO_STORE)

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        document = openapi_document(documented, address_of(request, base), model=model, needs_login=needs_login)
        return HTMLResponse(docs_page(document), headers=NO_STORE)

    @router.get("/docs/", include_in_schema=False)
    async def docs_with_slash() -> Response:
        return RedirectResponse("../docs")  # its links are relative

    documented += [route for route in router.routes if getattr(route, "include_in_schema", False)]
    return router


def address_of(request: Request, base: str) -> str:
    """The address by which the client of a request calls this server. base: as in `build_router`; a whole address wins."""
    if urlsplit(base).netloc:
        return base
    headers = request.headers
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    scheme = headers.get("x-forwarded-proto", request.url.scheme).partition(",")[0].strip()
    return f"{'https' if scheme == 'https' else 'http'}://{host.partition(',')[0].strip()}{base}"
