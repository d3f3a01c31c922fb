"""Reader of the pools that the audio encoder's training exports."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from llama.config import AdapterConfig
from llama.modules.adapters import build_pool
from recipes.nano.rendering.clip_set import AUDIO, LEARNED_POOLS


def learned_pool(name: str, audio: AdapterConfig) -> nn.Module:
    """A new pool with weights."""
    pool = build_pool(name, audio)
    assert pool is not None, name
    return pool


def load_pools(path: Path, audio: AdapterConfig = AUDIO) -> dict[str, nn.Module]:
    """The trained pools, frozen."""
    state, pools = load_file(path), dict[str, nn.Module]()
    for name in LEARNED_POOLS:
        pool = pools[name] = learned_pool(name, audio)
        pool.load_state_dict({key.removeprefix(f"{name}."): value.float() for key, value in state.items() if key.startswith(f"{name}.")})
        pool.requires_grad_(False).eval()
    return pools
