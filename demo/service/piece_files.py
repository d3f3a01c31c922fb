"""Files of a piece that the page itself shows and plays: the sound of each part, pages of sheet music, pictures of the sound.

They are made when they are asked for, in the folder of the session, where they count and go with the piece. All parts are played in
one pass (60 s of four parts take 0.7 s) and all pages engraved in one, so that the next request finds its file there.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from demo.service.audio_files import SMALL_FILES, pcm, pcm_bytes, wav_header
from demo.service.errors import user_errors
from demo.service.exports import NO_NOTES, Exporter
from demo.service.score_view import part_names
from llama.decoders.base import pad_or_trim
from llama.errors import comma_list, quoted
from llama.files import atomic_path
from llama.media.sheet_music import MAX_STAFF_NOTES, PAGE_WIDTHS, engrave

if TYPE_CHECKING:
    from demo.service.sessions import Session
    from llama.media.score import Score

NOTE_BYTES = 2500  # of SVG, at most
MAX_SHEET_BYTES = SMALL_FILES + MAX_STAFF_NOTES * NOTE_BYTES


class PieceFiles:
    """Makes these files, one piece at a time, in the queue of an exporter. Thread-safe."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter, self._guard = exporter, threading.Lock()
        self._locks: weakref.WeakValueDictionary[Path, threading.Lock] = weakref.WeakValueDictionary()

    def stem(self, session: Session, sound: Path, score: Score | None, part: str) -> Path:
        """The sound of one part as a 16-bit WAV file, as long as the piece; all parts together sum to it within 1e-4.

        sound: the piece's wav file in the session's folder; part: a key of `part_names`. Raises `UserFacingError`.
        """
        with user_errors():
            names = part_names(_known(score))
            if part not in names:
                raise ValueError(f"The part {quoted(part)} is not in the piece; choose from {comma_list(names)}.")
            return self._made(sound, stem_path(sound, part), lambda: self._write_stems(session, sound, _known(score)))

    def sheet(self, session: Session, sound: Path, score: Score | None, size: str, title: str | None = None) -> list[str]:
        """The pages of sheet music as SVG, in order. size: a key of `PAGE_WIDTHS`. Raises `UserFacingError`."""
        with user_errors():
            if size not in PAGE_WIDTHS:
                raise ValueError(f"The size {quoted(size)} of pages is not known; choose from {', '.join(PAGE_WIDTHS)}.")
            path = sound.with_name(f"{sound.stem}-sheet-{size}.json")
            self._made(sound, path, lambda: self._write_sheet(session, path, _known(score), size, title))
            pages: list[str] = json.loads(path.read_text(encoding="utf-8"))
            return pages

    def picture(self, session: Session, sound: Path, name: str, draw: Callable[[], bytes]) -> Path:
        """A PNG of the sound that `draw` makes; name: of this kind of picture, such as "spectrogram". Raises `UserFacingError`."""

        def write() -> None:
            with self._exporter.room(session, SMALL_FILES), self._exporter.turn_to_play(), atomic_path(path, fsync=False) as partial:
                partial.write_bytes(draw())

        path = sound.with_name(f"{sound.stem}-{name}.png")
        with user_errors({sound: "The sound"}):
            return self._made(sound, path, write)

    def _made(self, sound: Path, path: Path, write: Callable[[], None]) -> Path:
        """The file, written first if it is not there. Requests about one piece wait for one another, and only one takes a turn."""
        with self._guard:
            lock = self._locks.setdefault(sound, threading.Lock())
        with lock:
            if not path.is_file():
                write()
        return path

    def _write_stems(self, session: Session, sound: Path, score: Score) -> None:
        editor, names = self._exporter.editor(), part_names(score)
        size = len(names) * (pcm_bytes(score.seconds, editor.sample_rate, editor.channels) + SMALL_FILES)
        with self._exporter.room(session, size), self._exporter.turn_to_play():
            stems, frames = editor.render_stems(score), soundfile.info(sound).frames
            for name, track in names.items():
                stem = replace(stems[track], samples=pad_or_trim(stems[track].samples, frames))
                with atomic_path(stem_path(sound, name), fsync=False) as partial:
                    partial.write_bytes(wav_header(stem.seconds, stem.sample_rate, len(stem.samples)) + pcm(stem))

    def _write_sheet(self, session: Session, path: Path, score: Score, size: str, title: str | None) -> None:
        with self._exporter.room(session, MAX_SHEET_BYTES), self._exporter.turn_to_play(), atomic_path(path, fsync=False) as partial:
            partial.write_text(json.dumps(engrave(score, title, size)), encoding="utf-8")


def stem_path(sound: Path, part: str) -> Path:
    return sound.with_name(f"{sound.stem}-stem-{part}.wav")


def _known(score: Score | None) -> Score:
    if score is None:
        raise ValueError(NO_NOTES)
    return score
