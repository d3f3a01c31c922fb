"""Reader of the pools that the audio encoder's training exports."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from llama.config import AdapterConfig
from llama.modules.adapters import build_pool
from recipes.nano.rendering.clip_set import AUDIO, LEARNED_POOLS


def load_pools(path: Path, audio: AdapterConfig = AUDIO) -> dict[str, nn.Module]:
    """The trained pools, frozen."""
    state, pools = load_file(path), {}
    for name in LEARNED_POOLS:
        pools[name] = build_pool(name, audio)
        pools[name].load_state_dict({key.removeprefix(f"{name}."): value.float() for key, value in state.items() if key.startswith(f"{name}.")})
        pools[name].requires_grad_(False).eval()
    return pools
