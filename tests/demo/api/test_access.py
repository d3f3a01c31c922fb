"""Who may ask the API, who is who, and how much is read of what they send."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from api_server import SPEAKS, Json, Server, follow_up, message, refused, text64
from fastapi import HTTPException

from demo.api import access as api_access
from demo.api import route as api
from demo.api.audio_store import AudioStore
from demo.api.protocol import ApiError
from demo.service.auth import Login
from demo.service.conversation import Piece
from demo.service.kept_scores import KeptScores
from demo.service.sessions import Sessions
from tests.scripted_engine import SCORE

HOUR = 3600


# -- how much -----------------------------------------------------------------------------------------------------------


def test_requests_over_the_limit_are_not_read(tmp_path: Path) -> None:
    server, sent = Server(tmp_path, limit=1000), []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            sent.append(1)
            yield b" " * 100

    announced = asyncio.run(server.send(b" " * 2000, headers={"Content-Type": "application/json"}))
    refused(announced, 413, code="request_too_large")
    refused(asyncio.run(server.send(endless(), headers={"Content-Type": "application/json"})), 413, code="request_too_large")
    assert len(sent) < 20


def test_a_body_that_does_not_come_is_not_waited_for_and_leaves_its_room() -> None:
    budget = api_access.BodyMemoryBudget(100)

    class Slow:
        headers = {"content-type": "application/json"}

        async def stream(self) -> AsyncIterator[bytes]:
            yield b" " * 90
            await asyncio.sleep(60)

    async def two() -> None:
        with pytest.raises(ApiError) as late, budget.reserve() as acquire:
            await api_access.read_body(Slow(), 1000, acquire, within=0.05)  # type: ignore[arg-type]
        assert late.value.status == 408
        with budget.reserve() as acquire:
            acquire(100)

    asyncio.run(two())


def test_bodies_share_one_room() -> None:
    budget = api_access.BodyMemoryBudget(100)
    with budget.reserve() as one:
        one(60)
        with pytest.raises(ApiError) as full, budget.reserve() as other:
            other(30)
            other(30)
        assert full.value.status == 429
        one(40)  # what the other had taken is free again
    with budget.reserve() as acquire:
        acquire(100)


def test_a_full_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_PENDING_BODIES", 0)
    server = Server(tmp_path)
    refused(server.ask(), 429, code="rate_limit_exceeded")
    assert not server.engine.requests and server.folders == 0


# -- who is who ---------------------------------------------------------------------------------------------------------


def test_a_piece_is_spoken_of_by_its_id(server: Server) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    assert message(server.ask(follow_up(name)))["content"] == "Make it faster 2.00"


@pytest.mark.parametrize("other", [{"key": "somebody"}, {"host": "10.0.0.2"}, {"user": "somebody"}])
def test_ids_of_one_caller_do_not_open_for_another(server: Server, other: Json) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    told = refused(server.ask(follow_up(name), **other), 404, "messages[1].audio.id", "audio_not_found")
    assert told == refused(server.ask(follow_up("audio_unknown")), 404, "messages[1].audio.id", "audio_not_found")


def test_pieces_are_kept_for_an_hour(server: Server) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    assert [file.name for file in server.files] == [f"{name}-kept.wav"]
    server.now += HOUR - 1
    assert server.ask(follow_up(name)).status_code == 200
    server.now += 1
    refused(server.ask(follow_up(name)), 404, "messages[1].audio.id", "audio_not_found")
    assert server.files == [] and server.folders == 0


def test_pieces_have_one_room_and_the_oldest_leaves_it(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    store, session = AudioStore(sessions, lambda: 0.0, max_bytes=1000), sessions.open()
    for name in "abc":
        sound = session.folder / f"{name}.wav"
        sound.write_bytes(bytes(400))
        store.add(name, "me", session, Piece("", 1, 1.0, sound))
    assert sorted(file.name for file in session.folder.iterdir()) == ["b.wav", "c.wav"]
    assert store.get("b", "me", "here").sound.name == "b.wav"
    with pytest.raises(ApiError):
        store.get("a", "me", "here")
    sessions.close_all()


def test_notes_have_one_room_and_the_oldest_leave_it(tmp_path: Path) -> None:
    """Their pieces stay, as pieces without notes; a piece that alone is too long keeps them."""
    sessions = Sessions(tmp_path)
    sessions.scores = KeptScores(max_notes=500)
    store, session = AudioStore(sessions, lambda: 0.0), sessions.open()
    for name, notes in (("a", 300), ("b", 200), ("c", 300)):
        sound = session.folder / f"{name}.wav"
        sound.write_bytes(bytes(400))
        score = replace(SCORE, lead=SCORE.lead * notes)
        store.add(name, "me", session, Piece("", 1, 1.0, sound, score))
    kept = [store.get(name, "me", "here").score for name in "abc"]
    assert [score and len(score.lead) for score in kept] == [None, 200, 300]
    with pytest.raises(ApiError):
        store.get("b", "another", "here")
    long = replace(SCORE, lead=SCORE.lead * 900)
    store.add("d", "me", session, Piece("", 1, 1.0, sound, long))
    assert store.get("d", "me", "here").score == long and store.get("b", "me", "here").score is None
    sessions.close_all()
    assert len(sessions.scores) == 0


@pytest.mark.parametrize("given, status", [
    ("Bearer me:secret", 200), ("bearer me:secret", 200), ("Basic " + text64(b"me:secret"), 200), ("", 401), ("Bearer me:wrong", 401),
    ("Bearer secret", 401), ("Basic " + text64(b"me:wrong"), 401), ("Basic !!!", 401), ("Digest me:secret", 401), ("Bearer", 401),
])  # fmt: skip
def test_the_lock(tmp_path: Path, given: str, status: int) -> None:
    server = Server(tmp_path, auth="me:secret")
    response = asyncio.run(server.send("/v1/models", headers={"Authorization": given}))
    assert response.status_code == status
    if status == 401:
        refused(response, 401, code="invalid_api_key")
        assert "Basic" in response.headers["www-authenticate"]


def test_the_lock_holds_before_the_body_is_read(tmp_path: Path) -> None:
    refused(Server(tmp_path, auth="me:secret").ask("hello"), 401, code="invalid_api_key")


@pytest.mark.parametrize("auth", ["me", "me:", ":secret", ""])
def test_a_lock_without_a_key_is_refused(tmp_path: Path, auth: str) -> None:
    with pytest.raises(ValueError, match="user:password"):
        Server(tmp_path, auth=auth)


def test_the_lock_of_the_page_serves_too(tmp_path: Path) -> None:
    def closed() -> None:
        raise HTTPException(401, "Sign in first.")

    assert refused(Server(tmp_path, dependencies=[closed]).ask("hi"), 401, code="invalid_api_key") == "Sign in first."


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "Basic {}"])
def test_one_login_reads_letters_of_any_language(header: str) -> None:
    """A header's bytes come as latin-1; the same secret opens page and API."""
    secret = "zoë:pässwörd".encode()
    given = base64.b64encode(secret).decode() if header.startswith("Basic") else secret.decode("latin-1")
    login = Login.parse("zoë:pässwörd")
    assert login.admits(header.format(given)) and not login.admits(header.format(given)[:-1]) and not login.admits("")
