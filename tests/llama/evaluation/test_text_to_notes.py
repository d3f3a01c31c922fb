"""Text to notes: bins and keys as Mustango counts them, the table's rows, and MIDI files of others."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mido
import numpy as np
import pytest

import evaluate
from DataSet.synthesis.composer import compose
from llama.evaluation.caption_adherence import key_agrees, key_of_notes, parse_key, tempo_bin, tempo_bin_agrees
from llama.evaluation.commands.symbolic import CAPTIONS, read_captions
from llama.evaluation.tables import Measurement, Row
from llama.evaluation.text_to_notes import CK, CKD, CR, TB, TB_NOTES, TBT, CaptionTarget, Measured, measure, table
from llama.media.midi import write_midi
from llama.media.midi_notes import MidiNote, read_notes
from llama.media.score import Attributes

PIECE = Attributes("piano", "strings", "ballad", 96, "minor", 4, True, 3)


BINS = {30: 0, 40: 0, 41: 1, 60: 1, 66: 2, 70: 2, 90: 3, 110: 4, 120: 5, 140: 5, 150: 6, 200: 7, 240: 8}


@pytest.mark.parametrize(("tempo", "number"), BINS.items())
def test_tempo_bins(tempo: float, number: int) -> None:
    assert tempo_bin(tempo) == number


def test_tolerance_is_one_bin() -> None:
    assert tempo_bin_agrees(111, 139) and not tempo_bin_agrees(109, 111)
    assert tempo_bin_agrees(109, 111, 1) and not tempo_bin_agrees(89, 111, 1)
    assert not tempo_bin_agrees(None, 111, 9)


@pytest.mark.parametrize("tempo", [0, -3, math.inf, math.nan])
def test_no_tempo_has_no_bin(tempo: float) -> None:
    with pytest.raises(ValueError, match="give beats a minute above 0"):
        tempo_bin(tempo)


def test_the_relative_key_is_a_duplicate_and_the_published_one_is_not() -> None:
    a_minor, c_major, f_sharp_major = parse_key("A minor"), parse_key("C major"), parse_key("F sharp major")
    assert key_agrees(a_minor, a_minor) and not key_agrees(c_major, a_minor)
    assert key_agrees(c_major, a_minor, duplicates=True) and key_agrees(a_minor, c_major, duplicates=True)
    assert not key_agrees(f_sharp_major, a_minor, duplicates=True) and not key_agrees(None, a_minor, duplicates=True)


def test_a_key_of_another_spelling_is_refused() -> None:
    with pytest.raises(ValueError, match="give one such as"):
        parse_key("H minor")


def test_percussion_has_no_key() -> None:
    scale = [MidiNote(float(step), 1.0, pitch) for step, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60))]
    drums = [MidiNote(float(step), 8.0, 42, is_drum=True) for step in range(8)]
    assert key_of_notes(scale) == key_of_notes(scale + drums) == (0, "major")
    assert key_of_notes(drums) is None


def test_a_written_score_is_read_back(tmp_path: Path) -> None:
    score = compose(np.random.default_rng(0), PIECE, 20.0)
    write_midi(score, tmp_path / "piece.mid")
    piece = read_notes(tmp_path / "piece.mid")
    assert len(piece.notes) == sum(len(score.track(name)) for name in ("lead", "accompaniment", "bass", "drums"))
    assert piece.tempo == pytest.approx(96, abs=0.01)
    assert piece.notes[0].start == pytest.approx(0, abs=0.01)
    found = measure(piece)
    assert found.key == (3, "minor") and tempo_bin(found.tempo or 0) == tempo_bin(96) and found.ratio > 1.2


def test_tempo_changes_and_notes_without_an_end(tmp_path: Path) -> None:
    file = mido.MidiFile(type=1, ticks_per_beat=100)
    tempi = mido.MetaMessage("set_tempo", tempo=500_000), mido.MetaMessage("set_tempo", tempo=1_000_000, time=400)
    file.tracks.append(mido.MidiTrack(tempi))
    file.tracks.append(mido.MidiTrack([
        mido.Message("note_on", note=60, velocity=80), mido.Message("note_on", note=60, velocity=80, time=200),
        mido.Message("note_on", note=64, velocity=0, time=0), mido.MetaMessage("end_of_track", time=600),
    ]))
    file.save(tmp_path / "changes.mid")
    piece = read_notes(tmp_path / "changes.mid")
    assert piece.tempo == pytest.approx(60 * 8 / (4 * 0.5 + 4 * 1.0))  # 4 beats at 120 and 4 at 60
    assert [(note.start, note.beats) for note in piece.notes] == [(0.0, 2.0), (2.0, 6.0)]


TYPE_2 = b"MThd\x00\x00\x00\x06\x00\x02\x00\x01\x00\x60MTrk\x00\x00\x00\x00"


@pytest.mark.parametrize("content", [b"", b"RIFF", b"MThd\x00\x00\x00\x06\x00\x01", b"MThd" + bytes(20), TYPE_2])
def test_what_is_no_midi_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.mid").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.mid|empty"):
        read_notes(tmp_path / "odd.mid")


def wanted() -> list[CaptionTarget]:
    targets = {65: "C major", 100: "A minor", 130: "D major", 180: "B minor"}
    return [CaptionTarget(f"{place}", "", tempo, parse_key(key)) for place, (tempo, key) in enumerate(targets.items())]


def cell(rows: list[Row], label: str, column: str) -> float:
    value = next(row.cells[column] for row in rows if row.label == label)
    assert isinstance(value, Measurement)
    return value.value


def test_the_table_counts_by_hand() -> None:
    """Right, a bin beside and the relative key, wrong, and a missing piece."""
    right, beside = Measured(65, 66, (0, "major"), 2.0, 3.0), Measured(120, 100, (0, "major"), 4.0, 5.0)
    pieces = {"0": right, "1": beside, "2": Measured(60, None, (0, "minor"))}
    rows = list(table("", wanted(), {"ours": pieces}).rows)
    found = {column: cell(rows, "ours", column) for column in (TB, TBT, TB_NOTES, CK, CKD, CR)}
    assert found == {TB: 25.0, TBT: 50.0, TB_NOTES: 50.0, CK: 25.0, CKD: 50.0, CR: 3.0}
    assert cell(rows, "ours, captions swapped", TB) == 0.0 == cell(rows, "ours, captions swapped", CK)
    assert cell(rows, "ours, own minus swapped", CK) == 25.0
    notes = table("", wanted(), {"ours": pieces}).notes
    assert notes[0].startswith("ours, own minus swapped is 25.0 points in CK") and "the keys do not clearly follow" in notes[0]
    assert notes[1] == "ours: 1 of 4 captions have no piece that can be read; they count as wrong."
    assert cell(rows, "one constant tempo and key", TB) == 25.0 == cell(rows, "one constant tempo and key", CK)
    assert next(row for row in rows if row.label.startswith("Text2midi")).cells[TB] == "39.70"


def test_the_command_scores_the_embedded_model_and_another_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [
        {"name": "slow", "caption": "A sad ballad for cello in D minor at 72 bpm.", "tempo": 72, "key": "D minor"},
        {"name": "fast", "caption": "A happy dance track for synthesizer at 132 bpm in G major.", "tempo": 132, "key": "G major"},
    ]
    (tmp_path / "captions.json").write_text(json.dumps(entries))
    (tmp_path / "other").mkdir()
    write_midi(compose(np.random.default_rng(0), PIECE, 10.0), tmp_path / "other/slow.mid")
    (tmp_path / "other/fast.mid").write_bytes(b"none")
    files = ["--captions", str(tmp_path / "captions.json"), "--system", f"other={tmp_path / 'other'}", "--out", str(tmp_path / "out")]
    arguments = ["symbolic", *files, "--seconds", "8"]
    assert evaluate.main(arguments) == 0
    output = capsys.readouterr()
    assert "1 of 2 captions have no piece" in output.err and "fast.mid" in output.err
    rows = {row["label"]: row["cells"] for row in json.loads((tmp_path / "out/symbolic.json").read_text())["tables"][0]["rows"]}
    assert rows["nano"][TB]["value"] == 100.0 and rows["nano, captions swapped"][TB]["value"] == 0.0
    assert rows["other"][TB]["value"] == rows["other"][CK]["value"] == 0.0
    first = (tmp_path / "out/midi/slow.mid").stat().st_mtime_ns
    assert evaluate.main(arguments) == 0 and (tmp_path / "out/midi/slow.mid").stat().st_mtime_ns == first
    assert evaluate.main([*arguments, "--seed", "3"]) == 2
    assert "holds results of another run (seed 0 there, 3 here); give another folder" in capsys.readouterr().err
    assert evaluate.main([*arguments, "--system", f"nano={tmp_path / 'other'}"]) == 2
    assert "--system names nano, which is another row" in capsys.readouterr().err
    (tmp_path / "captions.json").write_text(json.dumps([entries[0] | {"caption": "A march."}, entries[1]]))
    assert evaluate.main(arguments) == 2 and "(other captions)" in capsys.readouterr().err  # pieces of other captions are not measured


def test_one_caption_has_no_other_to_be_swapped_with() -> None:
    rows = table("", wanted()[:1], {"ours": {"0": Measured(65, 66, (0, "major"), 2.0, 3.0)}}).rows
    assert [row.label for row in rows][:2] == ["ours", "one constant tempo and key"]


ENTRY = {"name": "a", "caption": "", "key": "C major", "tempo": 90}
BAD_LISTS = {
    "{}": "is no list of captions", "[]": "is no list of captions", '[{"name": "a"}]': "#1 lacks",
    json.dumps([ENTRY | {"key": "X"}]): "is not known", json.dumps([ENTRY | {"name": "../a"}]): "not within",
    json.dumps([ENTRY | {"tempo": True}]): "#1 lacks", json.dumps([ENTRY | {"tempo": -1}]): "above 0",
    json.dumps([ENTRY, ENTRY]): "another caption",
}


@pytest.mark.parametrize(("text", "message"), BAD_LISTS.items())
def test_lists_of_captions_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_captions(tmp_path / "captions.json")


def test_the_captions_of_the_project() -> None:
    captions = read_captions(CAPTIONS)
    assert len(captions) == 200 == len({each.caption for each in captions})
    assert len({each.key for each in captions}) >= 20 and len({tempo_bin(each.tempo) for each in captions}) >= 6


def test_a_system_without_midi_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/001.wav").write_bytes(b"sound")
    assert evaluate.main(["symbolic", "--system", f"theirs={tmp_path / 'theirs'}", "--out", str(tmp_path / "out")]) == 2
    assert "holds no MIDI files; put a NAME.mid for each caption into it" in capsys.readouterr().err
