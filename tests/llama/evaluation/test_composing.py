"""Making the music of the published lists: true headers, names that pair, stopped runs, and what cannot be made."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from benchmark_folders import write_sound
from PIL import Image

import evaluate
from llama.dialogue import Reply, Turn
from llama.evaluation.commands import music as command
from llama.evaluation.composing import MuMuMusicModel, compose_music
from llama.evaluation.media_folders import AUDIO, list_media, read_captions
from llama.evaluation.music_lists import LISTS, MusicRequest, read_music_list
from llama.evaluation.run_record import only_run
from llama.generation import GenerationOptions
from llama.media.audio import Waveform
from llama.mumu_llama import MuMuLLaMA, load

ROOT = Path(__file__).resolve().parents[3]
RATE = 32000
OPTIONS = GenerationOptions(seconds=0.5, seed=7)


class ScriptedMusicModel:
    """Half a second of sound for each turn; words alone for one that says so, and an error for one whose medium is damaged."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.turns: list[Turn] = []
        self.stop_after = stop_after

    def check(self, kinds: Collection[str]) -> None:
        self.kinds = set(kinds)

    def compose(self, turns: Sequence[Turn], options: GenerationOptions) -> Sequence[Reply]:
        if any("damaged" in turn.text for turn in turns):
            raise ValueError("The picture is damaged.")
        if self.stop_after is not None and len(self.turns) >= self.stop_after:
            raise KeyboardInterrupt
        self.turns += turns
        music = Waveform(torch.full((1, int(options.seconds * RATE)), 0.25), RATE)
        return [Reply("words", (), None if "alone" in turn.text else music) for turn in turns]


def requests(*texts: str) -> list[MusicRequest]:
    return [MusicRequest(f"piece_{index}", text, f"caption {index}") for index, text in enumerate(texts)]


def instruction(source: str, target: str, kind: str, key: str = "conversation", caption: str | None = "A waltz.") -> dict[str, object]:
    gpt = {"from": "gpt", "value": "Here it is.", "output_modality": "audio"} | ({"caption": caption} if caption else {})
    return {"input_file": source, "output_file": target,
            key: [{"from": "human", "value": "Make music for it.", "input_modality": kind}, gpt]}  # fmt: skip


def test_files_have_the_rate_of_their_sound(tmp_path: Path) -> None:
    summary = compose_music(ScriptedMusicModel(), requests("a", "b", "c"), tmp_path, OPTIONS, batch_size=2)
    assert summary.made == 3 and not summary.failed
    for index in range(3):
        header = soundfile.info(tmp_path / f"piece_{index}.wav")
        assert (header.samplerate, header.frames, header.duration) == (RATE, RATE // 2, 0.5)
    lines = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
    assert lines[1] == {"file": "piece_1.wav", "instruction": "b", "caption": "caption 1", "media": "", "kind": "text", "answer": "words",
                        "seed": 7, "seconds": 0.5, "sample_rate": RATE}  # fmt: skip
    assert set(list_media(tmp_path, AUDIO)) == set(read_captions(tmp_path / "captions.json")) == {"piece_0", "piece_1", "piece_2"}


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    wanted = requests("a", "b", "c", "d", "e")
    with pytest.raises(KeyboardInterrupt):
        compose_music(ScriptedMusicModel(stop_after=2), wanted, tmp_path, OPTIONS, batch_size=2)
    former = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.wav")}
    assert len(former) == 2
    write_sound(tmp_path / "piece_2.wav")  # written, but killed before its line was
    with (tmp_path / "asked.jsonl").open("a") as file:
        file.write('{"file": "piece_2.wav", "instr')
    model = ScriptedMusicModel()
    summary = compose_music(model, wanted, tmp_path, OPTIONS)
    assert (summary.made, summary.former) == (5, 2) and [turn.text for turn in model.turns] == ["c", "d", "e"]
    assert former == {name: (tmp_path / name).stat().st_mtime_ns for name in former}
    assert len((tmp_path / "asked.jsonl").read_text().splitlines()) == 5


def test_a_piece_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    compose_music(ScriptedMusicModel(), requests("a", "b"), tmp_path, OPTIONS)
    (tmp_path / "piece_0.wav").unlink()
    model = ScriptedMusicModel()
    assert compose_music(model, requests("a", "b"), tmp_path, OPTIONS).made == 2 and [turn.text for turn in model.turns] == ["a"]
    assert len((tmp_path / "asked.jsonl").read_text().splitlines()) == 2


def test_what_cannot_be_made_is_named_and_the_rest_is_made(tmp_path: Path) -> None:
    summary = compose_music(ScriptedMusicModel(), requests("a", "damaged", "words alone", "d"), tmp_path, OPTIONS)
    assert summary.made == 2 and summary.failed == {
        "piece_1": "The picture is damaged.", "piece_2": "The model answered without music: words"}  # fmt: skip
    assert json.loads((tmp_path / "failed.json").read_text()) == summary.failed
    (tmp_path / "asked.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match="line 1, is not of a piece .* made again"):
        compose_music(ScriptedMusicModel(), requests("a"), tmp_path, OPTIONS)


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(ValueError, match="Another run writes to"):
        compose_music(ScriptedMusicModel(), requests("a"), tmp_path, OPTIONS)


def test_captions_as_published(tmp_path: Path) -> None:
    table = {"mucaps_000000.mp3": "A calm piano.", "two.wav": "", "../x.mp3": "Drums.", "-dash.mp3": "Strings.", "two.mp3": "A flute."}
    (tmp_path / "MUCapsEvalCaptions.json").write_text(json.dumps(table))
    result = read_music_list("mucaps", tmp_path)
    assert [(request.name, request.text, request.kind) for request in result.requests] == [
        ("mucaps_000000", "A calm piano.", "text"), ("-dash", "Strings.", "text"), ("two", "A flute.", "text")]  # fmt: skip
    assert len(result.problems) == 2 and "row 2: its caption is ''" in result.problems[0] and "not within" in result.problems[1]


@pytest.mark.parametrize("key", ["conversation", "conversations"])
def test_instructions_as_published(key: str, tmp_path: Path) -> None:
    rows = [
        instruction("a.jpg", "a.mp3", "image", key),
        instruction("b.mp3", "b.jpg", "image", key),  # the public list has the two names swapped
        instruction("gone.jpg", "gone.mp3", "image", key),
        instruction("a.jpg", "c.mp3", "image", key, caption=None),
        instruction("b.jpg", "a.wav", "image", key),  # the name of the first
        {"input_file": "a.jpg"},
    ]
    (tmp_path / "MUImageInstructions.json").write_text(json.dumps(rows))
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{name}.jpg")
    result = read_music_list("muimage", tmp_path)
    assert [(request.name, request.medium, request.caption) for request in result.requests] == [
        ("a", tmp_path / "images/a.jpg", "A waltz."), ("b", tmp_path / "images/b.jpg", "A waltz."),
        ("c", tmp_path / "images/a.jpg", "Here it is.")]  # fmt: skip
    assert len(result.problems) == 3 and "no file gone.jpg" in result.problems[0]
    assert "row 5: its piece a stands in an earlier entry" in result.problems[1] and "lacks conversation" in result.problems[2]


def test_bad_lists_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no MUEditEvalInstructions.json or MUEditInstructions.json"):
        read_music_list("muedit", tmp_path)
    (tmp_path / "MUEditInstructions.json").write_text("{}")
    with pytest.raises(ValueError, match="is no list of instructions"):
        read_music_list("muedit", tmp_path)
    (tmp_path / "MUEditInstructions.json").write_text(json.dumps([instruction("gone.wav", "a.wav", "audio")]))
    with pytest.raises(ValueError, match="asks for no music that can be made; MUEditInstructions.json, row 1: There is no file"):
        read_music_list("muedit", tmp_path)


@pytest.fixture(scope="module")
def nano() -> MuMuLLaMA:
    return load(ROOT / "ckpts" / "nano")


def test_the_embedded_model_makes_the_pieces_of_a_list(
    nano: MuMuLLaMA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_model", lambda values: nano)
    table = {"one.mp3": "Make a calm piano waltz.", "two.mp3": "Make a fast rock piece with guitar."}
    (tmp_path / "MUCapsEvalCaptions.json").write_text(json.dumps(table))
    arguments = ["music", "--form", "mucaps", "--folder", str(tmp_path), "--out", str(tmp_path / "out"), "--seconds", "2"]
    assert evaluate.main(arguments) == 0
    assert "2 of 2 pieces are there, 0 of them from before; 0 could not be made." in capsys.readouterr().out
    for name in ("one", "two"):
        header, wave = soundfile.info(tmp_path / "out" / f"{name}.wav"), Waveform.read(tmp_path / "out" / f"{name}.wav")
        assert nano.music_decoder is not None and header.samplerate == nano.music_decoder.sample_rate
        assert header.duration == 2 and wave.samples.abs().max() > 0.01
    assert evaluate.main([*arguments, "--seed", "1"]) == 2
    assert "seed 0 there, 1 here" in capsys.readouterr().err
    assert evaluate.main(arguments) == 0
    assert "2 of them from before" in capsys.readouterr().out


def test_a_model_without_the_parts_is_told_first(nano: MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    MuMuMusicModel(nano).check({"text", "audio", "image", "video"})
    monkeypatch.setitem(nano._modules, "vit", None)
    with pytest.raises(ValueError, match="without its vit encoder"):
        MuMuMusicModel(nano).check({"image"})
    monkeypatch.setitem(nano._modules, "music_decoder", None)
    with pytest.raises(ValueError, match="without a music decoder"):
        MuMuMusicModel(nano).check({"text"})


def test_the_command_knows_every_list() -> None:
    assert set(command.FORMS) == set(LISTS)
