"""What the tests of the page share: a page whose engine is scripted.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from demo.page.card import card_json
from demo.page.controller import Page
from demo.page.page_session import PageSession
from demo.page.view import ExchangeView
from demo.page.view_html import exchange_html
from demo.service.media_probe import Limits
from demo.service.request import Settings
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from llama import Waveform
from tests.scripted_engine import RATE, ScriptedEngine

pytest_plugins = ("tests.sessions_fixture",)
SHORT = Settings(seconds=2.0, seed=5)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def work(engine: ScriptedEngine, sessions: Sessions) -> ChatService:
    return ChatService(engine, sessions, Limits())  # type: ignore[arg-type]


@pytest.fixture
def page(work: ChatService) -> Page:
    return Page(work)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return record(tmp_path / "mine.wav")


def record(file: Path) -> Path:
    Waveform(torch.rand(1, 3 * RATE) - 0.5, RATE).write(file)
    return file


def asked(page: Page, text: str, files: Any = (), settings: Settings = SHORT, state: PageSession | None = None) -> PageSession:
    """The session after the answer to a message. state: of the messages before."""
    return ended(page, page.submit("" if state is None else state.session.token, text, files, settings))


def begun(page: Page, text: str, settings: Settings = SHORT, state: PageSession | None = None) -> PageSession:
    """The session while a message is answered."""
    return page.pages.get(page.submit("" if state is None else state.session.token, text, [], settings))


def ended(page: Page, token: str) -> PageSession:
    """The session once nothing is made in it any more."""
    state = page.pages.get(token)
    assert state.messages.wait(30) and state.changes.wait(30)
    return state


def views(state: PageSession) -> list[ExchangeView]:
    return [exchange.view for exchange in state.contents.exchanges]


def html(state: PageSession, index: int = -1) -> str:
    exchanges = state.contents.exchanges
    return exchange_html(exchanges[index].view, index % len(exchanges))


def card(state: PageSession, index: int = -1) -> dict[str, Any]:
    """The card of an exchange as the page reads it."""
    return json.loads(json.dumps(card_json(views(state)[index], index % len(views(state)))))


def seen(state: PageSession, what: Callable[[ExchangeView], Any], seconds: float = 20.0) -> ExchangeView:
    """The view of the last exchange as soon as `what` is true of it."""
    changed = threading.Event()
    state.add_listener(changed.set)
    try:
        deadline = time.monotonic() + seconds
        while not what(views(state)[-1]):
            assert changed.wait(deadline - time.monotonic()), views(state)[-1]
            changed.clear()
        return views(state)[-1]
    finally:
        state.remove_listener(changed.set)


def files_of(page: Page, state: PageSession) -> list[Path]:
    session = page.sessions.get(state.session.token)
    return sorted(session.folder.iterdir()) if session is not None else []
