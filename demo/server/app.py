"""One application of the page, the media it shows and the API: one address, one lock on the door."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from demo.page.theme import TITLE, css, theme
from demo.server import http_server as serving
from demo.server.access_middleware import LOCAL_HOSTS, AccessMiddleware, refusal
from demo.server.gradio_patches import patch_downloads, patch_uploads
from demo.server.http_server import server
from demo.service.auth import Login

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import APIRouter, FastAPI

__all__ = ["LOCAL_HOSTS", "launchable", "mount", "refusal", "serve", "server"]

THREADS = 200  # of the page; a thread waits for the next update of each answer


def mount(
    blocks: gr.Blocks, routers: Sequence[APIRouter], *, login: Login | None = None, keeps: str | None = None,
    upload_bytes: int | None = None, hosts: Sequence[str] | None = None,
) -> FastAPI:
    """The whole as one application: `routers` first, the page below "/". keeps, hosts: as `AccessMiddleware` has them."""
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, openapi_url=None)
    for router in routers:
        app.include_router(router)
    patch_uploads()
    patch_downloads()
    blocks.has_launched = True  # gradio takes any path of this machine as an upload of a page that was mounted, not launched
    blocks.max_threads = THREADS
    gr.mount_gradio_app(
        app, blocks, path="/", theme=theme(), css=css(), footer_links=["api", "settings"], run_history=False, show_error=False,
        ssr_mode=False, max_file_size=upload_bytes, enable_monitoring=False, pwa=False, mcp_server=False,
    )  # fmt: skip
    app.add_middleware(AccessMiddleware, login=login, keeps=keeps, hosts=hosts, upload_bytes=upload_bytes)
    return app


def launchable(blocks: gr.Blocks, routers: Sequence[APIRouter]) -> gr.Blocks:
    """The page with a `launch` that brings what it cannot do without: its own routes, its looks."""
    patch_uploads()
    patch_downloads()
    routes = [route for router in routers for route in router.routes]
    launch = functools.partial(blocks.launch, theme=theme(), css=css(), ssr_mode=False, app_kwargs={"routes": routes})
    setattr(blocks, "launch", launch)  # noqa: B010 - a method of the library's class
    return blocks


def serve(app: FastAPI, host: str, port: int, *, share: bool = False) -> None:
    """Until Ctrl-C. share: at a public address of gradio's, too. Raises OSError where the port is taken."""
    serving.serve(app, host, port, _tunnel if share else None)


def _tunnel(port: int) -> str:
    """A public address through gradio's servers, which is asked for by --share alone."""
    from gradio import networking

    return networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
