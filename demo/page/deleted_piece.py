"""Deletes a piece from a session, and brings it back: its card, the library and what the model remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demo.page.page_session import Contents, PageSession
    from demo.page.state import PageExchange, PieceRecord
    from demo.page.view import VersionView
    from demo.service.conversation import Conversation, Exchange

PIECE = "piece "  # begins the name of a deleted piece in the trash
NOT_RESTORED = "This piece is deleted with its files: it can be brought back for ten seconds."


@dataclass(frozen=True)
class _Place:
    """A version on a card. was_selected: it was in the foreground, instead of which `selected` is there now."""

    exchange: PageExchange
    version: VersionView
    was_selected: bool
    selected: str


@dataclass(frozen=True)
class DeletedPiece:
    """What brings a piece back. title: for people; places: its versions on cards.

    remembered: the exchanges of the conversation that were changed, as they were, by their index without `Contents.restored`.
    chosen_at: how many exchanges there were when it was "it" by choice; None where it was not.
    """

    record: PieceRecord
    title: str
    places: tuple[_Place, ...]
    remembered: dict[int, Exchange]
    chosen_at: int | None


def delete_piece(page: PageSession, piece_id: str) -> None:
    """Takes a piece out of every place; `restore_piece` brings it back until its files are deleted. Called within `changing`."""
    contents, record = page.contents, page.piece(piece_id)
    del contents.pieces[piece_id]
    places = tuple(_leave_cards(page, piece_id))
    before, sound = contents.conversation, record.piece.sound
    contents.conversation = without_piece(before, sound)
    pairs = enumerate(zip(before.exchanges, contents.conversation.exchanges, strict=True))
    remembered = {index - contents.restored: old for index, (old, new) in pairs if new is not old}
    chosen_at = len(before.exchanges) - contents.restored if before.chosen == sound else None
    title = record.name or next((place.version.title for place in places), "") or "the piece"
    deleted = DeletedPiece(record, title, places, remembered, chosen_at)
    page.trash.add(PIECE + piece_id, deleted, lambda: list(_files(page.session.folder, piece_id)))
    page.library_changed()


def restore_piece(page: PageSession, piece_id: str) -> None:
    """Brings a deleted piece back to its place. Called within `changing`. Raises ValueError if its time is over."""
    deleted: DeletedPiece | None = page.trash.take(PIECE + piece_id)
    if deleted is None:
        raise ValueError(NOT_RESTORED)
    contents = page.contents
    contents.pieces[piece_id] = deleted.record
    contents.conversation = _remembered_again(contents, deleted)
    is_undone = deleted.record.piece.sound in contents.conversation.undone_sounds  # with the other takes of its answer
    for place in deleted.places:
        view, version = place.exchange.view, place.version
        if version.kind != "before":
            version = replace(version, undone=is_undone, kept=version.kept and not any(other.kept for other in view.versions))
        versions = tuple(sorted((*view.versions, version), key=lambda version: version.order))
        stand_in = _stand_in(page, place)
        selected = piece_id if place.was_selected and view.selected == stand_in else view.selected
        page.set_view(place.exchange, replace(view, versions=versions, selected=selected))
    page.library_changed()


def deleted_pieces(page: PageSession) -> list[dict[str, Any]]:
    """The pieces that can be brought back, as JSON: id, title, and the seconds that are left."""
    return [
        {"id": content.record.piece.sound.stem, "title": content.title, "seconds": page.trash.seconds_left(name)}
        for name, content in page.trash
        if name.startswith(PIECE)
    ]


def _leave_cards(page: PageSession, piece_id: str) -> Iterator[_Place]:
    for exchange in page.contents.exchanges:
        view = exchange.view
        version = next((version for version in view.versions if version.id == piece_id), None)
        if version is not None:
            versions, selected = tuple(other for other in view.versions if other is not version), view.selected
            if selected == piece_id:
                selected = next((other.id for other in reversed(versions) if not other.undone), "")
            page.set_view(exchange, replace(view, versions=versions, selected=selected))
            yield _Place(exchange, version, view.selected == piece_id, selected)


def _stand_in(page: PageSession, place: _Place) -> str:
    """What is in the foreground of a card instead of a deleted version; where that is deleted too, what is there instead of it."""
    stand_in = place.selected
    while (name := PIECE + stand_in) in (deleted := dict(page.trash)):
        stand_in = next((other.selected for other in deleted[name].places if other.exchange is place.exchange), "")
    return stand_in


def _files(folder: Path, piece_id: str) -> Iterator[Path]:
    """The sound of a piece, and what was made of it."""
    for pattern in (f"{piece_id}.*", f"{piece_id}-*"):
        yield from folder.glob(pattern)


# -- the conversation -----------------------------------------------------------------------------------------------------


def without_piece(conversation: Conversation, sound: Path) -> Conversation:
    """The conversation without the piece of a sound and without the turns about it, so that "it" cannot refer to a deleted file."""
    exchanges = tuple(_exchange_without(exchange, sound) for exchange in conversation.exchanges)
    return replace(conversation, exchanges=exchanges, chosen=None if conversation.chosen == sound else conversation.chosen)


def _exchange_without(exchange: Exchange, sound: Path) -> Exchange:
    """The exchange itself where it has nothing to do with the sound."""
    is_about_it = _is_about(exchange, sound)
    if exchange.piece(sound) is None and not is_about_it:
        return exchange
    pieces = tuple(piece for piece in exchange.pieces if piece.sound != sound)
    turn = exchange.turn
    new_turn = replace(turn, audio=None, score=None) if turn is not None and is_about_it else turn
    return replace(exchange, pieces=pieces, kept=None if exchange.kept == sound else exchange.kept, turn=new_turn)


def _is_about(exchange: Exchange, sound: Path) -> bool:
    """Whether the turn of an exchange was about the piece of a sound."""
    audio = None if exchange.turn is None else exchange.turn.audio
    return isinstance(audio, (str, Path)) and Path(audio) == sound


def _remembered_again(contents: Contents, deleted: DeletedPiece) -> Conversation:
    conversation, piece = contents.conversation, deleted.record.piece
    exchanges = list(conversation.exchanges)
    versions = (*deleted.record.exchange.view.versions, *(place.version for place in deleted.places))
    orders = {version.id: version.order for version in versions}
    for index, old in deleted.remembered.items():
        new = exchanges[index + contents.restored]
        if old.piece(piece.sound) is not None:
            pieces = sorted((*new.pieces, piece), key=lambda other: orders.get(other.sound.stem, (0, 0)))
            new = replace(new, pieces=tuple(pieces), kept=piece.sound if old.kept == piece.sound and new.kept is None else new.kept)
        exchanges[index + contents.restored] = replace(new, turn=old.turn) if _is_about(old, piece.sound) else new
    is_chosen = conversation.chosen is None and deleted.chosen_at == len(exchanges) - contents.restored
    return replace(conversation, exchanges=tuple(exchanges), chosen=piece.sound if is_chosen else conversation.chosen)
