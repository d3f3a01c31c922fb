"""The real server: killed in the middle it leaves nothing to the next one; who reads nothing or sends rubbish holds nobody."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import gradio_app
import llama
from benchmarks.served import Answer, ExpectedAnswer, ask, make_request, server
from demo.service.conversation import Conversation
from demo.service.errors import UserFacingError
from demo.service.request import Settings
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from llama.generation import GenerationOptions
from llama.serving.engine import Engine
from llama.serving.text_batch import TextBatch
from tests.page_server import serving

pytest.importorskip("gradio")

ROOT = Path(__file__).resolve().parents[3]
NANO = ROOT / "ckpts/nano"
RECORDING = ROOT / "assets/examples/violin_swing.flac"
CHAT = "/v1/chat/completions"
SMALL = 4096  # bytes that a socket takes in for who does not read


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(NANO)


@pytest.fixture()
def address(nano: llama.MuMuLLaMA, tmp_path: Path) -> Iterator[str]:
    """A server of its own thread, whose model the test asks before it begins and not after."""
    sessions = Sessions(tmp_path / "sessions")
    with Engine(nano) as engine, serving(ChatService(engine, sessions)) as found:
        yield found
    sessions.close_all()


@pytest.fixture(scope="module")
def wishes(nano: llama.MuMuLLaMA) -> list[ExpectedAnswer]:
    """Each with an answer of its own."""
    music = GenerationOptions(seconds=3.0, seed=3)
    return [
        make_request(nano, "A slow, sad piano piece", None, music),
        make_request(nano, "How fast is it?", RECORDING, GenerationOptions(music=False)),
        make_request(nano, "Make it faster and add drums", RECORDING, music),
    ]


def answers(address: str, wanted: list[ExpectedAnswer]) -> list[Answer]:
    """All asked at once."""
    def one(wanted: ExpectedAnswer) -> Answer:
        with httpx.Client(base_url=address, timeout=120) as client:
            return ask(client, wanted)

    with ThreadPoolExecutor(len(wanted)) as pool:
        return list(pool.map(one, wanted))


# -- kill -9 ----------------------------------------------------------------------------------------------------


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@contextmanager
def long_piece(client: httpx.Client) -> Iterator[None]:
    """Inside, it is being made."""
    sound = {"data": base64.b64encode(RECORDING.read_bytes()).decode(), "format": "flac"}
    parts = [{"type": "text", "text": "Make it faster and add drums"}, {"type": "input_audio", "input_audio": sound}]
    body = {"messages": [{"role": "user", "content": parts}], "modalities": ["text", "audio"], "seconds": 600, "stream": True}
    with client.stream("POST", CHAT, json=body) as response:
        lines = response.iter_lines()  # kept, for the answer ends with it
        assert any(words_in(line) for line in lines)
        yield


def words_in(line: str) -> str:
    """What an event adds to the words of an answer."""
    choices = json.loads(line.removeprefix("data: "))["choices"] if line.startswith("data: {") else []
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_killed_server_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """Neither what was uploaded to the page, nor what the API was sent, nor what was being made; one that is stopped leaves
    nothing at all."""
    with server(NANO, TMPDIR=str(tmp_path)) as (address, process), httpx.Client(base_url=address, timeout=120) as client:
        upload = client.post("/gradio_api/upload", files={"files": ("mine.flac", RECORDING.read_bytes())})
        assert Path(upload.json()[0]) in files(tmp_path)
        with long_piece(client):
            left = files(tmp_path)
            assert sum(file.read_bytes() == RECORDING.read_bytes() for file in left) == 2
            os.kill(process, signal.SIGKILL)
    assert files(tmp_path) == left
    with server(NANO, TMPDIR=str(tmp_path)) as (address, _):
        assert httpx.get(f"{address}/v1/models").status_code == httpx.codes.OK
        assert files(tmp_path) == set()
        httpx.post(f"{address}/gradio_api/upload", files={"files": ("mine.flac", RECORDING.read_bytes())}).raise_for_status()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["start.lock"]


# -- neighbours -------------------------------------------------------------------------------------------------


class Stalled:
    """A client that asks for a piece too large for the buffers on the way, and reads no byte of it until `rest`."""

    def __init__(self, address: str, body: bytes) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.socket.connect((httpx.URL(address).host, httpx.URL(address).port))
        head = f"POST {CHAT} HTTP/1.0\r\nHost: server\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def rest(self) -> bytes:
        self.socket.settimeout(120)
        with self.socket, self.socket.makefile("rb") as file:
            return file.read()


def test_who_reads_nothing_holds_nobody(address: str, wishes: list[ExpectedAnswer]) -> None:
    """More of them than the engine has rows. What they have not read waits for them."""
    body = {"messages": [{"role": "user", "content": "A slow, sad piano piece"}], "modalities": ["text", "audio"], "stream": True}
    bodies = [{**body, "seconds": 30, "seed": number, "user": f"listener {number}"} for number in range(20)]
    stalled = [Stalled(address, json.dumps(one).encode()) for one in bodies]
    assert all(answer.right for answer in answers(address, wishes))
    for client in stalled:
        assert client.rest().rstrip().endswith(b"data: [DONE]")


def test_rubbish_harms_nobody_else(address: str, wishes: list[ExpectedAnswer]) -> None:
    """Files that are none, or end too soon, sent while others are answered: each is told in one sentence."""
    rubbish = (b"RIFF\x00\x00\x00\x00WAVEfmt ", RECORDING.read_bytes()[:300], b"\x00" * 5000, b"<html>", b"")

    def refused(content: bytes) -> str:
        sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(content).decode(), "format": "wav"}}
        body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "How fast is it?"}, sound]}]}
        response = httpx.post(f"{address.rstrip('/')}{CHAT}", json=body, timeout=120)
        assert response.status_code == httpx.codes.BAD_REQUEST
        return str(response.json()["error"]["message"])

    with ThreadPoolExecutor(len(rubbish)) as pool:
        told = pool.map(refused, rubbish)
        assert all(answer.right for answer in answers(address, wishes))
        for message in told:
            assert message.endswith(".") and "\n" not in message and "Traceback" not in message
    assert all(answer.right for answer in answers(address, wishes))


# -- the engine ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["in front", "in the background"])
def interrupted(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether Ctrl-C ends a process; a script's background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler if request.param else signal.SIG_IGN)
    yield request.param
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_server_ends_with_its_engine(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interrupted: bool
) -> None:
    """Whoever asked is told, and whatever watches over the server sees that it did not end well."""
    told: list[UserFacingError] = []

    def ask() -> None:
        try:
            list(works[0].answer(works[0].sessions.open(), Conversation(), "A slow, sad piano piece", [], Settings()))
        except UserFacingError as error:
            told.append(error)

    asking = threading.Thread(target=ask)

    def serve_and_ask(app: object, *arguments: object, **named: object) -> None:
        asking.start()
        if interrupted:
            time.sleep(60)  # as a server does until then
        asking.join(60)

    def kept(model: llama.MuMuLLaMA, work: ChatService, **named: object) -> None:
        works.append(work)

    works: list[ChatService] = []
    monkeypatch.setattr(gradio_app, "load_model", lambda values: nano)
    monkeypatch.setattr(gradio_app, "build_application", kept)
    monkeypatch.setattr("demo.server.app.serve", serve_and_ask)
    monkeypatch.setattr(TextBatch, "_forward", lambda *_: (_ for _ in ()).throw(SystemExit("a mistake")))
    assert gradio_app.main(["--port", "0"]) == 1
    asking.join(60)
    assert [one.category for one in told] == ["server"] and "The engine stopped by a mistake of its own" in str(told[0])
    assert "The engine stopped" in capsys.readouterr().err
