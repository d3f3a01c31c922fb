"""What the tests of the page share: a page whose engine is scripted.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from demo.page.controller import Page
from demo.page.state import PageState
from demo.service.media_probe import Limits
from demo.service.request import Settings
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions
from llama import Waveform
from tests.scripted_engine import RATE, ScriptedEngine

SHORT = Settings(seconds=2.0, seed=5)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "sessions")
    yield made
    made.close_all()


@pytest.fixture
def work(engine: ScriptedEngine, sessions: Sessions) -> ChatService:
    return ChatService(engine, sessions, Limits())  # type: ignore[arg-type]


@pytest.fixture
def session(sessions: Sessions) -> Session:
    return sessions.open()


@pytest.fixture
def page(work: ChatService) -> Page:
    return Page(work)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return record(tmp_path / "mine.wav")


def record(file: Path) -> Path:
    Waveform(torch.rand(1, 3 * RATE) - 0.5, RATE).write(file)
    return file


def asked(page: Page, text: str, files: Any = (), settings: Settings = SHORT, state: PageState | None = None) -> PageState:
    return list(page.submit(state or PageState(), text, files, settings))[-1]


def files_of(page: Page, state: PageState) -> list[Path]:
    session = page.sessions.get(state.token)
    return sorted(session.folder.iterdir()) if session is not None else []
