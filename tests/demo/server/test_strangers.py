"""A real server of few file descriptors against strangers: it goes on, says what is wrong in a sentence, and keeps its log short."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.server.gradio_patches import MAX_UPLOAD_FILES, NO_FILES, TOO_MANY_FILES
from demo.service.auth import MAX_WAITING_GUESSES

pytest.importorskip("gradio")
resource = pytest.importorskip("resource", reason="this system has no limit on file descriptors")

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTORS = 256
KEY = "listener:secret"
SERVER = f"""
import pathlib, resource, sys, types
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
from demo.server.descriptors import raise_descriptor_limit
from demo.server.logs import configure_logging
configure_logging()
raise_descriptor_limit()
import gradio_app
from demo.server import access_middleware, page_routes
from demo.server.app import serve
from demo.service.auth import Login
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.scripted_engine import ScriptedEngine
access_middleware.WRONG_LOGIN_DELAY, page_routes.ALIVE_INTERVAL, page_routes.POLL_INTERVAL = 0.02, 0.1, 0.05
sessions = Sessions(pathlib.Path(sys.argv[1]))
service = ChatService(ScriptedEngine(), sessions)
serve(gradio_app.build_application(types.SimpleNamespace(), service, login=Login.parse("{KEY}")), "127.0.0.1", 0)
"""


@dataclass(frozen=True)
class Stranger:
    """A running server: its address, its process, its log and the folder of its files."""

    address: str
    process: int
    log_file: Path
    folder: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process}/fd").iterdir()))

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=30, headers={"Authorization": f"Bearer {KEY}"})

    def raw(self, content: bytes) -> bytes:
        """The answer to bytes as they are."""
        with self.connect() as client, client.makefile("rb") as file:
            client.sendall(content)
            return file.read()

    def connect(self) -> socket.socket:
        url = httpx.URL(self.address)
        return socket.create_connection((url.host, url.port), timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("strangers")
    log = folder / "log"
    with log.open("wb") as errors, subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder / "sessions")], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        assert process.stdout is not None
        yield Stranger(process.stdout.readline().split()[-1], process.pid, log, folder / "sessions")
        process.terminate()


def wait_for(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


# -- file descriptors ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list a process's descriptors")
def test_half_open_connections_do_not_stop_it(server: Stranger) -> None:
    with server.client() as client:
        client.get("v1/models")
    before, lines = server.descriptors, server.log.count("\n")
    clients = [server.connect() for _ in range(400)]
    for number, client in enumerate(clients):
        try:
            client.sendall((b"", b"GET / HT", b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")[number % 3])
        except OSError:
            continue  # closed by now
    with server.client() as client:
        assert client.get("v1/models").status_code == httpx.codes.OK
        assert server.descriptors < DESCRIPTORS - 32
    for one in clients:
        one.close()
    wait_for(lambda: server.descriptors <= before + 2)
    assert server.log.count("\n") - lines < 50 and "no file descriptor" not in server.log


def files(server: Stranger) -> list[Path]:
    return list((server.folder).glob("*/arrived/*"))


@pytest.mark.parametrize("number, field, sentence", [
    (1000, "files", TOO_MANY_FILES), (MAX_UPLOAD_FILES + 1, "files", TOO_MANY_FILES), (3, "other", NO_FILES),
])  # fmt: skip
def test_an_upload_of_many_files_is_refused_and_leaves_nothing(server: Stranger, number: int, field: str, sentence: str) -> None:
    before = files(server)
    with server.client() as client:
        answer = client.post("gradio_api/upload", files=[(field, (f"{index}.wav", b"")) for index in range(number)])
        assert answer.status_code == httpx.codes.BAD_REQUEST and answer.text == sentence
        assert client.post("gradio_api/upload?upload_id=x", data={"files": "no file"}, files=[]).status_code == httpx.codes.BAD_REQUEST
    assert files(server) == before and server.descriptors < 100


FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nabc\r\n--x--\r\n'
FORMS = [
    ("boundary=" + "x" * 5000, FORM, 400), ("boundary=x", FORM[:-12], 400), ("boundary=x", bytes(500), 400), ("a=b", FORM, 400),
    ("boundary=x; charset=utf-7", FORM.replace(b"a.wav", b"+2AA-"), 200), ("boundary=x; charset=none", FORM, 200),
    ("boundary=x; charset=raw_unicode_escape", FORM.replace(b"a.wav", b"\\ud800.wav"), 200),
    ("boundary=x", FORM.replace(b"a.wav", b".."), 400),
    ("boundary=x", FORM.replace(b"a.wav", b"\xff/\0\n.wav"), 200), ("boundary=x", FORM.replace(b"a.wav", b"a" * 9000), 413),
]  # fmt: skip


@pytest.mark.parametrize("parameters, body, status", FORMS)
def test_odd_forms_are_no_fault_of_the_server(server: Stranger, parameters: str, body: bytes, status: int) -> None:
    before, start = files(server), len(server.log)
    with server.client() as client:
        answer = client.post("gradio_api/upload", content=body, headers={"Content-Type": f"multipart/form-data; {parameters}"})
    assert answer.status_code == status and "Traceback" not in server.log[start:]
    assert len(files(server)) == len(before) + (status == httpx.codes.OK)


def test_as_many_files_as_are_allowed_arrive(server: Stranger) -> None:
    with server.client() as client:
        answer = client.post("gradio_api/upload", files=[("files", (f"{index}.wav", b"x")) for index in range(MAX_UPLOAD_FILES)])
    assert len({Path(path) for path in answer.json() if Path(path).is_file()}) == MAX_UPLOAD_FILES


# -- guesses ------------------------------------------------------------------------------------------------------------


def test_wrong_logins_wait_for_one_another_and_hold_nobody(server: Stranger) -> None:
    def guess(number: int) -> int:
        key = base64.b64encode(f"listener:{number}".encode()).decode()
        headers = {"Authorization": f"Basic {key}", "X-Forwarded-For": "192.0.2.7"}
        return httpx.get(f"{server.address}v1/models", headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(60) as pool, server.client() as client:
        guesses = pool.map(guess, range(60))
        assert client.get("v1/models").status_code == httpx.codes.OK
        counts = Counter(guesses)
    assert set(counts) == {401, 429} and counts[401] >= MAX_WAITING_GUESSES


# -- odd requests -------------------------------------------------------------------------------------------------------


def call(**fields: Any) -> str:
    return json.dumps({"data": ["hi", None, None, None, 1, 0, None, None], "session_hash": "abc", **fields})


FAR = call().replace("1, 0, null", "1e999, 0, null")
CALLS = [
    ("queue/join", call(fn_index=9999), 404), ("queue/join", call(fn_index=-1), 404), ("queue/join", call(fn_index=True), 404),
    ("queue/join", call(fn_index="x"), 404), ("queue/join", call(), 404), ("queue/join", call(fn_index=0, session_hash=None), 400),
    ("queue/join", call(fn_index=0, session_hash="x" * 100_000), 400), ("queue/join", call(fn_index=0, session_hash=["x"]), 400),
    ("queue/join", call(fn_index=0, data="hello"), 400), ("queue/join", call(fn_index=0, data=[1] * 1000), 400),
    ("call/nothing", call(), 404), ("call/%F0%9F%98%80", call(), 404), ("call/respond", FAR, 400),
    ("call/respond", call(batched=True), 400),
    ("call/respond", call(data=["\ud800"]), 400), ("call/respond", call(data=[float("nan")] * 8), 400),
    ("call/respond", call(data=["hi", None, None, None, 10**400, 0, None, None]), 400), ("call/respond", "[]", 400),
    ("call/respond", "{", 400), ("call/respond", "[" * 100_000, 400), ("call/respond", '{"data": [' + "9" * 5000 + "]}", 400),
    ("call/respond", b"\xff\xfe{", 400), ("call/v2/respond", "{}", 404), ("run/respond", call(), 404),
    ("run/nothing", call(fn_index=9999), 404),
    ("cancel", call(fn_index=9999, event_id="x"), 404), ("cancel", "{}", 404), ("reset", call(event_id="\n" * 9), 400),
]  # fmt: skip


@pytest.mark.parametrize("path, body, status", CALLS)
def test_odd_calls_are_refused_in_a_sentence(server: Stranger, path: str, body: str | bytes, status: int) -> None:
    before = server.log
    with server.client() as client:
        answer = client.post(f"gradio_api/{path}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    sentence = answer.json()["detail"]
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 300
    assert server.log == before


CLOSED = [
    "gradio_api/heartbeat/somebody", "gradio_api/dev/reload", "gradio_api/startup-events", "gradio_api/queue/status", "monitoring",
    "monitoring/summary", "gradio_api/token", "gradio_api/user", "gradio_api/login_check", "gradio_api/runs", "gradio_api/openapi.json",
    "gradio_api/proxy=http://127.0.0.1/", "gradio_api/file=http://127.0.0.1/", "gradio_api/file/etc/x",
    "gradio_api/deep_link", "gradio_api/custom_component/a/client/b/c", "gradio_api/stream/a/b/c/playlist.m3u8", "gradio_api/vibe-code",
    "logout", "pwa_icon", "gradio_api/call/respond/nothing", "gradio_api/profiling/traces", "gradio_api/file=/" + "x" * 300,
    "assets/" + "y" * 3000, "gradio_api/file=/a%00b", "gradio_api/call/respond/a%0Ab",
]  # fmt: skip


@pytest.mark.parametrize("path", CLOSED)
def test_routes_that_nobody_needs_are_closed(server: Stranger, path: str) -> None:
    with server.client() as client:
        answer = client.get(path)
        posted = client.post(path.partition("?")[0], json={})
    assert answer.status_code == posted.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["detail"].endswith(".") and "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("path", ["login", "gradio_api/component_server", "gradio_api/process_recording", "gradio_api/run-history/connect",
                                  "gradio_api/stream/a", "gradio_api/api/respond", "gradio_api/vibe-edit"])  # fmt: skip
def test_posts_that_nobody_needs_are_closed(server: Stranger, path: str) -> None:
    with server.client() as client:
        assert client.post(path, json={}).status_code == httpx.codes.NOT_FOUND


OPEN = [
    "", "?page=nothing", "?deep_link=x", "config", "config?page=x&deep_link=y", "gradio_api/info", "theme.css", "robots.txt",
    "gradio_api/app_id", "gradio_api/queue/data?session_hash=nobody", "gradio_api/queue/data",
]  # fmt: skip


@pytest.mark.parametrize("path", OPEN)
def test_what_the_page_needs_is_open(server: Stranger, path: str) -> None:
    before = server.log
    with server.client() as client:
        assert client.get(path).status_code == httpx.codes.OK
    assert server.log == before


RANGES = ["bytes=0-1-2", "bytes=\xb2-\xb2", "bytes=9-1", "bytes=99-", "bytes=", "lines=0-1", "bytes=0-0", "bytes=0-1,2-3"]


@pytest.mark.parametrize("value", RANGES)
def test_a_range_that_is_none_is_no_fault_of_the_server(server: Stranger, value: str) -> None:
    before = server.log
    with server.client() as client:
        [path] = client.post("gradio_api/upload", files={"files": ("a.wav", b"0123456789")}).json()
        answer = client.get(f"gradio_api/file={path}", headers=[(b"Range", value.encode("latin-1"))])  # type: ignore[arg-type]
    assert answer.status_code < 500 and "authorization" not in answer.headers and server.log == before


# -- the log ------------------------------------------------------------------------------------------------------------


FORGED = "/etc/x\nWARNING:  forged line\r\n\x1b[31mred\u2028\x9b" + "z" * 300_000


def test_lines_of_the_log_are_not_forged_coloured_or_long(server: Stranger) -> None:
    start = len(server.log)
    with server.client() as client:
        for path in (FORGED, FORGED[:200]):
            given = {"path": path, "meta": {"_type": "gradio.FileData"}}
            called = client.post("gradio_api/call/respond", json={"data": ["hi", None, given, None, 1, 0, None, None]}).json()["event_id"]
            assert "event: error" in client.get(f"gradio_api/call/respond/{called}").text
        client.get("v1/" + "a%0AERROR%20forged%1B[31m")
        client.post("gradio_api/call/respond", json={"data": ["bug " + FORGED[:1000], None, None, None, 1, 0, None, None]})
    server.raw(b"GET /\x1b[31m\nforged HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_for(lambda: "a call of the page was refused" in server.log[start:])
    log = server.log[start:]
    assert not [line for line in log.splitlines() if "forged" in line and not re.match(r"\d{4}-|\w+Error", line)]
    assert not re.search("[^\\n\x20-\x7e]", log) and max(map(len, log.split("\n"))) <= 2000 and len(log) < 20_000
