"""The public forms of the benchmarks: what is asked of which recording, and a sentence for everything that cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmark_folders import DASHED, WRITERS, write_csv, write_lines, write_sound

from llama.evaluation.benchmarks.base import (
    ALL,
    BenchmarkData,
    BenchmarkItem,
    Recording,
    choices_from_answers,
    cut,
    differing_words,
)
from llama.evaluation.benchmarks.choice_lists import MMAU
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.muchomusic import track_id
from llama.evaluation.benchmarks.registry import BENCHMARKS, read_benchmark
from llama.media.audio import Waveform


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    result = {name: tmp_path_factory.mktemp(name) for name in WRITERS}
    for name, folder in result.items():
        WRITERS[name](folder)
    return result


def read(folders: dict[str, Path], name: str, subset: str | None = None) -> BenchmarkData:
    return read_benchmark(name, folders[name], subset)


def by_id(data: BenchmarkData) -> dict[str, BenchmarkItem]:
    return {item.id: item for item in data.items}


def test_every_form_has_a_fixture() -> None:
    assert set(WRITERS) == set(BENCHMARKS)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_asked_can_be_heard_or_says_why(name: str, folders: dict[str, Path]) -> None:
    for subset in {BENCHMARKS[name].subsets[0], ALL}:
        data = read_benchmark(name, folders[name], subset)
        assert len({item.id for item in data.items}) == len(data.items)
        for item in data.items:
            if item.recording.error:
                with pytest.raises(FileNotFoundError):
                    item.recording.read()
            else:
                assert item.recording.read().seconds > 0.9
            assert item.question and (item.references or not item.correct)


def test_musicqa(folders: dict[str, Path]) -> None:
    data = read(folders, "musicqa")
    assert list(by_id(data)) == ["1.mp3#1", "1.mp3#2", "1.mp3#3", "2.mp3#1", "gone.mp3#1"]
    assert by_id(data)["1.mp3#3"].question == "And the tempo?" and by_id(data)["1.mp3#3"].references == ("Slow.",)
    assert by_id(data)["2.mp3#1"].recording.path == folders["musicqa"] / "audios" / "2.flac"
    assert data.missing == ["gone.mp3#1"]
    assert len(data.problems) == 2 and "row 5: its question or its answer is empty" in data.problems[0]
    assert "row 6" in data.problems[1] and "lacks conversation" in data.problems[1]


def test_musiccaps(folders: dict[str, Path]) -> None:
    data = read(folders, "musiccaps")
    assert list(by_id(data)) == [DASHED, "whole", "gone"] and data.missing == ["gone"]
    item = by_id(data)[DASHED]
    assert item.references == ('A "calm" piano,\nand strings.',) and item.categories["aspects"] == "low quality; it's live"
    assert item.recording.read().seconds == 10  # the file is the excerpt already
    assert by_id(data)["whole"].recording.read().seconds == 10  # cut out of twenty
    assert "row 5: caption is '  '" in data.problems[0]
    assert list(by_id(read(folders, "musiccaps", "balanced"))) == [DASHED]
    assert "trained" in by_id(read(folders, "musiccaps", "all"))
    assert "[gone]-[0-10].wav or gone.wav" in by_id(data)["gone"].recording.error


def test_song_describer_empty_is_not_valid(folders: dict[str, Path]) -> None:
    data = read(folders, "sdd")
    assert list(by_id(data)) == ["1", "4", "5"] and data.missing == ["4"]
    assert {item.recording.id for item in data.items} == {"1004034", "99"}
    assert len(read(folders, "sdd", "all").items) == 5


def test_muchomusic(folders: dict[str, Path]) -> None:
    data = read(folders, "muchomusic")
    assert list(by_id(data)) == ["sdd/1004034.json#1", f"musiccaps/{DASHED}_0.json#1", "musiccaps/whole_12.json#1",
                                 "sdd/1004034.json#2", "musiccaps/unknown_1.json#1"]  # fmt: skip
    first = data.items[0]
    assert first.choices == ("Drums", "A guitar", "A kazoo, loud", "Silence") and first.correct == 0
    assert first.categories["knowledge"] == "instrumentation; performer's voice" and first.categories["reasoning"] == ""
    assert data.items[1].recording.id == DASHED and data.missing == ["musiccaps/unknown_1.json#1"]
    assert len(data.problems) == 2 and "'fma', where sdd or musiccaps is due" in data.problems[0]
    assert {item.categories["dataset"] for item in read(folders, "muchomusic", "sdd").items} == {"sdd"}


def test_identifiers_of_muchomusic() -> None:
    assert track_id("sdd", "123.json") == "123" and track_id("musiccaps", "a_b_12.json") == "a_b"
    assert track_id("musiccaps", "-x_y_z_0.json") == "-x_y_z"


def test_mmau(folders: dict[str, Path]) -> None:
    data = read(folders, "mmau")
    assert {name: (item.choices, item.correct) for name, item in by_id(data).items()} == {
        "a": (("Fast", "Slow"), 0), "b": (("Man", "Woman", "Child"), 1), "c": (tuple("123456"), None)}  # fmt: skip
    assert by_id(data)["c"].references == () and by_id(data)["a"].recording.path == folders["mmau"] / "test-mini-audios/a.wav"
    assert [problem.split(": ", 1)[1] for problem in data.problems] == [
        "the answer 'Maybe' is none of its 2 choices; it is left out.", "its id a stands in an earlier entry; it is left out.",
        "choices are ['x'], where two or more texts are due; it is left out."]  # fmt: skip
    rows = MMAU.submission(folders["mmau"], {"c": "3", "unknown": "x"})
    assert [(row["id"], row["model_output"], row["question"]) for row in rows] == [("c", "3", "Which, c?")]


def test_mmar(folders: dict[str, Path]) -> None:
    data = read(folders, "mmar")
    assert {name: (len(item.choices), item.correct) for name, item in by_id(data).items()} == {"BV1_00-01": (2, 1), DASHED: (6, 5)}
    assert len(read(folders, "mmar", "all").items) == 3


def test_mmau_pro(folders: dict[str, Path]) -> None:
    data = read(folders, "mmau-pro")
    items = by_id(data)
    assert items["music-1"].choices == ("Jazz", "Rock") and items["music-1"].correct == 1
    assert items["open-1"].choices == () and items["open-1"].references == ("A long text.",)
    assert items["instruction following-1"].references == () and items["instruction following-1"].categories["task_identifier"] == "count"
    assert "about 2 recordings; the model hears one" in items["multi-2"].recording.error
    assert len(data.problems) == 1 and "audio_path is []" in data.problems[0]


def test_hummusqa(folders: dict[str, Path]) -> None:
    data = read(folders, "hummusqa")
    assert [item.recording.excerpt for item in data.items] == [("1", 0.0, 2.0), ("1", 3.0, 5.0), ("2", 1.0, 3.0)]
    assert [item.recording.read().seconds for item in data.items] == [2.0, 2.0, 2.0]
    assert data.items[0].categories == {"category": "Sound", "difficulty": "hard", "secondary": "Timbre; Texture"}
    assert len(data.problems) == 1 and "row 4: answer is ''" in data.problems[0]


def test_parquet_without_its_library_is_one_sentence(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[train\]"'):
        read(folders, "hummusqa")


def test_a_damaged_parquet_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "test.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(ValueError, match="not readable as parquet"):
        read_benchmark("mmau-pro", tmp_path)


def test_cmi_bench_keeps_test_rows_alone(folders: dict[str, Path]) -> None:
    data = read(folders, "cmi")
    assert list(by_id(data)) == ["GS-key/CMI_GS_key#2", "GS-key/CMI_GS_key#3", "GS-key/CMI_GS_key#4"]
    assert by_id(data)["GS-key/CMI_GS_key#3"].references == ("guitar; drums",) and data.missing == ["GS-key/CMI_GS_key#4"]
    assert data.items[0].categories == {"task": "GS_key", "major": "multi-class", "minor": "key_detection"}
    assert data.problems == ["MusicCaps/CMI_GS_copy.jsonl: 1 row(s) stand in it, or in an earlier list, already; they count once."]
    assert len(read(folders, "cmi", "GS_copy").items) == 1
    with pytest.raises(ValueError, match="no CMI_beat.jsonl .*choose one of GS_copy, GS_key"):
        read(folders, "cmi", "beat")


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_folder_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no .* in "):
        read_benchmark(name, tmp_path)
    with pytest.raises((FileNotFoundError, ValueError), match=r"(no folder|There is no) "):
        read_benchmark(name, tmp_path / "gone")


def test_bad_tables_are_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "musiccaps-public.csv", [{"ytid": "x", "caption": "y"}])
    with pytest.raises(ValueError, match=r"lacks the column\(s\) start_s, end_s, is_audioset_eval, is_balanced_subset; it has ytid"):
        read_benchmark("musiccaps", tmp_path)
    (tmp_path / "musiccaps-public.csv").write_bytes(b"ytid\xff")
    with pytest.raises(ValueError, match="no text in UTF-8, at byte 4"):
        read_benchmark("musiccaps", tmp_path)
    write_lines(tmp_path / "MMAR-meta.jsonl", [{"id": "a", "choices": [["x"]], "audio_path": "a.wav"}])
    with pytest.raises(ValueError, match="holds no question of mmar in its subset music"):
        read_benchmark("mmar", tmp_path)
    with pytest.raises(ValueError, match="first problem: MMAR-meta.jsonl, row 1: choices is"):
        read_benchmark("mmar", tmp_path, "all")
    (tmp_path / "MMAR-meta.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(ValueError, match="line 2, is not readable as JSON"):
        read_benchmark("mmar", tmp_path, "all")
    (tmp_path / "EvalMusicQA.json").write_text('{"1.mp3": "caption"}')
    with pytest.raises(ValueError, match="is no list of questions"):
        read_benchmark("musicqa", tmp_path)
    with pytest.raises(ValueError, match="sdd has no subset 'test'; choose one of valid, all"):
        read_benchmark("sdd", tmp_path, "test")


def test_an_excerpt_is_cut_once(tmp_path: Path) -> None:
    wave = Waveform.read(write_sound(tmp_path / "a.wav", seconds=5))
    assert cut(wave, 30, 34, "a") is wave  # as long as the excerpt, so that it is one
    assert cut(wave, 1, 3, "a").seconds == 2 and cut(wave, 1, None, "a").seconds == 4 and cut(wave, 4, 7, "a").seconds == 1
    with pytest.raises(ValueError, match=r"a is 5.0 s long and ends before its excerpt from 6 s"):
        cut(wave, 6, 8, "a")


def test_media_are_found_under_any_known_name(tmp_path: Path) -> None:
    deep = write_sound(tmp_path / "parts" / "one" / "a.wav")
    twice = [write_sound(tmp_path / place / "b.wav") for place in ("x/audio", "y/audio")]
    write_sound(tmp_path / "c.ogg"), write_sound(tmp_path / "c.flac")
    index = MediaIndex(tmp_path)
    assert index.find(["gone.wav", "elsewhere/a.wav"]) == deep and index.find(["../a.wav"]) == deep
    assert index.find(["audio/b.wav"]) is None and index.find(["y/audio/b.wav"]) == twice[1]  # two of that name: not guessed
    assert index.find_sound(["c.wav"]) == tmp_path / "c.flac" and index.find_sound(["b.mp3"]) is None
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert MediaIndex(tmp_path).find(["a.wav"]) == deep


def test_a_few_answers_become_choices() -> None:
    def item(number: int, question: str, answer: str) -> BenchmarkItem:
        return BenchmarkItem(str(number), Recording(str(number)), question, (answer,))

    items = [item(0, "Lead?", "The grand piano leads."), item(1, "Lead?", "The flute leads."), item(2, "Mood?", "Calm."),
             item(3, "Lead?", "The grand piano leads.")]  # fmt: skip
    result, choices = choices_from_answers(items), ("flute", "grand piano")
    assert [(entry.id, entry.choices, entry.correct) for entry in result] == [("0", choices, 1), ("1", choices, 0), ("3", choices, 1)]
    assert not result[0].are_listed and choices_from_answers(items, most=1) == []


@pytest.mark.parametrize(
    ("texts", "short"),
    [
        (["In four.", "In three."], ["four.", "three."]),
        (["Yes", "Yes indeed"], ["Yes", "Yes indeed"]),
        (["A B C", "A C"], ["A B C", "A C"]),
        (["It is fast, yes", "It is slow, yes"], ["fast,", "slow,"]),
    ],
)
def test_words_that_all_answers_share(texts: list[str], short: list[str]) -> None:
    assert list(differing_words(texts).values()) == short


def test_the_sets_that_the_project_makes_have_the_form_of_musicqa(tmp_path: Path) -> None:
    (tmp_path / "MusicQA.json").write_text(json.dumps([{"audio_name": "h.ogg", "conversation": [
        {"from": "human", "value": "Lead?"}, {"from": "gpt", "value": "A flute."}]}]))  # fmt: skip
    write_sound(tmp_path / "audios" / "h.ogg")
    assert [item.id for item in read_benchmark("musicqa", tmp_path).items] == ["h.ogg#1"]
