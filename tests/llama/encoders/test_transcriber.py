"""The transcriber's network: windows equal the whole, files hold the same bits, and damaged folders are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llama.encoders import transcriber as module
from llama.encoders.transcriber import FRAME_OUTPUTS, Transcriber, TranscriberConfig, TranscriberNetwork
from llama.media.audio import Waveform


@pytest.fixture(scope="module")
def small() -> Transcriber:
    torch.manual_seed(0)
    network = TranscriberNetwork(TranscriberConfig(channels=4, width=8, drum_width=8))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Transcriber(network)


def test_windows_join_to_the_whole(small: Transcriber, monkeypatch: pytest.MonkeyPatch) -> None:
    bands = torch.randn(480, small.network.config.spectrum().config.bands)
    with torch.no_grad():
        whole = small.network.features(bands[None])
        monkeypatch.setattr(module, "WINDOW", 160)
        drums_whole = small.network.drums(bands[None])[0]
        notes, time, drums = small.network._windows(bands)
    torch.testing.assert_close(drums, drums_whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(notes, whole[0][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(time, whole[1][0], rtol=1e-4, atol=1e-4)


def test_activations_have_a_frame_for_each_hop_and_ignore_the_level(small: Transcriber) -> None:
    wave = Waveform(torch.randn(2, 48_000) * 0.1, 24_000)
    heard, louder = small.listen(wave), small.listen(Waveform(wave.samples * 5, 24_000))
    assert heard.onsets.shape == heard.sounding.shape == (3, 94, 84)
    assert [heard.beats.shape[1], heard.root.shape[1], heard.quality.shape[1]] == list(FRAME_OUTPUTS.values())
    assert heard.drums.shape == (94, 7)
    torch.testing.assert_close(heard.onsets, louder.onsets, rtol=1e-3, atol=1e-3)


def test_a_tone_lies_in_the_middle_band_of_its_pitch(small: Transcriber) -> None:
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(24_000) / 24_000)[None]
    bands = small.network.bands(Waveform(tone, 24_000))[20:30].mean(0)
    assert int(bands.argmax()) == 3 * (69 - small.network.config.lowest) + 1


def test_saving_and_loading_keeps_the_bits(small: Transcriber, tmp_path: Path) -> None:
    small.save(tmp_path / "one")
    once = Transcriber.from_folder(tmp_path / "one")
    once.save(tmp_path / "two")
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()
    assert once.network.config == small.network.config and not any(parameter.requires_grad for parameter in once.network.parameters())


def test_other_files_are_refused(small: Transcriber, tmp_path: Path) -> None:
    small.save(tmp_path)
    (tmp_path / "config.json").write_text('{"channels": 8}')
    with pytest.raises(ValueError, match="does not fit"):
        Transcriber.from_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"chanels": 8}')
    with pytest.raises(ValueError, match="chanels"):
        Transcriber.from_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"hop": 500}')
    with pytest.raises(ValueError, match="multiple of 16"):
        Transcriber.from_folder(tmp_path)
    small.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        Transcriber.from_folder(tmp_path)
