"""Encodec's decoder piece by piece, equal to decoding the whole: the recurrent layer carries its state, the rest overlaps.

Architecture: Defossez et al. 2022, "High Fidelity Neural Audio Compression". Everything after the recurrent layer has a
finite reach, so a piece decoded with that much context on both sides is exact; only a little sound is held back.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import EncodecModel


def can_stream(codec: nn.Module) -> bool:
    """Whether pieces can equal the whole: one recurrent layer, no chunking, no normalisation over time."""
    if not isinstance(codec, EncodecModel) or codec.config.chunk_length_s is not None:
        return False
    recurrent = [layer for layer in codec.decoder.layers if hasattr(layer, "lstm")]
    return codec.config.norm_type == "weight_norm" and len(recurrent) == 1


class EncodecStream:
    """Feed codes [B, K, n] from the beginning, growing; get the sound that became final since the last call."""

    def __init__(self, codec: EncodecModel):
        config, layers = codec.config, list(codec.decoder.layers)
        cut = next(index for index, layer in enumerate(layers) if hasattr(layer, "lstm"))
        self.codec, self.hop = codec, math.prod(config.upsampling_ratios)
        self.head, self.recurrent, self.tail = layers[:cut], layers[cut].lstm, layers[cut + 1 :]
        self.head_reach = config.kernel_size - 1
        self.tail_reach = _tail_reach(config)
        self.states: Tensor | None = None  # [B, C, m]: output of the recurrent layer so far
        self.memory: tuple[Tensor, Tensor] | None = None
        self.done = 0  # frames already turned into sound

    def feed(self, codes: Tensor, last: bool) -> Tensor:
        """Sound [B, C, n]; `last` says that no more codes follow, so that nothing is held back."""
        self._remember(codes, last)
        assert self.states is not None
        known = self.states.shape[-1]
        stop = known if last else max(self.done, known - self.tail_reach)
        low, high = max(0, self.done - self.tail_reach), known if last else min(known, stop + self.tail_reach)
        if stop == self.done:
            return self.states.new_zeros(codes.shape[0], self.codec.config.audio_channels, 0)
        sound = _through(self.tail, self.states[..., low:high])
        sound = sound[..., (self.done - low) * self.hop : (stop - low) * self.hop]
        self.done = stop
        return sound

    def _remember(self, codes: Tensor, last: bool) -> None:
        """Run the part before the recurrent layer, and that layer, over the frames that are certain by now."""
        start = 0 if self.states is None else self.states.shape[-1]
        stop = codes.shape[-1] if last else max(start, codes.shape[-1] - self.head_reach)
        low = max(0, start - self.head_reach)
        embedded = self.codec.quantizer.decode(codes[:, :, low:].transpose(0, 1))
        fresh = _through(self.head, embedded)[..., start - low : stop - low]
        if fresh.shape[-1]:
            series = fresh.permute(2, 0, 1)
            output, self.memory = self.recurrent(series, self.memory)
            fresh = (output + series).permute(1, 2, 0)
        self.states = fresh if self.states is None else torch.cat([self.states, fresh], -1)


def _through(layers: list[nn.Module], states: Tensor) -> Tensor:
    for layer in layers:
        states = layer(states)
    return states


def _tail_reach(config) -> int:  # noqa: ANN001 - any Encodec config
    """Frames on either side that a sample may depend on after the recurrent layer: a bound for causal convolutions too."""
    reach, rate = 0.0, 1.0
    for ratio in config.upsampling_ratios:
        reach += 2 / rate  # a transposed convolution of kernel 2 * ratio touches its neighbours only
        rate *= ratio
        dilated = sum(config.dilation_growth_rate**block for block in range(config.num_residual_layers))
        reach += (config.residual_kernel_size - 1) * dilated / rate
    return math.ceil(reach + (config.last_kernel_size - 1) / rate) + 1
