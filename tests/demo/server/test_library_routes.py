"""The archive of a page's pieces over HTTP: for its session alone, as long as it says, refused in a sentence."""

from __future__ import annotations

import io
import zipfile
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from demo.page.controller import Page
from demo.server.library_routes import library_router
from demo.service import exports, library_archive
from tests.page_helpers import asked, card, files_of

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


@pytest.fixture
def client(page: Page) -> TestClient:
    app = FastAPI()
    app.include_router(library_router(page))
    return TestClient(app)


def test_all_pieces_of_a_page_are_one_archive(client: TestClient, page: Page) -> None:
    state = asked(page, "play", state=asked(page, "play notes"))
    address = f"page/{state.session.token}/all.zip"
    response = client.get(address)
    assert "x-left-out" not in response.headers and client.head(address).status_code == 200
    assert response.headers["content-disposition"] == 'attachment; filename="mumu-llama-pieces.zip"'
    assert response.headers["x-content-type-options"] == "nosniff" and "private" in response.headers["cache-control"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {"happy-ballad-flute-60bpm-C-major", "play", "left-out.txt"}
        assert "Chords: " in archive.read("left-out.txt").decode(), "of notes without chords"


def test_starred_pieces_alone_under_the_names_that_they_were_given(client: TestClient, page: Page) -> None:
    state = asked(page, "play", state=asked(page, "play notes"))
    token, piece = state.session.token, card(state)["versions"][0]["id"]
    assert client.get(f"page/{token}/all.zip?starred=true").status_code == 400
    page.star(token, piece, True)
    page.rename(token, piece, "My Song")
    with zipfile.ZipFile(io.BytesIO(client.get(f"page/{token}/all.zip?starred=true").content)) as archive:
        assert archive.namelist() == ["my-song/play.wav"]


def test_a_question_about_the_archive_writes_nothing_and_names_what_it_lacks(
    client: TestClient, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = asked(page, "play notes")
    page.rename(state.session.token, card(state)["versions"][0]["id"], "Été")
    monkeypatch.setattr(exports, "MAX_STAFF_NOTES", 0)
    before, address = files_of(page, state), f"page/{state.session.token}/all.zip"
    head = client.head(address)
    assert unquote(head.headers["x-left-out"]) == "Left out: MusicXML of ete; left-out.txt in the archive says why."
    assert files_of(page, state) == before and "content-length" not in head.headers
    with zipfile.ZipFile(io.BytesIO(client.get(address).content)) as archive:
        assert "ete, MusicXML: The piece has " in archive.read("left-out.txt").decode()


def test_what_is_refused(client: TestClient, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("page/nobody/all.zip").status_code == 404
    token = asked(page, "play").session.token
    monkeypatch.setattr(library_archive, "MAX_ARCHIVE_BYTES", 1000)
    response = client.get(f"page/{token}/all.zip")
    assert response.status_code == 400 and "take them home one by one" in response.json()["detail"]
