"""The forms of a piece on the page: for its session alone, under a name that says what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from demo.server.export_routes import export_router
from demo.service.audio_files import wav_header
from demo.service.media_probe import Limits
from demo.service.score_view import score_view
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions, export_url
from llama import Waveform
from llama.media.midi import to_midi
from llama.media.naming import piece_name
from tests.scripted_engine import RATE, SCORE, ScriptedEngine

pytest_plugins = ("tests.sessions_fixture",)


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
        Waveform(torch.rand(1, RATE) - 0.5, RATE).write(made.folder / name)
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


def test_the_score_is_json(client: TestClient, session: Session) -> None:
    response = client.get(export_url(session.token, "a1.wav", "score"))
    assert response.json() == score_view(SCORE) and "private" in response.headers["cache-control"]


def test_sheet_music_comes_page_by_page_and_runs_nothing(client: TestClient, session: Session) -> None:
    url = export_url(session.token, "a1.wav", "sheet")
    assert client.get(url).json() == {"pages": 1}
    for query in ("?page=1", "?page=1&size=narrow"):
        page = client.get(url + query)
        assert page.headers["content-type"] == "image/svg+xml" and page.text.startswith("<svg")
        assert {"default-src 'none'", "sandbox"} <= {*page.headers["content-security-policy"].split("; ")}
    for query, words in (("?page=2", "no page 2; give one from 1 to 1"), ("?size=huge", "choose from wide, narrow")):
        assert client.get(url + query).status_code == 400 and words in client.get(url + query).json()["detail"]


def test_the_spectrogram_is_a_picture_for_light_and_dark_pages(client: TestClient, session: Session) -> None:
    url = export_url(session.token, "b2.wav", "spectrogram")
    light, dark = client.get(url), client.get(f"{url}?dark=1")
    assert light.content[:8] == dark.content[:8] == b"\x89PNG\r\n\x1a\n" and light.content != dark.content
    assert light.headers["content-type"] == "image/png"


def test_the_spectrogram_of_a_recording_is_decoded_where_uploads_are(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_sound(service: ChatService, file: Path) -> Waveform:
        raise ValueError(f"{file.name} is damaged; export it again.")

    monkeypatch.setattr(ChatService, "read_sound", read_sound)
    response = client.get(export_url(session.token, "b2.wav", "spectrogram"))
    assert response.status_code == 400 and response.json()["detail"] == "b2.wav is damaged; export it again."


def test_the_forms_of_the_page_are_refused_and_hidden_like_the_others(client: TestClient, sessions: Sessions, session: Session) -> None:
    other = sessions.open()
    for form in ("score", "stem", "sheet", "spectrogram"):
        assert {client.get(export_url(token, "a1.wav", form)).status_code for token in (other.token, "nobody")} == {404}
    for form in ("score", "stem", "sheet"):
        response = client.get(export_url(session.token, "b2.wav", form))
        assert response.status_code == 400 and "sound and no notes" in response.json()["detail"]
    (session.folder / "c3.wav").write_bytes(wav_header(60.0, RATE, 1))
    assert "still being made" in client.get(export_url(session.token, "c3.wav", "spectrogram")).json()["detail"]
    assert "choose from melody" in client.get(export_url(session.token, "a1.wav", "stem?part=drums")).json()["detail"]
