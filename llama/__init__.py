"""MuMu-LLaMA: one model that hears music and makes it. These are the public names; nothing happens at import."""

from llama.audio import Waveform
from llama.checkpoint import load
from llama.config import AdapterConfig, DecoderSpec, LlamaConfig, MuMuConfig, ProjectorConfig
from llama.dialogue import Reply, Turn, format_prompt
from llama.generation import Done, GenerationOptions, MusicChunk, TextDelta
from llama.mumu_llama import ModalityFeatures, MuMuLLaMA
from llama.transformer import MuMuOutput

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
