"""A model of the hub that a file names is used if it was downloaded before, and never downloaded for the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

import llama
from llama.checkpoint.delta import BaseReference, read_base_reference, write_delta
from llama.checkpoint.hub import recorded_folder
from llama.checkpoint.pretrained import from_pretrained
from llama.config import MuMuConfig
from llama.mumu_llama import MuMuLLaMA

NANO = Path(__file__).resolve().parents[3] / "ckpts" / "nano"
NAME = "someone/model"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every look into the hub's cache; the network is not reachable."""
    result: list[dict[str, Any]] = []

    def snapshot(name: str, **options: Any) -> str:
        result.append({"name": name, **options})
        raise FileNotFoundError(name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return result


def delta(folder: Path, **base: str) -> Path:
    """A delta checkpoint without weights over that base."""
    config = MuMuConfig.from_json((NANO / "config.json").read_text())
    write_delta(folder, {}, BaseReference({"model": str(NANO), **base}, config, 1, "ours"))
    return folder


@pytest.mark.parametrize("name", ["model", "mert_path", "music_decoder_path", "knn_dir"])
def test_a_base_on_the_hub_is_not_downloaded(calls: list[dict[str, Any]], name: str, tmp_path: Path) -> None:
    folder = delta(tmp_path / "last", **{name: NAME})
    words = f"names {NAME} of the Hugging Face hub.*; if you trust it, run hf download {NAME}"
    with pytest.raises(FileNotFoundError, match=words) as caught:
        llama.load(folder)
    assert calls and all(call == {"name": NAME, "local_files_only": True} for call in calls)
    assert (f"or give {name} {NAME}" in str(caught.value)) == (name != "model")


@pytest.mark.parametrize("argument", ["mert_path", "vit_path", "vivit_path", "music_decoder_path"])
def test_a_name_without_an_owner_is_of_the_hub_too(calls: list[dict[str, Any]], argument: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="names bert-base-uncased of the Hugging Face hub"):
        recorded_folder("bert-base-uncased", tmp_path / "origin.json", argument)
    assert calls == [{"name": "bert-base-uncased", "local_files_only": True}]


def test_a_base_that_was_downloaded_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, local_files_only: str(NANO))
    folder = delta(tmp_path / "last", model=NAME)
    assert llama.load(folder).config == MuMuConfig.from_json((NANO / "config.json").read_text())
    assert read_base_reference(folder).base["model"] == NAME


def test_a_folder_in_the_cache_may_be_incomplete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, local_files_only: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="not on this machine"):
        recorded_folder(NAME, tmp_path / "origin.json", "model")


def test_what_is_no_hub_name_is_left_to_the_reader(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    for path in ("../../base", "/nowhere/at/all", "base", str(tmp_path)):
        assert recorded_folder(path, tmp_path / "origin.json", "model") == path
    assert not calls


def test_a_decoder_on_the_hub_is_not_downloaded(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(NANO, tmp_path / "own"))
    shutil.rmtree(folder / "decoder")
    raw = json.loads((folder / "config.json").read_text())
    raw["decoder"] = {"kind": "audioldm2", "path": NAME}
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(FileNotFoundError, match=f"names {NAME} of the Hugging Face hub.* or give music_decoder_path {NAME}"):
        from_pretrained(folder, model_class=MuMuLLaMA)
    assert calls == [{"name": NAME, "local_files_only": True}]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("base", {"model": 3}, "base.model is 3, not text"), ("base", {"dtype": "load"}, "base.dtype is 'load'; give one of"),
        ("near", {"modle": "x"}, "its near has 'modle'"), ("near", {"model": []}, "near.model is"), ("stage", "two", "stage is 'two'"),
        ("step", float("nan"), "step is nan"), ("step", -1, "step is -1"), ("preset", 7, "preset is 7"), ("stage", True, "stage is True"),
        ("sizes", {"llama": {"n_heads": 0}}, "llama.n_heads is 0"), ("base", [], "damaged"), ("near", None, "damaged"),
    ],
)  # fmt: skip
def test_values_of_origin_json_are_refused_by_name(tmp_path: Path, key: str, value: object, words: str) -> None:
    file = delta(tmp_path / "last") / "origin.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=r"origin\.json is damaged or not ours") as caught:
        llama.load(tmp_path / "last")
    assert words in str(caught.value)
