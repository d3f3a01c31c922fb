"""Stems and sheet music for the page: made once, all parts in one pass, and counted with the files of their session."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from demo.service.errors import UserFacingError
from demo.service.exports import Exporter
from demo.service.media_probe import Limits
from demo.service.piece_files import PieceFiles
from demo.service.sessions import Session, Sessions
from llama import Waveform
from llama.decoders.base import ScoreEditor
from llama.media.score import Note, Score
from tests.scripted_engine import RATE, SCORE

pytest_plugins = ("tests.sessions_fixture",)

PIECE = replace(SCORE, bass=(Note(0.0, 1.0, 36, 90),), drums=(Note(0.0, 0.1, 36, 90),))
FRAMES = 2 * RATE + 7


class Decoder(ScoreEditor):
    """Plays each part as noise of its own, a little longer than the piece, when it is let to."""

    sample_rate, channels = RATE, 2
    edits_scores = True

    def __init__(self) -> None:
        self.calls, self.started, self.leave = 0, threading.Event(), threading.Event()
        self.leave.set()

    def render_stems(self, score: Score) -> dict[str, Waveform]:
        self.calls += 1
        self.started.set()
        assert self.leave.wait(30)
        noise = torch.rand(3, 2, FRAMES + 40, generator=torch.Generator().manual_seed(1)) * 0.6 - 0.3
        return {name: Waveform(part, RATE) for name, part in zip(("lead", "bass", "drums"), noise, strict=True)}


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture
def files(decoder: Decoder, sessions: Sessions) -> PieceFiles:
    return PieceFiles(Exporter(decoder, sessions, Limits()))


@pytest.fixture
def sound(session: Session, decoder: Decoder) -> Path:
    mix = sum(stem.samples for stem in decoder.render_stems(PIECE).values())
    decoder.calls = 0
    Waveform(mix[:, :FRAMES], RATE).write(session.folder / "a1.wav")
    return session.folder / "a1.wav"


def refused(files: PieceFiles, session: Session, sound: Path, score: Score | None, part: str = "melody") -> str:
    with pytest.raises(UserFacingError) as error:
        files.stem(session, sound, score, part)
    return str(error.value)


def test_stems_are_as_long_as_the_piece_and_sum_to_it(files: PieceFiles, decoder: Decoder, session: Session, sound: Path) -> None:
    paths = [files.stem(session, sound, PIECE, part) for part in ("melody", "bass", "drums")]
    mix, _ = soundfile.read(sound)
    assert {soundfile.info(path).subtype for path in paths} == {"PCM_16"} and {soundfile.info(path).frames for path in paths} == {FRAMES}
    assert np.abs(sum(soundfile.read(path)[0] for path in paths) - mix).max() < 1e-4
    assert decoder.calls == 1, "all parts are played in one pass"
    assert {path.parent for path in paths} == {session.folder} and all(path.stem.startswith("a1-") for path in paths)


def test_many_requests_for_one_piece_take_one_turn(files: PieceFiles, decoder: Decoder, session: Session, sound: Path) -> None:
    decoder.leave.clear()
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(files.stem(session, sound, PIECE, "bass"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    assert decoder.started.wait(10)
    decoder.leave.set()
    for thread in threads:
        thread.join(10)
    assert len(made) == 12 and decoder.calls == 1


def test_a_part_that_is_not_there_is_refused(files: PieceFiles, session: Session, sound: Path) -> None:
    assert "'accompaniment' is not in the piece; choose from melody, bass, drums." in refused(files, session, sound, PIECE, "accompaniment")
    assert "is not in the piece" in refused(files, session, sound, PIECE, "../a1") and "no notes" in refused(files, session, sound, None)


def test_stems_count_with_the_session(decoder: Decoder, sessions: Sessions, session: Session, sound: Path) -> None:
    limited = PieceFiles(Exporter(decoder, sessions, Limits(session_bytes=sound.stat().st_size + 1000)))
    assert "at most" in refused(limited, session, sound, PIECE) and decoder.calls == 0
    assert [path.name for path in session.folder.iterdir()] == ["a1.wav"]


def test_a_decoder_without_notes_says_so(sessions: Sessions, session: Session, sound: Path) -> None:
    assert "decoder" in refused(PieceFiles(Exporter(None, sessions, Limits())), session, sound, PIECE)


def test_sheet_music_is_engraved_once(files: PieceFiles, session: Session, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = files.sheet(session, sound, PIECE, "narrow")
    assert pages and all(page.startswith("<svg") for page in pages)
    monkeypatch.setattr("demo.service.piece_files.engrave", lambda *_: pytest.fail("engraved again"))
    assert files.sheet(session, sound, PIECE, "narrow") == pages
    with pytest.raises(UserFacingError, match="choose from wide, narrow"):
        files.sheet(session, sound, PIECE, "../a1")


def test_a_picture_is_drawn_once(files: PieceFiles, session: Session, sound: Path) -> None:
    drawn: list[str] = []

    def draw() -> bytes:
        drawn.append("png")
        return b"png"

    assert [files.picture(session, sound, "spectrogram", draw).read_bytes() for _ in range(2)] == [b"png", b"png"]
    assert drawn == ["png"]
