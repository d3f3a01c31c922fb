"""Frozen neighbours that listen and look: MERT, ViT and ViViT, thin over stock transformers.

MERT (arXiv 2306.00107) is a HuBERT with other weights, so its own remote code is not needed. Shapes: B recordings or
pictures, N samples, L layers, T time steps, F features, H W pixels. Weights go in and out under their published names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import (
    HubertConfig,
    HubertModel,
    PretrainedConfig,
    PreTrainedModel,
)

from llama.encoders.base import FrozenEncoder
from llama.encoders.cqt import Spectrum, SpectrumConfig
from llama.hf import no_autocast
from llama.media.audio import MINUTE, Waveform

WINDOW = MINUTE  # seconds heard at a time
MIN_TAIL_SECONDS = 1  # seconds; a shorter rest is heard with the window before it
VARIANCE_FLOOR = 1e-7  # of the published audio normalisation


class Encoder(Protocol):
    """What understanding needs of a neighbour: its width and its states."""

    feature_dim: int

    def encode(self, media: Tensor) -> Tensor: ...  # [B, ...] -> [B, L, T, F]


class MERTEncoder(FrozenEncoder):
    """Hears: windows of a recording -> all hidden states, `states` = layers + 1.

    With "spectrum" in the preprocessor (an object with SpectrumConfig's fields, {} for its defaults) one state more: the
    spectrum, as wide as the others by zeros. The published encoders have none.
    """

    model_class, config_class, kind = HubertModel, HubertConfig, "mert"

    def __init__(self, model: PreTrainedModel, preprocessor: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, preprocessor)
        self.sample_rate: int = self.preprocessor["sampling_rate"]
        self.receptive_field: int = _receptive_field(model.config.conv_kernel, model.config.conv_stride)  # samples
        self.spectrum = self._spectrum(model.config)
        self.states: int = model.config.num_hidden_layers + 1 + (self.spectrum is not None)

    @classmethod
    def default_preprocessor(cls, config: PretrainedConfig) -> dict[str, Any]:
        return {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "sampling_rate": 24_000,
                "padding_value": 0.0, "padding_side": "right", "do_normalize": True, "return_attention_mask": True}

    @classmethod
    def expected_shapes(cls, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
        width, inner = config.hidden_size, config.intermediate_size
        return {"feature_extractor.conv_layers.0.conv.weight": (config.conv_dim[0], 1, config.conv_kernel[0]),
                "feature_projection.projection.weight": (width, config.conv_dim[-1]),
                "encoder.layers.0.feed_forward.intermediate_dense.weight": (inner, width)}

    def windows(self, wave: Waveform) -> list[Tensor]:
        """The whole recording in mono at the encoder's rate: windows `[N]` of 60 s, the last of up to 61 s.

        Each is normalised alone if the preprocessor says so; one shorter than the receptive field is filled with zeros.
        """
        samples = wave.mono().resample(self.sample_rate).samples[0]
        length, total = WINDOW * self.sample_rate, len(samples)
        tail = MIN_TAIL_SECONDS * self.sample_rate
        starts = [start for start in range(0, total, length) if start == 0 or total - start >= tail]
        pieces = [samples[start:end] for start, end in zip(starts, [*starts[1:], total], strict=True)]
        return [self._prepared(piece) for piece in pieces]

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """`[B, N]` samples -> `[B, states, T, F]`: the embedding, then each layer, the last after the final norm.

        Rows must be whole windows of one length: padding would change what the group norm hears.
        """
        with no_autocast(self.model.device):
            out = self.model(samples.to(self.model.device, self.dtype), output_hidden_states=True)
            # transformers 5 lists the last layer before the final norm; the published states hold it after.
            states = [*out.hidden_states[:-1], out.last_hidden_state]
            if self.spectrum is not None:
                bands = self.spectrum(samples.to(self.model.device), states[0].shape[1])
                states.append(nn.functional.pad(bands, (0, self.feature_dim - bands.shape[-1])).to(states[0].dtype))
        return torch.stack(states, dim=1)

    def _spectrum(self, config: PretrainedConfig) -> Spectrum | None:
        wanted = self.preprocessor.get("spectrum")
        if wanted is None:
            return None
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in wanted.items()}
        given = SpectrumConfig(**values)
        if given.bands > self.feature_dim:
            raise ValueError(f"A spectrum of {given.bands} bands does not fit into states of width {self.feature_dim}; ask for fewer.")
        return Spectrum(given, self.sample_rate, math.prod(config.conv_stride), self.receptive_field)

    def _prepared(self, piece: Tensor) -> Tensor:
        if self.preprocessor["do_normalize"]:
            piece = (piece - piece.mean()) / torch.sqrt(piece.var(correction=0) + VARIANCE_FLOOR)
        return nn.functional.pad(piece, (0, max(0, self.receptive_field - len(piece))))


def _receptive_field(kernels: list[int], strides: list[int]) -> int:
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field
