"""What a run reads, and when it stops: media once, broken ones named, numbers that are none, streams."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from training_helpers import CAPTIONS, MIXED, Ground, Rejected, same, stopped_at, table, weights

from llama.data.source import Source
from llama.media.audio import Waveform
from llama.training import feature_cache as room
from llama.training.launch import fit
from llama.training.module import internal_name
from llama.training.run_checkpoints import RunCheckpoints
from llama.training.trainer import Trainer

pytest_plugins = ("training_helpers",)


# -- what is read -------------------------------------------------------------------------------------------------


def test_the_second_epoch_decodes_nothing_and_learns_the_same(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counter[str]()

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(source: Any, *rest: Any) -> Any:
            counts[str(source)] += 1
            return work(source, *rest)

        return wrapper

    for name in ("load_image", "load_frames"):
        monkeypatch.setattr(room, name, counted(name, getattr(room, name)))
    monkeypatch.setattr(Waveform, "read", counted("read", Waveform.read))
    data = {1: ground.sources(CAPTIONS)}  # of 4 recordings, 2 pictures and a clip: a step an epoch
    settings = {"data": data, "max_steps": None, "epochs": 3.0, "batch_size": 7}
    fit(ground.config(tmp_path / "kept", cache_dir=str(tmp_path / "cache"), **settings), 1)
    assert len(counts) == 7 and set(counts.values()) == {1}
    counts.clear()
    fit(ground.config(tmp_path / "none", cache_dir=None, **settings), 1)
    assert sum(counts.values()) == 21 and len(table(tmp_path / "none")) == 3
    columns = [[row[name] for row in table(tmp_path / one) for name in ("loss", "words")] for one in ("kept", "none")]
    assert columns[0] == columns[1] and same(weights(tmp_path / "kept"), weights(tmp_path / "none"))


def broken_set(ground: Ground, folder: Path) -> Source:
    """Questions about four recordings, of which one is cut in the middle of its header."""
    shutil.copytree(ground.made / "audios", folder)
    sound = folder / "heard_00001.ogg"
    sound.write_bytes(sound.read_bytes()[:40])
    return dataclasses.replace(ground.sources(MIXED[1:2])[0], media=str(folder))


def test_a_broken_recording_stops_and_is_named(ground: Ground, tmp_path: Path, refused: Rejected) -> None:
    data = {3: (broken_set(ground, tmp_path / "audios"),)}
    said = refused(ground.flags(tmp_path / "run", data=data, batch_size=4, max_steps=3))
    assert "heard_00001.ogg" in said and "MusicQA.json #" in said and "max_broken allows 0" in said


def test_a_broken_recording_is_left_out_where_that_is_allowed(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two questions are asked about it. The count goes on with the run: each is named once, resumed or not."""
    data = {3: (broken_set(ground, tmp_path / "audios"),)}
    config = ground.config(tmp_path / "run", data=data, batch_size=4, max_steps=6, max_broken=2, save_every=1)
    fit(config, 3)
    lines = (tmp_path / "run/skipped.txt").read_text().splitlines()
    assert len(lines) == 2 and all("heard_00001.ogg" in line and line.startswith("MusicQA.json #") for line in lines)
    again = stopped_at(tmp_path / "run", 4, tmp_path / "again")
    fit(dataclasses.replace(config, output_dir=str(again)), 3, resume=True)
    assert same(weights(again), weights(tmp_path / "run"))
    assert (again / "skipped.txt").read_text().splitlines() == lines
    with pytest.raises(ValueError, match="2 examples could not be read, and max_broken allows 1"):
        fit(dataclasses.replace(config, output_dir=str(tmp_path / "strict"), max_broken=1), 3)


# -- what is not a number -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adapters.image.mix.weight", "output_projector.queries"])
def test_what_is_not_finite_stops_with_its_examples_named(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Rejected, name: str
) -> None:
    """Poison is taken before the third step; the checkpoint of the second stays the newest, and nothing bad is saved."""
    update = Trainer.update

    def poisoned(run: Trainer, batches: Sequence[Any]) -> dict[str, float]:
        if run.step == 2:
            values = {internal_name(one): value for one, value in run.module.named_parameters()}
            with torch.no_grad():
                values[name].view(-1)[0] = float("nan")
        return update(run, batches)

    out = tmp_path / "run"
    monkeypatch.setattr(Trainer, "update", poisoned)
    sources = ground.sources([one for one in MIXED if one[1] == "MUImageInstructions"])
    said = refused(ground.flags(out, data={3: sources}, save_every=1))
    assert "not finite, in the batch of MUImageInstructions.json #1" in said and "--resume" in said
    newest = RunCheckpoints(out).newest()
    assert newest.step == 2 and all(bool(torch.isfinite(value).all()) for value in newest.weights.values())


# -- streams ------------------------------------------------------------------------------------------------------


def shards(ground: Ground, folder: Path) -> Source:
    folder.mkdir()
    captions = json.loads((ground.made / "MUCaps.json").read_text())
    with tarfile.open(folder / "0000.tar", "w") as file:
        for place, (name, caption) in enumerate(captions.items()):
            words, sound = json.dumps({"caption": caption}).encode(), (ground.made / "audios" / name).read_bytes()
            for suffix, data in {"json": words, "ogg": sound}.items():
                info = tarfile.TarInfo(f"{place}.{suffix}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return Source("tar", str(folder))


def rows(ground: Ground, folder: Path) -> Source:
    captions = json.loads((ground.made / "MUCaps.json").read_text())
    columns = {"caption": list(captions.values()), "audio": [str(ground.made / "audios" / name) for name in captions]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(folder))
    return Source("hub", str(folder))


@pytest.mark.parametrize("write", [shards, rows])
def test_streams_are_trained_on_and_resumed(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Ground, Path], Source]
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    config = ground.config(tmp_path / "run", data={1: (write(ground, tmp_path / "set"),)}, max_steps=4)
    fit(config, 1)
    again = stopped_at(tmp_path / "run", 2, tmp_path / "again")
    fit(dataclasses.replace(config, output_dir=str(again)), 1, resume=True)
    assert same(weights(again), weights(tmp_path / "run"))
    with pytest.raises(ValueError, match="give max_steps"):
        fit(dataclasses.replace(config, output_dir=str(tmp_path / "endless"), max_steps=None), 1)
