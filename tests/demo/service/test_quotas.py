"""How much is one user's: places in the queue, letters of a message, bytes on the disk; all else is left to the others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from demo.page.controller import Page
from demo.page.view import ExchangeView
from demo.service.conversation import Conversation
from demo.service.errors import UserFacingError
from demo.service.media_probe import Limits
from demo.service.quotas import MAX_PER_ADDRESS, MAX_PER_CALLER, ConcurrencyLimiter
from demo.service.request import MAX_TEXT, Settings, Update
from demo.service.service import ChatService, ResponseStream
from demo.service.sessions import Session, Sessions
from tests.page_helpers import seen
from tests.page_server import serving
from tests.scripted_engine import ScriptedEngine

pytest_plugins = ("tests.page_helpers",)  # its engine, sessions and recording
PLAIN = Settings(seconds=2.0, seed=5)


def answer(work: ChatService, session: Session, text: str, files: list[Path | bytes] | None = None) -> list[Update]:
    return list(work.answer(session, Conversation(), text, files or [], PLAIN))


def refusal(work: ChatService, session: Session, text: str, files: list[Path | bytes] | None = None) -> UserFacingError:
    with pytest.raises(UserFacingError) as caught:
        answer(work, session, text, files)
    return caught.value


def names(session: Session) -> list[str]:
    return sorted(file.name for file in session.folder.iterdir())


def open_at_once(work: ChatService, session: Session, count: int, caller: str = "") -> list[ResponseStream]:
    """So many answers of one caller, none of which ends by itself."""
    made = [work.answer(session, Conversation(), "wait", [], PLAIN, caller=caller) for _ in range(count)]
    for one in made:
        next(one)
    return made


@pytest.mark.parametrize("caller", ["", "anna"])
def test_nobody_fills_the_queue_alone(work: ChatService, sessions: Sessions, engine: ScriptedEngine, caller: str) -> None:
    """A caller is the session, or whoever is named, in however many sessions they ask."""
    mine = sessions.open()
    under_way = open_at_once(work, mine, MAX_PER_CALLER - 1, caller)
    again = sessions.open() if caller else mine
    with pytest.raises(UserFacingError, match=f"{MAX_PER_CALLER - 1} of your answers are under way") as told:
        next(work.answer(again, Conversation(), "two takes", [], replace(PLAIN, takes=2), caller=caller))
    assert told.value.category == "busy" and len(engine.requests) == MAX_PER_CALLER - 1, "all takes or none"
    under_way += open_at_once(work, again, 1, caller)
    with pytest.raises(UserFacingError):
        open_at_once(work, again, 1, caller)
    assert answer(work, sessions.open(), "somebody else")[-1].text == "somebody else"
    under_way[0].close()
    assert engine.requests[0].finished.wait(10)
    open_at_once(work, again, 1, caller)


def test_one_address_leaves_places_for_others(work: ChatService, sessions: Sessions, engine: ScriptedEngine) -> None:
    """Whatever names and sessions it asks with."""
    def begin(client_address: str, caller: str, takes: int = 1) -> None:
        work.begin(sessions.open(), Conversation(), "wait", [], replace(PLAIN, takes=takes), caller=caller, client_address=client_address)

    for number in range(MAX_PER_ADDRESS - 1):
        begin("192.0.2.1", f"name {number}")
    with pytest.raises(UserFacingError, match=f"{MAX_PER_ADDRESS - 1} answers for your address are under way and 2 more") as told:
        begin("192.0.2.1", "", takes=2)
    assert told.value.category == "busy" and len(engine.requests) == MAX_PER_ADDRESS - 1
    begin("192.0.2.1", "")
    with pytest.raises(UserFacingError, match=f"the most is {MAX_PER_ADDRESS}"):
        begin("192.0.2.1", "another name")
    begin("192.0.2.2", "name 1")
    begin("", "a program of this process's own")
    engine.requests[0].finished.set()
    begin("192.0.2.1", "another name")


def test_the_pages_of_one_address_share(work: ChatService, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    work._limiter = ConcurrencyLimiter(max_per_address=2)
    page, here = Page(work), ["192.0.2.1"]
    monkeypatch.setattr("gradio.context.LocalContext.request", SimpleNamespace(get=lambda default: Asking(here[0])))

    def opened() -> ExchangeView:
        """The view of a new page's message once the engine has it, or refused it."""
        state = page.pages.get(page.submit("", "play wait", [], PLAIN))
        return seen(state, lambda view: view.queue_position or view.status == "failed")

    assert [opened().status, opened().status] == ["working", "working"]
    assert "2 answers for your address" in opened().error
    here[0] = "192.0.2.2"
    assert opened().status == "working"
    engine.leaves.release(100)


class Asking:
    """What gradio knows of a request."""

    def __init__(self, host: str) -> None:
        self.client, self.headers = SimpleNamespace(host=host), dict[str, str]()


def test_a_share_of_refused_takes_is_free_again(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    open_at_once(work, session, 1)
    for _ in range(MAX_PER_CALLER):
        assert refusal(work, session, "busy").category == "busy"
    assert answer(work, session, "hello")[-1].text == "hello"


@pytest.mark.parametrize("text, system", [("x" * (MAX_TEXT + 1), ""), ("x" * MAX_TEXT, "y")])
def test_the_longest_text_is_one_for_all(work: ChatService, engine: ScriptedEngine, session: Session, text: str, system: str) -> None:
    with pytest.raises(UserFacingError, match=f"{MAX_TEXT + 1} characters, at most {MAX_TEXT}") as told:
        work.begin(session, Conversation(), text, [b"no sound"], PLAIN, system=system)
    assert told.value.category == "user" and not engine.requests
    assert work.begin(session, Conversation(), text[1:], [], PLAIN, system=system).requests


def test_a_session_keeps_only_so_much(engine: ScriptedEngine, sessions: Sessions, session: Session, recording: Path) -> None:
    """What is made counts as what is sent does; another session has room of its own."""
    size = recording.stat().st_size
    work = ChatService(engine, sessions, Limits(session_bytes=3 * size))
    answer(work, session, "listen", [recording])
    answer(work, session, "listen", [recording.read_bytes()])
    (session.folder / "made.flac").write_bytes(bytes(size // 2))
    kept = names(session)
    told = refusal(work, session, "listen", [recording])
    assert str(told) == f"The files of this conversation would have 0.2 MB, at most {3 * size / 1e6:g} MB are kept; begin a new one."
    assert told.category == "user" and names(session) == kept and answer(work, session, "hello")[-1].text == "hello"
    (session.folder / "made.wav").write_bytes(bytes(size))
    assert "are kept" in str(refusal(work, session, "play"))
    assert answer(work, sessions.open(), "listen", [recording])[-1].text == "listen 3.00"


# -- programs -----------------------------------------------------------------------------------------------------------


def told(address: str, text: str, host: str = "") -> str:
    """What the page's function for programs answers; each call has a session of its own."""
    headers = {"X-Forwarded-For": host} if host else {}
    said = {"data": [text, None, None, None, 1, 0, None, None]}
    called = httpx.post(f"{address}gradio_api/call/respond", json=said, headers=headers).json()["event_id"]
    return httpx.get(f"{address}gradio_api/call/respond/{called}", headers=headers, timeout=30).text


def test_programs_share_by_their_address_and_their_texts_end(work: ChatService, engine: ScriptedEngine) -> None:
    work._limiter = ConcurrencyLimiter(1)
    with serving(work) as address:
        said = json.dumps({"data": ["wait", None, None, None, 1, 0, None, None]})
        httpx.post(f"{address}gradio_api/call/respond", content=said, headers={"Content-Type": "application/json"}).raise_for_status()
        while not engine.requests:
            continue
        assert "1 of your answers are under way" in told(address, "hello")
        assert "event: complete" in told(address, "hello", "192.0.2.1")
        engine.requests[0].cancel()
        assert engine.requests[0].finished.wait(10) and "event: complete" in told(address, "hello")
        assert f"at most {MAX_TEXT} are taken" in told(address, "x" * (MAX_TEXT + 1))
