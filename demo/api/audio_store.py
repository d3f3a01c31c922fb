"""Store of the audio returned by the API, kept for an hour so that clients can refer to it by id."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.api.protocol import ApiError

if TYPE_CHECKING:
    from demo.service.conversation import Piece
    from demo.service.sessions import Session, Sessions

LIFETIME = 3600.0  # seconds
MAX_PIECES = 1000  # of all callers; beyond it the oldest are evicted early, so that the disk does not fill
MAX_BYTES = 4_000_000_000  # of audio in total, for the same reason
ID_BYTES = 24
MISSING = "There is no such piece of yours here, or its hour is over; ask for it again."


@dataclass(frozen=True)
class StoredAudio:
    """Piece in the store, which keeps its notes in `Sessions.scores`. expires_at: seconds since 1970; size: bytes of its audio file."""

    caller: str
    session: Session
    piece: Piece
    expires_at: float
    size: int


class AudioStore:
    """Pieces by id, each available only to the caller it was returned to. Thread-safe. clock: seconds since 1970."""

    def __init__(
        self, sessions: Sessions, clock: Callable[[], float] = time.time, max_pieces: int = MAX_PIECES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._sessions, self._clock, self._max_pieces, self._max_bytes = sessions, clock, max_pieces, max_bytes
        self._entries: dict[str, StoredAudio] = {}  # oldest first
        self._guard = threading.Lock()

    def new_id(self) -> str:
        """Random id that cannot be guessed."""
        return f"audio_{secrets.token_urlsafe(ID_BYTES)}"

    def add(self, audio_id: str, caller: str, session: Session, piece: Piece) -> int:
        """Stores a piece of that session; returns its expiry in whole seconds since 1970."""
        expires_at = self._clock() + LIFETIME
        self._sessions.get(session.token)  # renews the session's lifetime
        if piece.score is not None:
            self._sessions.scores.add(piece.sound, piece.score)
        piece = replace(piece, score=None)
        with self._guard:
            self._entries[audio_id] = StoredAudio(caller, session, piece, expires_at, piece.sound.stat().st_size)
            evicted = self._evict()
        self._delete(evicted)
        return int(expires_at)

    def get(self, audio_id: str, caller: str, field: str) -> Piece:
        """Piece of an id in a request. field: path of the id, for the error: `ApiError` as `entry` raises it."""
        missing = f"{field} is no piece of yours, or its hour is over; send the sound itself as input_audio."
        return self.entry(audio_id, caller, missing, field).piece

    def entry(self, audio_id: str, caller: str, missing: str = MISSING, param: str | None = None) -> StoredAudio:
        """Entry of an id, with the notes of its piece if they are still kept.

        Raises the same `ApiError` (404) for an id of another caller as for an unknown one.

        missing: its sentence; param: the field that it names.
        """
        with self._guard:
            evicted = self._evict()
            entry = self._entries.get(audio_id)
        self._delete(evicted)
        is_there = entry is not None and self._sessions.get(entry.session.token) is not None and entry.piece.sound.is_file()
        if entry is None or entry.caller != caller or not is_there:
            raise ApiError(missing, status=404, param=param, code="audio_not_found")
        return replace(entry, piece=replace(entry.piece, score=self._sessions.scores.get(entry.piece.sound)))

    def remove(self, audio_id: str) -> None:
        """Deletes a piece. Ignores unknown ids."""
        with self._guard:
            entry = self._entries.pop(audio_id, None)
        self._delete([] if entry is None else [entry])

    def files(self, session: Session) -> set[Path]:
        """Audio files of the session's stored pieces."""
        with self._guard:
            return {entry.piece.sound for entry in self._entries.values() if entry.session == session}

    def _evict(self) -> list[StoredAudio]:
        """Removes and returns expired entries, and the oldest ones beyond the limits."""
        evicted = []
        total_bytes = sum(entry.size for entry in self._entries.values())
        for audio_id, entry in list(self._entries.items()):
            if entry.expires_at > self._clock() and len(self._entries) <= self._max_pieces and total_bytes <= self._max_bytes:
                break
            evicted.append(self._entries.pop(audio_id))
            total_bytes -= entry.size
        return evicted

    def _delete(self, evicted: list[StoredAudio]) -> None:
        for entry in evicted:
            sound = entry.piece.sound
            for file in (sound, *sound.parent.glob(f"{sound.stem}-*")):  # with its exports
                file.unlink(missing_ok=True)
            if not self.files(entry.session):
                self._sessions.close(entry.session.token)
