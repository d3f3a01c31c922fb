"""One server for the page, the media it shows and the API: one address, one lock on the door, one clean end."""

from __future__ import annotations

import functools
import secrets
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from demo.login import Login
from demo.style import TITLE, css, theme

if TYPE_CHECKING:
    import gradio as gr
    import uvicorn
    from fastapi import APIRouter, FastAPI

SHUTDOWN = 3  # seconds that open streams have to end when the server stops
THREADS = 200  # of the page; a thread waits for the next update of each answer
# What a page may load: its own files. gradio builds its page from inline scripts and templates.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),  # addresses of media hold the session's token
    (b"x-content-type-options", b"nosniff"),
)

HERE = ("127.0.0.1", "localhost", "::1")  # what a server that only this machine can reach goes by
UNUSED = ("proxy=", "file=http:", "file=https:", "process_recording", "deep_link", "vibe", "undo-vibe", "stream/")
TALK = ("/gradio_api/queue/", "/gradio_api/call/", "/gradio_api/run/", "/gradio_api/api/", "/gradio_api/component_server")
MOST_TALK = 1 << 20  # bytes of a request without files

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Door:
    """Asks everybody for the login, whatever they want, and says in every answer what a page may load.

    keeps: paths that begin so ask for it themselves, in the form that their clients read. hosts: the names that the server
    goes by (None: any); another site may let its own name lead to this machine, and then speaks as if it were this one.
    """

    def __init__(self, app: Any, login: Login | None = None, keeps: str | None = None, hosts: Sequence[str] | None = None) -> None:
        self.app, self.login, self.keeps, self.hosts = app, login, keeps, hosts

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if reason := refusal(scope, self.hosts):
            return await _refuse(scope, send, reason)
        kept = self.keeps is not None and scope["path"].startswith(self.keeps)
        if self.login is not None and not kept and not self.login.admits(header):
            return await _ask(scope, send)

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                names = {name.lower() for name, _ in given}
                message = {**message, "headers": given + [pair for pair in HEADERS if pair[0] not in names]}
            await send(message)

        await self.app(scope, receive, sent)


def refusal(scope: Scope, hosts: Sequence[str] | None = None) -> str | None:
    """Why a request is not for the page, if so: a page of another site speaks, a route is asked for that nothing here uses, or
    more is announced than any of the page's own messages holds."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if hosts is not None and urlsplit("//" + headers.get(b"host", "")).hostname not in hosts:
        return "This server does not go by that name; use the address that it printed."
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin).netloc not in (headers.get(b"host"), headers.get(b"x-forwarded-host")):
        return "A page of another site may not speak to this server."
    path = scope["path"].lower()
    if path.startswith("/gradio_api/") and path[len("/gradio_api/"):].startswith(UNUSED):
        return "This server does not offer that."
    announced = headers.get(b"content-length", "")
    if path.startswith(TALK) and announced.isdecimal() and int(announced) > MOST_TALK:
        return "This is larger than any message of the page."
    return None


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008})
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})


async def _ask(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008})
    headers = [(b"www-authenticate", b'Basic realm="MuMu-LLaMA", charset="UTF-8"'), (b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"Give the user and the password of this server."})


def mount(
    blocks: gr.Blocks, routers: Sequence[APIRouter], *, login: Login | None = None, keeps: str | None = None,
    upload_bytes: int | None = None, hosts: Sequence[str] | None = None,
) -> FastAPI:
    """The whole as one application: `routers` first, the page below "/". keeps, hosts: as `Door` has them."""
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, openapi_url=None)
    for router in routers:
        app.include_router(router)
    _own_place_for_each_upload()
    _nothing_from_outside()
    blocks.has_launched = True  # gradio takes any path of this machine as an upload of a page that was mounted, not launched
    blocks.max_threads = THREADS
    gr.mount_gradio_app(
        app, blocks, path="/", theme=theme(), css=css(), footer_links=["api", "settings"], run_history=False, show_error=False,
        ssr_mode=False, max_file_size=upload_bytes, enable_monitoring=False, pwa=False, mcp_server=False,
    )  # fmt: skip
    app.add_middleware(Door, login=login, keeps=keeps, hosts=hosts)
    return app


def launchable(blocks: gr.Blocks, routers: Sequence[APIRouter]) -> gr.Blocks:
    """The page with a `launch` that brings what it cannot do without: its own routes, its looks."""
    _own_place_for_each_upload()
    _nothing_from_outside()
    routes = [route for router in routers for route in router.routes]
    launch = functools.partial(blocks.launch, theme=theme(), css=css(), ssr_mode=False, app_kwargs={"routes": routes})
    setattr(blocks, "launch", launch)  # noqa: B010 - a method of the library's class
    return blocks


def _own_place_for_each_upload() -> None:
    """gradio names an upload by its content: two users with one file would share it, and the first to be done deletes it."""
    from gradio import route_utils

    class Arrived(route_utils.GradioUploadFile):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.sha.update(secrets.token_bytes(32))

    setattr(route_utils, "GradioUploadFile", Arrived)  # noqa: B010 - the library offers no other way to name its uploads


def _nothing_from_outside() -> None:
    """gradio fetches what a client gives as the address of a file, and asks a resolver on the internet where that is."""
    from gradio import processing_utils

    def refused(url: str, *arguments: Any, **named: Any) -> str:
        raise ValueError("This server fetches nothing; send the file itself.")

    async def refused_later(url: str, *arguments: Any, **named: Any) -> str:
        return refused(url)

    for name in ("ssrf_protected_download", "async_ssrf_protected_download"):
        setattr(processing_utils, name, refused_later if name.startswith("async") else refused)


def serve(app: FastAPI, host: str, port: int, *, share: bool = False) -> None:
    """Until Ctrl-C, which lets open answers end for a moment. Raises OSError where the port is taken."""
    if threading.current_thread() is threading.main_thread():  # what stops services ends it as Ctrl-C does, files and all
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as door:
        shown = f"[{host}]" if ":" in host else host
        print(f"{TITLE}: http://{shown}:{door.getsockname()[1]}/", flush=True)
        if share:
            print(f"Public address: {_tunnel(door.getsockname()[1])}", flush=True)
        server(app).run(sockets=[door])


def server(app: FastAPI) -> uvicorn.Server:
    """A server whose end is told to open pages first: their connections would hold it up, and end in errors."""
    import uvicorn

    class Ending(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for route in app.routes:
                ended = getattr(getattr(route, "app", None), "stop_event", None)  # gradio's
                if ended is not None:
                    ended.set()
            await super().shutdown(sockets)

    return Ending(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN, access_log=False))


def _tunnel(port: int) -> str:
    """A public address through gradio's servers, which is asked for by --share alone."""
    from gradio import networking

    return networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
