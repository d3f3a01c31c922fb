"""The archive of a session's pieces: each in its folder, bounded, and whole while it is read."""

from __future__ import annotations

import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from DataSet.synthesis.composer import compose
from demo.service import exports, library_archive
from demo.service.audio_files import TAKE_FORMATS, write
from demo.service.errors import UserFacingError
from demo.service.exports import Exporter
from demo.service.library_archive import ArchivedPiece, archive_blocks, plan_archive
from demo.service.media_probe import Limits
from demo.service.sessions import Session, Sessions
from llama import Waveform
from llama.media.naming import piece_name
from llama.media.score import Attributes, Score

pytest_plugins = ("tests.sessions_fixture",)

RATE = 8000
SCORE = compose(np.random.default_rng(5), Attributes("harp", "strings", "waltz", 120, "minor", 3, False, 9), 6.0)
STEM = piece_name(SCORE)


@pytest.fixture
def exporter(sessions: Sessions) -> Exporter:
    return Exporter(None, sessions, Limits())


def sound(session: Session, stem: str, score: Score | None = SCORE, title: str = "Play") -> Path:
    return write(Waveform(torch.zeros(2, RATE), RATE), score, session.folder, stem, TAKE_FORMATS, title=title)["wav"]


def read(exporter: Exporter, sessions: Sessions, session: Session, *pieces: ArchivedPiece) -> dict[str, bytes]:
    """The files of an archive."""
    content = b"".join(archive_blocks(exporter, sessions, session, plan_archive(pieces)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_each_piece_has_a_folder_of_its_own(exporter: Exporter, sessions: Sessions, session: Session) -> None:
    pieces = [ArchivedPiece(sound(session, "a1"), SCORE), ArchivedPiece(sound(session, "b2"), SCORE),
              ArchivedPiece(sound(session, "c3", None, "Hum a tune"), None),
              ArchivedPiece(sound(session, "d4", None), None, "../My <song>")]  # fmt: skip
    files = [f"{STEM}.wav", f"{STEM}.mid", f"{STEM}.musicxml", f"{STEM}-chords.txt"]
    assert list(read(exporter, sessions, session, *pieces)) == [
        *(f"{STEM}/{name}" for name in files), *(f"{STEM}-2/{name}" for name in files), "hum-a-tune/hum-a-tune.wav", "my-song/play.wav",
    ]  # fmt: skip


def test_all_files_of_an_edited_piece_have_one_name(exporter: Exporter, sessions: Sessions, session: Session) -> None:
    wav = sound(session, "a1")
    sessions.scores.add(wav, SCORE, "without drums")
    names = list(read(exporter, sessions, session, ArchivedPiece(wav, SCORE, label=sessions.scores.label(wav))))
    stem = f"{STEM}-without-drums"
    assert names == [f"{stem}/{stem}{rest}" for rest in (".wav", ".mid", ".musicxml", "-chords.txt")]


def test_a_file_that_is_deleted_while_it_is_sent_is_sent_whole(exporter: Exporter, sessions: Sessions, session: Session) -> None:
    wav = sound(session, "a1", None)
    content, blocks = wav.read_bytes(), archive_blocks(exporter, sessions, session, plan_archive([ArchivedPiece(wav)]))
    first = next(blocks)
    wav.unlink()
    with zipfile.ZipFile(io.BytesIO(first + b"".join(blocks))) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [content]


def test_a_piece_of_too_many_notes_has_its_midi_file_and_a_text_says_so(
    exporter: Exporter, sessions: Sessions, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MAX_STAFF_NOTES", 1)
    pieces = [ArchivedPiece(sound(session, f"a{number}"), SCORE) for number in range(5)]
    plan = plan_archive(pieces)
    assert plan.summary == f"Left out: MusicXML of {STEM}, MusicXML of {STEM}-2, MusicXML of {STEM}-3, 2 more; " \
                           "left-out.txt in the archive says why."  # fmt: skip
    assert len(list(session.folder.iterdir())) == 10, "nothing is written for the plan"
    files = read(exporter, sessions, session, pieces[0])
    assert [name.split(".")[-1] for name in files] == ["wav", "mid", "txt", "txt"]
    assert files["left-out.txt"].decode() == f"{STEM}, MusicXML: {exports.musicxml_fault(SCORE)}\n"


def test_what_cannot_be_written_while_the_archive_is_sent_is_named(
    exporter: Exporter, sessions: Sessions, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [ArchivedPiece(sound(session, stem), SCORE) for stem in ("a1", "b2")]
    plan = plan_archive(pieces)
    assert plan.summary == ""
    monkeypatch.setattr(exporter, "_waiting", threading.BoundedSemaphore(1))
    exporter._waiting.acquire()
    pieces[1].sound.unlink()
    with zipfile.ZipFile(io.BytesIO(b"".join(archive_blocks(exporter, sessions, session, plan)))) as archive:
        text = archive.read("left-out.txt").decode()
    assert f"{STEM}, MusicXML: {exports.BUSY}" in text and f"{STEM}-2, {STEM}.wav: It was deleted meanwhile." in text


def test_deleted_pieces_are_named_and_an_empty_library_is_told(exporter: Exporter, sessions: Sessions, session: Session) -> None:
    gone, there = ArchivedPiece(session.folder / "gone.wav", SCORE), ArchivedPiece(sound(session, "a1", None), None)
    assert list(read(exporter, sessions, session, gone, there)) == ["play/play.wav", "left-out.txt"]
    assert plan_archive([gone, there]).summary.startswith(f"Left out: everything of {STEM}; ")
    with pytest.raises(UserFacingError, match="no piece to take home yet"):
        plan_archive([gone])


def test_the_archive_is_bounded_in_a_sentence(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_archive, "MAX_ARCHIVE_BYTES", 40_000)
    pieces = [ArchivedPiece(sound(session, stem, None), None) for stem in ("a1", "b2")]
    assert plan_archive(pieces[:1]).folders
    with pytest.raises(UserFacingError, match="The 2 pieces take 0 MB together, and one archive holds up to 0 MB; take them"):
        plan_archive(pieces)


def test_the_files_stay_while_the_archive_is_read(exporter: Exporter, sessions: Sessions, session: Session) -> None:
    plan = plan_archive([ArchivedPiece(sound(session, "a1"), SCORE)])
    blocks = archive_blocks(exporter, sessions, session, plan)
    content = next(blocks)
    assert session.folder in sessions.storage._protected
    content += b"".join(blocks)
    assert session.folder not in sessions.storage._protected
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None and archive.read(f"{STEM}/{STEM}.wav") == (session.folder / "a1.wav").read_bytes()
    abandoned = archive_blocks(exporter, sessions, session, plan)
    next(abandoned)
    abandoned.close()
    assert session.folder not in sessions.storage._protected
