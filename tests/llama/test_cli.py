"""The command line: text, audio, exit codes, errors in one sentence, no partial files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import pytest
import torch
from safetensors.torch import load_file

import evaluate
from llama import Done, GenerationOptions, MusicChunk, Reply, TextDelta, Turn, Waveform, device, errors
from llama import __main__ as cli
from llama.checkpoint import __main__ as checkpoint_cli
from llama.checkpoint import conversion
from llama.evaluation.commands import probes
from llama.media.edit_report import EditReport
from llama.media.score import Attributes, Note, Score

ROOT = Path(__file__).resolve().parents[2]
RATE = 8000


class Scripted:
    """A model that says and plays what it is told, and remembers how it was asked."""

    score: Score | None = None
    report: EditReport | None = None
    music_decoder: object = None

    def __init__(self, words: tuple[str, ...] = ("A warm", " piano"), music: bool = True, fault: Exception | None = None):
        self.words, self.music, self.fault = words, music, fault
        self.asked: list[tuple[Turn, GenerationOptions]] = []

    def stream(self, turn: Turn, options: GenerationOptions) -> Iterator[Any]:
        self.asked.append((turn, options))
        yield from (TextDelta(word) for word in self.words)
        if self.fault:
            raise self.fault
        played = None
        if self.music and options.music:
            played = Waveform(torch.full((1, round(options.seconds * RATE)), 0.25), RATE)
            yield from (MusicChunk(Waveform(part, RATE)) for part in played.samples.split(RATE, dim=1))
        yield Done(Reply("".join(self.words), (5, 6), played, "music" if self.music else "stop", self.score, self.report))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    model = Scripted()
    monkeypatch.setattr(cli, "load_model", lambda values: model)
    return model


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads the model before looking at the arguments fails."""

    def load(values: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(cli, "load_model", load)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, golden: Path) -> Path:
    """The published folder tree with a tiny model in it, which answers "A warm piano" and eight audio tokens."""
    root = tmp_path_factory.mktemp("published")
    checkpoint = root / "ckpts" / "MuMu-LLaMA-MusicGen" / "checkpoint.pth"
    checkpoint.parent.mkdir(parents=True)
    weights = load_file(golden / "m2ugen" / "model.safetensors") | load_file(golden / "m2ugen" / "scripted_overlay.safetensors")
    torch.save({"model": weights}, checkpoint)
    shutil.copytree(golden / "components" / "llama", root / "ckpts" / "LLaMA-2")
    return root


def tiny_parts(golden: Path) -> list[str]:
    """Where a tiny model's sizes stand; the published sizes need none of these."""
    parts = golden / "components"
    named = {"mert_path": "mert", "vit_path": "vit", "vivit_path": "vivit", "music_decoder_path": "musicgen"}
    return [word for flag, folder in named.items() for word in (f"--{flag}", str(parts / folder))]


def sentences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


# -- what goes well -----------------------------------------------------------------------------------------------


def test_text_and_audio(scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "piece.flac"
    assert cli.main(["A slow piece", "--seconds", "2.5", "--seed", "7", "--guidance", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == "A warm piano\n"
    assert Waveform.read(out).samples.shape == (1, round(2.5 * RATE))
    turn, options = scripted.asked[0]
    assert turn.text == "A slow piece" and options.music
    assert (options.seconds, options.seed, options.guidance) == (2.5, 7, 2.0)
    assert [file.name for file in tmp_path.iterdir()] == ["piece.flac"]


def test_midi_is_written_beside_the_audio(scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.score = Score(Attributes("flute", "pad", "ballad", 60, "major", 4, False, 0), 3.0, (Note(0.0, 1.0, 72, 92),), (), (), (), ())
    assert cli.main(["A slow piece", "--seconds", "3", "--out", str(tmp_path / "piece.wav")]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["piece.mid", "piece.wav"]
    assert mido.MidiFile(tmp_path / "piece.mid").length == pytest.approx(3.0, abs=0.01)
    assert "piece.mid" in capsys.readouterr().err


def test_options_left_out_are_those_of_the_library(scripted: Scripted) -> None:
    assert cli.main(["hello"]) == 0
    assert scripted.asked[0][1] == GenerationOptions(music=False)


def test_without_out_the_sound_is_not_rendered(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["A slow piece"]) == 0
    told = capsys.readouterr()
    assert told.out == "A warm piano\n" and not scripted.asked[0][1].music
    assert len(sentences(told.err)) == 1 and "--out" in told.err


@pytest.mark.parametrize(("flags", "text", "seconds"), [([], "happy piano", 3.0), (["--seconds", "2"], "3 seconds of happy piano", 2.0)])
def test_a_length_in_the_words_counts_where_no_flag_gives_one(
    scripted: Scripted, tmp_path: Path, flags: list[str], text: str, seconds: float
) -> None:
    assert cli.main(["3 seconds of happy piano", *flags, "--out", str(tmp_path / "piece.wav")]) == 0
    [(turn, options)] = scripted.asked
    assert (turn.text, options.seconds) == (text, seconds)


def test_the_longest_name_is_written(scripted: Scripted, tmp_path: Path) -> None:
    for name in ("n" * 251 + ".wav", os.fsdecode(b"caf\xe9.flac")):
        assert cli.main(["A slow piece", "--seconds", "1", "--out", str(tmp_path / name)]) == 0
        assert Waveform.read(tmp_path / name).seconds == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_text_of_an_ascii_system_is_read_as_utf8(scripted: Scripted) -> None:
    assert cli.main(["Müller".encode().decode("ascii", "surrogateescape")]) == 0
    assert scripted.asked[0][0].text == "Müller"


def test_out_without_music_fails_after_the_text(scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.music = False
    assert cli.main(["What is a fugue?", "--out", str(tmp_path / "piece.wav")]) == 1
    told = capsys.readouterr()
    assert told.out == "A warm piano\n" and len(sentences(told.err)) == 1
    assert not list(tmp_path.iterdir())


def test_media_are_opened(scripted: Scripted, tmp_path: Path) -> None:
    from PIL import Image

    Waveform(torch.zeros(1, RATE), RATE).write(tmp_path / "a.wav")
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "b.png")
    assert cli.main(["--audio", str(tmp_path / "a.wav"), "--image", str(tmp_path / "b.png")]) == 0
    turn = scripted.asked[0][0]
    assert turn.audio.sample_rate == RATE and turn.image.mode == "RGB" and turn.text == ""


def test_the_published_tree(published: Path, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The published command's flags on the published layout, from weights to a sound file."""
    out = tmp_path / "piece.wav"
    model = ["--model", str(published / "ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth"), "--music_decoder", "musicgen"]
    folder = ["--llama_dir", str(published / "ckpts/LLaMA-2"), *tiny_parts(golden)]
    assert cli.main(["A slow piece", *model, *folder, "--seconds", "0.5", "--device", "cpu", "--out", str(out)]) == 0
    assert capsys.readouterr().out == "A warm piano\n"
    assert Waveform.read(out).samples.shape == (1, 16000)


# -- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "nothing to answer"),
        (["  "], "nothing to answer"),
        (["hi", "--audio", "no/such.wav"], "no/such.wav"),
        (["hi", "--audio", ""], "empty"),
        (["hi", "--video", ""], "empty"),
        (["hi", "--audio", "{folder}"], "folder"),
        (["hi", "--audio", "{text}"], "text"),
        (["hi", "--audio", "{empty}"], "empty"),
        (["hi", "--image", "{text}"], "text"),
        (["hi", "--video", "{folder}"], "folder"),
        (["hi", "--seconds", "-1"], "seconds"),
        (["hi", "--seconds", "1e9"], "seconds"),
        (["hi", "--seconds", "nan"], "seconds"),
        (["hi", "--temperature", "-0.5"], "temperature"),
        (["hi", "--top_p", "2"], "top_p"),
        (["hi", "--max_tokens", "0"], "max_tokens"),
        (["hi", "--seed", "-1"], "seed"),
        (["hi", "--guidance", "-3"], "guidance"),
        (["hi", "--out", "piece.txt"], ".wav"),
        (["hi", "--out", "piece"], ".wav"),
        (["hi", "--out", "no/such/folder/piece.wav"], "folder"),
        (["hi", "--out", "{folder}/taken.wav"], "folder"),
        (["hi", "--out", "{folder}/notes.wav"], "notes.mid"),  # the notes could not be written
        (["hi", "--out", "{folder}/" + "n" * 252 + ".wav"], "too long"),
        (["hi", "--out", "{folder}/pipe.wav"], "pipe"),
        (["hi", "--audio", "{folder}/pipe.wav"], "pipe"),
        (["hi", "--video", "{folder}/pipe.wav"], "pipe"),
        (["hi", "--image", "/dev/zero"], "device"),
        (["hi", "--audio", "-"], "standard input"),
        (["hi", "--audio", "a" * 100_000], "There is no file"),
        (["hi", "--out", "a" * 100_000], ".wav"),
        (["caf\udce9"], "UTF-8"),
    ],
)
def test_invalid_arguments_are_reported_before_the_model_loads(
    arguments: list[str], word: str, unloadable: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken.wav").mkdir()
    (tmp_path / "notes.mid").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "text.mp3").write_text("this is no sound\n")
    (tmp_path / "empty.wav").touch()
    places = {"folder": tmp_path, "text": tmp_path / "text.mp3", "empty": tmp_path / "empty.wav"}
    assert cli.main([argument.format(**places) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert told.out == "" and len(sentences(told.err)) == 1
    assert word in told.err and "Traceback" not in told.err and len(told.err) < 500


@pytest.mark.parametrize("arguments", [["hi", "--no_such_flag"], ["hi", "--seconds", "long"], ["hi", "--music_decoder", "organ"]])
def test_unknown_flags_and_values(arguments: list[str], unloadable: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2 and "error:" in capsys.readouterr().err


def test_a_fault_while_answering_leaves_no_file(scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.fault = ValueError("The prompt has 900 tokens,\n  the model reads 255; shorten the text.")
    assert cli.main(["hi", "--out", str(tmp_path / "piece.wav")]) == 2
    assert sentences(capsys.readouterr().err) == ["The prompt has 900 tokens, the model reads 255; shorten the text."]
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence(scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Waveform, "write", full)
    assert cli.main(["Play", "--out", str(tmp_path / "piece.wav")]) == 2
    assert "No space left" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_fault_of_the_program_keeps_its_traceback(scripted: Scripted) -> None:
    scripted.fault = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError):
        cli.main(["hi"])


def test_interruption_is_quiet(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.fault = KeyboardInterrupt()  # type: ignore[assignment]
    assert cli.main(["hi"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["warp", "cuda:99", "cud:0"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(ValueError, match="device"):
        device.choose_device(name)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (["--model", "{root}/nowhere.pth"], "nowhere.pth"),
        (["--model", "{root}"], "folder"),
        (["--model", "{root}/noise/noise.pth"], "noise.pth"),
        (["--music_decoder", "audioldm2"], "musicgen"),
        (["--llama_dir", "{root}/nowhere"], "nowhere"),
        (["--knn_dir", "{root}"], "knn.index"),
    ],
)
def test_models_that_do_not_load(
    changes: list[str], word: str, published: Path, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (published / "noise").mkdir(exist_ok=True)
    (published / "noise" / "noise.pth").write_bytes(bytes(range(256)) * 8)
    usual = ["--model", "{root}/ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth", "--llama_dir", "{root}/ckpts/LLaMA-2"]
    arguments = [word.format(root=published) for word in (*usual, *changes)]
    assert cli.main(["hi", *arguments, *tiny_parts(golden)]) == 2
    told = capsys.readouterr().err
    assert len(sentences(told)) == 1 and word in told


@pytest.mark.parametrize("name", ["n" * 256, "n" * 252 + ".pth", "file/model", "taken"])
def test_outputs_that_cannot_be_written_are_reported_before_the_model_loads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the commands that convert and evaluate a model; those above are the answering one's, and train.py has its own."""
    (tmp_path / "taken").mkdir()
    for file in (tmp_path / "taken/letter.txt", tmp_path / "file"):
        file.write_text("mine")
    monkeypatch.setattr(conversion, "load_model", None)
    monkeypatch.setattr(probes, "load_model", None)
    commands = [(checkpoint_cli.main, ["convert", "x", str(tmp_path / name)])]
    if name != "taken":  # an evaluation may add files to a folder
        commands.append((evaluate.main, ["probes", "--out", str(tmp_path / name)]))
    for command, arguments in commands:
        assert command(arguments) == 2
        told = capsys.readouterr().err
        assert len(sentences(told)) == 1 and ("could not be written" in told or "no model folder of ours" in told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_as_a_program(tmp_path: Path) -> None:
    """Exit code, one sentence and no traceback, seen from outside."""
    command = [sys.executable, "-m", "llama", "hi", "--model", str(tmp_path / "none.pth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and done.stdout == ""
    assert len(sentences(done.stderr)) == 1 and "none.pth" in done.stderr


def test_errors_of_the_system_become_sentences() -> None:
    assert "denied" in errors.sentence(PermissionError(13, "Permission denied", "a.pth")) and "a.pth" in errors.sentence(
        PermissionError(13, "Permission denied", "a.pth")
    )
    assert errors.sentence(ValueError()) == "ValueError"
