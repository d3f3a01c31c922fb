"""Embedders on our own encoders: `nano`, the audio encoder of one of our models, and `mert`, a MERT by itself."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from llama.encoders.mert import MERTEncoder
from llama.evaluation.window_embedder import ModelSpec, Placement, WindowEmbedder
from llama.media.audio import Waveform
from llama.modules.adapters import ChannelMix
from llama.mumu_llama import MuMuLLaMA, load

NANO_SECONDS = 1.0  # window of nano: short ones give the number of embeddings that FAD needs, and tempo is not what they measure
MERT_SECONDS = 5.0  # window of MERT, the length it was trained with


class NanoEmbedder(WindowEmbedder):
    """The audio encoder of one of our models: its states, mixed as the model's adapter learned to, averaged over the window.

    Works offline with ckpts/nano, 192 dimensions. Trained on rendered music alone, so that its distances compare systems with one another
    and with no published FAD.
    """

    def __init__(self, spec: ModelSpec, placement: Placement, model: MuMuLLaMA | None = None) -> None:
        """model: one that is loaded already; else the one of `spec`."""
        self.model = model if model is not None else load(spec.path, device=placement.device, dtype=placement.dtype)
        if self.model.mert is None:
            raise ValueError(f"The model {spec.path} was saved without its audio encoder; give one that has it.")
        self.encoder: MERTEncoder = self.model.mert
        super().__init__(spec, placement, self.encoder.sample_rate, round(NANO_SECONDS * self.encoder.sample_rate))

    def embed_windows(self, windows: Tensor) -> Tensor:
        states = encode(self.encoder, windows)
        mix = cast(ChannelMix, self.model.adapters["audio"].mix)
        return mix(states.to(self.model.dtype)).mean(1)


class MertEmbedder(WindowEmbedder):
    """A MERT (arXiv 2306.00107): the last hidden state, averaged over the window."""

    def __init__(self, spec: ModelSpec, placement: Placement) -> None:
        self.encoder = MERTEncoder.from_folder(spec.path, placement.dtype, spec.revision).to(placement.device)
        super().__init__(spec, placement, self.encoder.sample_rate, round(MERT_SECONDS * self.encoder.sample_rate))

    def embed_windows(self, windows: Tensor) -> Tensor:
        last = self.encoder.model.config.num_hidden_layers  # a spectrum may follow
        return encode(self.encoder, windows)[:, last].mean(1)


def encode(encoder: MERTEncoder, windows: Tensor) -> Tensor:
    """States [b, L, T, F] of windows [b, N], each normalised as the encoder's preprocessor says."""
    prepared = [encoder.windows(Waveform(window[None], encoder.sample_rate))[0] for window in windows]
    return encoder.encode(torch.stack(prepared))
