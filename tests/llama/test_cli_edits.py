"""The command line's edits and exports: flags become an `Edit`, mistakes are one sentence before the model loads, files are complete."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cli import Scripted, sentences

import llama
from DataSet.synthesis.composer import compose
from llama import Waveform
from llama import __main__ as cli
from llama.edit_flags import pitch_class
from llama.media.edit import Edit
from llama.media.edit_report import EditReport
from llama.media.midi import write_midi
from llama.media.score import KEYS, Attributes, Score
from llama.media.score_file import read_score

ROOT = Path(__file__).resolve().parents[2]
BALLAD = Attributes("piano", "strings", "ballad", 72, "minor", 4, drums=False, key=6)


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(8), BALLAD, 12.0)


@pytest.fixture
def midi(score: Score, tmp_path: Path) -> Path:
    write_midi(score, tmp_path / "piece.mid")
    return tmp_path / "piece.mid"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    model = Scripted()
    monkeypatch.setattr(cli, "load_model", lambda values: model)
    return model


@pytest.mark.parametrize(
    ("flags", "edit"),
    [
        (["--tempo", "120", "--key", "E flat", "--mode", "major"], Edit(change={"tempo": 120, "key": 3, "mode": "major"})),
        (["--lead", "flute", "--accompaniment", "pad"], Edit(change={"lead": "flute", "accompaniment": "pad"})),
        (["--transpose", "-3"], Edit(transpose=-3)),
        (["--style", "waltz", "--metre", "3/4"], Edit(change={"style": "waltz", "metre": 3})),
        (["--with", "drums", "--without", "bass"], Edit(change={"drums": True}, without=("bass",))),
        (["--with", "drums,bass"], Edit(change={"drums": True}, parts=("bass",))),
        (["--parts", "melody, Bass", "--bars", "2-3"], Edit(parts=("lead", "bass"), bars=(2, 3))),
        (["--keep", "tune,chords"], Edit(keep=("melody", "chords"))),
        (["--excerpt", "2"], Edit(excerpt=(2, 2))),
        (["--order", "1-2, 1-2,3"], Edit(order=((1, 2), (1, 2), (3, 3)))),
        (["--balance", "drums=-6, melody=3"], Edit(balance={"drums": -6, "lead": 3})),
        (["--fade-out", "4"], Edit(fade_out=4.0)),
        (["--bars-total", "16"], Edit(bar_count=16)),
        (["--continue", "10"], Edit(continuation=10.0)),
        (["--seconds", "30"], Edit(seconds=30.0)),
        ([], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_make_an_edit(flags: list[str], edit: Edit | None, scripted: Scripted, midi: Path, tmp_path: Path) -> None:
    assert cli.main(["Edit it", "--score", str(midi), *flags, "--out", str(tmp_path / "new.wav")]) == 0
    turn, options = scripted.asked[0]
    assert options.edit == edit and isinstance(turn.score, Score) and turn.score.attributes == BALLAD


def test_a_score_without_a_text_is_kept_as_it_is(scripted: Scripted, midi: Path, tmp_path: Path) -> None:
    assert cli.main(["--score", str(midi), "--out", str(tmp_path / "new.wav")]) == 0
    assert scripted.asked[0][1].edit == Edit()


def test_a_recording_is_edited_too(scripted: Scripted, tmp_path: Path) -> None:
    """--seconds alone is the length of new music."""
    Waveform(torch.zeros(1, 8000), 8000).write(tmp_path / "a.wav")
    media = ["Go on", "--audio", str(tmp_path / "a.wav"), "--out", str(tmp_path / "new.wav"), "--seconds", "2"]
    assert cli.main(media) == cli.main([*media, "--strength", "0.5"]) == 0
    assert [options.edit for _, options in scripted.asked] == [None, Edit(strength=0.5, seconds=2.0)]


def test_a_new_piece_has_as_many_bars_as_asked(scripted: Scripted, tmp_path: Path) -> None:
    assert cli.main(["A waltz", "--bars-total", "16", "--out", str(tmp_path / "new.wav")]) == 0
    _, options = scripted.asked[0]
    assert options.bar_count == 16 and options.edit is None


def test_keys_have_many_names() -> None:
    assert [pitch_class(name) for name in KEYS] == list(range(12))
    assert [pitch_class(name) for name in ("Eb", "e-flat", " D♯ ", "Db", "C flat", "b#", "Gb")] == [3, 3, 3, 1, 11, 0, 6]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["Hm", "--score", "no/such.mid", "--out", "{new}"], "no/such.mid"),
        (["Hm", "--score", "{text}", "--out", "{new}"], "text.mid"),
        (["Hm", "--score", "{folder}/song.txt", "--out", "{new}"], ".mid"),
        (["Hm", "--tempo", "120", "--out", "{new}"], "--tempo edits a piece"),
        (["Hm", "--with", "drums", "--out", "{new}"], "--with edits a piece"),
        (["Hm", "--score", "{midi}", "--tempo", "120"], "give --out"),
        (["Hm", "--score", "{midi}", "--tempo", "1200", "--out", "{new}"], "tempo 1200"),
        (["Hm", "--score", "{midi}", "--tempo", "nan", "--out", "{new}"], "tempo nan"),
        (["Hm", "--score", "{midi}", "--key", "H", "--out", "{new}"], "letter from A to G"),
        (["Hm", "--score", "{midi}", "--key", "E minor", "--out", "{new}"], "the mode with --mode"),
        (["Hm", "--score", "{midi}", "--mode", "dorian", "--out", "{new}"], "major, minor"),
        (["Hm", "--score", "{midi}", "--lead", "kazoo", "--out", "{new}"], "flute"),
        (["Hm", "--score", "{midi}", "--metre", "7", "--out", "{new}"], "metre '7'"),
        (["Hm", "--score", "{midi}", "--parts", "choir", "--out", "{new}"], "lead, accompaniment, bass, drums"),
        (["Hm", "--score", "{midi}", "--bars", "8-5", "--out", "{new}"], "--bars '8-5' is no range"),
        (["Hm", "--score", "{midi}", "--excerpt", "all", "--out", "{new}"], "--excerpt 'all' is no range"),
        (["Hm", "--score", "{midi}", "--order", "1-2,all", "--out", "{new}"], "--order 'all' is no range"),
        (["Hm", "--score", "{midi}", "--balance", "drums", "--out", "{new}"], "--balance 'drums' is no part with its dB"),
        (["Hm", "--score", "{midi}", "--transpose", "99", "--out", "{new}"], "transpose 99"),
        (["Hm", "--score", "{midi}", "--transpose", "1", "--key", "C", "--out", "{new}"], "transpose and a new key"),
        (["Hm", "--bars-total", "0", "--out", "{new}"], "bar_count 0"),
        (["Hm", "--bars-total", "8", "--seconds", "9", "--out", "{new}"], "both set the length"),
        (["Hm", "--score", "{midi}", "--bars-total", "0", "--out", "{new}"], "bar_count 0"),
        (["Hm", "--score", "{midi}", "--bars-total", "8", "--seconds", "9", "--out", "{new}"], "both set the length"),
        (["Hm", "--score", "{midi}", "--with", "drums", "--without", "drums", "--out", "{new}"], "drums and for none"),
        (["Hm", "--export", "stems"], "--export writes files beside"),
        (["Hm", "--loop-bars", "8"], "--loop-bars writes files beside"),
        (["Hm", "--export", "pdf", "--out", "{new}"], "midi, musicxml, chords, stems"),
        (["Hm", "--loop-bars", "0", "--out", "{new}"], "--loop-bars '0'"),
        (["Hm", "--export", "stems", "--out", "{folder}/taken.wav"], "taken-stems.zip: it is a folder"),
        (["Hm", "--export", "chords", "--out", "{folder}/" + "n" * 245 + ".wav"], "too long"),
    ],
)
def test_mistakes_are_reported_before_the_model_loads(
    arguments: list[str], word: str, midi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_model", lambda values: pytest.fail("the model was loaded"))
    (tmp_path / "text.mid").write_text("this is no music\n")
    (tmp_path / "song.txt").write_text("this neither\n")
    (tmp_path / "taken-stems.zip").mkdir()
    before = sorted(tmp_path.iterdir())
    places = {"folder": tmp_path, "text": tmp_path / "text.mid", "midi": midi, "new": tmp_path / "new.wav"}
    assert cli.main([argument.format(**places) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert told.out == "" and len(sentences(told.err)) == 1 and word in told.err, told.err
    assert sorted(tmp_path.iterdir()) == before


def test_what_the_edit_did_is_said(scripted: Scripted, midi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.report = EditReport(("tempo from 72 bpm to 102 bpm",), ("melody",))
    assert cli.main(["Make it faster", "--score", str(midi), "--out", str(tmp_path / "new.wav")]) == 0
    assert "Changed: tempo from 72 bpm to 102 bpm. Kept: melody." in sentences(capsys.readouterr().err)


def test_an_edit_that_changes_nothing_writes_no_file(
    midi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "load_model", lambda values: llama.load(ROOT / "ckpts/nano"))
    assert cli.main(["--score", str(midi), "--mode", "minor", "--out", str(tmp_path / "new.wav")]) == 1
    told = capsys.readouterr()
    assert told.out.strip() == "It is in F sharp minor already; the piece is as it was." and not (tmp_path / "new.wav").exists()
    assert "The piece would be the same, so" in told.err and "ask for another change" in told.err


def test_a_piece_is_taken_home(scripted: Scripted, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files, read back: the notes, the chords, stems that sum to the piece, and a loop as long as its bars."""
    nano = llama.load(ROOT / "ckpts/nano")
    scripted.score, editor = score, nano.music_decoder
    scripted.music_decoder = editor  # type: ignore[attr-defined]
    arguments = ["A sad ballad", "--seconds", "12", "--export", "midi,musicxml,chords,stems", "--loop-bars", "1-2"]
    assert cli.main([*arguments, "--out", str(tmp_path / "piece.flac")]) == 0
    names = ["piece-chords.txt", "piece-loop.wav", "piece-stems.zip", "piece.flac", "piece.mid", "piece.musicxml"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert all(f"Wrote {tmp_path / name}" in capsys_text for capsys_text in [capsys.readouterr().err] for name in names)
    assert read_score(tmp_path / "piece.mid").attributes == BALLAD
    assert "F#m" in (tmp_path / "piece-chords.txt").read_text() and b"<score-partwise" in (tmp_path / "piece.musicxml").read_bytes()
    with zipfile.ZipFile(tmp_path / "piece-stems.zip") as archive:
        stems = [Waveform.read(io.BytesIO(archive.read(name))).samples for name in archive.namelist()]
    length = Waveform.read(tmp_path / "piece.flac").samples.shape[1]  # shorter than the score, as a piece cut between two steps is
    assert len(stems) == 3 and {stem.shape[1] for stem in stems} == {length}
    assert (sum(stems) - editor.render(score).samples[:, :length]).abs().max() < 2e-4
    assert Waveform.read(tmp_path / "piece-loop.wav").seconds == pytest.approx(2 * 4 * 60 / 72, abs=1e-3)


@pytest.mark.parametrize("arguments", [["--export", "stems"], ["--loop-bars", "8"]])
def test_a_decoder_without_notes_is_told_before_the_work(
    arguments: list[str], scripted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.music_decoder = None
    assert cli.main(["Play", *arguments, "--out", str(tmp_path / "piece.wav")]) == 2
    assert "writes no notes" in capsys.readouterr().err and not scripted.asked and not list(tmp_path.iterdir())
