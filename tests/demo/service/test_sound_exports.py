"""MP3, FLAC and everything at once: made on demand from the piece's own file, equal to what was written with it before."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from DataSet.synthesis.composer import compose
from demo.service import exports
from demo.service.audio_files import TAKE_FORMATS, is_complete_wav, read_tags, take_tags, wav_header, write
from demo.service.errors import UserFacingError
from demo.service.exports import Exporter
from demo.service.growing_wav import GrowingWav
from demo.service.media_probe import Limits
from demo.service.sessions import Session, Sessions
from demo.service.zip_stream import ZipEntry, zip_blocks, zip_bytes
from llama import Waveform
from llama.decoders.base import ScoreEditor
from llama.media.naming import piece_name, text_name
from llama.media.score import Attributes

pytest_plugins = ("tests.sessions_fixture",)

RATE = 32_000
SCORE = compose(np.random.default_rng(5), Attributes("harp", "strings", "waltz", 120, "minor", 3, False, 9), 6.0)
TITLE = "A sad waltz \u97f3\u697d, <b>please</b>"


class Player(ScoreEditor):
    """Plays parts of silence."""

    sample_rate, channels, edits_scores = RATE, 2, True

    def render_stems(self, score: object) -> dict[str, Waveform]:
        return {name: Waveform(torch.zeros(2, RATE), RATE) for name in ("lead", "bass")}


@pytest.fixture
def music() -> Waveform:
    """2 s of two different tones."""
    time = torch.arange(2 * RATE) / RATE
    return Waveform(torch.stack([0.8 * torch.sin(1400 * time), 0.3 * torch.sin(2100 * time)]), RATE)


@pytest.fixture
def sound(session: Session, music: Waveform) -> Path:
    return write(music, SCORE, session.folder, "a1", TAKE_FORMATS, title=TITLE, seed=7)["wav"]


@pytest.fixture
def exporter(sessions: Sessions) -> Exporter:
    return Exporter(Player(), sessions, Limits())


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_only_sound_and_notes_are_written_with_a_piece(sessions: Sessions, session: Session, music: Waveform) -> None:
    growing = GrowingWav(sessions, session, music.seconds, TITLE, 7)
    growing.add(music)
    sound = growing.finish(music, SCORE)
    assert sorted(file.suffix for file in session.folder.iterdir()) == [".mid", ".wav"] and is_complete_wav(sound)


@pytest.mark.parametrize("form", ["flac", "mp3"])
def test_sound_on_demand_is_what_was_written_with_the_piece(
    exporter: Exporter, session: Session, sound: Path, music: Waveform, tmp_path: Path, form: str
) -> None:
    file = exporter.export(session, sound, None, form)
    before = write(Waveform.read(sound), None, tmp_path, "before", (form,), title=TITLE, seed=7)[form]
    assert file.path.read_bytes() == before.read_bytes() and file.name == f"a-sad-waltz-b-please-b.{form}"
    assert file.path.parent == session.folder and read_tags(file.path) == take_tags(TITLE, 7)
    samples, wav = soundfile.read(file.path)[0], soundfile.read(sound)[0]
    assert samples.shape == wav.shape and np.abs(samples - wav)[4000:-4000].max() <= (0 if form == "flac" else 0.05)
    stamp = file.path.stat().st_mtime_ns
    assert exporter.export(session, sound, None, form) == file and file.path.stat().st_mtime_ns == stamp, "made once"


def test_everything_of_a_piece_with_notes(exporter: Exporter, session: Session, sound: Path) -> None:
    file, stem = exporter.export(session, sound, SCORE, "all"), piece_name(SCORE)
    assert file.name == f"{stem}.zip" and file.content_type == "application/zip"
    assert names_in(file.path) == [
        f"{stem}.wav", f"{stem}.flac", f"{stem}.mp3", f"{stem}.mid", f"{stem}.musicxml", f"{stem}-chords.txt",
        f"stems/{stem}-lead.wav", f"stems/{stem}-bass.wav",
    ]  # fmt: skip
    with zipfile.ZipFile(file.path) as archive:
        assert archive.read(f"{stem}.wav") == sound.read_bytes() and archive.read(f"{stem}.mid") == sound.with_suffix(".mid").read_bytes()
        assert archive.read(f"{stem}.mp3") == exporter.export(session, sound, SCORE, "mp3").path.read_bytes()
        assert soundfile.info(io.BytesIO(archive.read(f"stems/{stem}-bass.wav"))).frames == RATE


def test_everything_of_a_piece_of_sound(exporter: Exporter, session: Session, sound: Path) -> None:
    names = names_in(exporter.export(session, sound, None, "all").path)
    assert names == [f"a-sad-waltz-b-please-b.{suffix}" for suffix in ("wav", "flac", "mp3")]


def test_what_is_left_out_is_said(exporter: Exporter, session: Session, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_STAFF_NOTES", 3)
    path = exporter.export(session, sound, SCORE, "all").path
    with zipfile.ZipFile(path) as archive:
        assert "MusicXML: The piece has" in archive.read("left-out.txt").decode()
        assert not [name for name in archive.namelist() if name.endswith("musicxml")]


def test_a_piece_that_is_being_made_is_not_taken_home(exporter: Exporter, session: Session) -> None:
    sound = session.folder / "b2.wav"
    sound.write_bytes(wav_header(2.0, RATE, 2) + bytes(1000))
    for form in ("mp3", "flac", "all"):
        with pytest.raises(UserFacingError, match="still being made"):
            exporter.export(session, sound, None, form)
    assert [file.name for file in session.folder.iterdir()] == ["b2.wav"]


def test_a_full_session_makes_nothing(sessions: Sessions, session: Session, sound: Path) -> None:
    exporter = Exporter(None, sessions, Limits(session_bytes=300_000))
    files = sorted(session.folder.iterdir())
    for form in ("flac", "all"):
        with pytest.raises(UserFacingError, match="at most 0.3 MB"):
            exporter.export(session, sound, None, form)
    assert sorted(session.folder.iterdir()) == files


@pytest.mark.parametrize(("text", "name"), [
    ("A slow, sad piano piece", "a-slow-sad-piano-piece"), ("¡Una canción más!", "una-cancion-mas"), ("\u97f3\u697d", "music"),
    ("../../etc/passwd", "etc-passwd"), ("con", "music"), ("  ", "music"), ("don't stop", "dont-stop"), ("a\x00b\r\nc: d", "a-b-c-d"),
    ("one two three four five six seven eight nine", "one-two-three-four-five-six-seven-eight"), ("x" * 500, "x" * 60),
    ('"quotes" <b>&amp;', "quotes-b-amp"),
])  # fmt: skip
def test_a_file_name_is_made_of_words(text: str, name: str) -> None:
    assert text_name(text) == name


def test_an_archive_is_written_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1 << 20))
    entries = [ZipEntry.of_file("a.wav", tmp_path / "a"), ZipEntry.of_bytes("b.txt", b"words")]
    blocks = list(zip_blocks(entries))
    content = b"".join(blocks)
    assert max(map(len, blocks)) < 1 << 19 and len(content) == zip_bytes(entries)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None and archive.read("b.txt") == b"words" and len(archive.read("a.wav")) == 1 << 20
    assert content == b"".join(zip_blocks(entries))
