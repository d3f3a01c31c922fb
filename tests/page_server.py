"""The whole application on a port of this machine, for tests that ask it over HTTP or look at it in a browser."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gradio_app
from demo.login import Login
from demo.mount import server
from demo.work import Work


@contextmanager
def serving(work: Work, login: Login | None = None, model: Any = None) -> Iterator[str]:
    """Its address, which ends with a slash."""
    app = gradio_app.application(model or SimpleNamespace(), work, login=login)
    with socket.create_server(("127.0.0.1", 0)) as door:
        running = server(app)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not running.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"
        running.should_exit = True
        thread.join(20)
