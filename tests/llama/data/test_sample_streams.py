"""Shards and tables: every sample comes, in an order that (seed, epoch) decides, and what is broken fails when opened."""

from __future__ import annotations

import io
import json
import pickle
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from PIL import Image

from llama.data.examples import Example
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.data.tar_shards import stream
from llama.media.audio import Waveform
from llama.media.containers import Encoded
from llama.media.image import load_image


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    Waveform(torch.linspace(-0.5, 0.5, 800)[None], 8000).write(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, members: Mapping[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def captioned(folder: Path, shards: int, samples: int, sound: bytes) -> Path:
    for one in range(shards):
        shard(folder / f"{one:04}.tar", {name: content for at in range(samples) for name, content in
              {f"{at:03}.json": {"caption": f"music {one} {at}"}, f"{at:03}.wav": sound}.items()})
    return folder


def read(file: object, stage: int = 1, epoch: int = 0, seed: int = 0, rank: int = 0, world: int = 1, form: str = "tar",
         **rest: Any) -> list[Example]:
    return list(stream(Source(form, str(file), **rest), stage, epoch, seed, rank, world))


def answers(examples: list[Example]) -> list[str]:
    return [one.answer for one in examples]


def faults(examples: list[Example]) -> list[str]:
    """What opening the media of broken examples says."""
    found = []
    for one in examples:
        for medium in (one.audio, one.image, one.video):
            if medium is not None and medium.error is not None:
                with pytest.raises(ValueError) as caught:
                    medium.open()
                assert "\n" not in str(caught.value)
                found.append(str(caught.value))
    return found


def test_a_sample_is_its_json_and_its_media(tmp_path: Path, sound: bytes, picture: bytes) -> None:
    turns = [{"from": "human", "value": "Ask", "input_modality": "image"},
             {"from": "gpt", "value": "Here", "caption": "strings", "output_modality": "audio"}]
    edit = [turns[0] | {"input_modality": "audio"}, turns[1]]
    question = [{"from": "human", "value": "Key?"}, {"from": "gpt", "value": "D."}]
    shard(tmp_path / "a.tar", {
        "1.json": {"input_file": "x.jpg", "output_file": "x.mp3", "conversation": turns}, "1.PNG": picture,
        "2.input.wav": sound, "2.json": {"conversations": edit}, "2.output.wav": b"never read",
        "3.json": {"audio_name": "../x.mp3", "conversation": question}, "3.wav": sound,
        "4.json": {"instruction": "Add.", "input": "1, 2", "output": "3"},
        "5.txt": b" A red field.\n", "5.png": picture,
        "6.json": {"conversation": question}})
    found = read(tmp_path / "a.tar", 3)
    assert not faults(found)
    assert [(one.instruction, one.answer, one.task, one.caption) for one in found] == [
        ("Ask", "Here", "image_to_music", "strings"), ("Ask", "Here", "edit", "strings"), ("Key?", "D.", "question", None),
        ("Add.\n1, 2", "3", "chat", None), ("", "A red field.", "describe_image", None), ("Key?", "D.", "chat", None)]
    assert load_image(found[0].image.open()).size == (4, 3) and load_image(found[4].image.open()).size == (4, 3)
    assert found[1].audio.open() == Encoded(sound, "a.tar sample 2") == Encoded(found[2].audio.content, "a.tar sample 2")
    assert Waveform.read(found[1].audio.open()).sample_rate == 8000
    assert found[3].audio is found[3].image is found[3].video is None


def test_a_caption_is_music_to_make_at_stage_2(tmp_path: Path, sound: bytes) -> None:
    folder = captioned(tmp_path / "shards", 1, 1, sound)
    (heard,), (made,) = read(folder, 1), read(folder, 2)
    assert (heard.instruction, heard.answer, heard.task, heard.caption) == ("", "music 0 0", "describe_music", None)
    assert (made.instruction, made.answer, made.task, made.caption) == ("music 0 0", "music 0 0", "text_to_music", "music 0 0")
    assert heard.audio.content == sound and made.audio is None


def test_patterns_folders_and_columns(tmp_path: Path, sound: bytes) -> None:
    folder = captioned(tmp_path / "shards", 3, 2, sound)
    everything = sorted(answers(read(folder)))
    assert len(everything) == 6
    for pattern in ("{0000..0002}.tar", "*.tar", "{0000,0001,0002}.tar", "000[0-2].tar"):
        assert sorted(answers(read(folder / pattern))) == everything
    assert len(read(folder / "{0001..0002}.tar")) == 4
    shard(tmp_path / "own.tar", {"a.json": {"words": "A bell."}, "a.tone": sound, "a.mp3": b"of something else"})
    (example,) = read(tmp_path / "own.tar", columns={"caption": "words", "audio": "tone"})
    assert example.answer == "A bell." and example.audio.content == sound


def test_shards_come_in_an_order_by_seed_and_epoch_and_are_dealt_out(tmp_path: Path, sound: bytes) -> None:
    folder = captioned(tmp_path / "shards", 7, 2, sound)
    whole = answers(read(folder))
    assert whole == answers(read(folder)) and sorted(whole) == sorted(answers(read(folder, epoch=1)))
    orders = {tuple(answers(read(folder, epoch=epoch, seed=seed))) for epoch in (0, 1) for seed in (0, 1)}
    assert len(orders) == 4
    parts = [answers(read(folder, rank=rank, world=3)) for rank in range(3)]
    assert sorted(sum(parts, [])) == sorted(whole) and all(parts)
    with pytest.raises(ValueError, match=r"7 shard\(s\) for 8 processes"):
        read(folder, rank=0, world=8)


def test_a_broken_sample_comes_and_fails_when_it_is_opened(tmp_path: Path, sound: bytes) -> None:
    turns = [{"from": "human", "value": "Ask", "input_modality": "video"},
             {"from": "gpt", "value": "Here", "output_modality": "text"}]
    shard(tmp_path / "a.tar", {
        "1.json": b"{broken", "1.wav": sound, "2.wav": sound, "3.json": {"caption": "no sound"},
        "4.json": {"conversation": turns}, "4.wav": sound, "5.json": {"conversation": turns[:1]}, "6.json": {"a": 1}, "6.wav": sound,
        "7.json": {"caption": None}, "7.wav": sound, "NOTES": b"no extension", "8.json": [1], "8.wav": sound,
        "9.json": b"\xff", "9.wav": sound, "song.v1.json": {"caption": "x"}, "song.v2.json": {"caption": "y"},
        "good.json": {"caption": "good"}, "good.wav": bytes(range(128, 256)) * 8})
    found = read(tmp_path / "a.tar")
    said = faults(found)
    assert len(found) == 12 and len(said) == 11 and all("a.tar sample" in one for one in said)
    for one, words in zip(said, ("line 1, column 2", "0 json", "no sound", "no video member", "human and gpt in turn",
                                 "no conversation, answer or caption; it has a", "no answer", "sample NOTES has 0 json",
                                 "no object", "UTF-8", "2 json members"), strict=True):
        assert words in one
    with pytest.raises(ValueError, match="Cannot read a.tar sample good"):  # broken sound is found by who decodes it
        Waveform.read(found[-1].audio.open())


@pytest.mark.parametrize("damage", ["cut", "noise", "twice"])
def test_a_damaged_shard_is_named_once_and_the_others_come(tmp_path: Path, sound: bytes, damage: str) -> None:
    folder = captioned(tmp_path / "shards", 2, 3, sound)
    path = folder / "0000.tar"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:4500])
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 20)
    else:
        with tarfile.open(path, "a") as file:
            for _ in range(2):
                file.addfile(tarfile.TarInfo("z.json"), io.BytesIO(b""))
    found = read(folder)
    (said,) = faults(found)
    assert "0000.tar is damaged after" in said
    assert {f"music 1 {at}" for at in range(3)} <= set(answers(found))


@pytest.mark.parametrize("suffix", ["pkl", "pyd", "pth", "pickle"])
def test_pickles_are_refused_unopened(tmp_path: Path, sound: bytes, suffix: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "sprung"), "w"))

    shard(tmp_path / "a.tar", {"1.json": {"caption": "a"}, f"1.{suffix}": pickle.dumps(Trap()), "1.wav": sound})
    with pytest.raises(ValueError, match=rf"a.tar sample 1 holds a pickle \({suffix}\)"):
        read(tmp_path / "a.tar")
    assert not (tmp_path / "sprung").exists()


def test_only_files_are_shards(tmp_path: Path, sound: bytes) -> None:
    folder = captioned(tmp_path / "set", 1, 2, sound)
    (folder / "old.tar").mkdir()
    (folder / "._0000.tar").write_bytes(b"of the operating system")
    assert answers(read(folder)) == ["music 0 0", "music 0 1"]
    (folder / "0001.tar").symlink_to(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"1 of its 2 shards, first .*0001\.tar"):
        read(folder)


def test_a_name_that_stands_twice_in_an_item_is_refused(tmp_path: Path, sound: bytes) -> None:
    path = shard(tmp_path / "a.tar", {"0.json": b'{"caption": "one", "caption": "two"}', "0.wav": sound})
    (example,) = read(path)
    assert example.audio is not None
    with pytest.raises(ValueError, match="a.tar sample 0: its json is not readable .it names 'caption' 2 times"):
        example.audio.open()


def test_shards_that_are_not_there(tmp_path: Path, sound: bytes) -> None:
    folder = captioned(tmp_path / "shards", 2, 1, sound)
    with pytest.raises(FileNotFoundError, match=r"2 of its 4 shards, first .*0002.tar"):
        read(folder / "{0000..0003}.tar")
    (tmp_path / "empty").mkdir()
    for file in (tmp_path / "empty", tmp_path / "*.tar"):
        with pytest.raises(FileNotFoundError, match="any shard"):
            read(file)
    for file in (f"pipe:touch {tmp_path}/ran", "https://example.org/a.tar"):  # neither run nor fetched
        with pytest.raises(FileNotFoundError, match="on this disk"):
            read(file)
    assert not (tmp_path / "ran").exists()


def test_sources_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="form of a stream 'alpaca'"):
        read("a.json", form="alpaca")
    with pytest.raises(ValueError, match="'captoin' is unknown; did you mean 'caption'"):
        read("a.tar", columns={"captoin": "text"})


@pytest.mark.parametrize(("form", "library"), [("tar", "webdataset"), ("hub", "datasets")])
def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, form: str, library: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=f"pip install {library}"):
        read("a", form=form)


# Tables


STORED = datasets.Features({"bytes": datasets.Value("binary"), "path": datasets.Value("string")})


def tabled(columns: dict[str, list[Any]], **media: Any) -> datasets.Dataset:
    """A table whose media are stored as the library's own features do, which need more libraries to be written."""
    kinds = datasets.Features({name: STORED if name in media else datasets.Value("string") for name in columns})
    for name in media:
        columns[name] = [{"bytes": one, "path": None} if isinstance(one, bytes) else one for one in columns[name]]
    table = datasets.Dataset.from_dict(columns, features=kinds)
    for name, feature in media.items():
        table = table.cast_column(name, feature)
    return table


def saved(path: Path, columns: dict[str, list[Any]], **media: Any) -> None:
    tabled(columns, **media).save_to_disk(str(path))


def test_a_saved_table_gives_its_bytes(tmp_path: Path, sound: bytes, picture: bytes) -> None:
    rows = {"question": ["Key?", "Ask", "Greet."], "text": ["D.", "Here", "Hello."], "of": [None, "strings", None],
            "song": [sound, None, None], "image": [None, {"bytes": picture, "path": "x.png"}, None], "other": ["a", "b", "c"]}
    saved(tmp_path / "set", rows, song=datasets.Audio(), image=datasets.Image())
    columns = {"instruction": "question", "answer": "text", "caption": "of", "audio": "song"}
    found = sorted(read(tmp_path / "set", 3, form="hub", columns=columns), key=lambda one: one.source)
    assert [(one.instruction, one.answer, one.task, one.caption) for one in found] == [
        ("Key?", "D.", "question", None), ("Ask", "Here", "image_to_music", "strings"), ("Greet.", "Hello.", "chat", None)]
    assert [one.source for one in found] == ["set #1", "set #2", "set #3"] and not faults(found)
    assert found[0].audio.open() == Encoded(sound, "set #1") and load_image(found[1].image.open()).size == (4, 3)
    assert found[2].audio is found[2].image is None


def test_a_saved_table_may_name_files(tmp_path: Path, sound: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(sound)
    saved(tmp_path / "set", {"audio": [{"bytes": None, "path": str(tmp_path / "a.wav")}], "caption": ["A tone."]}, audio=datasets.Audio())
    (example,) = read(tmp_path / "set", 1, form="hub")
    assert example.task == "describe_music" and Waveform.read(example.audio.open()).sample_rate == 8000
    assert read(tmp_path / "set", 2, form="hub")[0].caption == "A tone."


@pytest.mark.parametrize("kind", ["saved", "parquet", "json", "folder"])
def test_rows_are_shuffled_by_seed_and_epoch_and_dealt_out(tmp_path: Path, kind: str) -> None:
    rows = [{"instruction": f"ask {at}", "answer": f"say {at}"} for at in range(12)]
    table = datasets.Dataset.from_list(rows)
    path = tmp_path / "rows"
    if kind == "saved":
        table.save_to_disk(str(path))
    elif kind == "json":
        path = tmp_path / "rows.jsonl"
        table.to_json(str(path))
    else:
        path.mkdir()
        for part in range(4):
            table.shard(4, part, contiguous=True).to_parquet(str(path / f"{part}.parquet"))
        path = path if kind == "folder" else path / "*.parquet"
    whole = read(path, form="hub")
    assert sorted(answers(whole)) == sorted(f"say {at}" for at in range(12))
    assert whole == read(path, form="hub") and {one.task for one in whole} == {"chat"}
    names = {one.answer: one.source for one in whole}
    assert {one.answer: one.source for one in read(path, form="hub", epoch=3)} == names and len(set(names.values())) == 12
    if kind != "json":  # one file streamed: nothing to shuffle here
        assert len({tuple(answers(read(path, form="hub", epoch=epoch, seed=1))) for epoch in range(4)}) > 1
    for world in (2, 3):
        parts = [answers(read(path, form="hub", epoch=1, rank=rank, world=world)) for rank in range(world)]
        assert sorted(sum(parts, [])) == sorted(answers(whole)) and all(parts)


def test_parquet_with_sound_inside(tmp_path: Path, sound: bytes) -> None:
    table = tabled({"audio": [sound, b"\x80" * 99], "caption": ["A tone.", "Noise."]}, audio=datasets.Audio())
    table.to_parquet(str(tmp_path / "a.parquet"))
    good, bad = read(tmp_path / "a.parquet", form="hub")
    assert good.audio.content == sound and good.task == "describe_music"
    with pytest.raises(ValueError, match=r"a.parquet row \w{12}"):
        Waveform.read(bad.audio.open())


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    tabled({"answer": [f"say {at}" for at in range(9)]}).to_parquet(str(path))
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 60 + content[64:])  # its index at the end is whole
    found = read(path, form="hub")
    assert len(faults(found)) == 1 and "a.parquet is damaged after" in faults(found)[0]


def test_files_named_in_json_lie_in_the_media_folder(tmp_path: Path) -> None:
    rows = [{"audio": "a.wav", "caption": "one"}, {"audio": "../a.wav", "caption": "two"},
            {"audio": "/etc/passwd", "caption": "three"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    found = read(tmp_path / "a.json", form="hub", media=str(tmp_path / "music"))
    assert found[0].audio.path == tmp_path / "music" / "a.wav"
    assert ["not within" in one for one in faults(found[1:])] == [True, True]


def test_rows_without_words_or_media_fail_when_opened(tmp_path: Path, sound: bytes) -> None:
    saved(tmp_path / "set", {"audio": [sound, None, sound], "caption": [None, "words", "good"]}, audio=datasets.Audio())
    found = sorted(read(tmp_path / "set", form="hub"), key=lambda one: one.source)
    said = faults(found)
    assert len(said) == 2 and "set #1 has no answer" in said[0] and "set #2 has a caption but no sound" in said[1]


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "set"
    saved(path, {"text": ["a"], "words": ["b"]})
    with pytest.raises(ValueError, match="no column answer or caption.*text, words"):
        read(path, form="hub")
    with pytest.raises(ValueError, match="column 'wrods' is unknown; did you mean 'words'"):
        read(path, form="hub", columns={"answer": "wrods"})
    datasets.DatasetDict({"test": datasets.load_from_disk(str(path))}).save_to_disk(str(tmp_path / "parts"))
    with pytest.raises(ValueError, match="split 'train' is unknown.*test"):
        read(tmp_path / "parts", form="hub")
    assert answers(read(tmp_path / "parts", form="hub", split="test", columns={"answer": "words"})) == ["b"]
    (tmp_path / "empty").mkdir()
    for file in (tmp_path / "empty", tmp_path / "none.parquet", tmp_path / "none" / "deeper" / "set"):
        with pytest.raises(FileNotFoundError, match="holds no table"):
            read(file, form="hub")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing else")
    with pytest.raises(ValueError, match="Cannot open the data set .*bad.parquet"):
        read(tmp_path / "bad.parquet", form="hub")
    with pytest.raises(ValueError, match="is a stream"):
        read_source(Source("hub", str(path)), 3)
