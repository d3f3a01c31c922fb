"""Wav file that grows while its music is generated, at the path and URL of the finished piece.

The header states the final length from the start, so players begin at once. A file shorter than its header states is still
growing; a deleted one was abandoned.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.audio_files import pcm, take_tags, wav_header, write
from demo.service.sessions import media_url
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.media.score import Score


class GrowingWav:
    """Growing wav file of one take in the session's folder. seconds: length written so far; url: where it is served."""

    def __init__(self, sessions: Sessions, session: Session, total_seconds: float, title: str, seed: int) -> None:
        self._path = sessions.new_file(session, ".wav")
        self._total_seconds, self._title, self._seed = total_seconds, title, seed
        self.url = f"/{media_url(session.token, self._path.name)}"
        self.seconds = 0.0

    def add(self, music: Waveform) -> None:
        """Appends the next chunk of music; the first call writes the header."""
        head = b"" if self.seconds else self._header(music)
        with self._path.open("ab") as file:
            file.write(head + pcm(music))
        self.seconds += music.seconds

    def _header(self, music: Waveform) -> bytes:
        tags = take_tags(self._title, self._seed)
        return wav_header(self._total_seconds, music.sample_rate, len(music.samples), tags=tags)

    def finish(self, music: Waveform, score: Score | None) -> Path:
        """Writes all formats of the finished piece and returns the wav file, which replaces the growing one byte for byte."""
        files = write(music, score, self._path.parent, self._path.stem, title=self._title, seed=self._seed)
        return files["wav"]

    def truncate(self) -> tuple[Path, Waveform]:
        """Writes all formats of a stopped piece; returns its wav file and music.

        The file gets a new name: players of the growing file were announced a longer one, and receive silence to its end.
        """
        music = Waveform.read(self._path)
        files = write(music, None, self._path.parent, f"{self._path.stem}cut", title=self._title, seed=self._seed)
        self.discard()
        return files["wav"], music

    def discard(self) -> None:
        """Deletes the growing file."""
        self._path.unlink(missing_ok=True)
