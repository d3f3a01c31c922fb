"""HTTP routes for the page's own modules and style sheets: /page-assets/{digest}/{name}, cached by browsers for good."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from demo.page.page_assets import PREFIX, PageAssets

CONTENT_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


def asset_router(assets: PageAssets) -> APIRouter:
    """Router of these files and no others. An address of another version is not found: its content would be cached for good."""
    router = APIRouter()

    @router.api_route(f"/{PREFIX}/{{digest}}/{{name}}", methods=["GET", "HEAD"], include_in_schema=False)
    def asset(digest: str, name: str) -> Response:
        content = assets.files.get(name) if digest == assets.digest else None
        if content is None:
            raise HTTPException(404, "There is no such file here; load the page again.", {"Cache-Control": "no-store"})
        return Response(content, headers=HEADERS, media_type=CONTENT_TYPES[name.rpartition(".")[2]])

    return router
