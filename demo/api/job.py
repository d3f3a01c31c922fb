"""Jobs: requests that were submitted to the engine, and the store of the music they make.

A handler makes a job of a request. `JobHandler` has what all of them share: the session of a job, its pieces, its end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from demo.api import response as api_reply
from demo.api.audio_store import AudioStore
from demo.service.audio_files import take_bytes, write
from demo.service.conversation import Piece
from demo.service.errors import UserFacingError, user_errors
from demo.service.exports import NO_NOTES, ExportedFile, piece_stem
from demo.service.piece_files import PieceFiles
from demo.service.request import STOPPED, SubmittedRequest
from demo.service.score_view import score_view
from demo.service.service import ChatService

if TYPE_CHECKING:
    from demo.service.sessions import Session
    from llama.dialogue import Reply
    from llama.media.audio import Waveform

Json = dict[str, Any]
ResultT = TypeVar("ResultT")


@dataclass
class Job:
    """Submitted request. ignored: fields of it that had no effect; created: seconds since 1970; replies: of finished takes."""

    caller: str
    session: Session
    submitted: SubmittedRequest
    created: int
    ignored: tuple[str, ...]
    name: str
    replies: dict[int, Reply] = field(default_factory=dict)

    def answers(self) -> list[Reply]:
        """Replies of all takes in order. Raises `UserFacingError` if one is missing because the server stopped."""
        if len(self.replies) < len(self.submitted.requests):
            raise UserFacingError(STOPPED, "server")
        return [self.replies[take] for take in sorted(self.replies)]

    @property
    def headers(self) -> dict[str, str]:
        """Header of an answer whose request had fields without effect; none otherwise."""
        return api_reply.ignored_header(self.ignored)


def new_name(prefix: str) -> str:
    """Random id of a job or an answer, which cannot be guessed."""
    return f"{prefix}-{secrets.token_urlsafe(18)}"


class JobHandler:
    """Opens and ends the sessions of jobs. Its methods read and write files, so call them from a worker thread.

    store: of the pieces, shared by all handlers; clock: seconds since 1970.
    """

    def __init__(self, service: ChatService, store: AudioStore, clock: Callable[[], float] = time.time) -> None:
        self._service, self._store, self._clock = service, store, clock
        self._files = PieceFiles(service.exporter)

    def open_session(self, submit: Callable[[Session], ResultT]) -> tuple[Session, ResultT]:
        """A session of its own, and what `submit` returns for it. If that fails, the session is deleted."""
        session = self._service.sessions.open()
        self._service.sessions.storage.protect(session.folder)
        try:
            return session, submit(session)
        except BaseException:
            self._service.sessions.storage.unprotect(session.folder)
            self._service.sessions.close(session.token)
            raise

    def new_id(self) -> str:
        """Audio id for a piece that is still being generated."""
        return self._store.new_id()

    def keep(self, job: Job, take: int, reply: Reply, music: Waveform, audio_id: str) -> int:
        """Stores a take's piece under that id; returns its expiry in seconds since 1970."""
        seed, folder = job.submitted.options[take].seed, job.session.folder
        with self._service.sessions.storage.room(take_bytes(music, ("wav",)), folder):
            sound = write(music, None, folder, f"{audio_id}-kept", ("wav",), title=job.submitted.message, seed=seed)["wav"]
        piece = Piece(reply.text, seed, music.seconds, sound, reply.score, edit=reply.edit)
        return self._store.add(audio_id, job.caller, job.session, piece)

    def export(self, audio_id: str, caller: str, form: str, bars: str = "") -> ExportedFile:
        """A stored piece in another form (`demo.service.exports`). Raises `ApiError` or `UserFacingError`."""
        entry = self._store.entry(audio_id, caller)
        if form == "wav" and not bars:
            piece = entry.piece
            return ExportedFile(piece.sound, f"{piece_stem(piece.sound, piece.score)}.wav", "audio/wav")
        return self._service.exporter.export(entry.session, entry.piece.sound, entry.piece.score, form, bars)

    def score(self, audio_id: str, caller: str) -> Json:
        """The notes of a stored piece, its bars and chords (`demo.service.score_view`). Raises `ApiError` or `UserFacingError`."""
        entry = self._store.entry(audio_id, caller)
        if entry.piece.score is None:
            raise UserFacingError(NO_NOTES)
        with user_errors():
            return score_view(entry.piece.score)

    def stem(self, audio_id: str, caller: str, part: str) -> Path:
        """The sound of one part of a stored piece. Raises `ApiError` or `UserFacingError`."""
        entry = self._store.entry(audio_id, caller)
        return self._files.stem(entry.session, entry.piece.sound, entry.piece.score, part)

    def sheet(self, audio_id: str, caller: str, size: str) -> list[str]:
        """The pages of sheet music of a stored piece, as SVG. Raises `ApiError` or `UserFacingError`."""
        entry = self._store.entry(audio_id, caller)
        return self._files.sheet(entry.session, entry.piece.sound, entry.piece.score, size)

    def forget(self, audio_id: str) -> None:
        """Deletes a stored piece. Ignores unknown ids."""
        self._store.remove(audio_id)

    def end(self, job: Job) -> None:
        """Deletes the session's files except those of stored pieces, and the session if there are none."""
        self._service.sessions.storage.unprotect(job.session.folder)
        kept_files = self._store.files(job.session)
        if not kept_files:
            self._service.sessions.close(job.session.token)
            return
        stems = tuple(file.stem for file in kept_files)
        for file in job.session.folder.iterdir():
            if not file.name.startswith(stems):  # which a piece's exports begin with, too
                file.unlink(missing_ok=True)
