"""Users' files are decoded in the media worker: uploads are probed there, the page's recordings read there, the server owns it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import worker_faults

import gradio_app
import llama
from demo.service.errors import UserFacingError
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from demo.service.uploads import receive
from llama.media.audio import Waveform
from llama.serving.media_client import MediaWorkerClient
from tests.scripted_engine import ScriptedEngine

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "assets/examples"


class Recorder(MediaWorkerClient):
    """A media worker that notes what it was asked to run, or runs `instead`."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[str] = []
        self.instead: Any = None
        super().__init__(**options)

    def call(self, name: str, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(function.__name__)
        return super().call(name, self.instead) if self.instead else super().call(name, function, *args, **kwargs)


@pytest.fixture(scope="module")
def worker() -> Iterator[Recorder]:
    with Recorder() as worker:
        yield worker


@pytest.fixture()
def service(worker: Recorder, tmp_path: Path) -> Iterator[ChatService]:
    worker.calls.clear()
    sessions = Sessions(tmp_path / "sessions")
    yield ChatService(ScriptedEngine(), sessions, media_worker=worker)
    worker.instead = None
    sessions.close_all()


@pytest.mark.parametrize("name", ["flute_ballad.flac", "moon.jpg", "slow_sea.mp4"])
def test_an_upload_is_probed_in_the_worker(service: ChatService, worker: Recorder, name: str, tmp_path: Path) -> None:
    upload, expected = service.receive(service.sessions.open(), EXAMPLES / name), receive(tmp_path, EXAMPLES / name)
    assert (upload.kind, upload.seconds, upload.path.suffix, upload.name) == (expected.kind, expected.seconds, expected.path.suffix, name)
    assert upload.path.read_bytes() == expected.path.read_bytes() and worker.calls == ["probe"]


def test_an_upload_that_ends_its_reader_is_the_users_and_one_sentence(service: ChatService, worker: Recorder) -> None:
    worker.instead, session = worker_faults.crash, service.sessions.open()
    with pytest.raises(UserFacingError, match="^moon.jpg ended the process that reads files; it is damaged or too large") as caught:
        service.receive(session, EXAMPLES / "moon.jpg")
    assert caught.value.category == "user" and not list(session.folder.iterdir())
    worker.instead = None
    assert service.receive(session, EXAMPLES / "moon.jpg").kind == "image"


def test_damage_is_told_as_in_this_process(service: ChatService, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError) as expected:
        receive(tmp_path, damaged)
    with pytest.raises(UserFacingError) as caught:
        service.receive(service.sessions.open(), damaged)
    assert str(caught.value) == str(expected.value)


def test_a_recording_of_the_page_is_read_in_the_worker(service: ChatService, worker: Recorder) -> None:
    upload = service.receive(service.sessions.open(), EXAMPLES / "flute_ballad.flac")
    assert torch.equal(service.read_sound(upload.path).samples, Waveform.read(EXAMPLES / "flute_ballad.flac").samples)
    worker.instead = worker_faults.crash
    with pytest.raises(UserFacingError, match="^The recording ended the process"):
        service.read_sound(upload.path)
    assert worker.calls == ["probe", "read_sound", "read_sound"]


def test_the_server_owns_one_worker() -> None:
    model = llama.load(ROOT / "ckpts/nano")
    with gradio_app.run_service(model) as service:
        worker = service._media_worker
        assert worker is not None and worker is service.engine._media_worker
        upload = service.receive(service.sessions.open(), EXAMPLES / "flute_ballad.flac")
        assert upload.kind == "audio" and worker._worker.process.is_alive()
    assert not worker._worker.process.is_alive()
