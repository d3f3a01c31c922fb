"""Archive of the pieces of a session: a folder for each, with its sound and, where its notes are known, MIDI, MusicXML and chords.

MusicXML takes seconds a piece, so it is written when its turn comes, while the archive is sent. A text in the archive names what is
left out, and why.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from demo.service.errors import UserFacingError
from demo.service.exports import EXPORT_FORMATS, LEFT_OUT_NAME, NOTE_FILES, Exporter, musicxml_fault, piece_stem
from demo.service.zip_stream import ZipEntry, zip_blocks
from llama.media.naming import piece_name, text_name

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.media.score import Score

MAX_ARCHIVE_BYTES = 500_000_000
MAX_NAMED = 3  # pieces in the summary; the archive's own text names all
NO_PIECES = "There is no piece to take home yet; ask for one first."
NO_SOUND = "Its files were deleted to make room for newer ones."


@dataclass(frozen=True)
class ArchivedPiece:
    """A piece of an archive. sound: its wav file; name: that its user gave it (empty: what is in it); label: of the edit that made it."""

    sound: Path
    score: Score | None = None
    name: str = ""
    label: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A file that an archive has not. piece: name of its folder; form: for people; reason: one sentence."""

    piece: str
    form: str
    reason: str

    def __str__(self) -> str:
        return f"{self.piece}, {self.form}: {self.reason}"


@dataclass(frozen=True)
class ArchivePlan:
    """What an archive will hold. left_out: what is known to be missing beforehand.

    folders: names of folders, each with the stem of its files and its piece.
    """

    folders: dict[str, tuple[str, ArchivedPiece]]
    left_out: tuple[LeftOut, ...]

    @property
    def summary(self) -> str:
        """What is left out, in one sentence; empty for nothing."""
        if not self.left_out:
            return ""
        names = [f"{item.form} of {item.piece}" for item in self.left_out[:MAX_NAMED]]
        others = len(self.left_out) - len(names)
        return f"Left out: {', '.join([*names, *([f'{others} more'] if others else [])])}; {LEFT_OUT_NAME} in the archive says why."


def plan_archive(pieces: Sequence[ArchivedPiece]) -> ArchivePlan:
    """Plans an archive of these pieces; writes nothing. Those that were deleted to make room for others are left out.

    Raises `UserFacingError` where there are none, and for more than `MAX_ARCHIVE_BYTES`.
    """
    stems = [_stem(piece) for piece in pieces]
    there = [piece for piece, stem in zip(pieces, stems, strict=True) if stem]
    if not there:
        raise UserFacingError(NO_PIECES)
    size = sum(piece.sound.stat().st_size for piece in there)
    if size > MAX_ARCHIVE_BYTES:
        raise UserFacingError(
            f"The {len(there)} pieces take {size / 1e6:.0f} MB together, and one archive holds up to {MAX_ARCHIVE_BYTES / 1e6:.0f} MB; "
            "take them home one by one, or delete some."
        )
    folders, left_out = dict[str, tuple[str, ArchivedPiece]](), list[LeftOut]()
    for piece, stem in zip(pieces, stems, strict=True):
        if not stem:
            left_out.append(LeftOut(piece.name or (piece_name(piece.score) if piece.score else "a piece"), "everything", NO_SOUND))
            continue
        folder = _free_name(text_name(piece.name, stem) if piece.name else stem, folders)
        folders[folder] = (stem, piece)
        if piece.score is not None and (fault := musicxml_fault(piece.score)):
            left_out.append(LeftOut(folder, EXPORT_FORMATS["musicxml"].label, fault))
    return ArchivePlan(folders, tuple(left_out))


def _stem(piece: ArchivedPiece) -> str:
    """Name of a piece's files; empty if its sound was deleted."""
    try:
        return piece_stem(piece.sound, piece.score, piece.label) if piece.sound.is_file() else ""
    except soundfile.LibsndfileError:  # deleted after that question
        if piece.sound.is_file():
            raise
        return ""


def archive_blocks(exporter: Exporter, sessions: Sessions, session: Session, plan: ArchivePlan) -> Iterator[bytes]:
    """The archive block by block; the session's files stay until it is read."""
    sessions.storage.protect(session.folder)
    try:
        yield from zip_blocks(_entries(exporter, session, plan))
    finally:
        sessions.storage.unprotect(session.folder)


def _entries(exporter: Exporter, session: Session, plan: ArchivePlan) -> Iterator[ZipEntry]:
    left_out = list(plan.left_out)
    for folder, (stem, piece) in plan.folders.items():
        for name, file in _files(exporter, session, folder, stem, piece, left_out):
            try:
                entry = ZipEntry.of_open_file(f"{folder}/{name}", file)
            except FileNotFoundError:  # deleted since, by its user or to make room
                left_out.append(LeftOut(folder, name, "It was deleted meanwhile."))
            else:
                yield entry
    if left_out:
        yield ZipEntry.of_bytes(LEFT_OUT_NAME, "".join(f"{item}\n" for item in left_out).encode())


def _files(
    exporter: Exporter, session: Session, folder: str, stem: str, piece: ArchivedPiece, left_out: list[LeftOut]
) -> Iterator[tuple[str, Path]]:
    """Names and files of one piece; `left_out` gets those that cannot be written."""
    known = {(item.piece, item.form) for item in left_out}
    yield f"{stem}{piece.sound.suffix}", piece.sound
    notes = piece.sound.with_suffix(".mid")
    if notes.is_file():
        yield f"{stem}.mid", notes
    for form in NOTE_FILES if piece.score is not None else ():
        label = EXPORT_FORMATS[form].label
        if (folder, label) in known:
            continue
        try:
            exported = exporter.export(session, piece.sound, piece.score, form)
        except UserFacingError as error:  # also where the disk is full or others wait: a stream that has begun cannot be refused
            left_out.append(LeftOut(folder, label, str(error)))
        else:
            yield exported.name, exported.path


def _free_name(name: str, taken: Container[str]) -> str:
    """The name, numbered if it is taken."""
    return next(other for number in count(1) if (other := name if number == 1 else f"{name}-{number}") not in taken)
