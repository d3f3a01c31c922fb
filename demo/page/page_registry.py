"""The page sessions of a server, by token: they begin and end with the sessions of `demo.service.sessions`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from demo.page.page_session import CLOSED, PageSession

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions

MAX_PAGE_SESSIONS = 2000  # of some 100 kB each after ten exchanges; clients may open as many as they like


class PageRegistry:
    """Page sessions by token. Thread-safe. Beyond `max_sessions` the one that was unused for longest ends, with its files."""

    def __init__(self, sessions: Sessions, max_sessions: int = MAX_PAGE_SESSIONS) -> None:
        self._sessions, self._max_sessions = sessions, max_sessions
        self._guard = threading.Lock()
        self._pages: OrderedDict[str, PageSession] = OrderedDict()  # the one used last at the end
        sessions.add_close_listener(self._closed)

    def find(self, token: str) -> PageSession | None:
        """The page session of a token, whose page is here again; None if it is over or never was."""
        session = self._sessions.here(token) if token else None
        with self._guard:
            page = self._pages.get(token)
            if session is None or page is None:
                return None
            self._pages.move_to_end(token)
            return page

    def get(self, token: str) -> PageSession:
        """As `find`. Raises ValueError where that gives None."""
        page = self.find(token)
        if page is None:
            raise ValueError(CLOSED)
        return page

    def open(self) -> PageSession:
        """A new session with its page session. Raises ValueError while the server shuts down."""
        page = PageSession(self._sessions.open())
        with self._guard:
            self._pages[page.session.token] = page
            oldest = list(self._pages)[: len(self._pages) - self._max_sessions]
        for token in oldest:
            self._sessions.close(token)
        return page

    def _closed(self, session: Session) -> None:
        with self._guard:
            page = self._pages.pop(session.token, None)
        if page is not None:
            page.close()
