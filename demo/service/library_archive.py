"""Archive of the pieces of a session: a folder for each, with its sound and, where its notes are known, MIDI, MusicXML and chords."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.errors import UserFacingError
from demo.service.exports import Exporter, piece_stem
from demo.service.zip_stream import ZipEntry, zip_blocks
from llama.media.naming import text_name

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.media.score import Score

MAX_ARCHIVE_BYTES = 500_000_000
NO_PIECES = "There is no piece to take home yet; ask for one first."
NOTE_FORMS = ("musicxml", "chords")


@dataclass(frozen=True)
class ArchivedPiece:
    """A piece of an archive. sound: its wav file; name: that its user gave it (empty: what is in it)."""

    sound: Path
    score: Score | None = None
    name: str = ""


def archive_entries(exporter: Exporter, session: Session, pieces: Sequence[ArchivedPiece]) -> tuple[ZipEntry, ...]:
    """The files of an archive of these pieces; those that were deleted to make room for others are left out.

    Raises `UserFacingError` where there are none, and for more than `MAX_ARCHIVE_BYTES`.
    """
    there = [piece for piece in pieces if piece.sound.is_file()]
    size = sum(piece.sound.stat().st_size for piece in there)
    if not there:
        raise UserFacingError(NO_PIECES)
    if size > MAX_ARCHIVE_BYTES:
        raise UserFacingError(
            f"The {len(there)} pieces take {size / 1e6:.0f} MB together, and one archive holds up to {MAX_ARCHIVE_BYTES / 1e6:.0f} MB; "
            "take them home one by one, or delete some."
        )
    entries, folders = list[ZipEntry](), set[str]()
    for piece in there:
        stem = piece_stem(piece.sound, piece.score)
        folder = _free_name(text_name(piece.name, stem) if piece.name else stem, folders)
        entries += [ZipEntry.of_file(f"{folder}/{name}", file) for name, file in _files(exporter, session, piece, stem)]
    return tuple(entries)


def _files(exporter: Exporter, session: Session, piece: ArchivedPiece, stem: str) -> Iterator[tuple[str, Path]]:
    yield f"{stem}{piece.sound.suffix}", piece.sound
    notes = piece.sound.with_suffix(".mid")
    if notes.is_file():
        yield f"{stem}.mid", notes
    for form in NOTE_FORMS if piece.score is not None else ():
        try:
            exported = exporter.export(session, piece.sound, piece.score, form)
        except UserFacingError as error:
            if error.category != "user":  # the disk is full, or others wait; a piece of too many notes has no MusicXML
                raise
        else:
            yield exported.name, exported.path


def _free_name(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken; it is taken then."""
    free = next(other for number in range(1, len(taken) + 2) if (other := name if number == 1 else f"{name}-{number}") not in taken)
    taken.add(free)
    return free


def archive_blocks(sessions: Sessions, session: Session, entries: Sequence[ZipEntry]) -> Iterator[bytes]:
    """The archive block by block; the session's files stay until it is read."""
    sessions.storage.protect(session.folder)
    try:
        yield from zip_blocks(entries)
    finally:
        sessions.storage.unprotect(session.folder)
