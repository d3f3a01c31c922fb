"""MUEdit from the sources to the export, offline and small: pairs, groups, level, published form, a second run, and training's reader."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from DataSet.pipeline.config import PipelineConfig, load_config
from DataSet.pipeline.edit_choice import EditSettings
from DataSet.pipeline.edit_step import measure_pair
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.muedit import RECORDINGS, EditSetResult, add_pairs, run_muedit
from DataSet.pipeline.run_options import RunOptions
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.media.audio import Waveform

EXAMPLES = Path(__file__).parents[3] / "assets/examples"
SMALL: dict[str, Any] = {
    "sources": [{"kind": "made", "pieces": 3, "seed": 3}, {"kind": "examples"}], "filter": {"music_model": None, "max_speech": 1.0},
    "leaks": {"planted": False}, "segment": {"shortest": 2.0, "longest": 30.0}, "items_per_shard": 8,
}  # fmt: skip


def config(**changes: Any) -> PipelineConfig:
    return load_config("MUEdit", profile="small", overrides=SMALL | changes)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> EditSetResult:
    return run_muedit(config(), tmp_path_factory.mktemp("muedit"))


def lists(result: EditSetResult) -> list[dict[str, Any]]:
    return [row for path in sorted(result.export.folder.glob("MUEdit*Instructions.json")) for row in json.loads(path.read_text())]


def test_every_recording_gets_its_edits_in_the_published_form(result: EditSetResult) -> None:
    rows = lists(result)
    assert len(rows) == sum(result.export.items.values()) == 2 * 7
    for row in rows:
        human, gpt = row["conversation"]
        assert (human["from"], gpt["from"], human["input_modality"], gpt["output_modality"]) == ("human", "gpt", "audio", "audio")
        assert human["value"] and human["caption"] and gpt["value"].startswith("Here is") and gpt["caption"]
        source, target = (Waveform.read(result.export.folder / "audios" / row[name]) for name in ("input_file", "output_file"))
        edit = row["edit"]
        assert source.sample_rate == target.sample_rate and len(source.samples) == len(target.samples)
        measured = measure_pair(source, target, edit["operation"], edit["asked"], edit["expected"])
        assert measured["level_db"] == pytest.approx(edit["expected"]["level_db"], abs=0.05)
        assert {name: edit["measured"][name] for name in measured} == measured  # of the exported files


def test_a_recording_and_its_edits_lie_in_one_split(result: EditSetResult) -> None:
    splits = defaultdict(set)
    for entry in result.entries():
        splits[entry.item.truth["parent"]].add((entry.results["split"]["split"], entry.item.group))
    assert len(splits) == 7 and all(len(found) == 1 for found in splits.values())


def test_a_captioner_that_does_not_hear_the_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one that hears its target"):
        run_muedit(config(music_captions={"kind": "truth"}), tmp_path)


def test_counts_and_histories_hold_recordings_and_pairs(result: EditSetResult) -> None:
    counts = {count.step: count for count in result.counts()}
    assert counts["segment"].given == 7 and counts["edit of pairs"].given == 14
    assert sum(1 for _ in result.histories()) == 14 + sum(count.given - count.kept for name, count in counts.items() if "pairs" not in name)


def test_training_reads_the_list(result: EditSetResult) -> None:
    examples = read_source(Source("instructions", str(result.export.list_path(result.form)), str(result.export.folder / "audios")), stage=3)
    assert len(examples) and all(example.task == "edit" and example.audio is not None and example.caption for example in examples)


def test_a_second_run_computes_nothing_and_changes_no_byte(result: EditSetResult) -> None:
    before = {path: path.stat().st_mtime_ns for path in result.export.folder.rglob("*.flac")}
    text = {path: path.read_bytes() for path in result.export.folder.glob("*.json*")}
    again = run_muedit(config(), result.work_folder.parent)
    assert all(report.computed_items == 0 for report in again.reports)
    assert before == {path: path.stat().st_mtime_ns for path in result.export.folder.rglob("*.flac")}
    assert text == {path: path.read_bytes() for path in result.export.folder.glob("*.json*")}


def test_edits_that_were_chosen_stay(result: EditSetResult) -> None:
    """With more targets asked for in the same folder, the pairs of an earlier run keep their edits: no id changes."""
    keys = {item.key for shard in range(result.store.shard_count) for item in result.store.read_items(shard).values()}
    with Ledger.open(result.work_folder.parent / RECORDINGS) as recordings, Ledger.open(result.work_folder) as pairs:
        add_pairs(recordings, result.recording_steps, pairs, EditSettings(targets=3))
        assert {item.key for item in pairs.items()} == keys


def test_pairs_of_a_recording_that_is_left_out_later_are_left_out(result: EditSetResult, tmp_path: Path) -> None:
    """A block list that is added after a run must not leave the edits of what it blocks in the set."""
    shutil.copytree(result.work_folder.parent, tmp_path / "work")
    test_set = tmp_path / "test set"
    test_set.mkdir()
    shutil.copyfile(EXAMPLES / "guitar_rock.flac", test_set / "0001.flac")
    again = run_muedit(config(leaks={"planted": False, "test_folders": [str(test_set)]}), tmp_path / "work")
    (blocked,) = {entry.item.truth["parent"] for entry in result.entries()} - {entry.item.truth["parent"] for entry in again.entries()}
    assert sum(again.export.items.values()) == 12 and not list((again.export.folder / "audios").glob(f"{blocked}*"))
    lines = [json.loads(line) for line in (again.export.folder / "rejections.jsonl").read_text().splitlines()]
    assert sorted((line["step"], line["rule"]) for line in lines) == [("duplicates", "blocked"), *[("edit", "left out")] * 2]
    assert all("guitar_rock.flac" in line["why"] for line in lines)
    back = run_muedit(config(), tmp_path / "work")
    assert back.export.items == result.export.items


def test_a_missing_list_is_told_before_the_sources_are_read(tmp_path: Path) -> None:
    leaks = {"folder": None, "lists": ["musiccaps"], "planted": False}
    with pytest.raises(ValueError, match="Lists of test sets, .*, are missing: musiccaps"):
        run_muedit(config(leaks=leaks, sources=[{"kind": "folder", "media": str(tmp_path / "gone")}]), tmp_path / "work")


def test_nothing_to_edit_is_said_in_a_sentence(tmp_path: Path) -> None:
    strict = config(segment={"shortest": 29.0}, sources=[{"kind": "examples"}])
    with pytest.raises(ValueError, match="No recording passed the filters"):
        run_muedit(strict, tmp_path, RunOptions(log=lambda line: None))
