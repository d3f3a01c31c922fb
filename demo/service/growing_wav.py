"""A piece as a wav file that grows while the piece is made, at the address where it will lie when it is whole.

Its header tells the final length from the start, so that a player begins at once; a file that has not that length yet is
under way, and one that is gone was given up.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.audio_files import pcm, take_tags, wav_header, write
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.media.score import Score


class GrowingWav:
    """One take on its way into the session's folder."""

    def __init__(self, sessions: Sessions, session: Session, total_seconds: float, title: str, seed: int) -> None:
        self._path = sessions.new_file(session, ".wav")
        self._total_seconds, self._title, self._seed = total_seconds, title, seed
        self.url = f"/media/{session.token}/{self._path.name}"
        self.seconds = 0.0  # made so far

    def add(self, music: Waveform) -> None:
        """The next stretch of sound."""
        head = b"" if self.seconds else self._header(music)
        with self._path.open("ab") as file:
            file.write(head + pcm(music))
        self.seconds += music.seconds

    def _header(self, music: Waveform) -> bytes:
        tags = take_tags(self._title, self._seed)
        return wav_header(self._total_seconds, music.sample_rate, len(music.samples), tags=tags)

    def finish(self, music: Waveform, score: Score | None) -> Path:
        """All files of the whole piece; the wav file takes the place of the one that grew, with the same bytes."""
        files = write(music, score, self._path.parent, self._path.stem, title=self._title, seed=self._seed)
        return files["wav"]

    def truncate(self) -> tuple[Path, Waveform]:
        """All files of what there is of a piece that was stopped, and the sound.

        At an address of its own: whoever listens at the first one was promised more, and hears silence there.
        """
        music = Waveform.read(self._path)
        files = write(music, None, self._path.parent, f"{self._path.stem}cut", title=self._title, seed=self._seed)
        self.discard()
        return files["wav"], music

    def discard(self) -> None:
        """No file stays of a piece that was given up."""
        self._path.unlink(missing_ok=True)
