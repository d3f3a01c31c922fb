"""Room for the files of all sessions: a bound on their size that fits the disk, kept by deleting the oldest files.

A small disk, such as a container's /tmp, would otherwise be full of old pieces, and each new one would fail until their hour is over.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from demo.service.errors import DISK_FULL, UserFacingError

MAX_BYTES = 50_000_000_000  # of all sessions together, on any disk
DISK_SHARE = 0.9  # of the room that the disk would have without them
BUSY = 30.0  # seconds since its last use in which a session may be making or playing something


@dataclass(frozen=True)
class SessionFiles:
    """Folder of a session. idle: seconds since its last use."""

    folder: Path
    idle: float


@dataclass
class Reservation:
    """Room for bytes that are about to be written. remaining: how many of them are not on the disk yet; file: that grows by them."""

    remaining: int
    file: Path | None = None

    def written(self, size: int) -> None:
        """Tells that so many bytes of them are on the disk now."""
        self.remaining = max(0, self.remaining - size)


@dataclass(frozen=True)
class _Piece:
    """Files of one stem, such as a piece in all its formats. may_go: whether it may be deleted; rank: the lowest goes first."""

    files: tuple[Path, ...]
    size: int
    may_go: bool
    rank: tuple[bool, float, float]


class StorageBudget:
    """Bound on the size of all sessions' files together. Thread-safe.

    root: a folder of their disk. sessions: those that are open. max_bytes: the bound on a disk that has more room.
    """

    def __init__(self, root: Path, sessions: Callable[[], Iterable[SessionFiles]], max_bytes: int = MAX_BYTES) -> None:
        self._root, self._sessions, self._max_bytes = root, sessions, max_bytes
        self._guard = threading.Lock()
        self._reservations: list[Reservation] = []
        self._protected: list[Path] = []  # folders of requests that are under way

    def protect(self, folder: Path) -> None:
        """Keeps the files of a session until `unprotect`, however long it is unused: they belong to a request under way."""
        with self._guard:
            self._protected.append(folder)

    def unprotect(self, folder: Path) -> None:
        """Ends one `protect` of the folder. Ignored for one that is not protected."""
        with self._guard, suppress(ValueError):
            self._protected.remove(folder)

    def reserve(self, size: int, folder: Path, file: Path | None = None) -> Reservation:
        """Room for `size` bytes more in the folder of a session, until `release`. file: that grows by them, and stays until then.

        Where it is short, the files of the sessions that have been unused for longest are deleted, oldest first, and the older
        ones of this session last; what others are making or playing stays. Raises `UserFacingError` of category "full", and
        deletes nothing, where even that is not enough.
        """
        with self._guard:
            if size > 0:
                self._make_room(size, folder)
            reservation = Reservation(size, file)
            self._reservations.append(reservation)
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Ends a reservation. Safe to call again."""
        with self._guard:
            self._reservations = [other for other in self._reservations if other is not reservation]

    @contextmanager
    def room(self, size: int, folder: Path) -> Iterator[None]:
        """Context manager with a reservation."""
        reservation = self.reserve(size, folder)
        try:
            yield
        finally:
            self.release(reservation)

    def _make_room(self, size: int, folder: Path) -> None:
        self._protected = [other for other in self._protected if other.exists()]
        pieces = [piece for session in self._sessions() for piece in self._pieces(session, own=session.folder == folder)]
        used = sum(piece.size for piece in pieces)
        limit = min(self._max_bytes, int(DISK_SHARE * (shutil.disk_usage(self._root).free + used)))
        excess = used + sum(reservation.remaining for reservation in self._reservations) + size - limit
        chosen, freed = list[_Piece](), 0
        for piece in sorted((piece for piece in pieces if piece.may_go), key=lambda piece: piece.rank):
            if freed >= excess:
                break
            chosen.append(piece)
            freed += piece.size
        if freed < excess:
            raise UserFacingError(DISK_FULL, "full")
        if chosen:
            logging.warning("the disk is nearly full: %d earlier pieces and uploads (%.1f MB) were deleted", len(chosen), freed / 1e6)
        for file in (file for piece in chosen for file in piece.files):
            file.unlink(missing_ok=True)

    def _pieces(self, session: SessionFiles, *, own: bool) -> Iterator[_Piece]:
        """The files of a session by their stems."""
        stems: dict[str, list[tuple[Path, os.stat_result]]] = {}
        with suppress(FileNotFoundError):  # the session was closed meanwhile
            for file in session.folder.glob("*"):
                with suppress(FileNotFoundError):  # the file was deleted meanwhile
                    status = file.lstat()
                    stems.setdefault(file.stem, []).append((file, status))
        is_protected, now = session.folder in self._protected, time.time()
        growing = {reservation.file for reservation in self._reservations}
        for entries in stems.values():
            written = max(status.st_mtime for _, status in entries)
            files, size = tuple(file for file, _ in entries), sum(status.st_size for _, status in entries)
            stays = is_protected or not growing.isdisjoint(files)
            may_go = not stays and (now - written >= BUSY if own else session.idle >= BUSY)
            yield _Piece(files, size, may_go, (own, -session.idle, written))
