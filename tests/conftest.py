"""Shared fixtures: the golden values, and the tiny model of them laid out as the published folder tree."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

import llama

if TYPE_CHECKING:
    from api_server import Server

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference values in the published format; tests/golden/README.md says where they come from."""
    return GOLDEN


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny models run fastest so: handing work to threads takes longer than doing it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell's background job ignores Ctrl-C and hands that on to the servers and commands that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture()
def server(tmp_path: Path) -> Iterator[Server]:
    """The API around a scripted engine."""
    from api_server import Server

    made = Server(tmp_path / "sessions")
    yield made
    made.sessions.close_all()


@pytest.fixture(scope="session")
def published_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ckpts/ as the published project lays it out: MuMu-LLaMA-MusicGen/checkpoint.pth and LLaMA-2 with 7B inside."""
    root = tmp_path_factory.mktemp("published") / "ckpts"
    (root / "MuMu-LLaMA-MusicGen").mkdir(parents=True)
    torch.save({"model": load_file(GOLDEN / "m2ugen/model.safetensors")}, root / "MuMu-LLaMA-MusicGen/checkpoint.pth")
    shutil.copytree(GOLDEN / "components/llama", root / "LLaMA-2")
    return root


def component_paths(name: str = "components") -> dict[str, Path]:
    """The arguments of `llama.load` that name the tiny components, whose sizes are not the known ones."""
    folder = GOLDEN / name
    return {f"{part}_path": folder / part for part in ("mert", "vit", "vivit")} | {"music_decoder_path": folder / "musicgen"}


@pytest.fixture(scope="session")
def published(published_tree: Path) -> llama.MuMuLLaMA:
    """The tiny published model, loaded once; tests must not change it."""
    checkpoint = published_tree / "MuMu-LLaMA-MusicGen/checkpoint.pth"
    return llama.load(checkpoint, llama_dir=published_tree / "LLaMA-2", **component_paths())


@pytest.fixture()
def scripted(published_tree: Path, tmp_path: Path) -> llama.MuMuLLaMA:
    """The tiny model overlaid so that it says "A warm piano" and the eight audio tokens."""
    state = load_file(GOLDEN / "m2ugen/model.safetensors") | load_file(GOLDEN / "m2ugen/scripted_overlay.safetensors")
    torch.save({"model": state}, tmp_path / "checkpoint.pth")
    return llama.load(tmp_path / "checkpoint.pth", llama_dir=published_tree / "LLaMA-2", **component_paths())
