"""Wav file that grows while its music is generated, at the path and URL of the finished piece.

The header states the final length from the start, so players begin at once. A file shorter than its header states is still
growing; a deleted one was abandoned.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.audio_files import TAKE_FORMATS, pcm, pcm_bytes, take_bytes, take_tags, wav_header, write
from demo.service.sessions import media_url
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from demo.service.storage import Reservation
    from llama.media.score import Score


class GrowingWav:
    """Growing wav file of one take in the session's folder. seconds: length written so far; url: where it is served."""

    def __init__(self, sessions: Sessions, session: Session, total_seconds: float, title: str, seed: int) -> None:
        self._path, self._storage = sessions.new_file(session, ".wav"), sessions.storage
        self._reservation: Reservation | None = None  # for the rest of the growing file
        self._total_seconds, self._title, self._seed = total_seconds, title, seed
        self.url = f"/{media_url(session.token, self._path.name)}"
        self.seconds = 0.0

    def add(self, music: Waveform) -> None:
        """Appends the next chunk of music; the first call writes the header. Raises `UserFacingError` for a full disk."""
        head = b"" if self.seconds else self._header(music)
        content = head + pcm(music)
        if self._reservation is None:
            samples = pcm_bytes(self._total_seconds, music.sample_rate, len(music.samples))
            self._reservation = self._storage.reserve(len(head) + samples, self._path.parent, self._path)
        with self._path.open("ab") as file:
            file.write(content)
        self._reservation.written(len(content))
        self.seconds += music.seconds

    def _header(self, music: Waveform) -> bytes:
        tags = take_tags(self._title, self._seed)
        return wav_header(self._total_seconds, music.sample_rate, len(music.samples), tags=tags)

    def finish(self, music: Waveform, score: Score | None) -> Path:
        """Writes the finished piece, with its MIDI file, and returns the wav file, which replaces the growing one byte for byte."""
        return self._write(music, score, self._path.stem)

    def truncate(self) -> tuple[Path, Waveform]:
        """Writes a stopped piece as far as it was made; returns its wav file and music.

        The file gets a new name: players of the growing file were announced a longer one, and receive silence to its end.
        """
        music = Waveform.read(self._path)
        sound = self._write(music, None, f"{self._path.stem}cut")
        self.discard()
        return sound, music

    def _write(self, music: Waveform, score: Score | None, stem: str) -> Path:
        with self._storage.room(take_bytes(music, TAKE_FORMATS), self._path.parent):
            files = write(music, score, self._path.parent, stem, TAKE_FORMATS, title=self._title, seed=self._seed)
        self._release()
        return files["wav"]

    def discard(self) -> None:
        """Deletes the growing file."""
        self._release()
        self._path.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._reservation is not None:
            self._storage.release(self._reservation)
