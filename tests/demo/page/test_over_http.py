"""The page over HTTP: nothing shared between users, nothing served from elsewhere, nothing fetched from outside."""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

import gradio_app
from DataSet.synthesis.composer import compose
from demo.page.controller import Page
from demo.server.access_middleware import LOCAL_HOSTS, rejection_reason
from demo.service.auth import Login
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from llama import GenerationOptions, Turn, Waveform
from llama.media.edit import Edit
from llama.media.midi import write_midi
from llama.media.score import Attributes
from tests.page_helpers import asked, views
from tests.page_server import serving
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)
BALLAD = Attributes("piano", "strings", "ballad", 72, "minor", 4, drums=False, key=6)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ChatService]]:
    sessions = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    work = ChatService(ScriptedEngine(), sessions, Limits())  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        with serving(work) as address:
            yield address, work
    sessions.close_all()


@pytest.fixture
def address(served: tuple[str, ChatService]) -> str:
    return served[0]


def client(address: str, **named: Any) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False, analytics_enabled=False, **named)


def ask(user: Any, text: str, audio: Any = None, image: Any = None, seconds: float | None = 1.0) -> tuple[str, str | None, str | None]:
    return user.predict(text, audio, image, None, seconds, 1, api_name="/respond")


def test_over_http(served: tuple[str, ChatService], recording: Path, tmp_path: Path) -> None:
    from gradio_client import handle_file

    user = client(served[0])
    (tmp_path / "text.mp3").write_text("no sound\n")
    assert ask(user, "what is this", handle_file(recording))[0] == "what is this 3.00"
    words, wav, midi = ask(user, "play notes", seconds=2.0)
    assert words == "play notes" and Waveform.read(wav).seconds == 2.0 and Path(midi or "").read_bytes()[:4] == b"MThd"
    assert ask(user, "play")[2] is None and Waveform.read(ask(user, "play", seconds=None)[1]).seconds == 10.0
    text_file = {"audio": handle_file(tmp_path / "text.mp3")}
    for text, named, word in (("hi", text_file, "text file"), ("stumble", {}, "damaged"), (" ", {}, "nothing")):
        with pytest.raises(Exception, match=word):
            ask(user, text, **named)
    assert ask(user, "still alive")[0] == "still alive", "the server outlives a mistake"
    root = served[1].sessions.root
    assert not [file for file in root.rglob("*.wav") if "arrived" not in file.parts], "no session stays open"


def test_users_do_not_hear_each_other(address: str) -> None:
    names = [f"user{index}" for index in range(4)]
    users = [client(address) for _ in names]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = [answer[0] for answer in pool.map(ask, users, names)]
    assert answers == names


def test_one_file_of_two_users_lies_in_two_places(address: str, recording: Path) -> None:
    import httpx

    places = [httpx.post(f"{address}gradio_api/upload", files={"files": recording.read_bytes()}).json()[0] for _ in range(2)]
    assert places[0] != places[1] and all(Path(place).is_file() for place in places)


def test_a_page_that_says_goodbye_has_time_to_come_back(served: tuple[str, ChatService], monkeypatch: pytest.MonkeyPatch) -> None:
    address, work = served
    session = work.sessions.open()
    for word in ("here", "away", "here"):
        assert httpx.post(f"{address}page/{session.token}/{word}").status_code == 204
    monkeypatch.setattr(work.sessions, "away_seconds", 0.0)
    assert work.sessions.get(session.token) is session
    assert httpx.post(f"{address}page/{session.token}/away").status_code == 204
    gone = httpx.post(f"{address}page/{session.token}/here")
    assert gone.status_code == 404 and "over" in gone.json()["error"] and not session.folder.exists()


def test_only_one_function_is_public(address: str) -> None:
    assert list(client(address).view_api(return_format="dict")["named_endpoints"]) == ["/respond"]


def test_programs_name_what_they_give_and_leave_out_the_rest(address: str) -> None:
    words, wav, midi = client(address).predict(text="play notes", seconds=2, api_name="/respond")
    assert words == "play notes" and Waveform.read(wav).seconds == 2.0 and midi is not None


def test_notes_and_an_edit_are_taken_by_name(
    served: tuple[str, ChatService], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio_client import handle_file

    address, work = served
    received: list[tuple[Turn, GenerationOptions]] = []
    submit = work.engine.submit

    def record(turn: Turn, options: GenerationOptions) -> Any:
        received.append((turn, options))
        return submit(turn, options)

    monkeypatch.setattr(work.engine, "submit", record)
    write_midi(compose(np.random.default_rng(2), BALLAD, 8.0), tmp_path / "mine.mid", 8.0)
    given: dict[str, Any] = {"score": handle_file(tmp_path / "mine.mid"), "api_name": "/respond"}
    client(address).predict(text="play", edit={"change": {"key": "E flat"}, "without": ["bass"]}, **given)
    [(turn, options)] = received
    assert options.edit == Edit(change={"key": 3}, without=("bass",)) and turn.score.attributes.tempo == BALLAD.tempo
    for edit, words in (({"tempo": 90}, "put it into change"), ({"bars": [8, 5]}, "is no range"), ([1], "edit is not taken")):
        with pytest.raises(Exception, match=words):
            client(address).predict(text="play", edit=edit, **given)


def test_files_outside_the_page_stay_outside(served: tuple[str, ChatService]) -> None:
    address, work = served
    session = work.sessions.open()
    secret = session.folder / "piece.wav"
    secret.write_bytes(b"RIFF")
    for path in (f"gradio_api/file={secret}", "gradio_api/file=/etc/passwd", f"gradio_api/file={quote(gradio_app.__file__)}",
                 "media/nobody/piece.wav", f"media/{session.token}/..%2F..%2Fpiece.wav"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(address + path, timeout=30)
    work.sessions.close(session.token)


@pytest.mark.parametrize("path", ["/etc/passwd", gradio_app.__file__, "http://127.0.0.1:9/a.wav", "picture"])
def test_a_file_that_was_not_uploaded_is_no_file_of_the_caller(served: tuple[str, ChatService], tmp_path: Path, path: str) -> None:
    address, work = served
    if path == "picture":
        path = str(tmp_path / "secret.png")
        Image.new("RGB", (8, 8)).save(path)
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    called = httpx.post(f"{address}gradio_api/call/respond", json={"data": ["hi", None, given, None, 1, 0, None, None]}).json()["event_id"]
    told = httpx.get(f"{address}gradio_api/call/respond/{called}", timeout=30).text
    assert "event: error" in told and "event: complete" not in told and "whatever its name says" not in told  # nobody has looked into it


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "192.0.2.1", "Origin": "http://evil.example"},
])  # fmt: skip
@pytest.mark.parametrize("method, path", [
    ("POST", "gradio_api/upload"), ("OPTIONS", "gradio_api/queue/join"), ("OPTIONS", "v1/models"), ("GET", ""),
])  # fmt: skip
def test_pages_of_other_sites_may_not_speak(address: str, headers: dict[str, str], method: str, path: str) -> None:
    answer = httpx.request(method, address + path, headers=headers)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host, allowed", [
    ("localhost:7860", True), ("127.0.0.1", True), ("[::1]:7860", True), ("evil.example:7860", False), ("", False),
])  # fmt: skip
def test_a_server_of_this_machine_goes_by_its_own_names(host: str, allowed: bool) -> None:
    scope = {"path": "/", "headers": [(b"host", host.encode()), (b"origin", f"http://{host}".encode())]}
    assert (rejection_reason(scope, LOCAL_HOSTS) is None) == allowed and (rejection_reason(scope) is None or not host)


def test_the_page_asks_nothing_from_elsewhere(address: str) -> None:
    answer = urllib.request.urlopen(address, timeout=60)
    page, policy = answer.read().decode(), answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy
    style = urllib.request.urlopen(f"{address}theme.css", timeout=60).read().decode()
    loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"(https?:)?//([^\"/]+)", page)
    loaded += re.findall(r"rel=\"(stylesheet|preload|modulepreload)\"[^>]+href=\"https?://([^\"/]+)", page)
    loaded += re.findall(r"(@import|url)\(?['\"]?https?://([^'\")/]+)", style)
    assert [host for _, host in loaded if not host.startswith("127.0.0.1")] == []


def test_a_login_guards_everything(page: Page, recording: Path) -> None:
    def status(url: str, key: str | None = None) -> int:
        headers = {"Authorization": key} if key else {}
        try:
            return int(urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).status)
        except urllib.error.HTTPError as error:
            return error.code

    good = "Basic " + base64.b64encode(b"me:secret:x").decode()
    state = asked(page, "play", [recording])
    piece, token = views(state)[-1].takes[0].url, state.session.token
    with serving(page.service, Login.parse("me:secret:x")) as address:
        for path in ("", "config", "gradio_api/info", "theme.css", piece, "v1/models", "page-assets/x/main.js", f"page/{token}/all.zip"):
            wrong = "Basic " + base64.b64encode(b"me:secret").decode()
            assert [status(address + path), status(address + path, wrong), status(address + path, "Basic é")] == [401] * 3, path
            assert status(address + path, good) == (404 if path.startswith("page") else 200), path
        assert ask(client(address, headers={"Authorization": good}), "hello")[0] == "hello"
