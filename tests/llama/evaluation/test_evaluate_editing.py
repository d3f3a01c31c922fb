"""`evaluate.py editing` on a small set: right, wrong, missing, broken and silent edits; values stated by list, by words, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evaluate
from DataSet.pipeline.audio_edits import AudioEdit, edit_recording
from llama.evaluation.editing_comparison import SILENCE, SWAPPED, EditCase, EditScore, editing_tables, score_edit
from llama.evaluation.editing_metrics import EditMeasurement
from llama.evaluation.tables import Measurement
from llama.media.audio import Waveform

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
RATE = 16_000
EDITS = {  # output -> (source, words, edit of the list, what is done)
    "faster": ("piano_waltz", "Play it 1.5 times as fast.", None, AudioEdit("speed", {"speed": 1.5})),
    "lower": ("guitar_rock", "Shift it.", {"operation": "pitch", "expected": {"speed": 1.0, "cents": -200}},
              AudioEdit("pitch", {"cents": -200})),
    "back": ("piano_waltz", "Turn it.", {"operation": "reverse", "asked": {"reverse": True}}, AudioEdit("reverse", {"reverse": True})),
    "sadder": ("violin_swing", "Make it sadder.", None, AudioEdit("speed", {"speed": 0.8})),
}  # fmt: skip


@pytest.fixture(scope="module")
def edit_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("muedit")
    (folder / "audios").mkdir()
    rows = []
    for name, (source, words, edit, change) in EDITS.items():
        wave = Waveform.read(EXAMPLES / f"{source}.flac").resample(RATE)
        first, second = edit_recording(Waveform(wave.samples[:, : 5 * RATE], RATE), change)
        first.write(folder / "audios" / f"{source}.flac")
        second.write(folder / "audios" / f"{name}.flac")
        human = {"from": "human", "value": words, "input_modality": "audio"}
        gpt = {"from": "gpt", "value": "Here.", "output_modality": "audio"}
        row = {"input_file": f"{source}.flac", "output_file": f"{name}.flac", "conversation": [human, gpt]}
        rows.append(row | ({"edit": edit} if edit else {}))
    (folder / "MUEditEvalInstructions.json").write_text(json.dumps(rows))
    (folder / "other.json").write_text("{}")
    return folder


def run(edit_set: Path, out: Path, *systems: str, embedder: str = "none") -> tuple[int, Any]:
    flags = [text for system in systems for text in ("--system", system)]
    code = evaluate.main(["editing", "--folder", str(edit_set), *flags, "--embedder", embedder, "--out", str(out)])
    return code, json.loads((out / "editing.json").read_text()) if code == 0 else None


def cells(result: Any, label: str, table: int = 0) -> Any:
    return next(row["cells"] for row in result["tables"][table]["rows"] if row["label"] == label)


def test_a_table_of_two_systems(edit_set: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    for name in EDITS:
        Waveform.read(edit_set / "audios" / f"{name}.flac").write(good / f"{name}.wav")
    Waveform.read(edit_set / "audios/piano_waltz.flac").write(bad / "faster.wav")  # unchanged
    Waveform(torch.zeros(1, RATE), RATE).write(bad / "lower.wav")
    (bad / "back.wav").write_bytes(b"no sound")
    code, result = run(edit_set, tmp_path / "out", f"good={good}", f"bad={bad}")
    assert code == 0
    own, other = cells(result, "good"), cells(result, "bad")
    assert own["scored"] == "4" and own["missing"] == "0" and other["scored"] == "2" and other["missing"] == "2"
    assert own["speed error, %"]["value"] < 1 and own["pitch error, cents"]["value"] < 5 and own["speed error, %"]["n"] == 1
    assert own["speed within 5 %"]["value"] == own["pitch within 50 cents"]["value"] == own["rest kept"]["value"] == 1
    assert other["speed error, %"]["value"] == pytest.approx(100 / 3, abs=1) and other["pitch error, cents"] == "nothing heard"
    assert other["pitch within 50 cents"]["value"] == 0
    assert own["chroma likeness"]["value"] > 0.7 > 0.5 > cells(result, SWAPPED)["chroma likeness"]["value"]
    assert cells(result, "good minus swapped")["chroma likeness"]["value"] > 0.3
    assert own["LSD, dB"]["value"] < 0.1 < cells(result, SILENCE)["LSD, dB"]["value"]
    assert "bad/back" in result["meta"]["problems"]
    text = (tmp_path / "out/editing.md").read_text()
    assert "of 4 edits, 1 ask for another speed, 1 for another pitch; asked: not stated of 2" in text
    assert cells(result, "good: reverse", 1)["chroma likeness"]["value"] > 0.95  # turned back before it is compared


def test_the_embedder_compares_with_the_targets(edit_set: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    Waveform.read(edit_set / "audios/lower.flac").write(tmp_path / "one/lower.flac")
    code, result = run(edit_set, tmp_path / "out", f"targets={tmp_path / 'one'}", embedder="nano")
    assert code == 0
    assert "not reported" in cells(result, "targets", 2)["FAD"] and cells(result, "targets", 2)["KL(reference, system)"] == "not measured"


TURNS = [{"value": "x"}]
PAIR = {"input_file": "a.wav", "output_file": "b.wav", "conversation": TURNS}


@pytest.mark.parametrize(("content", "words"), [
    ("[]", "should hold one list"), ("{}", "should hold one list"), ("[", "repair"),
    ([{"input_file": "a.wav", "output_file": "b.wav"}], "#1 has no conversation"), ([PAIR | {"output_file": 3}], "#1 has no output_file"),
    ([PAIR | {"input_file": "../a.wav"}], "not within the media folder"),
    ([PAIR | {"edit": {"expected": {"speed": "fast"}}}], "no numbers"),
    ([PAIR, PAIR], "two edits with the output file b"), ([PAIR], "None of the 1 sources"),
])  # fmt: skip
def test_bad_lists_get_one_sentence(content: Any, words: str, edit_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.json").write_text(content if isinstance(content, str) else json.dumps(content))
    Waveform(torch.rand(1, RATE), RATE).write(tmp_path / "c.wav")
    code, _ = run(tmp_path, tmp_path / "out", f"x={edit_set / 'audios'}")
    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1


def test_a_missing_folder_gets_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none", tmp_path / "out", f"x={tmp_path}")[0] == 2
    assert "There is no folder" in capsys.readouterr().err


# -- tables by hand -----------------------------------------------------------------------------------------------------


def score(name: str, recording: str, speed: float, cents: float, found: tuple[float, float] | None) -> EditScore:
    measured = found and EditMeasurement(found[0], found[1], 0.0, 0.9, 0.0, 0.0, 0.9)
    return EditScore(EditCase(name, recording, "both", speed, cents), measured or None)


def test_errors_by_hand() -> None:
    """Speed errors of 2 %, 10 % and silence: the median is 10 %, one of three is within 5 %. Pitch: 20, 60, silence."""
    scores = [score("a", "1", 1.5, 200, (1.53, 220)), score("b", "2", 0.5, -100, (0.55, -40)), score("c", "3", 2.0, 100, None)]
    table = editing_tables({"x": scores}, {"x": 1}, [item.case for item in scores])[0]
    values = {name: cell.value if isinstance(cell, Measurement) else cell for name, cell in table.rows[0].cells.items()}
    assert values["speed error, %"] == pytest.approx(10) and values["speed within 5 %"] == pytest.approx(1 / 3)
    assert values["pitch error, cents"] == pytest.approx(60) and values["pitch within 50 cents"] == pytest.approx(1 / 3)
    assert values["chroma likeness"] == pytest.approx(0.6) and values["rest kept"] == "no case" and values["missing"] == "1"


def test_what_is_not_asked_is_to_stay() -> None:
    """A change of speed that also shifts the pitch by 80 cents does not keep the rest; one by 20 cents does."""
    assert not score("a", "1", 1.5, 0, (1.5, 80)).rest_kept and score("a", "1", 1.5, 0, (1.5, 20)).rest_kept
    assert not score("a", "1", 1.0, 200, (1.1, 200)).rest_kept and score("a", "1", 1.0, 200, (1.0, 0)).rest_kept


def test_a_silent_source_is_refused_and_a_short_edit_is_heard_as_nothing() -> None:
    tone = np.sin(np.arange(2 * RATE) * 0.2)
    assert score_edit(EditCase("a", "b"), tone, tone[:100]).measured is None
    with pytest.raises(ValueError, match="The source is silent"):
        score_edit(EditCase("a", "b"), 0 * tone, tone)
