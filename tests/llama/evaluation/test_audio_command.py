"""`evaluate.py audio`: several systems in one table, its controls, and folders as users have them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from embedder_doubles import ast_folder, clap_folder

from evaluate import main
from llama.media.audio import Waveform

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recordings of 2 s; the same as mp3; the same with a header of half the rate, as the published script wrote them."""
    root = tmp_path_factory.mktemp("audio")
    for name in ("reference", "mp3", "slow"):
        (root / name / "part").mkdir(parents=True)
    captions = {}
    for path in sorted(EXAMPLES.glob("*.flac")):
        piece = Waveform.read(path)
        length = round(2 * piece.sample_rate)
        for index in range(3):
            part = Waveform(piece.samples[:, index * length : (index + 1) * length], piece.sample_rate)
            name = f"part/{path.stem}_{index}"
            captions[f"{name}.ogg"] = f"a {path.stem.split('_')[0]}"
            part.write(root / "reference" / f"{name}.flac")
            part.write(root / "mp3" / f"{name}.mp3")
            Waveform(part.samples, part.sample_rate // 2).write(root / "slow" / f"{name}.wav")
    (root / "captions.json").write_text(json.dumps(captions))
    return root


def run(root: Path, out: Path, *arguments: str) -> dict[str, dict[str, object]]:
    """The table's cells by row and column."""
    systems = [argument for name in ("mp3", "slow") for argument in ("--system", f"{name}={root / name}")]
    assert main(["audio", "--reference", str(root / "reference"), *systems, "--out", str(out), "--device", "cpu", *arguments]) == 0
    assert (out / "audio.md").read_text().startswith("### Generated recordings") and (out / "audio.png").stat().st_size > 1000
    return {row["label"]: row["cells"] for row in json.loads((out / "audio.json").read_text())["tables"][0]["rows"]}


def test_a_wrong_rate_loses_and_the_right_one_does_not(root: Path, tmp_path: Path) -> None:
    rows = run(root, tmp_path / "out", "--components", "2")
    assert list(rows) == ["reference: one half against the other", "mp3", "slow", "silence"]
    right, slow = rows["mp3"], rows["slow"]
    for column in ("FAD", "FAD-infinity"):
        assert right[column]["n"] == 24 and 0 <= right["FAD"]["low"] <= right["FAD"]["value"] <= right["FAD"]["high"]
        assert slow[column]["value"] > 20 * abs(right[column]["value"]), column
        assert rows["silence"][column]["value"] > slow[column]["value"]
    assert right["coverage"]["value"] > 0.9 and rows["silence"]["coverage"]["value"] == rows["silence"]["density"]["value"] == 0
    assert right["CLAP score"] == "not measured" and right["KL(reference, system)"] == "not measured"
    assert rows["reference: one half against the other"]["FAD"] == "not reported: n = 12 of at least 20"


def test_one_recording_has_no_fad(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(root / "reference/part/piano_waltz_0.flac", tmp_path / name / "piano.flac")
    system = ["--system", f"a={tmp_path / 'other'}", "--out", str(tmp_path / "o"), "--device", "cpu"]
    arguments = ["audio", "--reference", str(tmp_path / "one"), *system]
    assert main(arguments) == 0 and main([*arguments, "--components", "1"]) == 0
    printed = capsys.readouterr().out
    assert "not reported: n = 2 of at least 1920" in printed and "not reported: n = 2 of at least 10" in printed
    assert "CLAP score is not measured: nano has no text side; give --embedder clap-music." in printed
    assert "KL(reference, system) is not measured: no classifier was given" in printed


def test_pairs_with_captions_and_classes(root: Path, tmp_path: Path) -> None:
    """Tiny random CLAP and AST: the wiring of pairs and of their swapped control, and zeros for the reference itself."""
    models = ["--embedder", f"clap={clap_folder(tmp_path / 'clap')}", "--classifier", f"ast={ast_folder(tmp_path / 'ast')}"]
    same = ["--system", f"same={root / 'reference'}"]
    rows = run(root, tmp_path / "out", *models, *same, "--captions", str(root / "captions.json"), "--components", "1")
    names = ("mp3", "slow", "same")
    assert [row for row in rows if "swapped" in row] == [f"{name}, {what}" for name in names for what in ("swapped", "own minus swapped")]
    for name in names:
        for column in ("KL(reference, system)", "CLAP score"):
            own, swapped, difference = (rows[f"{name}{what}"][column] for what in ("", ", swapped", ", own minus swapped"))
            assert own["value"] - swapped["value"] == pytest.approx(difference["value"], abs=1e-9)
            assert own["n"] == swapped["n"] == difference["n"] == 12
    kl = [rows[name]["KL(reference, system)"]["value"] for name in ("same", "mp3", "slow")]
    assert kl[0] == 0 < kl[1] < kl[2], "the same sound has the same classes"
    assert rows["reference: one half against the other"]["CLAP score"] == rows["same"]["CLAP score"]
    assert [rows["same"][column]["value"] for column in ("FAD", "FAD-infinity")] == pytest.approx([0, 0], abs=1e-9)
    assert (rows["same"]["density"]["value"], rows["same"]["coverage"]["value"]) == (1, 1)


def test_files_that_are_missing_strange_or_broken_are_counted(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference, folder = tmp_path / "reference", tmp_path / "system"
    for source, target, suffix in (("reference", reference, "flac"), ("mp3", folder, "mp3")):
        (target / "part").mkdir(parents=True)
        for name in ("piano_waltz_0", "piano_waltz_1", "piano_waltz_2"):
            shutil.copy(root / source / f"part/{name}.{suffix}", target / "part")
    (folder / "part/piano_waltz_0.mp3").rename(folder / "part/another name.MP3")
    (folder / "part/piano_waltz_1.mp3").write_bytes((folder / "part/piano_waltz_1.mp3").read_bytes()[:40])
    (folder / "part/click.wav").write_bytes(b"")
    Waveform(torch.zeros(1, 800), 16_000).write(folder / "short.wav")
    (folder / ".hidden.wav").write_bytes(b"no sound")
    (folder / "notes.txt").write_text("not a recording")
    system = ["--system", f"odd={folder}", "--out", str(tmp_path / "o"), "--device", "cpu"]
    assert main(["audio", "--reference", str(reference), *system]) == 0
    printed = capsys.readouterr().out
    assert "odd: 3 unreadable (part/click, part/piano_waltz_1, short)" in printed
    assert "odd: 2 of the reference's names are missing (part/piano_waltz_0, part/piano_waltz_1)" in printed
    assert "odd: 1 names are not in the reference and make no pair (part/another name)" in printed
    unreadable = json.loads((tmp_path / "o/audio.json").read_text())["meta"]["unreadable"]["odd"]
    assert "too short to be heard" in unreadable["short"] and len(unreadable) == 3


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["audio", *arguments]) == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message and "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--reference": "{tmp}/nothing"}, "There is no folder {tmp}/nothing; check its name."),
        ({"--reference": "{tmp}/empty"}, "{tmp}/empty holds no files to measure; put .wav, .flac, .mp3, .ogg ... files into it."),
        ({"--reference": "{root}/captions.json"}, "{root}/captions.json is a file; give the folder that it lies in."),
        ({"--system": "{root}/mp3"}, "--system {root}/mp3 is not NAME=FOLDER"),
        ({"--system": "a={tmp}/twice"}, "{tmp}/twice holds a.mp3 and a.wav, two files of one name; keep one of them."),
        ({"--system": "a={tmp}/broken"}, "None of the 1 files of a can be read; the first says:"),
        ({"--embedder": "panns"}, "There is no model called 'panns'; give one of nano"),
        ({"--embedder": "vggish"}, "vggish has no weights of its own; give them as vggish=FILE."),
        ({"--embedder": "clap={tmp}/nothing"}, "There is no folder {tmp}/nothing for clap; give clap=FOLDER with config.json and weights"),
        ({"--classifier": "nano"}, "nano gives no class probabilities; give one of ast."),
        ({"--captions": "{tmp}/nothing.json"}, "No such file or directory: {tmp}/nothing.json"),
        ({"--captions": "{tmp}/list.json"}, "{tmp}/list.json holds no captions by file name"),
        ({"--captions": "{tmp}/null.json"}, "{tmp}/null.json holds no text for a.wav"),
        ({"--components": "0"}, "give 1 to 192 components, not 0"),
        ({"--device": "tpu"}, "The device 'tpu' is unknown"),
    ],
)
def test_bad_input_is_one_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
) -> None:
    for name in ("empty", "twice", "broken"):
        (tmp_path / name).mkdir()
    for file in ("twice/a.wav", "twice/a.mp3", "broken/a.wav"):
        (tmp_path / file).write_bytes(b"RIFF")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "null.json").write_text('{"a.wav": null}')
    places = {"tmp": tmp_path, "root": root}
    few = {"--reference": "{tmp}/few", "--system": "a={tmp}/few", "--out": "{tmp}/o", "--device": "cpu"}
    (tmp_path / "few").mkdir()
    shutil.copy(root / "reference/part/piano_waltz_0.flac", tmp_path / "few")
    arguments = [text.format(**places) for pair in {**few, **change}.items() for text in pair]
    assert message.format(**places) in fails(capsys, *arguments)


def test_a_system_named_twice(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = ["--system", f"a={root / 'mp3'}"]
    assert "names a twice" in fails(capsys, "--reference", str(root / "reference"), *system, *system, "--out", str(tmp_path))
