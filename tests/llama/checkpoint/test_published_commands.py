"""The published commands, unchanged, on tiny checkpoints in the published folder layout."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import torch
from conftest import GOLDEN, component_paths
from safetensors.torch import load_file
from test_audioldm2 import text_parts, tiny

import demo.server.app
import gradio_app
import llama
from llama.dialogue import Turn
from llama.generation import GenerationOptions

OPTIONS = GenerationOptions(max_tokens=40, seconds=0.5)


@pytest.fixture()
def tree(published_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ckpts/ in it; the tiny components are named beside the published flags, their sizes being unknown."""
    shutil.copytree(published_tree, tmp_path / "ckpts")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def open_page(command: str, monkeypatch: pytest.MonkeyPatch) -> llama.MuMuLLaMA:
    """The model of the page that `command` opens, without serving it."""
    opened: list[llama.MuMuLLaMA] = []
    monkeypatch.setattr(gradio_app, "build_application", lambda model, *_, **__: opened.append(model))
    monkeypatch.setattr(demo.server.app, "serve", lambda *_, **__: None)
    paths = [part for name in ("mert", "vit", "vivit") for part in (f"--{name}_path", str(component_paths()[f"{name}_path"]))]
    monkeypatch.setattr("sys.argv", [*shlex.split(command)[1:], *paths])
    assert gradio_app.main() == 0
    return opened[0]


def scripted_state() -> dict[str, torch.Tensor]:
    """The weights that say "A warm piano" and the eight audio tokens."""
    return load_file(GOLDEN / "m2ugen/model.safetensors") | load_file(GOLDEN / "m2ugen/scripted_overlay.safetensors")


def test_the_musicgen_command(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": scripted_state()}, tree / "ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth")
    command = (
        "python gradio_app.py --model ./ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth --llama_dir ./ckpts/LLaMA-2 --music_decoder musicgen "
        f"--music_decoder_path {shlex.quote(str(GOLDEN / 'components/musicgen'))}"
    )
    reply = open_page(command, monkeypatch).respond(Turn("Play"), OPTIONS)
    assert reply.text == "A warm piano" and reply.music is not None and reply.music.seconds == 0.5


def test_the_audioldm2_command(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "roberta").mkdir()
    decoder = tiny(**text_parts(GOLDEN, tree / "roberta"))
    decoder.pipeline.save_pretrained(tree / "cvssp/audioldm2")
    state = {name: value for name, value in scripted_state().items() if not name.startswith("generation_model.")}
    width = decoder.condition_shape[1]
    state["output_projector.query_embs"] = torch.randn(1, 1, 32)
    state["output_projector.model.weight"], state["output_projector.model.bias"] = torch.randn(width, 32), torch.zeros(width)
    (tree / "ckpts/MuMu-LLaMA-AudioLDM2").mkdir()
    torch.save({"model": state}, tree / "ckpts/MuMu-LLaMA-AudioLDM2/checkpoint.pth")
    command = (
        "python gradio_app.py --model ./ckpts/MuMu-LLaMA-AudioLDM2/checkpoint.pth --llama_dir ./ckpts/LLaMA-2 "
        "--music_decoder audioldm2 --music_decoder_path cvssp/audioldm2"
    )
    model = open_page(command, monkeypatch)
    model.music_decoder.num_inference_steps = 2
    reply = model.respond(Turn("Play"), OPTIONS)
    assert reply.text == "A warm piano" and reply.music is not None
    assert reply.music.samples.shape[-1] == round(0.5 * model.music_decoder.sample_rate)
    with torch.no_grad():
        model.output_projector.outputs.weight.mul_(-3)
    assert not torch.allclose(reply.music.samples, model.respond(Turn("Play"), OPTIONS).music.samples, atol=1e-4)
    by_words = model.respond(Turn("Play"), GenerationOptions(max_tokens=40, seconds=0.5, conditioning="caption"))
    assert by_words.music is not None and by_words.music.samples.isfinite().all()
