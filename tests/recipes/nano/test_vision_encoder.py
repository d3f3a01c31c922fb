"""Photographs for the vision encoder: the lists, the split, and augmentation."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from DataSet.synthesis import dialogues
from DataSet.synthesis.scenes import ENERGIES, LIGHTS, MOODS, PLACES, WEATHERS
from recipes.nano.vision_encoder import augmentation, photographs

MOOD, ENERGY = list(augmentation.LABELS).index("mood"), list(augmentation.LABELS).index("energy")


def test_no_photograph_is_both_trained_on_and_measured() -> None:
    measured, trained = photographs.probe_photographs(), augmentation.training_photographs()
    assert not {(one.package, one.member) for one in measured} & {(one.package, one.member) for one in trained}
    assert not {one.name for one in measured} & {one.name for one in trained}
    assert len({one.name for one in trained}) == len({(one.package, one.member) for one in trained}) == len(trained) > 300


def test_every_photograph_has_a_mood_an_energy_and_a_licence() -> None:
    for one in augmentation.training_photographs():
        assert one.labels["mood"] in MOODS and one.labels["energy"] in ENERGIES and one.licence, one.name
        assert set(one.labels) <= set(augmentation.LABELS)
    kept = [one for one in augmentation.training_photographs() if one.held_out]
    assert 0.1 < len(kept) / len(augmentation.training_photographs()) < 0.3 and {one.labels["mood"] for one in kept} == set(MOODS)


def test_no_two_labels_share_a_name() -> None:
    names = [name for names in (PLACES, LIGHTS, WEATHERS, MOODS, ENERGIES) for name in names]
    assert len(set(names)) == len(names)
    assert augmentation.parse_labels("calm low sea day") == {"mood": "calm", "energy": "low", "place": "sea", "light": "day"}


@pytest.fixture
def album(tmp_path: Path) -> augmentation.PhotographSet:
    rng = np.random.default_rng(0)
    for one in [one for one in augmentation.training_photographs() if not one.held_out][-120:]:
        mode, channels = ("RGBA", 4) if one.cut_out else ("RGB", 3)
        Image.fromarray(rng.integers(0, 256, (40, 60, channels), dtype=np.uint8), mode).save(tmp_path / one.file)
    return augmentation.load_photographs(tmp_path, held_out=False)


def test_only_darkened_photographs_change_labels(album: augmentation.PhotographSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "DARKENED_SHARE", 0.0)
    shown, labels = album.sample(50, np.random.default_rng(1), 32)
    known = {tuple(row) for row in album.labels.tolist()}
    assert shown.shape == (50, 32, 32, 3) and shown.dtype == np.uint8 and {tuple(row) for row in labels.tolist()} <= known
    monkeypatch.setattr(augmentation, "DARKENED_SHARE", 1.0)
    _, labels = album.sample(50, np.random.default_rng(1), 32)
    low = labels[:, ENERGY] == ENERGIES.index("low")
    assert set(labels[low, MOOD].tolist()) <= {MOODS.index("sad")} and set(labels[~low, MOOD].tolist()) == {MOODS.index("tense")}


def test_a_darkened_photograph_is_greyer() -> None:
    values = 255 * torch.rand(6, 3, 8, 8)
    labels = torch.zeros(6, 5, dtype=torch.long)
    grey, changed = augmentation.darken(values, labels, np.random.default_rng(0))
    assert (grey.std(1).mean((1, 2)) < 0.6 * values.std(1).mean((1, 2))).all()
    assert not labels.any(), "the labels that were given stay as they were"
    assert set(changed[:, list(augmentation.LABELS).index("light")].tolist()) == {augmentation.UNLABELLED}


def test_missing_photographs_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--train fetches"):
        augmentation.load_photographs(tmp_path, held_out=False)


def test_missing_labels_are_not_mentioned() -> None:
    said = [dialogues.picture(np.random.default_rng(seed), {"mood": "calm", "energy": "low"}) for seed in range(40)]
    assert {one.answer for one in said if one.kind == "look"} == {"It feels calm."}
    assert any(one.caption for one in said)
    partly = [dialogues.picture(np.random.default_rng(seed), {"mood": "sad", "energy": "low", "light": "night"}) for seed in range(40)]
    assert {one.answer for one in partly if one.kind == "look"} == {"It feels sad at night."}


def qt_archive(files: dict[str, bytes]) -> bytes:
    """One folder of files, the odd ones packed, as rcc writes them."""
    names, data, tree = struct.pack(">HI", 0, 0), b"", struct.pack(">IHII", 0, 2, len(files), 1)
    for place, (name, content) in enumerate(files.items()):
        tree += struct.pack(">IHII", len(names), place % 2, 0, len(data))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        packed = struct.pack(">I", len(content)) + zlib.compress(content) if place % 2 else content
        data += struct.pack(">I", len(packed)) + packed
    return b"qres" + struct.pack(">4I", 1, 20, 20 + len(tree), 20 + len(tree) + len(data)) + tree + data + names


def test_archives_of_qt_are_read() -> None:
    files = {"a.webp": b"plain", "b.webp": b"packed" * 9}
    assert dict(photographs.read_qt_archive(qt_archive(files))) == files
    with pytest.raises(ValueError, match="qres"):
        next(photographs.read_qt_archive(b"nothing at all, not even a header"))
