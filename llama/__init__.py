"""MuMu-LLaMA: a language model that understands and generates music. This package exports the public names.

Exports are lazy: a module is imported when one of its names is first used, so that `--help` does not load torch.
"""

from __future__ import annotations

import os
import sys
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


def _disable_telemetry() -> None:
    """Turns the hub library's usage statistics off, which every load would else send; HF_HUB_DISABLE_TELEMETRY=0 keeps them."""
    setting = os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    hub = sys.modules.get("huggingface_hub.constants")
    if hub is not None and setting == "1":  # it was imported first, and reads the environment only then
        hub.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]


_disable_telemetry()

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
