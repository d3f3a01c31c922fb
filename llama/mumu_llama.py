"""MuMuLLaMA: the model with its user interface - load, respond, stream, save (arXiv 2412.06660).

It adds to `MuMuModel` what needs generation and checkpoints, as `LlamaForCausalLM` does to `LlamaModel` in transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import torch

from llama import generation
from llama.checkpoint import loading, pretrained
from llama.checkpoint.source import ModelSource
from llama.dialogue import Reply, Turn
from llama.generation import Event, GenerationOptions
from llama.mumu_model import ModalityFeatures, MuMuModel

__all__ = ["ModalityFeatures", "MuMuLLaMA", "load"]


class MuMuLLaMA(MuMuModel):
    """One model that understands music and makes it. Build it with `llama.load` or `MuMuLLaMA.from_pretrained`."""

    @overload
    def respond(self, turn: Turn, options: GenerationOptions | None = None) -> Reply: ...

    @overload
    def respond(self, turn: Sequence[Turn], options: GenerationOptions | None = None) -> list[Reply]: ...

    def respond(self, turn: Turn | Sequence[Turn], options: GenerationOptions | None = None) -> Reply | list[Reply]:
        """A `Reply` to a turn, or a list of replies to a list of turns; each row answers as it would alone."""
        if isinstance(turn, Turn):
            return generation.respond(self, [turn], options)[0]
        return generation.respond(self, list(turn), options)

    def stream(self, turn: Turn, options: GenerationOptions | None = None) -> Iterator[Event]:
        """`TextDelta`s, then `MusicChunk`s, then one `Done` with the whole `Reply`."""
        return generation.stream(self, turn, options)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **arguments: Any) -> Self:
        """Reads our own format from a folder or a hub name; see `llama.checkpoint.pretrained.from_pretrained`."""
        return pretrained.from_pretrained(folder, model_class=cls, **arguments)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes our own format; see `llama.checkpoint.pretrained.save_pretrained`."""
        pretrained.save_pretrained(self, folder, dtype)


def load(
    model: str | Path | None = None,
    *,
    llama_dir: str | Path | None = None,
    llama_type: str = "7B",
    mert_path: str | Path | None = None,
    vit_path: str | Path | None = None,
    vivit_path: str | Path | None = None,
    music_decoder: str | None = None,
    music_decoder_path: str | Path | None = None,
    knn_dir: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    merge_lora: bool = True,
    verify: bool = False,
    precise: Callable[[str], bool] | None = None,
) -> MuMuLLaMA:
    """A model in eval mode, from whatever holds its weights.

    model: our own folder or hub name, a published checkpoint or a folder with checkpoint.pth, what training wrote
    (OUTPUT_DIR/last; arguments that contradict its base are refused), or None to start training from llama_dir and the
    components. Weights in a checkpoint override those of the folders. Weights of known
    components need no folder; others take their sizes from mert_path, vit_path, vivit_path, music_decoder_path.
    music_decoder: "musicgen" or "audioldm2"; None takes what the model was trained for. Our own folders hold their
    components: of these arguments they take knn_dir, and music_decoder_path if they were saved without a decoder.
    dtype: of all weights; None keeps the LLaMA's own, but computes in float32 where a CPU would get float16; "stored"
    keeps each weight's, for converting only: a model of mixed types cannot run. device: the CPU by default; cuda, cuda:N
    or mps where there is one. verify: check LLaMA's shards against checklist.chk. precise: names of the model's own weights that
    become float32 in any case, for training; such a mixed model runs under autocast alone.
    Raises ValueError or FileNotFoundError with one sentence on what is missing or does not fit.
    """
    source = ModelSource(
        model, llama_dir, llama_type, mert_path, vit_path, vivit_path, music_decoder, music_decoder_path, knn_dir
    )
    return loading.load_model(
        source, MuMuLLaMA, device=device, dtype=dtype, merge_lora=merge_lora, verify=verify, keep_float32=precise
    )
