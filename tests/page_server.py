"""The whole application on a port of this machine, for tests that ask it over HTTP or look at it in a browser."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

import gradio_app
from demo.server import access_middleware
from demo.server.http_server import create_server
from demo.service.auth import Login
from demo.service.service import ChatService


@contextmanager
def serving(work: ChatService, login: Login | None = None, model: Any = None, root_path: str = "") -> Iterator[str]:
    """Its address, which ends with a slash. Whoever guesses at its login waits for no more than a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_middleware, "WRONG_LOGIN_DELAY", 0.01)
        with running(gradio_app.build_application(model or SimpleNamespace(), work, login=login, root_path=root_path)) as (address, _):
            yield address


@contextmanager
def running(app: FastAPI) -> Iterator[tuple[str, uvicorn.Server]]:
    """An application on the server that it has in earnest."""
    with socket.create_server(("127.0.0.1", 0)) as entrance:
        made = create_server(app)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [entrance]}, daemon=True)
        thread.start()
        while not made.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{entrance.getsockname()[1]}/", made
        made.should_exit = True
        thread.join(20)
