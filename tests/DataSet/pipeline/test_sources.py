"""Sources: every bad row of a table is either right or one sentence, and does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from DataSet.pipeline.item import Item
from DataSet.pipeline.media_index import MediaIndex
from DataSet.pipeline.source_row import RejectedRow, SourceRow, accepted, count_rules, read_rejected, write_rejected
from DataSet.pipeline.source_tables import audioset_rows, json_rows, loop_rows, musiccaps_rows, song_describer_rows
from DataSet.pipeline.sources import example_rows, folder_rows, made_rows
from llama.media.audio import Waveform

HEAD = "# Segments csv created Sun Mar 5\n# num_ytids=3, num_segs=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
VIDEO, OTHER = "--PJHxphWEs", "a_cdefghij1"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for name in (f"{VIDEO}.mp3", f"[{OTHER}]-[30-40].wav", f"sub/{OTHER}_50.mp4", "AbCdEfGhIjK.wav", "abcdefghijk.wav", ".hidden.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"media")
    return folder


def table(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def sort_rows(rows: Iterable[SourceRow]) -> tuple[list[Item], list[RejectedRow]]:
    rejected: list[RejectedRow] = []
    items = list(accepted(rows, rejected))
    for row in rejected:
        assert row.rejection.why.endswith(".") and "\n" not in row.rejection.why and "/tmp" not in row.rejection.why, row
    return items, rejected


def audioset(folder: Path, media: Path, lines: str, **options: object) -> tuple[list[Item], list[RejectedRow]]:
    return sort_rows(audioset_rows(table(folder, HEAD + lines), media, **options))  # type: ignore[arg-type]


def test_audioset_rows(tmp_path: Path, media: Path) -> None:
    lines = f'{VIDEO}, 30.000, 40.000, "/m/04rlf,/m/09x0r"\n{OTHER}, 30.000, 40.000, "/m/04rlf"\n{OTHER}, 50.000, 60.000, "/m/04rlf"\n'
    items, rejected = audioset(tmp_path, media, lines)
    assert not rejected and [item.key for item in items] == [VIDEO, OTHER, OTHER]
    assert items[0].media == {"audio": str(media / f"{VIDEO}.mp3")} and not items[0].already_cut
    assert (items[0].start, items[0].end) == (30, 40)
    assert items[0].tags == ("/m/04rlf", "/m/09x0r")
    assert items[1].already_cut and items[2].already_cut and items[2].media == {"video": str(media / f"sub/{OTHER}_50.mp4")}
    assert items[1].group == items[2].group == f"video {OTHER}" and items[1].id != items[2].id  # other times, one group


def test_a_table_with_a_header_a_bom_and_more_columns(tmp_path: Path, media: Path) -> None:
    content = f"\ufeffnumber,YTID,start_seconds,end_seconds,positive_labels,extra\r\n0,{VIDEO},30,40,\"/m/a,/m/b\",x\r\n"
    items, rejected = sort_rows(audioset_rows(table(tmp_path, content), media))
    assert not rejected and items[0].tags == ("/m/a", "/m/b")
    (item,) = sort_rows(audioset_rows(table(tmp_path, f'\ufeff{HEAD}{VIDEO}, 1, 2, ""\n'), media))[0]
    assert item.key == VIDEO and item.tags == ()


@pytest.mark.parametrize(("line", "rule", "words"), [
    (f'{VIDEO}, 40, 30, "/m/a"', "times", "40 to 30 s"),
    (f'{VIDEO}, 30, 30, "/m/a"', "times", "30 to 30 s"),
    (f'{VIDEO}, -3, 7, "/m/a"', "times", "from 0 on"),
    (f'{VIDEO}, NaN, 7, "/m/a"', "times", "'NaN'"),
    (f'{VIDEO}, soon, 7, "/m/a"', "times", "'soon'"),
    (f'{VIDEO}, , 7, "/m/a"', "row", "start_seconds is empty"),
    (f"{VIDEO}, 30, 40, /m/a,/m/b", "row", "5 columns instead of 4"),
    (f"{VIDEO}, 30", "row", "2 columns instead of 4"),
    (f'{VIDEO}, 30, 40, "/m/a', "row", "mend its quotes"),
    ('../../etc/passwd, 30, 40, "/m/a"', "id", "slash"),
    ('a/b, 30, 40, "/m/a"', "id", "slash"),
    ('a\\b, 30, 40, "/m/a"', "id", "slash"),
    ('.., 30, 40, "/m/a"', "id", "two dots"),
    (', 30, 40, "/m/a"', "row", "YTID is empty"),
    ('unknown-id1, 30, 40, "/m/a"', "missing", "unknown-id1"),
    ('--pjhxphwes, 30, 40, "/m/a"', "missing", "upper and lower case"),
])
def test_a_bad_row_is_one_sentence(tmp_path: Path, media: Path, line: str, rule: str, words: str) -> None:
    items, rejected = audioset(tmp_path, media, f'{OTHER}, 30, 40, "/m/a"\n{line}\n{VIDEO}, 0, 10, "/m/a"\n')
    assert [item.key for item in items] == [OTHER, VIDEO]
    assert [row.rejection.rule for row in rejected] == [rule] and words in rejected[0].rejection.why
    assert rejected[0].place == "table.csv, line 5"


def test_bytes_that_are_no_text(tmp_path: Path, media: Path) -> None:
    content = HEAD.encode() + f"{VIDEO}, 0, 10, \"".encode() + b"\xff\xfe\"\n" + f'{OTHER}, 30, 40, "/m/a"\n'.encode()
    items, rejected = sort_rows(audioset_rows(table(tmp_path, content), media))
    assert len(items) == 1 and "no text in UTF-8" in rejected[0].rejection.why
    write_rejected(tmp_path, rejected)
    assert read_rejected(tmp_path) == rejected and count_rules(rejected) == {"row": 1}


def test_the_same_row_twice(tmp_path: Path, media: Path) -> None:
    items, rejected = audioset(tmp_path, media, f'{VIDEO}, 0, 10, "/m/a"\n{VIDEO}, 10, 20, "/m/a"\n{VIDEO}, 0.0, 10.0, "/m/b"\n')
    assert [item.start for item in items] == [0, 10] and [row.rejection.rule for row in rejected] == ["repeated"]


def test_names_that_differ_in_case_are_two(media: Path) -> None:
    index = MediaIndex(media)
    upper, lower = (index.find(name).media["audio"] for name in ("AbCdEfGhIjK", "abcdefghijk"))
    assert upper != lower
    with pytest.raises(FileNotFoundError, match="upper and lower case"):
        index.find("ABCDEFGHIJK")
    assert len({item.id for item in sort_rows(folder_rows(media))[0]}) == 5  # the hidden file is left out


@pytest.mark.parametrize("name", [
    "[{0}]-[30-40].wav", "{0}_30.wav", "{0}_30_40.flac", "{0}-30-40.ogg", "{0}_30.000.mp3", "{0}_30000_40000.m4a", "{0}_30.0_40.0.mp4"])
def test_names_of_segments(tmp_path: Path, name: str) -> None:
    (tmp_path / name.format(VIDEO)).write_bytes(b"media")
    assert MediaIndex(tmp_path).find(VIDEO, 30.0, 40.0).already_cut
    with pytest.raises(FileNotFoundError):
        MediaIndex(tmp_path).find(VIDEO, 31.0, 41.0)


@pytest.mark.parametrize("name", ["{0}.wav", "Y{0}.wav", "{0}.MP4"])
def test_names_of_recordings(tmp_path: Path, name: str) -> None:
    (tmp_path / name.format(VIDEO)).write_bytes(b"media")
    assert not MediaIndex(tmp_path).find(VIDEO, 30.0, 40.0).already_cut


def test_labels_become_names_and_choose(tmp_path: Path, media: Path) -> None:
    labels = table(tmp_path, 'index,mid,display_name\n0,/m/a,"Music, live"\n1,/m/b,Speech\n', "labels.csv")
    lines = f'{VIDEO}, 0, 10, "/m/a,/m/b"\n{OTHER}, 30, 40, "/m/b"\n'
    items, rejected = audioset(tmp_path, media, lines, labels=labels, wanted=("Music, live",))
    assert [item.tags for item in items] == [("Music, live", "Speech")] and [row.rejection.rule for row in rejected] == ["label"]


def test_musiccaps_rows(tmp_path: Path, media: Path) -> None:
    content = ("ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,is_audioset_eval\n"
               f"{VIDEO},30,40,\"/m/a\",\"['slow, calm', 'piano']\",\"A piano, played slowly.\nTwo lines.\",4,False,True\n"
               f"{VIDEO},40,50,\"/m/a\",nan,Quiet.,4,False,True\n{VIDEO},50,60,\"/m/a\",\"['open\",Bad.,4,False,True\n")
    items, rejected = sort_rows(musiccaps_rows(table(tmp_path, content), media))
    assert items[0].tags == ("slow, calm", "piano") and items[0].caption.startswith("A piano, played") and items[1].tags == ()
    assert items[0].group == f"video {VIDEO}" and "not readable" in rejected[0].rejection.why


def test_song_describer_rows(tmp_path: Path) -> None:
    (tmp_path / "audio/86").mkdir(parents=True)
    (tmp_path / "audio/86/1286.2min.mp3").write_bytes(b"media")
    content = ("caption_id,track_id,caption,is_valid_subset,familiarity,artist_id,album_id,path,duration\n"
               "1,1286,Calm music.,True,0,193,198,86/1286.mp3,312.6\n2,1286,\"Calm, again.\",,0,193,198,86/1286.mp3,312.6\n"
               "3,999,Gone.,True,0,193,198,99/999.mp3,10\n")
    items, rejected = sort_rows(song_describer_rows(table(tmp_path, content), tmp_path / "audio"))
    assert [item.caption for item in items] == ["Calm music.", "Calm, again."] and {item.group for item in items} == {"jamendo artist 193"}
    assert [row.rejection.rule for row in rejected] == ["missing"]


def test_loop_rows(tmp_path: Path) -> None:
    for name in ("beat one.wav", "b.mp3", "c.wav"):
        (tmp_path / name).write_bytes(b"media")
    loops = {"beat one.wav": {"bpm": "120 bpm", "genre": "House", "key": "Am", "author": "x"},
             "b.mp3": {"bpm": 93.5, "category": "Rock", "user": "x"}, "c.wav": {"bpm": "fast"}, "gone.wav": {}, "odd": 7}
    items, rejected = sort_rows(loop_rows(table(tmp_path, json.dumps(loops), "loops.json"), tmp_path))
    assert [item.truth for item in items] == [{"bpm": 120.0, "key": "Am"}, {"bpm": 93.5}, {}]
    assert items[0].group == items[1].group == "author x" != items[2].group and items[1].tags == ("Rock",)
    assert [row.rejection.rule for row in rejected] == ["missing", "row"]
    (csv_item,) = sort_rows(loop_rows(table(tmp_path, "name,bpm,author\nb.mp3,93,y\n", "loops.csv"), tmp_path))[0]
    assert csv_item.truth == {"bpm": 93.0} and csv_item.group == "author y"


def test_json_rows(tmp_path: Path, media: Path) -> None:
    rows = [{"id": "one", "audio": f"{VIDEO}.mp3", "start": 1, "end": 4.5, "tags": ["calm"], "group": "album 3", "truth": {"tempo": 90}},
            {"id": "two", "audio": "../table.jsonl"}, {"id": "three", "audio": "gone.mp3"}, {"id": "four"}, {"audio": f"{VIDEO}.mp3"},
            {"id": "five", "audio": f"{VIDEO}.mp3", "start": 9, "end": 4}, {"id": "six", "sound": "x"}, [1]]
    last = {"id": "last", "audio": f"{VIDEO}.mp3", "tags": None}
    content = "\ufeff" + "\n".join(map(json.dumps, rows)) + "\nnot json\n\n" + json.dumps(last)
    items, rejected = sort_rows(json_rows(table(tmp_path, content, "table.jsonl"), media))
    assert [item.key for item in items] == ["one", "last"] and items[0].tags == ("calm",) and items[0].truth == {"tempo": 90}
    rules = [row.rejection.rule for row in rejected]
    assert items[1].group == "last" and rules == ["id", "missing", "row", "row", "times", "row", "row", "row"]


def test_tables_that_cannot_be_read(tmp_path: Path, media: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no table"):
        list(musiccaps_rows(tmp_path / "gone.csv", media))
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        list(musiccaps_rows(table(tmp_path, "a,b\n"), tmp_path / "gone"))
    with pytest.raises(ValueError, match="names no columns"):
        list(musiccaps_rows(table(tmp_path, ""), media))


def test_folder_rows(tmp_path: Path) -> None:
    root = tmp_path / "songs"
    for name in ("a.mp3", "a.txt", "album/b.jpg", "album/b.wav", "album/b.mp3", "album/c.mp4", "album/d.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("A calm song.")
    sounds = {item.key: item for item in sort_rows(folder_rows(root))[0]}
    assert set(sounds) == {"a.mp3", "album/b.mp3", "album/b.wav", "album/c.mp4"} and sounds["a.mp3"].caption == "A calm song."
    assert sounds["album/c.mp4"].media == {"video": str(root / "album/c.mp4")}
    assert sounds["album/b.mp3"].group == sounds["album/b.wav"].group  # two files of one name
    pictures, _ = sort_rows(folder_rows(root, "image", grouping="folder"))
    assert [set(item.media) for item in pictures] == [{"image", "audio"}, {"image"}] and pictures[0].media["audio"].endswith("b.wav")
    assert pictures[0].group == pictures[1].group == "folder folder album"
    (root / "bad.txt").write_bytes(b"\xff\xff")
    (root / "bad.mp3").write_bytes(b"media")
    (root / "line\nbreak.mp3").write_bytes(b"media")
    assert count_rules(sort_rows(folder_rows(root))[1]) == {"row": 1, "name": 1}


def test_made_and_example_rows(tmp_path: Path) -> None:
    sounds = list(made_rows(tmp_path / "set", "audio", 4, 0, lambda text: None))
    pictures = list(made_rows(tmp_path / "set", "image", 4, 0, lambda text: None))
    assert len(sounds) == 4 and {"lead", "tempo", "key"} <= set(sounds[0].truth) and Waveform.read(sounds[0].media["audio"]).seconds >= 6
    assert set(pictures[0].media) == {"image", "audio"} and {"mood", "style"} <= set(pictures[0].truth)
    assert len({item.group for item in sounds}) == 4 and sounds[0].licence == "MIT"
    examples = list(example_rows("audio")) + list(example_rows("image")) + list(example_rows("video"))
    assert len(examples) == 13 and all(Path(path).is_file() for item in examples for path in item.media.values())
    assert {item.licence for item in examples} == {"MIT", "CC0 1.0", "CC BY 2.0", "public domain"}
    assert torch.is_tensor(Waveform.read(examples[0].media["audio"]).samples)
