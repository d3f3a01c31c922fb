"""MERT, the frozen audio encoder (arXiv 2306.00107), on stock transformers.

MERT is a HuBERT with other weights, so its remote code is not needed. Shapes: B recordings, N samples, L layers, T time
steps, F features.
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
from llama.media.audio import Waveform
from llama.media.audio_reader import MINUTE
from llama.ranges import check_keys

WINDOW = MINUTE  # seconds that are encoded at a time
MIN_TAIL_SECONDS = 1  # a shorter rest is encoded with the window before it
VARIANCE_FLOOR = 1e-7  # added to the variance in the published audio normalisation


class Encoder(Protocol):
    """An encoder as the understanding adapters need it: width and states."""

    feature_dim: int

    def encode(self, media: Tensor) -> Tensor: ...  # [B, ...] -> [B, L, T, F]


class MERTEncoder(FrozenEncoder):
    """Audio encoder: all hidden states of windows of a recording; `states` = layers + 1.

    With "spectrum" in the preprocessor (an object with SpectrumConfig's fields, {} for its defaults) there is one more state:
    the spectrum, padded with zeros to the width of the others. The published encoders have none.
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
        """Windows `[N]` of the recording, mono at the encoder's rate: 60 s each, the last up to 61 s.

        Each window is normalised separately if the preprocessor says so. A window shorter than the receptive field is
        padded with zeros.
        """
        samples = wave.mono().resample(self.sample_rate).samples[0]
        length, total = WINDOW * self.sample_rate, len(samples)
        tail = MIN_TAIL_SECONDS * self.sample_rate
        starts = [start for start in range(0, total, length) if start == 0 or total - start >= tail]
        return [self._normalize(samples[start:end]) for start, end in zip(starts, [*starts[1:], total], strict=True)]

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """States `[B, states, T, F]` of samples `[B, N]`: the embedding, then each layer, the last after the final norm.

        Rows must be complete windows of one length: the group norm normalises over time, so padding would change the states.
        """
        with no_autocast(self.model.device):
            out = self.model(samples.to(self.model.device, self.dtype), output_hidden_states=True)
            # transformers 5 lists the last layer before the final norm; the published states have it after the norm.
            states = [*out.hidden_states[:-1], out.last_hidden_state]
            if self.spectrum is not None:
                bands = self.spectrum(samples.to(self.model.device), states[0].shape[1])
                states.append(nn.functional.pad(bands, (0, self.feature_dim - bands.shape[-1])).to(states[0].dtype))
        return torch.stack(states, dim=1)

    def _spectrum(self, config: PretrainedConfig) -> Spectrum | None:
        options = self.preprocessor.get("spectrum")
        if options is None:
            return None
        check_keys("spectrum", SpectrumConfig, options)
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        spectrum_config = SpectrumConfig(**values)
        if spectrum_config.bands > self.feature_dim:
            raise ValueError(
                f"A spectrum of {spectrum_config.bands} bands does not fit into states of width {self.feature_dim}; ask for fewer."
            )
        return Spectrum(spectrum_config, self.sample_rate, math.prod(config.conv_stride), self.receptive_field)

    def _normalize(self, samples: Tensor) -> Tensor:
        """One window [N], normalised and padded to the receptive field."""
        if self.preprocessor["do_normalize"]:
            samples = (samples - samples.mean()) / torch.sqrt(samples.var(correction=0) + VARIANCE_FLOOR)
        return nn.functional.pad(samples, (0, max(0, self.receptive_field - len(samples))))


def _receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Samples that one output of stacked convolutions depends on."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field
