"""The state of one session of the page, which lives on the server: exchanges, pieces, running answers, and the pages that follow it.

A page that brings the session's token gets all of it, so that a reload, the back button or a lost network lose nothing. Answers run
in threads of the session, whichever pages are open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.page.answer_queue import AnswerQueue
from demo.page.library import library_entries
from demo.page.state import PageExchange, PieceRecord
from demo.page.view_html import exchange_html
from demo.service.conversation import Conversation

if TYPE_CHECKING:
    from demo.page.view import ExchangeView
    from demo.service.sessions import Session

MAX_EXCHANGES = 200  # of a page: some 10 kB each, with the notes of a usual piece
MAX_FOLLOWERS = 16  # pages of one session
FRESH_SECONDS = 5.0  # after its end in which new music may begin to sound by itself: not when a page is opened later
CLEAR_SECONDS = 10.0  # in which a clear can be taken back
TOO_LONG = f"This conversation has {MAX_EXCHANGES} messages, the most that one page keeps; clear it to begin a new one."
CLOSED = "This session is over and its files are deleted; send a message to begin a new one."
NO_SUCH_PIECE = "There is no such piece in this conversation any more; choose another one."
NO_SUCH_EXCHANGE = "There is no such message in this conversation any more; choose another one."


@dataclass
class Contents:
    """What a clear takes away: the exchanges, the conversation that the model sees, and the pieces by id."""

    exchanges: list[PageExchange] = field(default_factory=list)
    conversation: Conversation = field(default_factory=Conversation)
    pieces: dict[str, PieceRecord] = field(default_factory=dict)


@dataclass
class Cleared:
    """Contents that a clear took away, which are deleted at `deadline` with their files."""

    contents: Contents
    files: tuple[Path, ...]
    deadline: float
    timer: threading.Timer


class PageSession:
    """State of one session. Thread-safe: `changing` is its lock. clock: monotonic time in seconds.

    version: grows with every change; listeners are called after each, by the thread that made it, and may not block.
    """

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self.session, self.clock = session, clock
        self.lock = threading.RLock()
        self.contents = Contents()
        self.messages, self.changes = AnswerQueue(self.lock, "page-answer"), AnswerQueue(self.lock, "page-change")
        self.messages.wait_for(self.changes)  # "make it slower" is about what a click has just made
        self.version = 1
        self.closed = False
        self._answer_count = 0
        self._library_version = 1
        self._cleared: Cleared | None = None
        self._listeners: list[Callable[[], None]] = []

    # -- changes --------------------------------------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[Contents]:
        """Context manager that holds the lock and tells the listeners at its end. Raises ValueError for a session that is over."""
        with self.lock:
            if self.closed:
                raise ValueError(CLOSED)
            self.version += 1
            yield self.contents
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def check_room(self) -> None:
        """Raises ValueError if the page has as many exchanges as it keeps."""
        if len(self.contents.exchanges) >= MAX_EXCHANGES:
            raise ValueError(TOO_LONG)

    def add_exchange(self, exchange: PageExchange) -> None:
        """Appends an exchange. Called within `changing`."""
        exchange.version = self.version
        self.contents.exchanges.append(exchange)

    def set_view(self, exchange: PageExchange, view: ExchangeView) -> None:
        """Shows an exchange in another way. Called within `changing`."""
        exchange.view, exchange.version = view, self.version

    def library_changed(self) -> None:
        """Tells that pieces came, went or changed. Called within `changing`."""
        self._library_version = self.version

    def next_answer_number(self) -> int:
        """Number of a new answer; answers of one card keep this order."""
        with self.lock:
            self._answer_count += 1
            return self._answer_count

    # -- what is there --------------------------------------------------------------------------------------------------

    def exchange(self, index: int) -> PageExchange:
        """The exchange with this number, from 0. Raises ValueError for an unknown one."""
        if not 0 <= index < len(self.contents.exchanges):
            raise ValueError(NO_SUCH_EXCHANGE)
        return self.contents.exchanges[index]

    def piece(self, piece_id: str) -> PieceRecord:
        """The piece with this id. Raises ValueError for an unknown one."""
        if piece_id not in self.contents.pieces:
            raise ValueError(NO_SUCH_PIECE)
        return self.contents.pieces[piece_id]

    @property
    def busy(self) -> bool:
        """Whether music or words are being made that `stop` can end."""
        return self.messages.is_making or self.changes.is_making

    @property
    def is_idle(self) -> bool:
        """Whether no answer runs or waits."""
        return self.messages.is_idle and self.changes.is_idle

    # -- clear and restore ----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Empties the page and ends its answers. What was there is deleted after `CLEAR_SECONDS`, unless `restore` is called before."""
        with self.changing():
            earlier = self._cleared
            for answer in (*self.messages.discard(), *self.changes.discard()):
                answer.discard()
            timer = threading.Timer(CLEAR_SECONDS, self._delete_cleared)
            timer.daemon = True
            contents, self.contents = self.contents, Contents()
            files = tuple(self.session.folder.iterdir())
            self._cleared = Cleared(contents, files, self.clock() + CLEAR_SECONDS, timer)
            self.library_changed()
            timer.start()
        if earlier is not None:
            earlier.timer.cancel()
            _delete(file for file in earlier.files)

    def restore(self) -> None:
        """Takes a clear back, before what was sent since. Raises ValueError if its time is over."""
        with self.changing():
            if self._cleared is None:
                raise ValueError(f"What was cleared is deleted: a clear can be taken back for {CLEAR_SECONDS:g} seconds.")
            self._cleared.timer.cancel()
            old, new, self._cleared = self._cleared.contents, self.contents, None
            conversation = old.conversation.followed_by(new.conversation)
            self.contents = Contents([*old.exchanges, *new.exchanges], conversation, {**old.pieces, **new.pieces})
            for exchange in self.contents.exchanges:
                exchange.version = self.version
            self.library_changed()

    def _delete_cleared(self) -> None:
        try:
            with self.changing():
                if self._cleared is None or self._cleared.timer is not threading.current_thread():
                    return
                _delete(self._cleared.files)
                self._cleared = None
        except ValueError:  # the session was closed, and its files are deleted with it
            return

    # -- pages that follow ----------------------------------------------------------------------------------------------

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after every change. Raises ValueError for too many, or for a session that is over."""
        with self.lock:
            if self.closed:
                raise ValueError(CLOSED)
            if len(self._listeners) >= MAX_FOLLOWERS:
                raise ValueError(f"This conversation is open in {MAX_FOLLOWERS} pages already; close one of them.")
            self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Ends one `add_listener`."""
        with self.lock:
            self._listeners = [other for other in self._listeners if other != listener]

    def snapshot(self, since: int = 0) -> dict[str, Any]:
        """The state as JSON, with the HTML of the exchanges that changed after version `since`; 0: of all.

        library: null where it has not changed. undo_clear: seconds in which the last clear can be taken back, or null.
        """
        with self.lock:
            exchanges = self.contents.exchanges
            changed = {
                str(index): self._html(exchange, index) for index, exchange in enumerate(exchanges) if exchange.version > since
            }
            left = None if self._cleared is None else round(max(0.0, self._cleared.deadline - self.clock()), 1)
            library = library_entries(self.contents.exchanges, self.contents.pieces) if self._library_version > since else None
            return {
                "version": self.version, "count": len(exchanges), "changed": changed, "library": library, "busy": self.busy,
                "undo_clear": left,
            }  # fmt: skip

    def _html(self, exchange: PageExchange, index: int) -> str:
        is_fresh = exchange.finished is None or self.clock() - exchange.finished < FRESH_SECONDS
        return exchange_html(exchange.view, index, starts=is_fresh, can_stop=self.messages.is_making)

    def close(self) -> None:
        """Ends all answers and every page that follows. Safe to call again."""
        with self.lock:
            self.closed = True
            answers = (*self.messages.discard(), *self.changes.discard())
            cleared, self._cleared = self._cleared, None
            listeners, self._listeners = self._listeners, []
        if cleared is not None:
            cleared.timer.cancel()
        for answer in answers:
            answer.discard()
        for listener in listeners:
            listener()


def _delete(files: Any) -> None:
    for file in files:
        file.unlink(missing_ok=True)
