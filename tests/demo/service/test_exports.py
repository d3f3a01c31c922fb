"""Exports: made once, one at a time where sound is played, and counted with the files of their session."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from demo.service import exports
from demo.service.errors import UserFacingError
from demo.service.exports import Exporter, parse_bars
from demo.service.media_probe import Limits
from demo.service.sessions import Session, Sessions
from llama import Waveform
from llama.decoders.base import ScoreEditor
from tests.scripted_engine import RATE, SCORE

pytest_plugins = ("tests.sessions_fixture",)


class Decoder(ScoreEditor):
    """Plays parts of silence, when it is let to."""

    sample_rate, channels = RATE, 2
    edits_scores = True

    def __init__(self) -> None:
        self.calls, self.started, self.leave = 0, threading.Event(), threading.Event()
        self.leave.set()

    def render_stems(self, score: object) -> dict[str, Waveform]:
        self.calls += 1
        self.started.set()
        assert self.leave.wait(30)
        return {"lead": Waveform(torch.zeros(2, RATE), RATE)}

    def render_loop(self, score: object, first: int, last: int) -> Waveform:
        return Waveform(torch.zeros(2, RATE), RATE)


@pytest.fixture
def sound(session: Session) -> Path:
    (session.folder / "a1.wav").write_bytes(b"sound")
    return session.folder / "a1.wav"


def told(exporter: Exporter, session: Session, sound: Path, form: str, bars: str = "") -> UserFacingError:
    with pytest.raises(UserFacingError) as caught:
        exporter.export(session, sound, SCORE, form, bars)
    return caught.value


def test_a_form_is_made_once(sessions: Sessions, session: Session, sound: Path) -> None:
    exporter = Exporter(decoder := Decoder(), sessions, Limits())
    first, second = (exporter.export(session, sound, SCORE, "stems") for _ in range(2))
    assert first == second and first.path.parent == session.folder and first.path.stem.startswith("a1-") and decoder.calls == 1


def test_sound_is_played_one_at_a_time(sessions: Sessions, session: Session, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "WAIT_SECONDS", 0.01)
    exporter = Exporter(decoder := Decoder(), sessions, Limits())
    decoder.leave.clear()
    other = session.folder / "b2.wav"
    other.write_bytes(b"sound")
    first = threading.Thread(target=exporter.export, args=(session, sound, SCORE, "stems"))
    first.start()
    assert decoder.started.wait(30)
    assert told(exporter, session, other, "stems").category == "busy"
    assert told(exporter, session, other, "musicxml").category == "busy"
    assert exporter.export(session, other, SCORE, "midi").path.is_file(), "what is written at once does not wait"
    decoder.leave.set()
    first.join(30)
    assert exporter.export(session, other, SCORE, "stems").path.is_file() and decoder.calls == 2


def test_too_many_do_not_even_wait(sessions: Sessions, session: Session, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_WAITING", 0)
    error = told(Exporter(Decoder(), sessions, Limits()), session, sound, "stems")
    assert error.category == "busy" and "try again" in str(error)


def test_exports_count_as_files_of_the_session(sessions: Sessions, session: Session, sound: Path) -> None:
    exporter = Exporter(decoder := Decoder(), sessions, Limits(session_bytes=50_000))
    assert "at most 0.05 MB" in str(told(exporter, session, sound, "stems")) and decoder.calls == 0


def test_what_is_refused(sessions: Sessions, session: Session, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter(None, sessions, Limits())
    with monkeypatch.context() as patch:
        patch.setattr(exports, "MAX_STAFF_NOTES", 0)
        assert "of up to 0; take its MIDI file" in str(told(exporter, session, sound, "musicxml"))
        assert exporter.export(session, sound, SCORE, "midi").path.is_file()
    assert "without notes" in str(told(exporter, session, sound, "stems"))
    assert "choose from midi" in str(told(exporter, session, sound, "exe"))
    with pytest.raises(UserFacingError, match="sound and no notes"):
        exporter.export(session, sound, None, "midi")


@pytest.mark.parametrize(("text", "bars"), [("", (1, 8)), ("8", (1, 8)), ("1", (1, 1)), ("5-8", (5, 8)), ("12-12", (12, 12))])
def test_bars(text: str, bars: tuple[int, int]) -> None:
    assert parse_bars(text, 12) == bars


def test_a_short_piece_is_looped_whole() -> None:
    assert parse_bars("", 3) == (1, 3)
