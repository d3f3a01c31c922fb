"""One answer of a page's session: asks the service in a thread of its own, and brings its updates into the view of the exchange.

A message's answer is the answer of its exchange. A change of a piece, or another take of it, becomes a version on the piece's card.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.page.state import PageExchange, PieceRecord, SubmittedMessage
from demo.page.versions import VersionBuilder
from demo.page.view import ExchangeView, Kind, Order, Status, VersionView
from demo.service.errors import user_errors
from llama.media.spelling import respell_keys

if TYPE_CHECKING:
    from demo.page.page_session import PageSession
    from demo.service.conversation import Conversation, Piece
    from demo.service.request import Update
    from demo.service.service import ChatService, ResponseStream

NO_MUSIC = "No music came of this change; try another one."


@dataclass(eq=False)
class Answer:
    """Answer to `message`. exchange: whose card it belongs to.

    kind, label, parent, tempo: of its versions; parent is the id of the version that they change, tempo that of the changed piece, in
    beats a minute, if it is known beforehand. is_message: it is the answer of the exchange
    itself, and not a later change of one of its versions.
    """

    service: ChatService
    page: PageSession
    exchange: PageExchange
    message: SubmittedMessage
    builder: VersionBuilder
    kind: Kind = "take"
    label: str = ""
    parent: str | None = None
    is_message: bool = True
    tempo: float | None = None
    number: int = field(init=False)
    _updates: ResponseStream | None = None
    _is_stopped: bool = False
    _is_discarded: bool = False
    _is_whole: bool = False

    def __post_init__(self) -> None:
        self.number = self.page.next_answer_number()

    # -- the queue's side -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Makes the answer. A failure of any kind becomes a sentence of the exchange, and the page goes on."""
        try:
            with user_errors():
                self._run()
        except ValueError as error:  # `UserFacingError`, of one sentence
            self._end("failed", str(error))

    @property
    def is_making(self) -> bool:
        return not self._is_whole

    def stop(self) -> None:
        """Ends the answer; the music made so far stays."""
        with self.page.lock:
            self._is_stopped = True
            updates = self._updates
        if updates is not None:
            updates.stop()

    def discard(self) -> None:
        """Ends the answer and shows nothing more of it; one on a page that was cleared was stopped."""
        with self.page.lock:
            if self._is_discarded:
                return
            self._end("stopped", "")
            self._is_discarded = True
            updates = self._updates
        if updates is not None:
            updates.close()

    # -- the thread's side ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with self.page.lock:
            if self._is_discarded:
                return
            conversation = self.message.conversation or self.page.contents.conversation
            self.message = replace(self.message, conversation=conversation)
            if self.is_message:
                self.exchange.message = self.message
            self._updates = updates = self.service.answer(
                self.page.session, conversation, self.message.text, self.message.uploads, self.message.settings,
                about=self.message.about, client_address=self.message.client_address,
            )  # fmt: skip
            is_stopped = self._is_stopped
        self._show(replace(self.exchange.view, status="working") if self.is_message else self.exchange.view)
        if is_stopped:
            updates.stop()
        try:
            self._follow(updates)
        finally:
            updates.close()

    def _follow(self, updates: ResponseStream) -> None:
        """Shows the updates. The first one submits the request, so that reading the files does not make it wait."""
        first = next(updates, None)
        if first is None:
            return
        self._apply(first)
        if self.is_message:
            self._add_files(self.message.conversation, first)
        for update in updates:
            self._apply(update)

    def _add_files(self, conversation: Conversation | None, update: Update) -> None:
        """Shows the user's recordings and scores, and the music that the message is about."""
        uploads = {upload.path: self.builder.upload(upload) for upload in self.message.uploads if upload.kind in ("audio", "score")}
        source = self._source(uploads, update)
        with self.page.lock:
            view = replace(self.exchange.view, uploads=tuple(uploads.values()))
            if source is not None:
                view = _with_version(view, replace(source, kind="before", order=(0, 0), label=""))
            self._show(view)

    def _source(self, uploads: dict[Path, VersionView], update: Update) -> VersionView | None:
        """The version that the answer is about: what the message brings, or the piece that it refers to."""
        if uploads:
            return next(iter(uploads.values()))
        sound = None if update.reference is None else update.reference.sound
        if sound is None:
            return None
        with self.page.lock:
            known = (version for other in self.page.contents.exchanges for version in (*other.view.versions, *other.view.uploads))
            return next((version for version in known if version.complete and version.url.rpartition("/")[2] == sound.name), None)

    def _apply(self, update: Update) -> None:
        pieces = {piece.seed: piece for piece in update.pieces}
        made = tuple(self._version(update, index, pieces) for index in range(len(update.seeds)))
        versions = [version for version in made if version is not None]
        with self.page.lock:
            if self._is_discarded:
                return
            view = self.exchange.view
            for version in versions:
                view = _with_version(view, version)
            is_whole = update.progress is not None and update.progress[0] >= update.progress[1]
            self._is_whole = self._is_whole or is_whole or update.conversation is not None
            if self.is_message:
                total = update.progress[1] / max(1, len(update.seeds)) if update.progress else view.expected
                text = respell_keys(update.text)
                view = replace(view, text=text, reference=update.reference, queue_position=update.queue_position, expected=total,
                               take_count=len(update.seeds) or view.take_count)  # fmt: skip
                view = replace(view, progress=update.progress, seconds_left=update.seconds_left)
            else:
                view = replace(view, change_progress=update.progress)
            self._show(view)
            if update.conversation is not None:
                self._keep_pieces(update)
            if update.stopped or update.conversation is not None:
                is_empty = not self.is_message and not update.stopped and not update.pieces
                self._end("stopped" if update.stopped else "done", update.text or NO_MUSIC if is_empty else "")

    def _version(self, update: Update, index: int, pieces: dict[int, Piece]) -> VersionView | None:
        """The version of take number `index`; None if it has no music yet. One that is there already is built once."""
        seed, order = update.seeds[index], (self.number, index)
        there = next((version for version in self.exchange.view.versions if version.order == order), None)
        if there is not None and there.complete:
            return there
        if seed in pieces:
            version = self.builder.piece(pieces[seed], self.message.text, order, self.kind, self.label)
        else:
            stream = next((stream for stream in update.streams if stream.seed == seed), None)
            if stream is None:
                return there
            total = update.progress[1] / len(update.seeds) if update.progress else None
            version = there or self.builder.growing(stream.url, seed, total, order, self.kind, self.label)
            version = replace(version, made=stream.seconds, tempo=self.tempo)
        return replace(version, parent=self._parent())

    def _parent(self) -> str | None:
        before = self.exchange.view.before
        return self.parent or (before.id if self.is_message and before is not None else None)

    def _keep_pieces(self, update: Update) -> None:
        """Adds the exchange to the conversation and its pieces to the library."""
        if update.conversation is None:
            return
        with self.page.changing() as contents:
            contents.conversation = contents.conversation.add_exchange(update.conversation.exchanges[-1])
            for piece in update.pieces:
                contents.pieces[piece.sound.stem] = PieceRecord(piece, self.exchange, self.message, time.time())
            if update.pieces:
                self.page.library_changed()

    def _show(self, view: ExchangeView) -> None:
        with self.page.lock:
            if not self._is_discarded and not self.page.closed:
                with self.page.changing():
                    self.page.set_view(self.exchange, view)

    def _end(self, status: Status, sentence: str) -> None:
        """Ends the answer with its complete versions: the files of the others are deleted."""
        with self.page.lock:
            self._is_whole = True
            view = self.exchange.view
            versions = tuple(version for version in view.versions if version.complete or version.order[0] != self.number)
            selected = view.selected if view.selected in {version.id for version in versions} else _last(versions)
            view = replace(view, versions=versions, selected=selected, seconds_left=None, queue_position=0)
            if self.is_message:
                view = replace(view, status=status, error=sentence)
            else:
                view = replace(view, changing=view.changing - 1, trouble=sentence, change_progress=None)
            self.exchange.finished = self.page.clock()
            self._show(view)


def _with_version(view: ExchangeView, version: VersionView) -> ExchangeView:
    """The view with this version in its place: instead of the one with the same order, or new, and selected then.

    Of several takes the first stays selected until another one is chosen.
    """
    there = next((other for other in view.versions if other.order == version.order), None)
    others = [other for other in view.versions if other.order != version.order]
    versions = tuple(sorted((*others, version), key=_order))
    selected = view.selected
    if there is not None and selected == there.id or there is None and version.kind != "before" and not _is_later_take(view, version):
        selected = version.id
    return replace(view, versions=versions, selected=selected)


def _order(version: VersionView) -> Order:
    return version.order


def _is_later_take(view: ExchangeView, version: VersionView) -> bool:
    return any(other.order[0] == version.order[0] for other in view.versions)


def _last(versions: tuple[VersionView, ...]) -> str:
    made = [version.id for version in versions if version.kind != "before" and not version.undone]
    return made[-1] if made else ""
