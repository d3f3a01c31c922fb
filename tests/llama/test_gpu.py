"""On a GPU the answers equal those of the CPU. Skipped without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import llama
from llama import GenerationOptions, Turn, Waveform
from llama.mumu_llama import MuMuLLaMA

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

WORDS = GenerationOptions(max_tokens=24, music=False)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in full float32, which a GPU shortens unless it is told."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def load(file: Path, golden: Path, device: str, dtype: torch.dtype) -> MuMuLLaMA:
    parts = golden / "components"
    paths = {f"{name}_path": parts / name for name in ("mert", "vit", "vivit")}
    return llama.load(file, llama_dir=parts / "llama", **paths, music_decoder_path=parts / "musicgen", device=device, dtype=dtype)


def turns(golden: Path) -> list[Turn]:
    """Words alone, each medium, and all of them."""
    inputs = load_file(golden / "inputs.safetensors")
    wave, frames = Waveform(inputs["audio_24k"][None], 24_000), inputs["video_thwc_uint8"].numpy()
    picture = (inputs["image_chw_float01"] * 255).to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(picture))
    return [Turn("What is this?"), Turn("What is this?", audio=wave), Turn("What is this?", image=image),
            Turn("What is this?", video=frames), Turn("What is this?", audio=wave, image=image, video=frames)]


def test_greedy_tokens_are_those_of_the_cpu(golden: Path) -> None:
    file = golden / "m2ugen/model.safetensors"
    here, there = (load(file, golden, device, torch.float32) for device in ("cpu", "cuda"))
    for turn in turns(golden):
        assert there.respond(turn, WORDS).tokens == here.respond(turn, WORDS).tokens
    answers = [reply.tokens for reply in there.respond(turns(golden), WORDS)]
    assert answers == [reply.tokens for reply in here.respond(turns(golden), WORDS)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_known_answer_and_its_music(golden: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    """Weights that say "A warm piano" and the eight audio tokens: in half the precision too, to sound of the exact length."""
    state = load_file(golden / "m2ugen/model.safetensors") | load_file(golden / "m2ugen/scripted_overlay.safetensors")
    torch.save({"model": state}, tmp_path / "checkpoint.pth")
    model = load(tmp_path / "checkpoint.pth", golden, "cuda", dtype)
    reply = model.respond(Turn("A slow piece"), GenerationOptions(seconds=0.5, seed=3))
    assert reply.text == "A warm piano" and reply.finish == "music"
    assert reply.music.samples.shape[1] == round(0.5 * reply.music.sample_rate) and reply.music.samples.device.type == "cpu"
    again = model.respond(Turn("A slow piece"), GenerationOptions(seconds=0.5, seed=3))
    torch.testing.assert_close(again.music.samples, reply.music.samples, rtol=0, atol=1e-3)
