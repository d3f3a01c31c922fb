"""`MuMuLLaMA.transcribe`: a component that a folder may have, kept by saving, loading and converting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import llama
from DataSet.synthesis.composer import compose, sample_attributes
from llama.checkpoint.conversion import convert, verify
from llama.encoders.transcriber import Transcriber, TranscriberConfig, TranscriberNetwork
from llama.media.audio import Waveform
from llama.media.score import Score, timeline

ROOT = Path(__file__).resolve().parents[2]


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


# -- the embedded model's weights -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


def piece(seed: int, **attributes: Any) -> Score:
    rng = np.random.default_rng(seed)
    chosen = replace(sample_attributes(rng, held_out=True), **attributes)
    return compose(rng, chosen, 10.0)


def kept(source: Score, heard: Score) -> float:
    """F1 of the lead's notes: pitch, and begin within 50 ms."""
    left, hits = list(heard.lead), 0
    for note in source.lead:
        match = next((other for other in left if other.pitch == note.pitch and abs(other.start - note.start) < 0.05), None)
        if match is not None:
            left.remove(match)
            hits += 1
    return 2 * hits / max(1, len(source.lead) + len(heard.lead))


def test_the_embedded_model_writes_down_what_it_plays(nano: llama.MuMuLLaMA) -> None:
    sources = [piece(11, style="rock", tempo=128, metre=4, drums=True), piece(12, style="waltz", tempo=120, metre=3, drums=False)]
    scores = [nano.transcribe(nano.music_decoder.render(source)) for source in sources]
    for source, heard in zip(sources, scores, strict=True):
        assert kept(source, heard) > 0.8
        assert heard.attributes.tempo == source.attributes.tempo and heard.attributes.metre == source.attributes.metre
        assert bool(heard.drums) == bool(source.drums)
        lines = [timeline(score.attributes, score.seconds) for score in (source, heard)]
        assert lines[0].bar_count == lines[1].bar_count
    assert kept(sources[0], scores[1]) < 0.3 and kept(sources[1], scores[0]) < 0.3


def test_noise_holds_no_notes(nano: llama.MuMuLLaMA) -> None:
    noise = Waveform(0.1 * torch.randn(1, 5 * 24_000, generator=torch.Generator().manual_seed(0)), 24_000)
    with pytest.raises(ValueError, match="no notes"):
        nano.transcribe(noise)
