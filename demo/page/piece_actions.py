"""Actions on one piece of a session: exact edits and other takes become versions on its card; undo, keep, star, rename, delete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.page.answering import Answer
from demo.page.deleted_piece import delete_piece, restore_piece
from demo.page.edit_form import edit_words
from demo.page.page_session import NO_SUCH_PIECE
from demo.page.state import PageExchange, PieceRecord, SubmittedMessage
from demo.page.view import ExchangeView, VersionView, version_label
from demo.service.request import Settings
from demo.service.turn_resolution import chosen_piece

if TYPE_CHECKING:
    from demo.page.page_registry import PageRegistry
    from demo.page.page_session import PageSession
    from demo.page.versions import VersionBuilder
    from demo.service.service import ChatService
    from llama.media.edit import Edit

MAX_NAME = 80  # characters of a piece's name
MAX_VERSIONS = 60  # of one card
TOO_MANY = f"This card has {MAX_VERSIONS} versions, the most that it keeps; delete one of them first."
NOTHING_TO_UNDO = "There is no change to take back yet."


class PieceActions(ABC):
    """Actions on the pieces of sessions, by token and the piece's id. Raises ValueError of one sentence for what is not possible."""

    service: ChatService
    pages: PageRegistry

    @abstractmethod
    def builder(self, page: PageSession) -> VersionBuilder:
        """Builds the versions of a session's cards."""

    def edit(self, token: str, piece_id: str, edit: Edit) -> None:
        """Changes a piece, or a recording or score that was added. The result is a new version on its card."""
        page = self.pages.get(token)
        exchange, sound, settings = _source(page, piece_id)
        settings = replace(settings, edit=edit, bar_count=None, seed=None, takes=1)
        score = self.service.sessions.scores.get(sound)
        words = edit_words(edit, "" if score is None else score.attributes.mode)
        message = SubmittedMessage(words, (), settings, about=sound, client_address=exchange.message.client_address)
        tempo = None if score is None else edit.change.get("tempo", score.attributes.tempo)
        answer = Answer(self.service, page, exchange, message, self.builder(page), "edit", words, piece_id, False, tempo)
        self._change(page, answer)

    def another(self, token: str, piece_id: str) -> None:
        """Makes another take of a piece: the same request with a new seed, as a version on its card."""
        page = self.pages.get(token)
        record = page.piece(piece_id)
        version = _version(record.exchange.view, piece_id)
        message = replace(record.message, settings=replace(record.message.settings, seed=None, takes=1))
        answer = Answer(
            self.service, page, record.exchange, message, self.builder(page), version.kind, version.label, version.parent, False
        )
        self._change(page, answer)

    def _change(self, page: PageSession, answer: Answer) -> None:
        with page.changing() as contents:
            exchange = answer.exchange
            if exchange not in contents.exchanges:  # cleared meanwhile
                raise ValueError(NO_SUCH_PIECE)
            if len(exchange.view.versions) + exchange.view.changing >= MAX_VERSIONS:
                raise ValueError(TOO_MANY)
            page.changes.add(answer)
            view = replace(exchange.view, changing=exchange.view.changing + 1, trouble="")
            source = next((upload for upload in view.uploads if upload.id == answer.parent), None)
            if source is not None and view.before is None:
                view = replace(view, versions=(replace(source, kind="before"), *view.versions))
            page.set_view(exchange, view)

    def undo(self, token: str, piece_id: str) -> None:
        """Takes a change back: its card shows the version before, and "it" is that one."""
        self._take_back(token, piece_id, True)

    def redo(self, token: str, piece_id: str) -> None:
        """Brings a change back that was taken back."""
        self._take_back(token, piece_id, False)

    def _take_back(self, token: str, piece_id: str, undone: bool) -> None:
        page = self.pages.get(token)
        with page.changing() as contents:
            record, conversation = page.piece(piece_id), contents.conversation
            contents.conversation = (conversation.undo if undone else conversation.redo)(record.piece.sound)
            _set_undone(page, record, piece_id, undone)

    def keep(self, token: str, piece_id: str) -> None:
        """Chooses one of several takes; the others fold away, and "it" is this one."""
        page = self.pages.get(token)
        with page.changing() as contents:
            record = page.piece(piece_id)
            contents.conversation = contents.conversation.keep(record.piece.sound)
            view = record.exchange.view
            versions = tuple(replace(version, kept=version.id == piece_id) for version in view.versions)
            page.set_view(record.exchange, replace(view, versions=versions, selected=piece_id))
            page.library_changed()

    def star(self, token: str, piece_id: str, on: bool) -> None:
        """Marks a piece in the library, or takes the mark away."""
        page = self.pages.get(token)
        with page.changing():
            page.piece(piece_id).starred = on
            _replace_version(page, piece_id, lambda version: replace(version, starred=on))

    def rename(self, token: str, piece_id: str, name: str) -> None:
        """Gives a piece a name for people. Raises ValueError for one that is empty or too long."""
        title = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
        if not title or len(title) > MAX_NAME:
            raise ValueError(f"The name has {len(title)} characters; give one of 1 to {MAX_NAME}.")
        page = self.pages.get(token)
        with page.changing():
            page.piece(piece_id).name = title
            _replace_version(page, piece_id, lambda version: replace(version, title=title))

    def delete(self, token: str, piece_id: str) -> None:
        """Deletes a piece: it leaves its card, the library and what the model remembers, and ten seconds later its files go."""
        page = self.pages.get(token)
        with page.changing():
            delete_piece(page, piece_id)

    def restore_piece(self, token: str, piece_id: str) -> None:
        """Takes a delete back."""
        page = self.pages.get(token)
        with page.changing():
            restore_piece(page, piece_id)

    def reuse(self, token: str, piece_id: str) -> dict[str, Any]:
        """The settings and the words that made a piece, for the fields of the page."""
        record = self.pages.get(token).piece(piece_id)
        settings = record.message.settings
        names = ("seconds", "takes", "guidance", "temperature", "top_p", "conditioning", "max_tokens", "bar_count", "fit")
        return {
            "settings": {**{name: getattr(settings, name) for name in names}, "seed": record.piece.seed, "new_seed": False},
            "message": record.message.text,
        }  # fmt: skip


def undo_in_words(page: PageSession) -> str:
    """Takes the newest change back, as "undo that" asks; says what is current now. Called within `changing`."""
    contents = page.contents
    piece = contents.conversation.last_piece
    record = None if piece is None else contents.pieces.get(piece.sound.stem)
    version = None if record is None else _version(record.exchange.view, record.piece.sound.stem)
    if record is None or version is None or version.parent is None:
        return NOTHING_TO_UNDO
    contents.conversation = contents.conversation.undo(record.piece.sound)
    report = record.piece.edit
    label = "; ".join(report.changed) if report is not None and report.changed else version_label(record.exchange.view, version)
    _set_undone(page, record, version.id, True)
    current = _version_anywhere(page, version.parent)
    return f'Taken back: {label}. "It" is {_described(current)} again.'


def _described(version: VersionView) -> str:
    """A version by its title and by what may tell it from others of this title."""
    if version.facts is None:
        return version.title or "the version before"
    tempo, key = f"{version.facts['tempo']:g} bpm", version.facts["key"]
    return version.title + (f" at {tempo}" if tempo not in version.title else "") + (f" in {key}" if key not in version.title else "")


def select_in_words(page: PageSession, text: str) -> str:
    """Makes the piece that a message names "it", as "go back to take 2" asks; its card shows it. Called within `changing`.

    Raises ValueError for a piece that does not exist.
    """
    contents = page.contents
    piece = chosen_piece(contents.conversation, text)
    if piece is None:
        raise ValueError(NO_SUCH_PIECE)
    contents.conversation = contents.conversation.choose(piece.sound)
    record = page.piece(piece.sound.stem)
    version = _version(record.exchange.view, piece.sound.stem)
    page.set_view(record.exchange, replace(record.exchange.view, selected=version.id))
    return f'"It" is {version.title or version_label(record.exchange.view, version)} now.'


def _source(page: PageSession, piece_id: str) -> tuple[PageExchange, Path, Settings]:
    """The exchange, the sound and the settings of a piece, or of a recording or score that the user added."""
    with page.lock:
        record = page.contents.pieces.get(piece_id)
        if record is not None:
            return record.exchange, record.piece.sound, record.message.settings
        for exchange in page.contents.exchanges:
            for upload in exchange.message.uploads:
                if (upload.sound or upload.path).stem == piece_id:
                    return exchange, upload.path, exchange.message.settings
    raise ValueError(NO_SUCH_PIECE)


def _version(view: ExchangeView, piece_id: str) -> VersionView:
    """Raises ValueError for a version that is not on the card any more."""
    version = next((version for version in view.versions if version.id == piece_id), None)
    if version is None:
        raise ValueError(NO_SUCH_PIECE)
    return version


def _version_anywhere(page: PageSession, piece_id: str) -> VersionView:
    every = (version for exchange in page.contents.exchanges for version in (*exchange.view.versions, *exchange.view.uploads))
    return next((version for version in every if version.id == piece_id), VersionView(piece_id, "before", ""))


def _set_undone(page: PageSession, record: PieceRecord, piece_id: str, undone: bool) -> None:
    """Marks the version on its card, with the other takes of its answer, as the conversation does.

    Selects the one in force: the nearest version before it that is not taken back, too.
    """
    view = record.exchange.view
    answer, _ = _version(view, piece_id).order
    versions = tuple(replace(version, undone=undone) if version.order[0] == answer else version for version in view.versions)
    by_id = {version.id: version for version in versions}
    selected = piece_id
    while undone and selected in by_id and by_id[selected].undone:
        selected = by_id[selected].parent or ""
    page.set_view(record.exchange, replace(view, versions=versions, selected=selected if selected in by_id else view.selected))
    page.library_changed()


def _replace_version(page: PageSession, piece_id: str, change: Callable[[VersionView], VersionView]) -> None:
    """Changes a version wherever it is shown."""
    for exchange in page.contents.exchanges:
        versions = tuple(change(version) if version.id == piece_id else version for version in exchange.view.versions)
        if versions != exchange.view.versions:
            page.set_view(exchange, replace(exchange.view, versions=versions))
    page.library_changed()
