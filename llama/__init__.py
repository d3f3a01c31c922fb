"""MuMu-LLaMA: one model that hears music and makes it. These are the public names; nothing happens at import.

A name's room is opened when the name is first asked for, so that a command's `--help` need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama.config import AdapterConfig, DecoderSpec, LlamaConfig, MuMuConfig, ProjectorConfig
    from llama.dialogue import Reply, Turn, format_prompt
    from llama.generation import Done, GenerationOptions, MusicChunk, TextDelta
    from llama.media.audio import Waveform
    from llama.modules.transformer import MuMuOutput
    from llama.mumu_llama import MuMuLLaMA, load
    from llama.mumu_model import ModalityFeatures

LAZY_EXPORTS = {
    "media.audio": ("Waveform",),
    "config": ("AdapterConfig", "DecoderSpec", "LlamaConfig", "MuMuConfig", "ProjectorConfig"),
    "dialogue": ("Reply", "Turn", "format_prompt"),
    "generation": ("Done", "GenerationOptions", "MusicChunk", "TextDelta"),
    "mumu_llama": ("MuMuLLaMA", "load"),
    "mumu_model": ("ModalityFeatures",),
    "modules.transformer": ("MuMuOutput",),
}
EXPORT_MODULES = {name: module for module, names in LAZY_EXPORTS.items() for name in names}

__all__ = [
    "AdapterConfig",
    "DecoderSpec",
    "Done",
    "GenerationOptions",
    "LlamaConfig",
    "ModalityFeatures",
    "MuMuConfig",
    "MuMuLLaMA",
    "MuMuOutput",
    "MusicChunk",
    "ProjectorConfig",
    "Reply",
    "TextDelta",
    "Turn",
    "Waveform",
    "format_prompt",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in EXPORT_MODULES:
        raise AttributeError(f"module 'llama' has no attribute {name!r}")
    return getattr(import_module(f"llama.{EXPORT_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
