"""Stems as a zip: equal lengths, names that say what they are, and a sum that is the mix."""

from __future__ import annotations

import io
import zipfile

import pytest
import soundfile
import torch

from llama.media.audio import Waveform
from llama.media.stems import stems_zip

PARTS = ("lead", "accompaniment", "bass", "drums")


def stems(peak: float = 0.3) -> dict[str, Waveform]:
    generator = torch.Generator().manual_seed(0)
    return {name: Waveform((torch.rand(2, 4000, generator=generator) * 2 - 1) * peak, 32000) for name in PARTS}


def unpacked(data: bytes) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        files = {info.filename: soundfile.read(io.BytesIO(archive.read(info)), dtype="float32")[0] for info in archive.infolist()}
    return {name: torch.from_numpy(samples.T) for name, samples in files.items()}


def test_the_stems_sum_to_the_mix() -> None:
    sounds = unpacked(stems_zip(stems(), "sad-ballad"))
    assert list(sounds) == [f"sad-ballad-{name}.wav" for name in PARTS]
    assert {sound.shape for sound in sounds.values()} == {(2, 4000)}
    mix = torch.stack([wave.samples for wave in stems().values()]).sum(0)
    assert (torch.stack([*sounds.values()]).sum(0) - mix).abs().max() < 1e-6


def test_a_stem_above_full_scale_is_not_clipped() -> None:
    loud = stems(1.7)
    sounds = unpacked(stems_zip(loud, "piece"))
    assert all(torch.equal(sound, wave.samples) for sound, wave in zip(sounds.values(), loud.values(), strict=True))


def test_the_same_stems_give_the_same_bytes() -> None:
    assert stems_zip(stems(), "piece") == stems_zip(stems(), "piece")


@pytest.mark.parametrize(
    ("given", "name", "message"),
    [
        ({}, "piece", "no stems"),
        ({"lead": Waveform(torch.zeros(1, 10), 8000), "bass": Waveform(torch.zeros(1, 11), 8000)}, "piece", "several lengths"),
        ({"lead": Waveform(torch.zeros(1, 10), 8000), "bass": Waveform(torch.zeros(1, 10), 16000)}, "piece", "several lengths or rates"),
        ({"lead": Waveform(torch.zeros(1, 10), 8000)}, "../piece", "file name"),
        ({"../lead": Waveform(torch.zeros(1, 10), 8000)}, "piece", "file name"),
    ],
)  # fmt: skip
def test_what_cannot_be_packed_is_said(given: dict[str, Waveform], name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stems_zip(given, name)
