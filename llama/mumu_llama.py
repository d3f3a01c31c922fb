"""MuMuLLaMA: the model with its user interface - load, respond, stream, save (arXiv 2412.06660).

It adds to `MuMuModel` the methods that need generation and checkpoints, as `LlamaForCausalLM` does to `LlamaModel` in transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import torch

from llama import responding
from llama.checkpoint import loading, pretrained
from llama.checkpoint.source import ModelSource
from llama.dialogue import Reply, Turn
from llama.editing import write_down
from llama.generation import Event, GenerationOptions
from llama.media.audio import Waveform
from llama.media.score import Score
from llama.mumu_model import ModalityFeatures, MuMuModel

__all__ = ["ModalityFeatures", "MuMuLLaMA", "load"]


class MuMuLLaMA(MuMuModel):
    """A model that understands music, images and video and generates music. Load it with `llama.load` or `from_pretrained`."""

    @overload
    def respond(self, turn: Turn, options: GenerationOptions | None = None) -> Reply: ...

    @overload
    def respond(self, turn: Sequence[Turn], options: GenerationOptions | None = None) -> list[Reply]: ...

    def respond(self, turn: Turn | Sequence[Turn], options: GenerationOptions | None = None) -> Reply | list[Reply]:
        """Answers a turn with a `Reply`, or a list of turns with a list of replies, each equal to that of its turn alone.

        Raises ValueError, in one sentence, for a turn that this model cannot answer.
        """
        if isinstance(turn, Turn):
            return responding.respond(self, [turn], options)[0]
        return responding.respond(self, list(turn), options)

    def stream(self, turn: Turn, options: GenerationOptions | None = None) -> Iterator[Event]:
        """Answers a turn as events: `TextDelta`s, then `MusicChunk`s, then one `Done` with the complete `Reply`."""
        return responding.stream(self, turn, options)

    def transcribe(self, audio: Waveform | str | Path) -> Score:
        """The score of a recording, or of a sound file: melody, chords, bass and drums on the beats that are heard in it.

        The score begins at the first bar: what the recording has before it is left out.
        Raises ValueError, in one sentence, for a model without a transcriber, and for recordings in which there are no notes.
        """
        return write_down(self, audio if isinstance(audio, Waveform) else Waveform.read(audio))

    @classmethod
    def from_pretrained(cls, folder: str | Path, **arguments: Any) -> Self:
        """Loads a model in the project's format from a folder or a hub name; see `llama.checkpoint.pretrained.from_pretrained`."""
        return pretrained.from_pretrained(folder, model_class=cls, **arguments)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes the model in the project's format; see `llama.checkpoint.pretrained.save_pretrained`."""
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
    """Loads a model in eval mode.

    model: a folder in the project's format or a hub name, a published checkpoint or a folder with checkpoint.pth, a folder
        that training wrote (OUTPUT_DIR/last; arguments that contradict its base raise ValueError), or None to start training
        from llama_dir and the components. Weights in a checkpoint override those of the folders.
    llama_dir: the folder of the LLaMA's shards and tokenizer. llama_type: its sub-folder with the weights, such as "7B".
    mert_path, vit_path, vivit_path, music_decoder_path: folders of the components. Components of the published sizes need
        none. Folders in the project's format hold their components: with them only knn_dir has an effect, and
        music_decoder_path if the model was saved without a decoder.
    knn_dir: the folder of the audio prototypes for retrieval.
    music_decoder: "musicgen" or "audioldm2"; None takes the one that the model was trained for.
    device: the CPU by default; "cuda", "cuda:N" or "mps" where there is one.
    dtype: of all weights. None keeps the LLaMA's own, but computes in float32 where a CPU would get float16. "stored" keeps
        the dtype of each weight, for conversion only: a model of mixed dtypes cannot run.
    merge_lora: adds the LoRA weights to the LLaMA's, for faster inference.
    verify: checks LLaMA's shards against checklist.chk.
    precise: which of the model's own weights, by name, become float32 in any case, for training; such a model of mixed dtypes
        runs under autocast alone.
    Raises ValueError or FileNotFoundError with one sentence on what is missing or does not fit.
    """
    source = ModelSource(
        model, llama_dir, llama_type, mert_path, vit_path, vivit_path, music_decoder, music_decoder_path, knn_dir
    )
    return loading.load_model(
        source, MuMuLLaMA, device=device, dtype=dtype, merge_lora=merge_lora, verify=verify, keep_float32=precise
    )
