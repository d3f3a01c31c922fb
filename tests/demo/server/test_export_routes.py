"""The forms of a piece on the page: for its session alone, under a name that says what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from demo.server.export_routes import export_router
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions, export_url
from llama.media.midi import to_midi
from llama.media.naming import piece_name
from tests.scripted_engine import SCORE, ScriptedEngine


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "sessions")
    yield made
    made.close_all()


@pytest.fixture
def client(sessions: Sessions) -> TestClient:
    app = FastAPI()
    app.include_router(export_router(ChatService(ScriptedEngine(), sessions, Limits())))  # type: ignore[arg-type]
    return TestClient(app)


@pytest.fixture
def session(sessions: Sessions) -> Session:
    """With a piece that has notes and one that has none."""
    made = sessions.open()
    for name in ("a1.wav", "b2.wav"):
        (made.folder / name).write_bytes(b"sound")
    sessions.scores.add(made.folder / "a1.wav", SCORE)
    return made


def test_a_form_is_a_download(client: TestClient, session: Session) -> None:
    response = client.get(export_url(session.token, "a1.wav", "midi"))
    assert response.content == to_midi(SCORE) and response.headers["content-type"] == "audio/midi"
    assert response.headers["content-disposition"] == f'attachment; filename="{piece_name(SCORE)}.mid"'
    assert response.headers["x-content-type-options"] == "nosniff" and "private" in response.headers["cache-control"]
    assert client.head(export_url(session.token, "a1.wav", "midi")).content == b""


def test_one_answer_for_all_that_is_not_there(client: TestClient, sessions: Sessions, session: Session) -> None:
    other = sessions.open()
    paths = [(other.token, "a1.wav", "midi"), ("nobody", "a1.wav", "midi"), (session.token, "c3.wav", "midi"),
             (session.token, "..%2Fa1.wav", "midi"), (session.token, "a1.wav", "exe")]  # fmt: skip
    answers = [client.get(f"media/{token}/{name}/{form}") for token, name, form in paths]
    assert {answer.status_code for answer in answers} == {404}
    session.folder.joinpath("a1.wav").unlink()
    assert client.get(export_url(session.token, "a1.wav", "midi")).status_code == 404, "the notes go with the sound"


def test_a_refusal_is_a_sentence(client: TestClient, session: Session) -> None:
    for url, words in ((export_url(session.token, "b2.wav", "midi"), "sound and no notes"),
                       (export_url(session.token, "a1.wav", "midi", "2"), "those of a loop")):  # fmt: skip
        response = client.get(url)
        assert response.status_code == 400 and words in response.json()["detail"]
