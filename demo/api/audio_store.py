"""The pieces that the API gave out, kept for an hour so that a client can speak of them by their ids."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo.api.protocol import ApiError

if TYPE_CHECKING:
    from demo.service.conversation import Piece
    from demo.service.sessions import Session, Sessions

LIFETIME = 3600.0  # seconds
MAX_PIECES = 1000  # pieces of all callers; the oldest goes before its hour is over, so that the disk does not fill
MAX_BYTES = 4_000_000_000  # of their sound together, for the same reason
ID_BYTES = 24


@dataclass(frozen=True)
class StoredAudio:
    caller: str
    session: Session
    piece: Piece
    until: float
    size: int  # bytes of its sound


class AudioStore:
    """id -> piece, for the caller who got it. clock: seconds since 1970, as `expires_at` is told."""

    def __init__(
        self, sessions: Sessions, clock: Callable[[], float] = time.time, most: int = MAX_PIECES, most_bytes: int = MAX_BYTES
    ) -> None:
        self._sessions, self._clock, self._most, self._most_bytes = sessions, clock, most, most_bytes
        self._kept: dict[str, StoredAudio] = {}  # in the order they came, which is the order they go
        self._guard = threading.Lock()

    def new_id(self) -> str:
        """Nobody guesses it."""
        return f"audio_{secrets.token_urlsafe(ID_BYTES)}"

    def keep(self, name: str, caller: str, session: Session, piece: Piece) -> int:
        """Keeps a piece of that session; when it expires, in whole seconds since 1970."""
        until = self._clock() + LIFETIME
        self._sessions.get(session.token)  # its hour begins now
        with self._guard:
            self._kept[name] = StoredAudio(caller, session, piece, until, piece.sound.stat().st_size)
            over = self._take_out()
        self._delete(over)
        return int(until)

    def find(self, name: str, caller: str, where: str) -> Piece:
        """The piece of an id. Raises `ApiError`, the same for an id of somebody else's as for one that never was."""
        with self._guard:
            over = self._take_out()
            found = self._kept.get(name)
        self._delete(over)
        if found is None or found.caller != caller or self._sessions.get(found.session.token) is None:
            raise ApiError(f"{where} is no piece of yours, or its hour is over; send the sound itself as input_audio.", status=404,
                           param=where, code="audio_not_found")
        return found.piece

    def sounds(self, session: Session) -> set[Path]:
        """The files of that session's kept pieces."""
        with self._guard:
            return {kept.piece.sound for kept in self._kept.values() if kept.session == session}

    def _take_out(self) -> list[StoredAudio]:
        """Those whose time is over, and the oldest of too many."""
        over = []
        held = sum(kept.size for kept in self._kept.values())
        for name, kept in list(self._kept.items()):
            if kept.until > self._clock() and len(self._kept) <= self._most and held <= self._most_bytes:
                break
            over.append(self._kept.pop(name))
            held -= kept.size
        return over

    def _delete(self, over: list[StoredAudio]) -> None:
        for kept in over:
            kept.piece.sound.unlink(missing_ok=True)
            if not self.sounds(kept.session):
                self._sessions.close(kept.session.token)
