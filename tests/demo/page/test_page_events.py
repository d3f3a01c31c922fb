"""The state of a page over HTTP: server-sent events, restored pages, pages that agree, and actions of strangers and of tabs."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.page import page_session
from demo.page.controller import Page
from demo.server import page_events
from demo.server.page_actions import MAX_BYTES
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.page_helpers import SHORT, asked, begun, card, ended, seen, views
from tests.page_server import running
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


LETTERS = "bcdfghj"


class Site:
    """The page's own routes on a server, without gradio."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address

    def act(self, token: str, **fields: Any) -> httpx.Response:
        return httpx.post(f"{self.address}page/{token}/actions", json=fields, timeout=30)

    @contextmanager
    def follow(self, token: str) -> Iterator[Iterator[dict[str, Any]]]:
        """The states that a page gets."""
        with httpx.stream("GET", f"{self.address}page/{token}/events", timeout=30) as response:
            assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
            yield (json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line.startswith("data: "))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from fastapi import FastAPI

    from demo.server.page_actions import actions_router
    from demo.server.presence_routes import presence_router

    sessions = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    page = Page(ChatService(ScriptedEngine(), sessions, Limits()))  # type: ignore[arg-type]
    app = FastAPI()
    for router in (page_events.events_router(page.pages), actions_router(page), presence_router(page.sessions)):
        app.include_router(router)
    with running(app) as (address, _):
        yield Site(page, address)
    sessions.close_all()


def engine_of(site: Site) -> ScriptedEngine:
    engine = site.page.service.engine
    assert isinstance(engine, ScriptedEngine)
    return engine


def test_a_page_that_is_loaded_again_gets_all_turns(site: Site, recording: Path) -> None:
    state = asked(site.page, "what is this", [recording])
    for number in range(7):
        asked(site.page, f"play something new {LETTERS[number]}", state=state)
    with site.follow(state.session.token) as states:
        restored = next(states)
    assert restored["count"] == 8 and sorted(restored["changed"], key=int) == [str(number) for number in range(8)]
    assert len(restored["library"]) == 7 and not restored["busy"]
    for number in range(7):
        assert f"play something new {LETTERS[number]}" in restored["changed"][str(number + 1)]
    assert "music-card" in restored["changed"]["7"] and "data-compact" in restored["changed"]["0"]


def test_a_page_without_a_stream_asks_for_what_has_changed(site: Site) -> None:
    state = asked(site.page, "play notes")
    asked(site.page, "hello", state=state)
    address = f"{site.address}page/{state.session.token}/state"
    whole = httpx.get(address).json()
    with site.follow(state.session.token) as states:
        assert next(states) == whole and sorted(whole["changed"]) == ["0", "1"]
    assert httpx.get(f"{address}?since={whole['version']}").status_code == 204
    site.page.star(state.session.token, card(state, 0)["selected"], True)
    later = httpx.get(f"{address}?since={whole['version']}").json()
    assert list(later["changed"]) == ["0"] and later["library"][0]["starred"] and later["version"] > whole["version"]
    with httpx.stream("GET", f"{site.address}page/{state.session.token}/events?since={whole['version']}") as response:
        data = next(line for line in response.iter_lines() if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: ")) == later, "a stream goes on where the questions ended"
    for strange in ("x", "-1", "1" * 400, ""):
        assert httpx.get(f"{address}?since={strange}").json()["count"] == 2
    assert httpx.get(f"{site.address}page/nobody/state").status_code == 404


def test_an_answer_goes_on_while_no_page_follows_it(site: Site) -> None:
    state = begun(site.page, "wait play")
    with site.follow(state.session.token) as states:
        assert 'aria-busy="true"' in next(states)["changed"]["0"]
    engine_of(site).leaves.release(50)
    ended(site.page, state.session.token)
    with site.follow(state.session.token) as states:
        restored = next(states)
    assert "aria-busy" not in restored["changed"]["0"] and not restored["busy"]


def test_two_pages_of_a_session_agree(site: Site) -> None:
    state = asked(site.page, "play notes")
    token, piece = state.session.token, card(state)["selected"]
    with site.follow(token) as first, site.follow(token) as second:
        assert next(first)["changed"] == next(second)["changed"]
        assert site.act(token, act="star", piece=piece, on=True).json() == {}
        for states in (first, second):
            later = next(states)
            assert later["library"][0]["starred"] and list(later["changed"]) == ["0"]
        asked(site.page, "hello", state=state)
        for states in (first, second):
            changed: dict[str, str] = {}
            while "Answer: hello" not in changed.get("1", ""):
                later = next(states)
                changed |= later["changed"]
                assert "0" not in later["changed"] and later["library"] is None, "only what has changed"


def test_events_are_few_however_many_updates_there_are(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_events, "MIN_INTERVAL", 0.3)
    state = asked(site.page, "hello")
    with site.follow(state.session.token) as states:
        next(states)
        before = state.version
        asked(site.page, "play", state=state)
        for turn in range(200):
            site.page.star(state.session.token, card(state)["selected"], turn % 2 == 0)
        count = 1
        while next(states)["version"] < state.version:
            count += 1
    assert state.version - before > 200 and count <= 3


def test_a_quiet_page_gets_a_sign_of_life_and_stays_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_events, "ALIVE_INTERVAL", 0.05)
    state = asked(site.page, "hello")
    site.page.sessions.away(state.session.token)
    with httpx.stream("GET", f"{site.address}page/{state.session.token}/events") as response:
        assert ": alive" in (line for line in response.iter_lines())
    monkeypatch.setattr(site.page.sessions, "away_seconds", 0.0)
    assert site.page.sessions.get(state.session.token) is not None, "its page is here"


def test_a_page_that_leaves_is_forgotten(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_session, "MAX_FOLLOWERS", 2)
    state = asked(site.page, "hello")
    url = f"{site.address}page/{state.session.token}/events"
    with site.follow(state.session.token) as first, site.follow(state.session.token) as second:
        next(first), next(second)
        refused = httpx.get(url)
        assert refused.status_code == 429 and "open in" in refused.json()["error"]
    is_free = threading.Event()
    listener = is_free.set
    while True:  # the server hears of the end a moment later
        try:
            state.add_listener(listener)
            break
        except ValueError:
            is_free.wait(0.02)
    state.remove_listener(listener)


def test_a_session_that_ends_ends_its_events(site: Site) -> None:
    state = asked(site.page, "hello")
    with site.follow(state.session.token) as states:
        next(states)
        site.page.sessions.close(state.session.token)
        assert list(states) == []


@pytest.mark.parametrize("token", ["unknown", "a" * 43, "%2e%2e"])
def test_an_unknown_token_is_nobody(site: Site, token: str) -> None:
    for answer in (httpx.get(f"{site.address}page/{token}/events"), site.act(token, act="clear"),
                   httpx.post(f"{site.address}page/{token}/here")):  # fmt: skip
        assert answer.status_code == 404 and answer.json()["error"].startswith("This session is over")
    assert httpx.post(f"{site.address}page/{token}/away").status_code == 204


def test_a_token_opens_no_other_session(site: Site) -> None:
    mine, other = asked(site.page, "play notes"), asked(site.page, "play notes")
    piece = card(other)["selected"]
    for fields in ({"act": "delete"}, {"act": "undo"}, {"act": "reuse"}, {"act": "star", "on": True}, {"act": "redirect", "exchange": 0},
                   {"act": "edit", "edit": {"change": {"tempo": 90}}}):  # fmt: skip
        answer = site.act(mine.session.token, **fields, piece=piece)
        assert answer.status_code == 400 and "There is no such piece" in answer.json()["error"]
    assert card(other)["versions"][0]["complete"]


@pytest.mark.parametrize(("fields", "word"), [
    ({}, "one of another, cancel, clear"), ({"act": "explode"}, "one of another, cancel, clear"), ({"act": 5}, "one of another, cancel"),
    ([], "one of another"), ("stop", "one of another"), ({"act": "stop", "why": 1}, "no field why; leave it out"),
    ({"act": "star", "piece": "abc"}, "on is missing"), ({"act": "star", "piece": "abc", "on": "yes"}, "on"),
    ({"act": "star", "piece": "../abc", "on": True}, "piece"), ({"act": "cancel", "exchange": -1}, "exchange"),
    ({"act": "repeat", "exchange": 0.5}, "exchange"), ({"act": "rename", "piece": "abc", "name": "x" * 2000}, "name"),
    ({"act": "edit", "piece": "abc", "edit": {"change": {"tempo": 1}}}, "tempo 1 is out of range"),
    ({"act": "edit", "piece": "abc", "edit": {"tempo": 90}}, "edit has no field 'tempo'"), ({"act": "edit", "piece": "abc"}, "edit"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(site: Site, fields: Any, word: str) -> None:
    state = asked(site.page, "hello")
    answer = httpx.post(f"{site.address}page/{state.session.token}/actions", json=fields)
    error = answer.json()["error"]
    assert answer.status_code == 400 and word in error and "\n" not in error and len(error) < 400
    assert error.endswith(".") and "Traceback" not in error


@pytest.mark.parametrize(("content", "content_type", "status"), [
    (b"{", "application/json", 400), (b"\xff", "application/json", 400), (b'{"act": "stop"}', "text/plain", 400),
    (b'{"act": "stop", "x": NaN}', "application/json", 400), (b" " * (MAX_BYTES + 1), "application/json", 413),
    (b"[" * 60_000, "application/json", 400),
])  # fmt: skip
def test_what_is_no_action_is_refused(site: Site, content: bytes, content_type: str, status: int) -> None:
    answer = httpx.post(f"{site.address}page/x/actions", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status and answer.json()["error"].endswith(".")


def test_every_action_over_http(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from demo.page import piece_actions

    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we play notes")
    state = asked(site.page, "play notes")
    token, piece = state.session.token, card(state)["selected"]

    def act(**fields: Any) -> Any:
        answer = site.act(token, **fields)
        assert answer.status_code == 200, answer.text
        ended(site.page, token)
        return answer.json()

    act(act="edit", piece=piece, edit={"change": {"tempo": 90, "key": "E flat"}})
    edited = card(state)["selected"]
    assert edited != piece and engine_of(site).requests[-1].options.edit.change == {"tempo": 90, "key": 3}
    act(act="undo", piece=edited)
    assert card(state)["selected"] == piece
    act(act="redo", piece=edited)
    act(act="another", piece=piece)
    assert len(card(state)["versions"]) == 3
    act(act="keep", piece=piece)
    act(act="rename", piece=piece, name="Mine")
    assert act(act="reuse", piece=piece)["message"] == "play notes"
    act(act="repeat", exchange=0, take=0, new_seed=True)
    act(act="redirect", exchange=0, piece=piece)
    assert [view.message for view in views(state)] == ["play notes"] * 3
    act(act="delete", piece=piece)
    engine_of(site).leaves = threading.Semaphore(0)
    begun(site.page, "wait for me", state=state)
    begun(site.page, "wait for me, too", state=state)
    assert site.act(token, act="cancel", exchange=4).status_code == 200
    assert act(act="stop", exchange=3) == {} and [view.status for view in views(state)[-2:]] == ["stopped", "stopped"]
    act(act="clear")
    assert views(state) == []
    act(act="restore")
    assert len(views(state)) == 5


def test_the_server_ends_while_pages_follow(page: Page) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(page_events.events_router(page.pages))
    state = asked(page, "hello")
    with running(app) as (address, server), httpx.stream("GET", f"{address}page/{state.session.token}/events") as response:
        lines = response.iter_lines()
        assert next(lines) == "event: state"
        server.should_exit = True
        assert list(lines)[-1] == "", "it ends by itself, not by its timeout"


def test_a_page_that_leaves_before_its_first_event_follows_no_more(page: Page) -> None:
    from fastapi import FastAPI
    from starlette.requests import ClientDisconnect

    app, state = FastAPI(), asked(page, "hello")
    app.include_router(page_events.events_router(page.pages))
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": f"/page/{state.session.token}/events", "query_string": b"", "headers": [], "root_path": ""}  # fmt: skip
    following: list[int] = []

    async def send(message: Any) -> None:
        following.append(len(state._listeners))
        raise OSError("the page has left")

    with pytest.raises(ClientDisconnect):
        asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
    assert following == [1] and not state._listeners


def test_a_slow_page_holds_nothing_up(site: Site) -> None:
    """A page that reads nothing: its session goes on, and so do the others."""
    state = asked(site.page, "hello")
    host, port = site.address.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(f"GET /page/{state.session.token}/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        for number in range(3):
            asked(site.page, f"play {number}", state=state)
        assert site.act(state.session.token, act="stop").status_code == 200
    assert seen(state, lambda view: view.status == "done").message == "play 2" and SHORT.seconds == 2.0
