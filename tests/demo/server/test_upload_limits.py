"""Limits on uploads, and the clean-up of refused and interrupted ones."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from demo.server import gradio_patches
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.page_server import serving
from tests.scripted_engine import ScriptedEngine

FILE = 100_000  # bytes of the largest one


@pytest.fixture
def uploading(tmp_path: Path) -> Iterator[tuple[str, Callable[[], list[Path]]]]:
    """The page, and the files that have arrived there."""
    sessions = Sessions(tmp_path)
    work = ChatService(ScriptedEngine(), sessions, Limits(bytes=FILE))  # type: ignore[arg-type]
    with serving(work) as address:
        arrived = sessions.root / "arrived"
        yield f"{address}gradio_api/upload", lambda: [Path(folder, name) for folder, _, names in os.walk(arrived) for name in names]
    sessions.close_all()


def test_an_upload_of_many_files_is_refused_and_leaves_none(uploading: tuple) -> None:
    address, arrived = uploading
    whole = [("files", (f"{number}.wav", bytes(FILE - 500))) for number in range(40)]
    boundary = b"--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.wav\"\r\n\r\n"

    def parts() -> Iterator[bytes]:
        for _ in range(40):
            yield boundary + bytes(FILE - 500) + b"\r\n"

    assert httpx.post(address, files=whole, timeout=30).status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    assert httpx.post(address, content=parts(), headers=head, timeout=30).status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert arrived() == []
    assert len(httpx.post(address, files=whole[:4], timeout=30).json()) == len(arrived()) == 4


def test_uploads_that_nobody_asks_about_do_not_fill_the_disk(uploading: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    address, arrived = uploading
    monkeypatch.setattr(gradio_patches, "MAX_PENDING_BYTES", 250_000)
    answers = [httpx.post(address, files={"files": (f"{number}.wav", bytes(90_000))}, timeout=30) for number in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 413] and answers[2].text == gradio_patches.PENDING_FULL
    arrived()[0].unlink()
    assert httpx.post(address, files={"files": bytes(90_000)}, timeout=30).status_code == httpx.codes.OK


def test_uploads_at_once_have_no_more_room_than_one_after_another(uploading: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one may still send is no other's, whether it tells how much that is or not; it is free when that one has gone."""
    address, arrived = uploading
    monkeypatch.setattr(gradio_patches, "MAX_PENDING_BYTES", 150_000)
    url, form = httpx.URL(address), 'Content-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    part = f"--x\r\n{form}".encode() + bytes(5000)

    def one() -> httpx.Response:
        return httpx.post(address, files={"files": bytes(90_000)}, timeout=30)

    lengths = b"Content-Length: 90000\r\n\r\n" + part, f"Transfer-Encoding: chunked\r\n\r\n{len(part):x}\r\n".encode() + part + b"\r\n"
    for begun in lengths:
        with socket.create_connection((url.host, url.port)) as client:
            client.sendall(head.encode() + begun)
            until = time.monotonic() + 20
            while not arrived():
                assert time.monotonic() < until
            assert one().text == gradio_patches.PENDING_FULL
        while arrived():
            assert time.monotonic() < until
    assert one().status_code == httpx.codes.OK


def test_room_is_kept_until_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradio_patches, "MAX_PENDING_BYTES", 1000)
    budget, first = gradio_patches.UploadBudget(), gradio_patches.PendingUpload(600)
    assert budget.reserve(tmp_path, first) and not budget.reserve(tmp_path, gradio_patches.PendingUpload(401))

    async def parts() -> AsyncIterator[bytes]:
        yield bytes(500)

    async def arrive() -> None:
        async for part in first.count(parts()):
            (tmp_path / "first").write_bytes(part)
            assert first.remaining == 600

    asyncio.run(arrive())
    assert first.remaining == 100 and not budget.reserve(tmp_path, gradio_patches.PendingUpload(401))
    first.remaining = 0
    assert budget.reserve(tmp_path, gradio_patches.PendingUpload(500)) and not budget.reserve(tmp_path, gradio_patches.PendingUpload(1))


def test_an_upload_that_breaks_off_leaves_nothing(uploading: tuple) -> None:
    address, arrived = uploading
    url = httpx.URL(address)
    head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Length: 90000\r\n"
    form = 'Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"'
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall(f"{head}{form}\r\n\r\n".encode() + bytes(5000))
        until = time.monotonic() + 20
        while not arrived():
            assert time.monotonic() < until
    while arrived():
        assert time.monotonic() < until
