"""What a musician takes home of a piece: MP3, FLAC and, where its notes are known, MIDI, MusicXML, a chord sheet, stems, a loop.

The files are made when they are asked for, in the folder of the session, where they count and go with the piece. Stems and loops are
played anew, sound is encoded and MusicXML is written one at a time: the first take as much memory as the piece has sound in all its
parts, MP3 and FLAC a second for each minute or two, MusicXML some 10 ms a note.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.service.audio_files import (
    SAMPLE_BYTES,
    SMALL_FILES,
    convert,
    encoded_bytes,
    is_complete_wav,
    pcm,
    pcm_bytes,
    read_tags,
    wav_header,
    write,
)
from demo.service.errors import UserFacingError, user_errors
from demo.service.uploads import check_session_size
from demo.service.zip_stream import ZipEntry, entries_of_zip, zip_blocks, zip_bytes
from llama.decoders.base import NO_EDITS, ScoreEditor
from llama.errors import quoted
from llama.files import atomic_path
from llama.media.chord_sheet import to_chord_sheet
from llama.media.midi import to_midi
from llama.media.musicxml import to_musicxml
from llama.media.naming import loop_name, piece_name, text_name
from llama.media.score import TRACKS
from llama.media.score_edits import score_line
from llama.media.sheet_music import MAX_STAFF_NOTES
from llama.media.stems import stems_zip

if TYPE_CHECKING:
    from demo.service.media_probe import Limits
    from demo.service.sessions import Session, Sessions
    from demo.service.uploads import Upload
    from llama.media.score import Score

DEFAULT_LOOP_BARS = 8
QUICK_FORMS = ("midi", "chords")  # that wait for no others
SOUND_FORMS = ("mp3", "flac", "all")  # of every piece; the others need its notes
NOTE_FILES = ("musicxml", "chords")  # beside sound, MIDI and stems in the form "all"
NOTE_FORMS = ("midi", *NOTE_FILES, "stems", "loop")  # that a piece of sound alone never has
LEFT_OUT_NAME = "left-out.txt"  # in an archive: what could not be written, and why
MAX_WAITING = 8  # downloads that wait for the one that is being made
WAIT_SECONDS = 60.0
STEM_BYTES = 4  # of a sample, at most
BARS = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
NO_NOTES = "This piece has sound and no notes, or its notes were given up for those of newer pieces; only its sound can be had."
BUSY = "Others wait for stems, loops and MusicXML already; try again in a moment."
GROWING = "The piece is still being made; take it home when it is complete."


@dataclass(frozen=True)
class ExportFormat:
    """A form in which a piece can be had."""

    suffix: str
    content_type: str
    label: str  # for people


EXPORT_FORMATS: Mapping[str, ExportFormat] = {
    "midi": ExportFormat(".mid", "audio/midi", "MIDI"),
    "musicxml": ExportFormat(".musicxml", "application/vnd.recordare.musicxml+xml", "MusicXML"),
    "chords": ExportFormat(".txt", "text/plain; charset=utf-8", "Chords"),
    "stems": ExportFormat(".zip", "application/zip", "Stems"),
    "loop": ExportFormat(".wav", "audio/wav", "Loop"),
    "mp3": ExportFormat(".mp3", "audio/mpeg", "MP3"),
    "flac": ExportFormat(".flac", "audio/flac", "FLAC"),
    "all": ExportFormat(".zip", "application/zip", "Everything"),
}


@dataclass(frozen=True)
class ExportedFile:
    """File of a piece in its session's folder, and the name under which a user saves it."""

    path: Path
    name: str
    content_type: str


class Exporter:
    """Makes the files of pieces. Thread-safe. decoder: plays stems and loops; one without notes is refused when it is asked to."""

    def __init__(self, decoder: Any, sessions: Sessions, limits: Limits) -> None:
        self._decoder, self._sessions, self._limits = decoder, sessions, limits
        self._player, self._waiting = threading.Lock(), threading.BoundedSemaphore(MAX_WAITING)

    def export(self, session: Session, sound: Path, score: Score | None, form: str, bars: str = "") -> ExportedFile:
        """The piece as a file of that form (a key of EXPORT_FORMATS).

        sound: its wav file in the session's folder, whose stem the new file has. bars: of a loop, their number from the first one, such
        as "8", or a range such as "5-8". Raises `UserFacingError`.
        """
        with user_errors({sound: "The piece"}):
            if form not in EXPORT_FORMATS:
                raise ValueError(f"The form {quoted(form)} is not known; choose from {', '.join(EXPORT_FORMATS)}.")
            if bars and form != "loop":
                raise ValueError("bars are those of a loop; leave them out for another form.")
            kind = EXPORT_FORMATS[form]
            if form in SOUND_FORMS:
                path = sound.with_name(f"{sound.stem}-{form}{kind.suffix}")
                if not path.is_file():
                    self._write_sound(session, path, sound, score, form)
                return ExportedFile(path, piece_stem(sound, score, self._label(sound)) + kind.suffix, kind.content_type)
            if score is None:
                raise ValueError(NO_NOTES)
            detail, loop_bars = form, (0, 0)
            if form == "loop":
                loop_bars = parse_bars(bars, score_line(score).bar_count)
                detail = "loop-bars-{}-{}".format(*loop_bars)
            path = sound.with_name(f"{sound.stem}-{detail}{kind.suffix}")
            if not path.is_file():
                self._write(session, path, score, form, loop_bars)
            return ExportedFile(path, file_name(score, form, loop_bars, self._label(sound)), kind.content_type)

    def _label(self, sound: Path) -> str:
        return self._sessions.scores.label(sound)

    def _write_sound(self, session: Session, path: Path, sound: Path, score: Score | None, form: str) -> None:
        if not is_complete_wav(sound):
            raise ValueError(GROWING)
        if form == "all":
            entries = self._all_files(session, sound, score)
            with self.room(session, zip_bytes(entries)), atomic_path(path, fsync=False) as partial, partial.open("wb") as file:
                file.writelines(zip_blocks(entries))
            return
        with self.room(session, encoded_bytes(sound.stat().st_size, (form,))), self.turn_to_play():
            convert(sound, path, form)

    def _all_files(self, session: Session, sound: Path, score: Score | None) -> tuple[ZipEntry, ...]:
        """Every form of a piece but loops, which have their own bars; a text says which could not be written."""
        stem, left_out = piece_stem(sound, score, self._label(sound)), list[str]()
        files = {f"{stem}{sound.suffix}": sound}
        for form in ("flac", "mp3", *(("midi", *NOTE_FILES) if score is not None else ())):
            try:
                exported = self.export(session, sound, score, form)
                files[exported.name] = exported.path
            except UserFacingError as error:
                if error.category != "user":  # the disk is full, or others wait: later it is possible
                    raise
                left_out.append(f"{EXPORT_FORMATS[form].label}: {error}")
        tagged = sound.with_suffix(".mid")  # with the request and the seed in it
        if f"{stem}.mid" in files and tagged.is_file():
            files[f"{stem}.mid"] = tagged
        entries = [ZipEntry.of_file(name, file) for name, file in files.items()]
        if score is not None and self._plays_notes:
            entries += entries_of_zip("stems", self.export(session, sound, score, "stems").path)
        if left_out:
            entries.append(ZipEntry.of_bytes(LEFT_OUT_NAME, "\n".join([*left_out, ""]).encode()))
        return tuple(entries)

    def play_upload(self, session: Session, upload: Upload) -> Upload:
        """The upload with its sound if it is a score, as a file beside it. Raises `UserFacingError`."""
        if upload.score is None or upload.sound is not None:
            return upload
        with user_errors():
            editor = self.editor()
            size = pcm_bytes(upload.score.seconds, editor.sample_rate, editor.channels) + SMALL_FILES
            check_session_size(session.folder, size, self._limits)
            with self._sessions.storage.room(size, session.folder), self.turn_to_play():
                music = editor.render(upload.score)
                sound = write(music, None, upload.path.parent, upload.path.stem, ("wav",), title=upload.name)["wav"]
            self._sessions.scores.add(sound, upload.score)
            return replace(upload, sound=sound)

    def _write(self, session: Session, path: Path, score: Score, form: str, loop_bars: tuple[int, int]) -> None:
        if form == "musicxml" and (fault := musicxml_fault(score)):
            raise ValueError(fault)
        with self.room(session, self._size(score, form)):
            content = _quick(score, form) if form in QUICK_FORMS else self._slow(score, form, loop_bars)
            with atomic_path(path, fsync=False) as partial:
                partial.write_bytes(content)

    @contextmanager
    def room(self, session: Session, size: int) -> Iterator[None]:
        """Room for so many bytes more in the session's folder, whose files all stay until they are written. Raises `UserFacingError`,
        and ValueError where the session has too many."""
        check_session_size(session.folder, size, self._limits)
        self._sessions.storage.protect(session.folder)  # the piece stays while it is played
        try:
            with self._sessions.storage.room(size, session.folder):
                yield
        finally:
            self._sessions.storage.unprotect(session.folder)

    def _size(self, score: Score, form: str) -> int:
        """Upper bound on the bytes of the file."""
        if form not in ("stems", "loop"):
            return SMALL_FILES
        parts = len(TRACKS) * STEM_BYTES // SAMPLE_BYTES if form == "stems" else 1
        return parts * pcm_bytes(score.seconds, self.editor().sample_rate, self.editor().channels) + SMALL_FILES

    def editor(self) -> Any:
        """The decoder, as `MusicDecoder` and `ScoreEditor`. Raises ValueError for one without notes."""
        if not self._plays_notes:
            raise ValueError(NO_EDITS)
        return self._decoder

    def check_form(self, form: str) -> None:
        """Raises ValueError in one sentence, before a piece is made, for a form that no piece of this decoder can have."""
        if form in NOTE_FORMS and self._decoder is not None and not self._plays_notes:
            others = ", ".join(("wav", *SOUND_FORMS))
            raise ValueError(f"{form} is written from notes, and this model's decoder makes sound without notes; choose from {others}.")

    @property
    def _plays_notes(self) -> bool:
        return isinstance(self._decoder, ScoreEditor) and self._decoder.edits_scores

    def _slow(self, score: Score, form: str, loop_bars: tuple[int, int]) -> bytes:
        with self.turn_to_play():
            if form == "musicxml":
                return to_musicxml(score)
            if form == "stems":
                return stems_zip(self.editor().render_stems(score), piece_name(score))
            music = self.editor().render_loop(score, *loop_bars)
        return wav_header(music.seconds, music.sample_rate, len(music.samples)) + pcm(music)

    @contextmanager
    def turn_to_play(self) -> Iterator[None]:
        """One at a time; raises `UserFacingError` where too many wait, or for too long."""
        if not self._waiting.acquire(blocking=False):
            raise UserFacingError(BUSY, "busy")
        try:
            if not self._player.acquire(timeout=WAIT_SECONDS):
                raise UserFacingError(BUSY, "busy")
            try:
                yield
            finally:
                self._player.release()
        finally:
            self._waiting.release()


def musicxml_fault(score: Score) -> str:
    """Why a piece cannot be had as MusicXML, in one sentence; empty if it can."""
    notes = sum(len(score.track(name)) for name in TRACKS)
    return f"The piece has {notes} notes, MusicXML is written of up to {MAX_STAFF_NOTES}; take its MIDI file." * (notes > MAX_STAFF_NOTES)


def _quick(score: Score, form: str) -> bytes:
    return to_midi(score) if form == "midi" else to_chord_sheet(score).encode()


def piece_stem(sound: Path, score: Score | None, label: str = "") -> str:
    """File name of a piece without its ending: what its notes are, or else the first words of the request that its file is tagged with.

    label: of the edit that made it, as `KeptScores.label`.
    """
    return piece_name(score, label) if score is not None else text_name(read_tags(sound).get("title", ""))


def file_name(score: Score, form: str, loop_bars: tuple[int, int], label: str = "") -> str:
    """Name under which a user saves that form of a piece; it says what is in it. label: as in `piece_stem`."""
    if form == "loop":
        stem = loop_name(score, *loop_bars, label)
    else:
        stem = piece_name(score, label) + (f"-{form}" if form in ("stems", "chords") else "")
    return stem + EXPORT_FORMATS[form].suffix


def parse_bars(text: str, bar_count: int) -> tuple[int, int]:
    """The first and last bar of a loop: "5-8" is that range, "8" the first eight, and nothing the first `DEFAULT_LOOP_BARS` or all."""
    if not text:
        return 1, min(DEFAULT_LOOP_BARS, bar_count)
    match = BARS.fullmatch(text)
    first, last = (0, 0) if match is None else (1, int(match[1])) if match[2] is None else (int(match[1]), int(match[2]))
    if not 1 <= first <= last <= bar_count:
        raise ValueError(f"bars {quoted(text)} are none of the piece's {bar_count}; give their number, such as 8, or a range, such as 5-8.")
    return first, last
