"""Synthetic set: labels match the media, and equal seeds give equal files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis import made_set
from DataSet.synthesis.composer import is_held_out
from DataSet.synthesis.made_set import LISTENING_LEADS, listening_set, main, make_set, true_attributes
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames

PIECES = 4
SOURCES = {  # file -> what reads it, and how many examples it has
    "MUCaps": ("captions", "audios", "audio", PIECES), "COCO": ("captions", "images", "image", PIECES // 2),
    "MUVideo_captions": ("captions", "videos", "video", PIECES // 4), "MusicQA": ("musicqa", "audios", None, 2 * PIECES),
    "alpaca": ("alpaca", "", None, PIECES), "MUEditInstructions": ("instructions", "audios", None, PIECES // 4),
    "MUImageInstructions": ("instructions", "images", None, PIECES // 4),
    "MUVideoInstructions": ("instructions", "videos", None, PIECES // 4),
}


def quiet(_: object) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "set"
    make_set(folder, PIECES, 5, quiet)
    return folder


def table(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, object]:
    """Bytes of every list, picture and clip, samples of every recording (an Ogg file has a random serial number)."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): Waveform.read(path).samples.numpy().tobytes() if path.suffix == ".ogg" else path.read_bytes()
        for path in files
    }


@pytest.mark.parametrize("name", SOURCES)
def test_every_list_is_read_as_a_published_one_and_its_media_open(made: Path, name: str) -> None:
    form, media, kind, count = SOURCES[name]
    examples = read_source(Source(form, str(made / f"{name}.json"), str(made / media), kind), 1)  # type: ignore[arg-type]
    assert len(examples) == count
    for example in examples:
        assert example.answer.strip() and "[AUD" not in example.answer
        assert (example.caption is not None) == (form == "instructions")
        found = {one: getattr(example, one) for one in ("audio", "image", "video") if getattr(example, one)}
        assert len(found) == (form != "alpaca")
        if "audio" in found:
            sound = Waveform.read(found["audio"].open())
            assert 6 <= sound.seconds <= 10 and sound.samples.shape[0] == 1 and sound.sample_rate == 32_000
            assert sound.samples.square().mean().sqrt() > 0.02
        if "image" in found:
            assert load_image(found["image"].open()).size == made_set.PICTURE
        if "video" in found:
            frames = load_frames(found["video"].open(), 16)
            assert frames.shape == (16, made_set.FRAME, made_set.FRAME, 3) and frames.std() > 2


def test_the_music_that_instructions_ask_for_is_there(made: Path) -> None:
    for name in ("MUEdit", "MUImage", "MUVideo"):
        for row in table(made, f"{name}Instructions"):
            human, gpt = row["conversation"]
            assert Waveform.read(made / "audios" / row["output_file"]).seconds >= 6
            assert (human["from"], gpt["from"], gpt["output_modality"]) == ("human", "gpt", "audio")
            assert human["input_modality"] == {"MUEdit": "audio", "MUImage": "image", "MUVideo": "video"}[name]
            assert gpt["caption"].lower() in gpt["value"].lower() and human["caption"] and human["value"]


def test_what_is_said_is_true() -> None:
    """Answers name the attributes of the very piece that is played, and edits start from it."""
    plan = made_set._plan_full_set(40, 3)
    pieces = {name: plan.media[f"audios/{name}"].func.__self__.attributes for name in plan.tables["MUCaps.json"]}  # type: ignore[attr-defined]
    assert not any(is_held_out(piece) for piece in pieces.values())
    said = Counter()
    for row in plan.tables["MusicQA.json"]:
        piece, answer = pieces[row["audio_name"]], row["conversation"][1]["value"]
        for found, word in (("plays the melody", piece.lead), ("beats per minute.", str(piece.tempo)), ("I hear drums", "Yes"),
                            ("no drums", "No"), ("It is in m", piece.mode)):
            if found in answer and not answer.startswith(("Yes, the", "No, the")):
                said[found] += 1
                assert word.lower() in answer.lower(), (piece, answer)
    assert len(said) >= 3
    for row in plan.tables["MUEditInstructions.json"]:
        heard, made = pieces[row["input_file"]], plan.media[f"audios/{row['output_file']}"].func.__self__  # type: ignore[attr-defined]
        changed = [name for name in vars(heard) if getattr(heard, name) != getattr(made.attributes, name)]
        assert len(changed) <= 2  # a waltz changes its metre too
        assert heard.lead in row["conversation"][0]["caption"] and made.attributes.lead in row["conversation"][1]["caption"]


def test_the_same_seed_makes_the_same_set_and_another_another(made: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "again", PIECES, 5, quiet)
    make_set(tmp_path / "other", 1, 6, quiet)
    assert contents(tmp_path / "again") == contents(made)
    assert table(tmp_path / "other", "MUCaps")["heard_00000.ogg"] != table(made, "MUCaps")["heard_00000.ogg"]


def test_a_small_set_is_the_beginning_of_a_large_one() -> None:
    small, large = made_set._plan_full_set(4, 5).tables, made_set._plan_full_set(12, 5).tables
    assert small["MusicQA.json"] == large["MusicQA.json"][:8]
    assert small["MUImageInstructions.json"] == large["MUImageInstructions.json"][:1]


def test_an_interrupted_set_goes_on_and_ends_the_same(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = made_set.SyntheticPiece.write, []

    def failing(piece: made_set.SyntheticPiece, player: made_set.LoadSampler, path: Path) -> None:
        if len(written) == 3:
            path.with_name(f".{path.name}.1.partial").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path.name)
        write(piece, player, path)

    with monkeypatch.context() as patch:
        patch.setattr(made_set.SyntheticPiece, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            make_set(tmp_path / "set", PIECES, 5, quiet)
    assert not (tmp_path / "set").exists()
    record = lambda piece, player, path: (written.append(path.name), write(piece, player, path))  # noqa: E731
    monkeypatch.setattr(made_set.SyntheticPiece, "write", record)
    make_set(tmp_path / "set", PIECES, 5, quiet)
    assert len(written) == len(set(written)) == len(list((made / "audios").iterdir()))
    assert contents(tmp_path / "set") == contents(made)


def test_a_whole_set_is_left_alone_and_a_lost_file_made_again(tmp_path: Path) -> None:
    folder, lines = tmp_path / "set", []
    make_set(folder, 1, 0, quiet)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    make_set(folder, 1, 0, lines.append)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert "whole already" in lines[0]
    lost = next((folder / "audios").iterdir())
    samples = Waveform.read(lost).samples
    lost.unlink()
    make_set(folder, 1, 0, quiet)
    assert np.array_equal(Waveform.read(lost).samples, samples)


def test_other_folders_and_impossible_numbers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    assert main([str(tmp_path / "mine")]) == 2
    assert "not made here" in capsys.readouterr().err
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"
    make_set(tmp_path / "set", 1, 0, quiet)
    for change in ({"pieces": 2, "seed": 0}, {"pieces": 1, "seed": 1}):
        with pytest.raises(ValueError, match="made otherwise"):
            make_set(tmp_path / "set", **change, log=quiet)
    for pieces, seed in ((0, 0), (1, -1)):
        with pytest.raises(ValueError, match="0"):
            make_set(tmp_path / "none", pieces, seed, quiet)
    assert not (tmp_path / "none").exists()


def test_a_missing_bank_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ckpts/nano"):
        made_set.load_sampler(tmp_path)


def test_the_listening_set_asks_one_thing_in_equal_shares(tmp_path: Path) -> None:
    listening_set(tmp_path / "set", 8, 0, quiet)
    examples = read_source(Source("musicqa", str(tmp_path / "set/MusicQA.json"), str(tmp_path / "set/audios")), 1)
    assert {example.instruction for example in examples} == {made_set.LISTENING_QUESTION}
    answers = Counter(example.answer for example in examples)
    assert answers == {f"The {lead} plays the melody.": 2 for lead in LISTENING_LEADS}
    assert len({example.audio.digest() for example in examples}) == 8


def test_what_else_is_heard_says_nothing_of_the_lead() -> None:
    """Each lead meets every accompaniment, style, mode and drums or none in like shares."""
    drawn = [made_set._attributes_with_lead(0, index) for index in range(1200)]
    for name in ("accompaniment", "style", "mode", "drums"):
        shares = [Counter(getattr(piece, name) for piece in drawn if piece.lead == lead) for lead in LISTENING_LEADS]
        for value in {getattr(piece, name) for piece in drawn}:
            assert max(share[value] for share in shares) < 2 * min(share[value] for share in shares)


def test_the_attributes_of_every_file_are_known(made: Path, tmp_path: Path) -> None:
    truth = true_attributes(made)
    assert set(truth) == {path for path in contents(made) if not path.endswith(".json")}
    for name, caption in table(made, "MUCaps").items():
        assert truth[f"audios/{name}"]["lead"] in caption and str(truth[f"audios/{name}"]["tempo"]) in caption
    for row in table(made, "MUImageInstructions"):
        assert truth[f"audios/{row['output_file']}"]["style"] in row["conversation"][1]["caption"]
        assert truth[f"images/{row['input_file']}"]["mood"] in row["conversation"][0]["caption"]
    assert set(truth["videos/clip_00000.mp4"]) >= {"motion", "pulse", "mood"}
    with pytest.raises(FileNotFoundError, match="holds no made set"):
        true_attributes(tmp_path)
    (tmp_path / "made.json").write_text('{"set": "other"}')
    with pytest.raises(ValueError, match="describes no made set"):
        true_attributes(tmp_path)


def test_the_attributes_of_a_listening_set_are_known(tmp_path: Path) -> None:
    listening_set(tmp_path / "set", 4, 1, quiet)
    assert [values["lead"] for values in true_attributes(tmp_path / "set").values()] == list(LISTENING_LEADS)
