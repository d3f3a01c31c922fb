"""/media: a session's own files and nothing else, in ranges, as downloads, and while they are still being written."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient

from demo.server import file_stream as chunks
from demo.server.media_routes import media_router
from demo.service.audio_files import pcm, take_tags, wav_header, write
from demo.service.sessions import media_url
from llama.media.audio import Waveform

RATE = 16_000
DRIP = "growing.wav"


@dataclass(frozen=True)
class Session:
    token: str
    folder: Path


class Sessions:
    """Two users."""

    def __init__(self, root: Path) -> None:
        self.anna, self.berta = (Session(name, root / f"folder-of-{name}") for name in ("anna", "berta"))
        for session in (self.anna, self.berta):
            session.folder.mkdir()

    def get(self, token: str) -> Session | None:
        return {"anna": self.anna, "berta": self.berta}.get(token)


@pytest.fixture(scope="module")
def music() -> Waveform:
    return Waveform(0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(6 * RATE) / RATE)[None], RATE)


@pytest.fixture()
def sessions(tmp_path: Path, music: Waveform) -> Sessions:
    made = Sessions(tmp_path)
    write(music, None, made.anna.folder, "take")
    return made


@pytest.fixture()
def client(sessions: Sessions) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(media_router(sessions))
    with TestClient(app) as client:
        yield client


class Writer:
    """Writes the file of a piece as it is made."""

    def __init__(self, folder: Path, music: Waveform) -> None:
        self.file, self.samples = folder / DRIP, pcm(music)
        self.head = wav_header(music.seconds, music.sample_rate, len(music.samples), tags=take_tags("A drip", 7))
        self.written = 0

    @property
    def whole(self) -> bytes:
        return self.head + self.samples

    def append(self, count: int | None = None) -> None:
        part = self.samples[self.written :][:count]
        with self.file.open("ab") as target:
            target.write(part if self.written else self.head + part)
        self.written += len(part)


@pytest.fixture()
def served(sessions: Sessions) -> Iterator[Callable[[FastAPI | None], str]]:
    """Starts a real server for an app (or one with our routes alone) and gives its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: FastAPI | None = None) -> str:
        if app is None:
            app = FastAPI()
            app.include_router(media_router(sessions))
        door = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{door.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


# -- files ------------------------------------------------------------------------------------------------------


def test_a_file_whole_in_ranges_and_as_a_download(client: TestClient, sessions: Sessions) -> None:
    content = (sessions.anna.folder / "take.wav").read_bytes()
    got = client.get("/media/anna/take.wav")
    assert got.status_code == 200 and got.content == content and got.headers["content-type"] == "audio/wav"
    assert got.headers["accept-ranges"] == "bytes" and "content-disposition" not in got.headers
    assert got.headers["x-content-type-options"] == "nosniff" and got.headers["cache-control"].startswith("private")
    for wanted, part in (("100-199", slice(100, 200)), ("100-", slice(100, None)), ("-50", slice(-50, None))):
        got = client.get("/media/anna/take.wav", headers={"Range": f"bytes={wanted}"})
        assert got.status_code == 206 and got.content == content[part]
    assert got.headers["content-range"] == f"bytes {len(content) - 50}-{len(content) - 1}/{len(content)}"
    assert client.get("/media/anna/take.wav", headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    head = client.head("/media/anna/take.wav")
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(len(content))
    kinds = {name: client.get(f"/media/anna/take.{name}").headers["content-type"] for name in ("flac", "mp3")}
    assert kinds == {"flac": "audio/flac", "mp3": "audio/mpeg"}


def test_downloads_have_friendly_names_that_hold_no_tricks(client: TestClient) -> None:
    def name(wanted: str) -> str:
        return client.get(f"/{media_url('anna', 'take.wav', wanted)}").headers["content-disposition"]

    assert name("A slow waltz.wav") == "attachment; filename*=utf-8''A%20slow%20waltz.wav"
    assert name("../../etc/passwd") == "attachment; filename*=utf-8''etc%20passwd.wav"
    assert name('x"\r\nSet-Cookie: a=b; \x00.exe') == "attachment; filename*=utf-8''x%20Set-Cookie%20a%20b%20.exe.wav"
    assert name("\u97f3\u697d") == "attachment; filename*=utf-8''%E9%9F%B3%E6%A5%BD.wav"
    assert name("...") == "attachment; filename*=utf-8''music.wav"
    assert len(name("w" * 9000)) < 150


def test_nothing_else_is_served(client: TestClient, sessions: Sessions, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret")
    folder = sessions.anna.folder
    (folder / "link.wav").symlink_to(secret)
    (folder / "folder.wav").mkdir()
    for name in (".hidden.wav", ".take.wav.12.partial", "page.html", "picture.svg", "notes"):
        (folder / name).write_bytes(b"<script>")
        assert client.get(f"/media/anna/{name}").status_code == 404, name
    os.mkfifo(folder / "pipe.wav")  # reading one would wait for ever
    for name in ("link.wav", "folder.wav", "pipe.wav", "missing.wav", "take.WAV", "take.wav%00", "take.wav%0a"):
        assert client.get(f"/media/anna/{name}").status_code == 404, name
    for path in ("berta/take.wav", "nobody/take.wav", "/take.wav", "anna/", "anna", "anna/..%2fsecret.wav", "anna/../secret.wav",
                 "anna/%2e%2e%2fsecret.wav", "anna/..%5csecret.wav", "anna/%2fetc%2fpasswd", "../secret.wav", "..%2fsecret.wav",
                 "berta/..%2ffolder-of-anna%2ftake.wav", "anna/take.wav/", "anna%2ftake.wav"):  # fmt: skip
        got = client.get(f"/media/{path}", follow_redirects=False)
        # A slash at the end may be taken away by a redirect, and an encoded one is a slash: neither leads elsewhere.
        assert got.status_code in (404, 307) or path == "anna%2ftake.wav", path
        assert b"secret" not in got.content
    assert client.post("/media/anna/take.wav").status_code == 405
    assert client.delete("/media/anna/take.wav").status_code == 405


# -- a file that grows ------------------------------------------------------------------------------------------


def read_all(url: str, into: list[bytes], headers: dict[str, str] | None = None, slow: float = 0.0) -> threading.Thread:
    def run() -> None:
        with httpx.stream("GET", url, timeout=20, headers=headers) as got:
            for part in got.iter_raw():
                into.append(part)
                time.sleep(slow)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_many_hear_a_piece_while_it_is_written(served, sessions: Sessions, music: Waveform) -> None:
    url, writer = f"{served()}/media/anna/{DRIP}", Writer(sessions.anna.folder, music)
    writer.append(10_000)
    heard: list[list[bytes]] = [[] for _ in range(4)]
    readers = [read_all(url, into, slow=0.1 * (index == 0)) for index, into in enumerate(heard)]
    with httpx.stream("GET", url, timeout=20) as leaves:  # early, without a word
        next(leaves.iter_raw())
    wait_for(lambda: all(len(b"".join(into)) == len(writer.head) + 10_000 for into in heard))
    writer.append(50_001)
    wait_for(lambda: all(len(b"".join(into)) == len(writer.head) + 60_001 for into in heard))
    assert all(reader.is_alive() for reader in readers)
    late: list[bytes] = []
    readers.append(read_all(url, late))
    write(music, None, sessions.anna.folder, "growing", ("wav",), title="A drip", seed=7)  # the whole file takes its place
    for reader in readers:
        reader.join(20)
    assert [b"".join(into) for into in (*heard, late)] == [writer.whole] * 5
    got = httpx.get(url, headers={"Range": "bytes=100-199"})
    assert got.status_code == 206 and got.content == writer.whole[100:200] and got.headers["accept-ranges"] == "bytes"


def test_parts_of_a_growing_piece(served, sessions: Sessions, music: Waveform) -> None:
    """As Safari asks: two bytes, then all in a closed range; and a lost stream goes on where it was."""
    url, writer = f"{served()}/media/anna/{DRIP}", Writer(sessions.anna.folder, music)
    writer.append(20_000)
    size = len(writer.whole)
    got = httpx.get(url, headers={"Range": "bytes=0-1"})
    assert (got.status_code, got.content, got.headers["content-range"]) == (206, b"RI", f"bytes 0-1/{size}")
    head = httpx.head(url)
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(size)
    parts: list[list[bytes]] = [[], []]
    readers = [read_all(url, parts[0], {"Range": f"bytes=0-{size - 1}"}), read_all(url, parts[1], {"Range": "bytes=15000-"})]
    assert httpx.get(url, headers={"Range": f"bytes={size}-"}).status_code == 416
    writer.append()
    for reader in readers:
        reader.join(20)
    assert [b"".join(part) for part in parts] == [writer.whole, writer.whole[15_000:]]


def test_a_piece_given_up_goes_on_in_silence(served, sessions: Sessions, music: Waveform) -> None:
    url, writer = f"{served()}/media/anna/{DRIP}", Writer(sessions.anna.folder, music)
    writer.append(20_000)
    heard: list[bytes] = []
    reader = read_all(url, heard)
    there = len(writer.head) + 20_000
    wait_for(lambda: len(b"".join(heard)) == there)
    writer.file.unlink()
    reader.join(20)
    assert not reader.is_alive() and b"".join(heard) == writer.whole[:there].ljust(len(writer.whole), b"\0")
    assert httpx.get(url).status_code == 404


def test_what_is_not_under_way_is_not_waited_for(client: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged uploads, and the rest of a piece whose writer is gone."""
    whole = (sessions.anna.folder / "take.wav").read_bytes()
    contents = {"short": b"abc", "other": b"no sound at all", "endless": b"RIFF\xff\xff\xff\xffWAVE" + whole[12:]}
    for name, content in contents.items():
        (sessions.anna.folder / f"{name}.wav").write_bytes(content)
        assert client.get(f"/media/anna/{name}.wav").content == content
    cut = sessions.anna.folder / "cut.wav"
    cut.write_bytes(whole[:5000])
    old = time.time() - chunks.STALLED - 1
    os.utime(cut, (old, old))
    assert client.get("/media/anna/cut.wav").content == whole[:5000]
    cut.write_bytes(whole[:5000])
    monkeypatch.setattr(chunks, "STALLED", 0.3)  # a stream that is open ends as well
    assert client.get("/media/anna/cut.wav").content == whole[:5000].ljust(len(whole), b"\0")


# -- beside the page --------------------------------------------------------------------------------------------


PLAYER = """<body><script>
const sound = new Audio('/media/anna/growing.wav');
sound.play();
</script></body>"""


def test_a_browser_plays_a_piece_that_is_still_being_made(served, sessions: Sessions) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    app = FastAPI()
    app.include_router(media_router(sessions))
    app.add_api_route("/", lambda: HTMLResponse(PLAYER))
    seconds, second = 8, 2 * 32_000
    writer = Writer(sessions.anna.folder, Waveform(0.3 * torch.sin(torch.arange(seconds * 32_000) / 10)[None], 32_000))
    base = served(app)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--autoplay-policy=no-user-gesture-required"])
        except playwright.Error as error:
            pytest.skip(f"no browser can be started here: {str(error).splitlines()[0]}")
        page = browser.new_page()
        writer.append(second // 10)
        page.goto(base)
        for _ in range(10):  # half as fast as it plays, and no faster than that for the first second
            writer.append(second // 20)
            time.sleep(0.1)
        writer.append(5 * second)
        page.wait_for_function("sound.currentTime > 0.5", timeout=20_000)
        # Nothing more is written until here: it plays what it has, and knows how long the whole will be.
        assert page.evaluate("[sound.ended, sound.duration]") == [False, seconds]
        writer.append()
        page.wait_for_function("sound.ended", timeout=30_000)
        assert page.evaluate("sound.currentTime") == pytest.approx(seconds, abs=0.1)
        browser.close()
