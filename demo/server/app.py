"""The ASGI application: page, media routes and API behind one access control."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from demo.page.theme import TITLE, css, theme
from demo.server import http_server
from demo.server.access_middleware import AccessMiddleware
from demo.server.cors import CorsPolicy
from demo.server.gradio_patches import open_tunnel, patch_downloads, patch_tracebacks, patch_uploads, require_uploads
from demo.server.metrics import MetricsMiddleware, ServerMetrics
from demo.server.page_routes import PageRoutesMiddleware
from demo.server.root_path import RootPathMiddleware
from demo.service.auth import Login

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import APIRouter, FastAPI

# The others are gradio's.
OWN_ROUTES = ("/v1", "/media/", "/page/", "/page-assets/", "/health", "/metrics", "/openapi.json", "/docs")
MAX_SESSIONS = 2000  # of pages and programs that gradio keeps the state of, 64 kB each; clients make up their names
MAX_THREADS = 200  # of gradio's pool: each running call of /respond holds one thread that waits for its next update


def create_app(
    blocks: gr.Blocks, routers: Sequence[APIRouter], *, login: Login | None = None, api_prefix: str | None = None,
    upload_bytes: int | None = None, hosts: Sequence[str] | None = None, root_path: str = "", cors: CorsPolicy | None = None,
    metrics: ServerMetrics | None = None,
) -> FastAPI:
    """The application: `routers` first, then the page at "/".

    root_path: where a proxy serves it, as `parse_root_path` returns it. metrics: counts the requests (None: nothing does). The other
    arguments are those of `AccessMiddleware`.
    """
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, openapi_url=None)
    for router in routers:
        app.include_router(router)
    patch_uploads()
    patch_downloads()
    patch_tracebacks()
    require_uploads(blocks)
    blocks.max_threads, blocks.state_session_capacity = MAX_THREADS, MAX_SESSIONS
    gr.mount_gradio_app(
        app, blocks, path="/", theme=theme(), css=css(), footer_links=[], run_history=False, show_error=False,
        ssr_mode=False, max_file_size=upload_bytes, enable_monitoring=False, pwa=False, mcp_server=False,
        root_path=root_path or None,
    )  # fmt: skip
    app.add_middleware(PageRoutesMiddleware, blocks=blocks, own=OWN_ROUTES)
    app.add_middleware(AccessMiddleware, login=login, api_prefix=api_prefix, hosts=hosts, upload_bytes=upload_bytes, cors=cors)
    if metrics is not None:
        app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(RootPathMiddleware, root_path=root_path)  # outermost: the others see the paths that this server knows
    return app


def add_launch(blocks: gr.Blocks, routers: Sequence[APIRouter]) -> gr.Blocks:
    """Gives the page a `launch` method with its theme, style sheet and routes already set."""
    patch_uploads()
    patch_downloads()
    patch_tracebacks()
    routes = [route for router in routers for route in router.routes]
    launch = functools.partial(blocks.launch, theme=theme(), css=css(), ssr_mode=False, app_kwargs={"routes": routes})
    setattr(blocks, "launch", launch)  # noqa: B010 - replaces a method of this object only
    return blocks


def serve(app: FastAPI, host: str, port: int, *, share: bool = False) -> None:
    """Serves until Ctrl-C. share: also at a public address of gradio. Raises OSError if the port is taken."""
    http_server.serve(app, host, port, open_tunnel if share else None)
