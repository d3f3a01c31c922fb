"""The page: text, recordings, pictures and clips in; words and music out. The same over HTTP.

    python gradio_app.py
    python gradio_app.py --host 0.0.0.0 --auth listener:secret
    python gradio_app.py --model ./ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth --llama_dir ./ckpts/LLaMA-2 --music_decoder musicgen

What a user said and got lies in the state of their own page and in a folder of their own, which goes when they do.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llama.cli import add_model_flags, load_model
from llama.errors import COMMAND_ERRORS, sentence

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import APIRouter, FastAPI

    from demo.page.controller import Page
    from demo.service.auth import Login
    from demo.service.service import ChatService
    from llama.mumu_llama import MuMuLLaMA

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

WAITING = 64  # requests in the queue; the next one is told to come back later


def interrupt() -> None:
    """Ends this process as Ctrl-C does, from any thread, whatever its main thread waits for."""
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def working(model: MuMuLLaMA, waiting: int = WAITING) -> Iterator[ChatService]:
    """The model at work for many users, and their files; both end with the block.

    Where the engine ends by itself the block is interrupted as Ctrl-C does it: whoever watches over the server starts another.
    """
    from demo.service.service import ChatService
    from demo.service.sessions import Sessions
    from llama.serving.engine import Engine, use_single_thread
    from llama.serving.request import EngineDeadError
    from llama.serving.worker_client import should_use_worker

    use_single_thread(model)
    sessions = Sessions(sweep_every=60)
    try:
        with Engine(
            model, max_queued_requests=waiting, use_worker=should_use_worker(model), on_failure=interrupt
        ) as engine:
            try:
                yield ChatService(engine, sessions)
            except KeyboardInterrupt:
                if engine.closed is None:
                    raise
            if engine.closed is not None:  # nothing was raised where SIGINT is ignored, as it is in the background of a script
                raise EngineDeadError(engine.closed)
    finally:
        sessions.close_all()


def build_app(model: MuMuLLaMA, work: ChatService | None = None, name: str = "") -> gr.Blocks:
    """The page around a model, to be launched as gradio's pages are; `application` serves it with the API beside it.

    work: who answers (None: one of its own, which ends with the process).
    """
    from demo.page.controller import Page
    from demo.server.app import launchable
    from demo.service.service import ChatService

    if work is None:
        from demo.service.sessions import Sessions
        from llama.serving.engine import Engine

        work = ChatService(Engine(model), Sessions(sweep_every=60))
    page = Page(work)
    return launchable(_blocks(model, page, name), own_routers(page))


def _blocks(model: MuMuLLaMA, page: Page, name: str) -> gr.Blocks:
    from demo.page.layout import About, build

    os.environ["GRADIO_TEMP_DIR"] = str(page.upload_dir)  # read when gradio makes a page and a server
    return build(page, About(name or "mumu-llama", device_words(model), reads_captions(model)))


def own_routers(page: Page) -> list[APIRouter]:
    """What the page needs beside gradio's own routes: the media it shows, and whether it is still there."""
    from demo.server.media_routes import media_router
    from demo.server.presence_routes import presence_router

    return [media_router(page.sessions), presence_router(page.presence, page.sessions.close)]


def application(
    model: MuMuLLaMA, work: ChatService, *, login: Login | None = None, name: str = "", hosts: Sequence[str] | None = None
) -> FastAPI:
    """Page, media and API as one application. hosts: the names that it goes by (None: any)."""
    from demo.api.router import build_router
    from demo.page.controller import Page
    from demo.server.app import mount

    page = Page(work)
    name = name or "mumu-llama"
    key = f"{login.user}:{login.password}" if login is not None else None
    routers = [*own_routers(page), build_router(work, name, auth=key)]
    return mount(_blocks(model, page, name), routers, login=login, keeps="/v1/", upload_bytes=work.limits.bytes, hosts=hosts)


def reads_captions(model: MuMuLLaMA) -> bool:
    """Whether the words of an answer can drive the music: a decoder without a text tokenizer cannot read them."""
    decoder = getattr(model, "music_decoder", None)
    return decoder is not None and getattr(decoder, "tokenizer", ...) is not None


def device_words(model: MuMuLLaMA) -> str:
    """What the model runs on, such as "CPU" or the name of the GPU."""
    import torch

    device = getattr(model, "device", torch.device("cpu"))
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="The page of MuMu-LLaMA.")
    add_model_flags(result)
    add = result.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=int, default=7860, help="(default: %(default)s)")
    add("--auth", metavar="USER:PASSWORD", help="who may enter; without it, everybody who reaches the address")
    add("--queue", type=int, default=WAITING, metavar="N", help="requests that may wait (default: %(default)s)")
    add("--share", action="store_true", help="a public address through gradio's servers")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Loads the model and serves the page until interrupted; 2 with one sentence on what was wrong, 1 if the engine ended."""
    from demo.server.malloc import limit_malloc_arenas
    from llama.serving.request import EngineDeadError

    values = parser().parse_args(arguments)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    limit_malloc_arenas()
    try:
        from demo.server.access_middleware import LOCAL_HOSTS
        from demo.server.app import serve
        from demo.service.auth import Login

        login = Login.parse(values.auth) if values.auth is not None else None
        model = load_model(values)
        with working(model, values.queue) as work:
            hosts = LOCAL_HOSTS if values.host in LOCAL_HOSTS and not values.share else None
            app = application(model, work, login=login, name=Path(values.model).name, hosts=hosts)
            serve(app, values.host, values.port, share=values.share)
    except COMMAND_ERRORS as error:
        print(sentence(error), file=sys.stderr)
        return 2
    except EngineDeadError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
