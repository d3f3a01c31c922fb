"""The server: a web page and an OpenAI-compatible HTTP API. Text, audio, images and video in; text and music out.

    python gradio_app.py
    python gradio_app.py --host 0.0.0.0 --auth listener:secret
    python gradio_app.py --model ./ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth --llama_dir ./ckpts/LLaMA-2 --music_decoder musicgen

Each browser page has its own conversation and its own folder of files, which is deleted when the page is closed.
"""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llama.cli import add_model_flags, load_model
from llama.console import CommandParser, argument_text
from llama.errors import COMMAND_ERRORS, importing, sentence

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import APIRouter, FastAPI

    from demo.page.controller import Page
    from demo.service.auth import Login
    from demo.service.service import ChatService
    from llama.mumu_llama import MuMuLLaMA

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

MAX_QUEUED_REQUESTS = 64  # further requests are refused until one has left the queue


def interrupt_process() -> None:
    """Ends this process as Ctrl-C does. Can be called from any thread, while the main thread is blocked."""
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def run_service(model: MuMuLLaMA, max_queued_requests: int = MAX_QUEUED_REQUESTS) -> Iterator[ChatService]:
    """A chat service on an engine of its own; the engine and all session files end with the block.

    An engine that fails interrupts the block as Ctrl-C does, and `EngineDeadError` is raised, so that a supervisor can
    restart the server.
    """
    from demo.service.service import ChatService
    from demo.service.sessions import Sessions
    from llama.serving.engine import Engine, use_single_thread
    from llama.serving.media_client import MODULES, MediaWorkerClient
    from llama.serving.request import EngineDeadError
    from llama.serving.worker_client import should_use_worker

    use_single_thread(model)
    sessions = Sessions(sweep_every=60)
    try:
        with MediaWorkerClient(modules=(*MODULES, "demo.service.media_probe")) as media_worker, Engine(
            model, max_queued_requests=max_queued_requests, use_worker=should_use_worker(model), media_worker=media_worker,
            on_failure=interrupt_process,
        ) as engine:
            try:
                yield ChatService(engine, sessions, media_worker=media_worker)
            except KeyboardInterrupt:
                if engine.closed is None:
                    raise
            if engine.closed is not None:  # also where SIGINT is ignored, as in a script's background process
                raise EngineDeadError(engine.closed)
    finally:
        sessions.close_all()


def build_app(model: MuMuLLaMA, service: ChatService | None = None, name: str = "") -> gr.Blocks:
    """The page alone, to be launched with gradio's `launch()`. `build_application` serves it together with the API.

    service: answers the requests (None: one with an engine of its own, which ends with the process).
    """
    from demo.page.controller import Page
    from demo.server.app import add_launch
    from demo.service.service import ChatService

    if service is None:
        from demo.service.sessions import Sessions
        from llama.serving.engine import Engine

        service = ChatService(Engine(model), Sessions(sweep_every=60))
    page = Page(service)
    return add_launch(_build_blocks(model, page, name), page_routers(page))


def _build_blocks(model: MuMuLLaMA, page: Page, name: str) -> gr.Blocks:
    from demo.api.edit_field import read_edit
    from demo.page.layout import About, build
    from demo.server.gradio_patches import patch_controls

    os.environ["GRADIO_TEMP_DIR"] = str(page.upload_dir)  # read when gradio makes a page and a server
    about = About(name or "mumu-llama", device_name(model), supports_captions(model), edits_notes(model))
    blocks = build(page, about, read_edit)
    patch_controls(blocks)
    return blocks


def page_routers(page: Page) -> list[APIRouter]:
    """The routes of the page beside gradio's own: its modules, session media, pieces in other forms, and the page's state."""
    from demo.page.page_assets import page_assets
    from demo.server.asset_routes import asset_router
    from demo.server.export_routes import export_router
    from demo.server.library_routes import library_router
    from demo.server.media_routes import media_router
    from demo.server.page_actions import actions_router
    from demo.server.page_events import events_router
    from demo.server.presence_routes import presence_router

    return [
        asset_router(page_assets()), media_router(page.sessions), export_router(page.service),
        events_router(page.pages), actions_router(page), presence_router(page.sessions), library_router(page),
    ]  # fmt: skip


def build_application(
    model: MuMuLLaMA, service: ChatService, *, login: Login | None = None, name: str = "", hosts: Sequence[str] | None = None,
    root_path: str = "", origins: Sequence[str] = (),
) -> FastAPI:
    """Page, media and API as one ASGI application.

    hosts: accepted values of the Host header (None: any). root_path: where a proxy serves it, as "/mumu" or as a whole address.
    origins: of other sites whose pages may use the API, as `parse_origins` returns them.
    """
    from demo.api.info import build_info_router
    from demo.api.router import build_router
    from demo.page.controller import Page
    from demo.server.app import create_app
    from demo.server.cors import CorsPolicy
    from demo.server.metrics import ServerMetrics, metrics_router

    page = Page(service)
    name = name or "mumu-llama"
    key = f"{login.user}:{login.password}" if login is not None else None
    api, metrics = build_router(service, name, auth=key, base=root_path), ServerMetrics(service.engine)
    info = build_info_router(service, name, api.routes, root_path, needs_login=login is not None)
    routers = [*page_routers(page), api, info, metrics_router(metrics)]
    return create_app(
        _build_blocks(model, page, name), routers, login=login, api_prefix="/v1/", upload_bytes=service.limits.bytes, hosts=hosts,
        root_path=root_path, cors=CorsPolicy(origins), metrics=metrics,
    )


def supports_captions(model: MuMuLLaMA) -> bool:
    """Whether the music can be conditioned on the answer's text: not for a decoder whose text tokenizer is None."""
    decoder = getattr(model, "music_decoder", None)
    return decoder is not None and getattr(decoder, "tokenizer", ...) is not None


def edits_notes(model: MuMuLLaMA) -> bool:
    """Whether the music decoder edits pieces note for note."""
    from llama.decoders.base import ScoreEditor

    decoder = getattr(model, "music_decoder", None)
    return isinstance(decoder, ScoreEditor) and decoder.edits_scores


def device_name(model: MuMuLLaMA) -> str:
    """The device of the model, such as "CPU" or the name of the GPU."""
    import torch

    device = getattr(model, "device", torch.device("cpu"))
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def parser() -> argparse.ArgumentParser:
    result = CommandParser(description="The page of MuMu-LLaMA.")
    add_model_flags(result)
    add = result.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=int, default=7860, help="(default: %(default)s)")
    add("--auth", metavar="USER:PASSWORD", help="require this login (HTTP Basic) from every client")
    add("--queue", type=int, default=MAX_QUEUED_REQUESTS, metavar="N", help="requests that may wait (default: %(default)s)")
    add("--root_path", default=os.environ.get("GRADIO_ROOT_PATH", ""), metavar="PATH",
        help="where a proxy serves this page: a path such as /mumu, or the whole address")  # fmt: skip
    add("--cors-origin", action="append", default=[], metavar="ORIGIN",
        help="let pages of this origin, such as https://example.com, use the API from a browser; repeatable; * for all")  # fmt: skip
    add("--share", action="store_true", help="a public address through gradio's servers")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Loads the model and serves until interrupted (0). Prints one sentence and returns 2 for an error of the user's, the disk's
    or the installation's, and 1 if the engine failed."""
    values = parser().parse_args(arguments)
    try:
        return _serve(values)
    except COMMAND_ERRORS as error:
        print(sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _serve(values: argparse.Namespace) -> int:
    from demo.server.cors import parse_origins
    from demo.server.descriptors import raise_descriptor_limit
    from demo.server.logs import configure_logging
    from demo.server.malloc import limit_malloc_arenas
    from demo.server.root_path import parse_root_path, public_hosts
    from demo.service.auth import Login

    login = Login.parse(argument_text(values.auth)) if values.auth is not None else None
    root_path, origins = parse_root_path(values.root_path), parse_origins(values.cors_origin)
    configure_logging()
    raise_descriptor_limit()  # before processes start that inherit it
    logging.getLogger("httpx").setLevel(logging.WARNING)
    limit_malloc_arenas()  # before torch starts its threads
    use_writable_caches()
    _report("Importing torch and gradio")
    from demo.server.access_middleware import LOCAL_HOSTS
    from demo.server.app import serve
    from llama.serving.request import EngineDeadError

    _import_page()
    _report(f"Loading {_shorten(values.model)}")
    model = load_model(values)
    _report("Starting the server")
    try:
        with run_service(model, values.queue) as service:
            hosts = [*LOCAL_HOSTS, *public_hosts(root_path)] if values.host in LOCAL_HOSTS and not values.share else None
            app = build_application(
                model, service, login=login, name=Path(values.model).name, hosts=hosts, root_path=root_path, origins=origins
            )
            serve(app, values.host, values.port, share=values.share)
    except EngineDeadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def use_writable_caches() -> None:
    """Gives matplotlib a temporary folder where the home folder is read-only, as in containers; it would print a warning."""
    home = Path(os.path.expanduser("~"))  # "~" itself where there is no home folder
    if "MPLCONFIGDIR" not in os.environ and not os.access(home, os.W_OK):
        folder = os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="mumu-llama-matplotlib-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _report(step: str) -> None:
    """Prints a step of the start, which takes up to a minute on a slow disk. Flushed: logs read stdout through a pipe."""
    print(f"{step} ...", flush=True)


def _import_page() -> None:
    """Imports the slow libraries now, so that each reported step takes the time that it names."""
    with importing("torch"):
        import torch  # noqa: F401
    with importing("gradio"):
        import gradio  # noqa: F401
    import demo.page.layout  # noqa: F401
    import llama.mumu_llama  # noqa: F401


def _shorten(path: str) -> str:
    """The path relative to the current folder, where it is below it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return path


if __name__ == "__main__":
    raise SystemExit(main())
