"""The prototype index: features move half-way to their nearest prototypes and stay unit vectors."""

from __future__ import annotations

from pathlib import Path

import faiss
import pytest
import torch
import torch.nn.functional as F

import llama
from llama.dialogue import Turn
from llama.media.audio import Waveform
from llama.modules.retrieval import PrototypeIndex


def write_index(folder: Path, prototypes: torch.Tensor) -> None:
    index = faiss.IndexFlatIP(prototypes.shape[1])
    index.add(prototypes.numpy())
    faiss.write_index(index, str(folder / "knn.index"))


def test_features_move_half_way_to_their_prototypes(tmp_path: Path) -> None:
    prototypes = F.normalize(torch.randn(40, 16), dim=-1)
    write_index(tmp_path, prototypes)
    features = F.normalize(torch.randn(3, 16), dim=-1).requires_grad_()
    drawn = PrototypeIndex.read(tmp_path)(features)
    similarity = features.detach() @ prototypes.T
    best, found = similarity.topk(10)
    mean = F.normalize(((20 * best).softmax(-1)[..., None] * prototypes[found]).sum(1), dim=-1)
    assert torch.allclose(drawn, F.normalize(0.5 * features + 0.5 * mean, dim=-1), atol=1e-5)
    drawn.sum().backward()
    assert features.grad is not None and features.grad.abs().sum() > 0


def test_the_index_changes_the_audio_prompt(tmp_path: Path, published: llama.MuMuLLaMA) -> None:
    write_index(tmp_path, F.normalize(torch.randn(40, 32), dim=-1))
    turn = Turn(audio=Waveform(torch.randn(1, 24_000) * 0.1, 24_000))
    with torch.no_grad():
        plain = published.encode([turn]).audio
        published.prototypes = PrototypeIndex.read(tmp_path)
        drawn = published.encode([turn]).audio
        published.prototypes = None
    assert not torch.allclose(plain, drawn, atol=1e-3)


def test_missing_and_broken_indexes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--knn_dir"):
        PrototypeIndex.read(tmp_path)
    (tmp_path / "knn.index").write_bytes(b"not an index")
    with pytest.raises(ValueError, match="faiss can read"):
        PrototypeIndex.read(tmp_path)
    write_index(tmp_path, torch.zeros(0, 16))
    with pytest.raises(ValueError, match="holds no prototypes"):
        PrototypeIndex.read(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_prototypes_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    write_index(tmp_path, torch.full((12, 16), value))
    with pytest.raises(ValueError, match="not finite"):
        PrototypeIndex.read(tmp_path)(torch.randn(2, 16))


def test_bytes_that_ask_for_any_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: str) -> None:
        raise MemoryError("std::bad_alloc")

    write_index(tmp_path, torch.randn(12, 16))
    monkeypatch.setattr(faiss, "read_index", failing)
    with pytest.raises(ValueError, match="faiss can read"):
        PrototypeIndex.read(tmp_path)
