"""`MuMuLLaMA.transcribe`: a component that a folder may have, kept by saving, loading and converting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import llama
from llama.checkpoint.conversion import convert, verify
from llama.encoders.transcriber import Transcriber, TranscriberConfig, TranscriberNetwork
from llama.media.audio import Waveform


@pytest.fixture(scope="module")
def small() -> Transcriber:
    torch.manual_seed(0)
    return Transcriber(TranscriberNetwork(TranscriberConfig(channels=4, width=8)))


def test_a_model_without_a_transcriber_says_so(published: llama.MuMuLLaMA) -> None:
    assert published.transcriber is None
    with pytest.raises(ValueError, match="no transcriber"):
        published.transcribe(Waveform(torch.zeros(1, 100_000), 16_000))


def test_folders_keep_the_transcriber_and_its_bits(scripted: llama.MuMuLLaMA, small: Transcriber, tmp_path: Path) -> None:
    weights = set(scripted.state_dict())
    scripted.transcriber = small
    assert set(scripted.state_dict()) == weights, "its weights are none of the model's"
    scripted.save_pretrained(tmp_path / "own")
    loaded = llama.load(tmp_path / "own", dtype=torch.bfloat16)
    assert loaded.transcriber is not None and loaded.transcriber.network.stem.weight.dtype == torch.float32
    loaded.save_pretrained(tmp_path / "again")
    convert(str(tmp_path / "own"), str(tmp_path / "converted"))
    bits = [(tmp_path / name / "transcriber/model.safetensors").read_bytes() for name in ("own", "again", "converted")]
    assert bits[0] == bits[1] == bits[2]
    assert "fit config.json" in verify(str(tmp_path / "own"))


def test_a_damaged_transcriber_is_named(scripted: llama.MuMuLLaMA, small: Transcriber, tmp_path: Path) -> None:
    scripted.transcriber = small
    scripted.save_pretrained(tmp_path / "own")
    (tmp_path / "own/transcriber/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="transcriber/model.safetensors is damaged"):
        verify(str(tmp_path / "own"))


def test_a_file_that_is_missing_is_named(scripted: llama.MuMuLLaMA, small: Transcriber, tmp_path: Path) -> None:
    scripted.transcriber = small
    with pytest.raises(FileNotFoundError, match=r"nothing\.wav"):
        scripted.transcribe(tmp_path / "nothing.wav")
    small.save(tmp_path / "own")
    (tmp_path / "own/model.safetensors").unlink()
    with pytest.raises(ValueError, match="transcriber's folder"):
        Transcriber.from_folder(tmp_path / "own")
