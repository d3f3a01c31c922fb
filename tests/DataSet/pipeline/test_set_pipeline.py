"""The pipelines of MUCaps, MUImage and MUVideo as a whole: their files, that a second run writes nothing, and that training reads them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from DataSet.pipeline import notebook_tables
from DataSet.pipeline.__main__ import main
from DataSet.pipeline.captioners import CaptionerConfig
from DataSet.pipeline.config import ROOT, PipelineConfig, load_config
from DataSet.pipeline.export import FOLDERS, FORMS, SPLITS
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.set_pipeline import add_sources, run_set
from DataSet.pipeline.set_result import SetResult
from DataSet.pipeline.training_check import train_on
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.data.tar_shards import stream
from llama.media.audio import Waveform

PIECES = 8  # two pictures and two clips with music come with them
NAMES = ("MUCaps", "MUImage", "MUVideo")


def quick_config(name: str, **changes: object) -> PipelineConfig:
    """The small profile without models: made pieces, known captions, templates, and one group of four held out."""
    truth = {"kind": "truth", "model": ""}
    overrides = {
        "sources": [{"kind": "made", "pieces": PIECES}], "filter": {"max_speech": None, "music_model": None}, "music_captions": truth,
        "words": {"kind": "template"}, "leaks": {"planted": False}, "split": {"validation": 0.0, "test": 0.25 if name == "MUCaps" else 0.0},
        **({} if name == "MUCaps" else {"vision_captions": truth}), **changes,
    }  # fmt: skip
    return load_config(name, profile="small", overrides=overrides)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose made set every run links to."""
    folder = tmp_path_factory.mktemp("made")
    run_set(quick_config("MUCaps"), folder / "first")
    return folder / "first/sources"


@pytest.fixture(scope="module", params=NAMES)
def result(request: pytest.FixtureRequest, made: Path, tmp_path_factory: pytest.TempPathFactory) -> SetResult:
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(made, folder / "sources")
    return run_set(quick_config(request.param), folder)


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    """Name -> digest and inode of every file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_ino) for path in files}


def test_the_lists_name_files_that_are_there(result: SetResult) -> None:
    folder, form = result.export.folder, result.form
    expected = PIECES if form.name == "MUCaps" else PIECES // 4
    assert sum(result.export.items.values()) == expected == len(list(result.entries()))
    for split in (split for split in SPLITS if result.export.items[split]):
        rows = json.loads(result.export.list_path(form, split).read_text())
        assert len(rows) == result.export.items[split]
        for row in rows:
            human, gpt = row["conversation"]
            assert human["input_modality"] == form.input_kind and gpt["output_modality"] == "audio" and gpt["caption"]
            assert (folder / "audios" / row["output_file"]).is_file() and ("input_file" in row) == (form.name != "MUCaps")
            if "input_file" in row:
                assert (folder / FOLDERS[form.kind] / row["input_file"]).is_file() and human["caption"]


def test_training_reads_the_lists_and_the_shards(result: SetResult) -> None:
    examples = read_source(notebook_tables.training_source(result), 3)
    shards = list(stream(Source("tar", str(result.export.folder / "shards/train")), 2 if result.form.name == "MUCaps" else 3, 0, 0))
    assert len(shards) == len(examples) == result.export.items["train"]
    assert sorted(example.caption or "" for example in shards) == sorted(example.caption or "" for example in examples)
    for example in (*examples, *shards):
        medium = getattr(example, result.form.kind)
        assert example.caption and (result.form.name == "MUCaps" or medium.open())


def test_the_origin_of_each_item_is_told(result: SetResult) -> None:
    lines = [json.loads(line) for line in (result.export.folder / "ledger.jsonl").read_text().splitlines()]
    steps = json.loads((result.export.folder / "steps.json").read_text())
    assert len(lines) == sum(result.export.items.values()) and [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    for line in lines:
        assert line["licence"] == "MIT" and len(line["sha256"]) == 64 and line["split"] in SPLITS and line["source"] == "made 0"
        assert all(f"{name}-{digest}" in steps for name, digest in line["steps"].items())
        assert Waveform.read(result.export.folder / line["files"]["audio"]).seconds == pytest.approx(line["seconds"], abs=0.001)


def test_a_second_run_computes_and_writes_nothing(result: SetResult) -> None:
    before = digests(result.export.folder)
    again = run_set(result.config, result.work_folder)
    assert not sum(report.computed_items for report in again.reports)
    after = digests(result.export.folder)
    assert {name: digest for name, (digest, _) in after.items()} == {name: digest for name, (digest, _) in before.items()}
    media = [name for name in before if name.split("/")[0] in (*FOLDERS.values(), "shards") and not name.endswith(".json")]
    assert media and all(before[name][1] == after[name][1] for name in media)  # not written again


def test_the_data_card_counts_the_set(result: SetResult) -> None:
    card = (result.export.folder / "README.md").read_text()
    assert card.startswith(f"# {result.form.name}\n") and f"each of the {sum(result.export.items.values())} items" in card
    assert str(result.work_folder) not in card and "| MIT | made 0 |" in card


def test_other_sources_need_another_folder(result: SetResult) -> None:
    with pytest.raises(ValueError, match="was made with another configuration"):
        run_set(quick_config(result.form.name, sources=[{"kind": "made", "pieces": 4}]), result.work_folder)


def test_a_stopped_export_leaves_nothing_to_train_on(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that a stopped run wrote could hold a recording that another split has in the next one."""
    def stop(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    shutil.copytree(made, tmp_path / "sources")
    few = {"items_per_shard": 2, "filter": {"max_speech": None, "music_model": None, "shortest": 8.0}}
    monkeypatch.setattr("DataSet.pipeline.export.write_text", stop)
    with pytest.raises(KeyboardInterrupt):  # when media and shards are there
        run_set(quick_config("MUCaps", items_per_shard=2), tmp_path)
    stopped = set((tmp_path / "MUCaps").rglob("*.tar"))
    monkeypatch.undo()
    result = run_set(quick_config("MUCaps", **few), tmp_path)
    assert {path.name for path in (result.export.folder / "audios").iterdir()} == {f"{entry.item.id}.flac" for entry in result.entries()}
    shards = set(result.export.folder.rglob("*.tar"))
    assert shards < stopped and shards == {result.export.folder / name for name in result.export.files if name.endswith(".tar")}


def test_a_disk_without_links_gets_copies(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    shutil.copytree(made, tmp_path / "sources")
    result = run_set(quick_config("MUCaps"), tmp_path)
    for entry in result.entries():
        copy = result.export.folder / "audios" / f"{entry.item.id}.flac"
        assert copy.read_bytes() == result.media(entry, "audio").read_bytes() and copy.stat().st_nlink == 1


def test_files_of_a_former_export_go(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "sources")
    first = run_set(quick_config("MUCaps"), tmp_path)
    (first.export.folder / "audios/own.txt").write_text("of the user")
    second = run_set(quick_config("MUCaps", filter={"max_speech": None, "music_model": None, "shortest": 8.0}), tmp_path)
    left = {path.name for path in (second.export.folder / "audios").iterdir()}
    assert 0 < len(left) - 1 == sum(second.export.items.values()) < PIECES and "own.txt" in left
    assert len((second.export.folder / "rejections.jsonl").read_text().splitlines()) == PIECES + 1 - len(left)


def test_planted_files_are_rejected_by_their_rules(tmp_path: Path) -> None:
    changes = {"sources": [{"kind": "examples"}, {"kind": "planted"}], "leaks": {"planted": True}, "max_broken": 1.0}
    result = run_set(quick_config("MUCaps", **changes), tmp_path)
    rules = {step.step: dict(step.rules) for step in result.counts()}
    assert rules["segment"] == {"unreadable": 2, "too short": 1} and rules["filter"] == {"silent": 1, "constant": 1, "clipped": 1}
    assert rules["duplicates"] == {"duplicate": 5, "blocked": 1}
    assert "examples: violin_swing.flac" in str(notebook_tables.random_items(result, 17))


def test_the_command_prints_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("profiles: {small: {sources: [{kind: examples}], filter: {max_speech: null}, leaks: {lists: []},"
                      " music_captions: {kind: truth}, words: {kind: template}}}\n")  # fmt: skip
    assert main(["mucaps", "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr()
    assert "so there is no list of it: 4 items are few" in output.err
    assert "caption of their own" not in output.err  # the examples bring none
    assert "| segment | 4 | 4 |" in output.out and "README.md is the data card" in output.out and "segment: 4 ok" in output.err
    assert main(["MUCaps", "--config", str(config), "--profile", "big", "--out", str(tmp_path / "out")]) == 2
    assert "The profile 'big' is unknown" in capsys.readouterr().err


def test_captions_that_no_captioner_uses_are_counted(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    shutil.copy(ROOT / "assets/examples/violin_swing.flac", media / "song.flac")
    (media / "song.txt").write_text("A violin swings.")
    config = quick_config("MUCaps", sources=[{"kind": "folder", "media": str(media)}])
    lines: list[str] = []
    with Ledger.open(tmp_path / "work") as ledger:
        add_sources(config, FORMS["MUCaps"], ledger, lines.append)
        assert not lines  # the captioner truth takes it
        add_sources(replace(config, music_captions=CaptionerConfig("mumu", "ckpts/nano")), FORMS["MUCaps"], ledger, lines.append)
    assert len(lines) == 1 and "1 items bring a caption of their own, which the captioner mumu does not use" in lines[0]


def test_sources_without_items_say_why(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    config = quick_config("MUCaps", sources=[{"kind": "folder", "media": str(tmp_path / "media")}])
    with pytest.raises(ValueError, match="give no item; put audio files where they look"):
        run_set(config, tmp_path / "work")
    (tmp_path / "media/song.wav").touch()
    (tmp_path / "media/song.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"give no item; 1 rows are rejected, see .*rejected_rows\.jsonl") as caught:
        run_set(config, tmp_path / "work")
    assert "save it as UTF-8" in Path(str(caught.value).split("see ")[1].rstrip(".")).read_text()


def test_lists_of_test_sets_that_are_missing_stop_the_run(tmp_path: Path) -> None:
    changes = {"sources": [{"kind": "examples"}], "leaks": {"folder": None, "lists": ["musiccaps"], "planted": False}}
    with pytest.raises(ValueError, match=r"missing: musiccaps \(musiccaps-public\.csv\)"):
        run_set(quick_config("MUCaps", **changes), tmp_path)


@pytest.mark.slow
def test_training_takes_two_steps_on_the_shards_of_all_sets(made: Path, tmp_path: Path) -> None:
    """The notebooks train on the lists."""
    sources = []
    for name in NAMES:
        shutil.copytree(made, tmp_path / name / "sources")
        result = run_set(quick_config(name), tmp_path / name)
        sources.append({"form": "tar", "file": str(result.export.folder / "shards/train")})
    losses = train_on(sources, stage=2)
    assert len(losses) == 2 and all(0 < loss < 10 for loss in losses)
