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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.page.answer_queue import AnswerQueue
from demo.page.deleted_piece import deleted_pieces
from demo.page.library import library_entries
from demo.page.state import PageExchange, PieceRecord
from demo.page.trash import RESTORE_SECONDS, Trash
from demo.page.view_html import exchange_html
from demo.service.conversation import Conversation

if TYPE_CHECKING:
    from demo.page.view import ExchangeView
    from demo.service.sessions import Session

MAX_EXCHANGES = 200  # of a page: some 10 kB each, with the notes of a usual piece
MAX_FOLLOWERS = 16  # pages of one session
FRESH_SECONDS = 5.0  # after its end in which new music may begin to sound by itself: not when a page is opened later
CLEARED = "conversation"  # name of a clear in the trash
TOO_LONG = f"This conversation has {MAX_EXCHANGES} messages, the most that one page keeps; clear it to begin a new one."
CLOSED = "This session is over and its files are deleted; send a message to begin a new one."
NO_SUCH_PIECE = "There is no such piece in this conversation any more; choose another one."
NO_SUCH_EXCHANGE = "There is no such message in this conversation any more; choose another one."


@dataclass
class Contents:
    """What a clear takes away: the exchanges, the conversation that the model sees, and the pieces by id.

    restored: how many exchanges of the conversation a clear that was taken back has put before the others.
    """

    exchanges: list[PageExchange] = field(default_factory=list)
    conversation: Conversation = field(default_factory=Conversation)
    pieces: dict[str, PieceRecord] = field(default_factory=dict)
    restored: int = 0

    @property
    def file_stems(self) -> set[str]:
        """How the names of its files begin: the ids of pieces and of versions, and the stems of uploads."""
        stems = set(self.pieces)
        for exchange in self.exchanges:
            stems.update(version.id for version in (*exchange.view.versions, *exchange.view.uploads))
            for upload in exchange.message.uploads:
                stems.update(path.stem for path in (upload.path, upload.sound, upload.preview) if path is not None)
        return stems


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
        self.trash = Trash(self.changing, clock)
        self._receiving = 0
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
        exchanges = self.contents.exchanges  # a clear in another thread brings other contents
        if not 0 <= index < len(exchanges):
            raise ValueError(NO_SUCH_EXCHANGE)
        return exchanges[index]

    def piece(self, piece_id: str) -> PieceRecord:
        """The piece with this id. Raises ValueError for an unknown one."""
        record = self.contents.pieces.get(piece_id)
        if record is None:
            raise ValueError(NO_SUCH_PIECE)
        return record

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
        """Empties the page and ends its answers. What was there is deleted after ten seconds, unless `restore` is called before."""
        with self.changing():
            for answer in (*self.messages.discard(), *self.changes.discard()):
                answer.discard()
            self.trash.empty()
            contents, self.contents = self.contents, Contents()
            files = tuple(self.session.folder.iterdir())
            self.trash.add(CLEARED, contents, partial(self._cleared_files, contents, files))
            self.library_changed()

    def restore(self) -> None:
        """Takes a clear back, before what was sent since. Raises ValueError if its time is over."""
        with self.changing():
            old: Contents | None = self.trash.take(CLEARED)
            if old is None:
                raise ValueError(f"What was cleared is deleted: a clear can be taken back for {RESTORE_SECONDS:g} seconds.")
            new, conversation = self.contents, old.conversation.followed_by(self.contents.conversation)
            restored = new.restored + len(old.conversation.exchanges)
            self.contents = Contents([*old.exchanges, *new.exchanges], conversation, {**old.pieces, **new.pieces}, restored)
            for exchange in self.contents.exchanges:
                exchange.version = self.version
            self.library_changed()

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Context manager in which files are received whose message is not in the contents yet: a clear keeps them."""
        with self.lock:
            self._receiving += 1
        try:
            yield
        finally:
            with self.lock:
                self._receiving -= 1

    def _cleared_files(self, contents: Contents, files: tuple[Path, ...]) -> Iterator[Path]:
        """Those of the files that were there at a clear that nothing needs. While others are received, an unknown file may be theirs."""
        needed, cleared = self.contents.file_stems, contents.file_stems
        for file in files:
            stem = file.name.partition(".")[0].partition("-")[0]
            if stem not in needed and (stem in cleared or not self._receiving):
                yield file

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

        library: null where it has not changed. undo_clear: seconds in which the last clear can be taken back, or null. deleted: the
        pieces that can be brought back.
        """
        with self.lock:
            exchanges = self.contents.exchanges
            changed = {
                str(index): self._html(exchange, index) for index, exchange in enumerate(exchanges) if exchange.version > since
            }
            library = library_entries(self.contents.exchanges, self.contents.pieces) if self._library_version > since else None
            return {
                "version": self.version, "count": len(exchanges), "changed": changed, "library": library, "busy": self.busy,
                "undo_clear": self.trash.seconds_left(CLEARED), "deleted": deleted_pieces(self),
            }  # fmt: skip

    def _html(self, exchange: PageExchange, index: int) -> str:
        is_fresh = exchange.finished is None or self.clock() - exchange.finished < FRESH_SECONDS
        return exchange_html(exchange.view, index, starts=is_fresh, can_stop=self.messages.is_making)

    def close(self) -> None:
        """Ends all answers and every page that follows. Safe to call again."""
        with self.lock:
            self.closed = True
            answers = (*self.messages.discard(), *self.changes.discard())
            self.trash.close()
            listeners, self._listeners = self._listeners, []
        for answer in answers:
            answer.discard()
        for listener in listeners:
            listener()
