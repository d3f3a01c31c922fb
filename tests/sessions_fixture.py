"""Fixtures of the tests about files of sessions: sessions in a temporary folder, and one that is open.

PYTEST_DONT_REWRITE: pytest loads it as a plugin, for its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.service.sessions import Session, Sessions


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "sessions")
    yield made
    made.close_all()


@pytest.fixture
def session(sessions: Sessions) -> Session:
    return sessions.open()
