"""Streaming decoder of Encodec; equal to decoding all codes at once.

Architecture: Defossez et al. 2022, "High Fidelity Neural Audio Compression". The recurrent layer carries its state from
piece to piece. The convolutions after it have a finite receptive field, so a piece decoded with that much context on both
sides is exact; the sound of the last few frames waits for the next piece.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from transformers import EncodecModel


def can_stream(codec: nn.Module) -> TypeGuard[EncodecModel]:
    """Whether streamed pieces equal the whole: one recurrent layer, no chunking, no normalisation over time."""
    if not isinstance(codec, EncodecModel) or codec.config.chunk_length_s is not None:
        return False
    recurrent = [layer for layer in codec.decoder.layers if hasattr(layer, "lstm")]
    return codec.config.norm_type == "weight_norm" and len(recurrent) == 1


class EncodecStream:
    """Decodes codes that grow: each call gets all codes so far and returns the sound that became final."""

    def __init__(self, codec: EncodecModel):
        config, layers = codec.config, list(codec.decoder.layers)
        recurrent_index = next(index for index, layer in enumerate(layers) if hasattr(layer, "lstm"))
        self.codec, self.hop = codec, math.prod(config.upsampling_ratios)
        self.head, self.recurrent, self.tail = layers[:recurrent_index], layers[recurrent_index].lstm, layers[recurrent_index + 1 :]
        self.head_reach = config.kernel_size - 1
        self.tail_reach = _tail_reach(config)
        self.states: Tensor | None = None  # [B, C, m]: output of the recurrent layer so far
        self.recurrent_state: tuple[Tensor, Tensor] | None = None
        self.decoded_frames = 0  # frames whose sound has been returned

    def feed(self, codes: Tensor, last: bool) -> Tensor:
        """New sound [B, C, n] of codes [B, K, m], m growing from call to call; `last`: no more codes follow, return all sound."""
        self._extend_states(codes, last)
        assert self.states is not None
        frames = self.states.shape[-1]
        stop = frames if last else max(self.decoded_frames, frames - self.tail_reach)
        low, high = max(0, self.decoded_frames - self.tail_reach), frames if last else min(frames, stop + self.tail_reach)
        if stop == self.decoded_frames:
            return self.states.new_zeros(codes.shape[0], self.codec.config.audio_channels, 0)
        sound = _apply_layers(self.tail, self.states[..., low:high])
        sound = sound[..., (self.decoded_frames - low) * self.hop : (stop - low) * self.hop]
        self.decoded_frames = stop
        return sound

    def _extend_states(self, codes: Tensor, last: bool) -> None:
        """Run the layers up to the recurrent one over the frames that later codes cannot change."""
        start = 0 if self.states is None else self.states.shape[-1]
        stop = codes.shape[-1] if last else max(start, codes.shape[-1] - self.head_reach)
        low = max(0, start - self.head_reach)
        embedded = self.codec.quantizer.decode(codes[:, :, low:].transpose(0, 1))
        new = _apply_layers(self.head, embedded)[..., start - low : stop - low]
        if new.shape[-1]:
            series = new.permute(2, 0, 1)
            output, self.recurrent_state = self.recurrent(series, self.recurrent_state)
            new = (output + series).permute(1, 2, 0)
        self.states = new if self.states is None else torch.cat([self.states, new], -1)


def _apply_layers(layers: list[nn.Module], states: Tensor) -> Tensor:
    for layer in layers:
        states = layer(states)
    return states


def _tail_reach(config: Any) -> int:
    """Frames on either side that a sample can depend on after the recurrent layer; an upper bound for causal convolutions."""
    reach, rate = 0.0, 1.0
    for ratio in config.upsampling_ratios:
        reach += 2 / rate  # a transposed convolution of kernel 2 * ratio reaches one frame to each side
        rate *= ratio
        dilated = sum(config.dilation_growth_rate**block for block in range(config.num_residual_layers))
        reach += (config.residual_kernel_size - 1) * dilated / rate
    return math.ceil(reach + (config.last_kernel_size - 1) / rate) + 1
