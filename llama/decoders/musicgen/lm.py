"""Language model of music codes: decoding loop for a stock transformers MusicGen, with a preallocated key-value cache.

The conditional and unconditional rows of classifier-free guidance are one batch. Shapes: B rows, N = 2B rows with guidance
(conditional first), K codebooks, F frames, V codes of a codebook, S condition tokens, T new positions, P positions of the
cache, d model width, w head width. Column s of the delay pattern holds frame s - delay[k] of codebook k (Copet et al. 2023,
"Simple and Controllable Music Generation").
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MusicgenForConditionalGeneration

from llama.decoders.musicgen.sampling import CodeSampler, ContextWindow, DelayPattern
from llama.modules.packed_linear import PackedLinear

SMALL_MODEL_PARAMS = 2**25  # up to here a packed copy of the weights (128 MB at most) is worth its memory


class DecoderLayer:
    """Weights of one decoder layer; the three self-attention projections are one matrix."""

    def __init__(self, layer: nn.Module, allow_copy: bool):
        attention, cross = layer.self_attn, layer.encoder_attn
        qkv_weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        self.qkv, self.out, self.cross_q, self.cross_out, self.up, self.down = (
            PackedLinear(weight, allow_copy)
            for weight in (
                qkv_weight, attention.out_proj.weight, cross.q_proj.weight, cross.out_proj.weight, layer.fc1.weight, layer.fc2.weight
            )
        )  # fmt: skip
        self.cross_k, self.cross_v, self.activation = cross.k_proj.weight, cross.v_proj.weight, layer.activation_fn
        self.norm, self.cross_norm = layer.self_attn_layer_norm, layer.encoder_attn_layer_norm
        self.final_norm, self.heads = layer.final_layer_norm, attention.num_heads


class DecoderWeights:
    """The decoder's weights in the form that decoding needs; shared by several requests.

    `is_small`: small enough to pack and to keep between requests.
    """

    def __init__(self, model: MusicgenForConditionalGeneration):
        decoder = model.decoder.model.decoder
        self.is_small = sum(weight.numel() for weight in decoder.parameters()) <= SMALL_MODEL_PARAMS
        self.n_q, self.pad = decoder.num_codebooks, model.decoder.config.vocab_size
        self.layers = [DecoderLayer(layer, self.is_small) for layer in decoder.layers]
        self.embeddings = torch.cat([codebook.weight for codebook in decoder.embed_tokens])
        self.offsets = torch.arange(self.n_q, device=self.embeddings.device) * decoder.embed_tokens[0].num_embeddings
        self.positions, self.norm = decoder.embed_positions.weights, decoder.layer_norm
        self.head = PackedLinear(torch.cat([head.weight for head in model.decoder.lm_heads]), self.is_small)
        self.head_width = self.embeddings.shape[1] // self.layers[0].heads
        self.condition_projection: nn.Module = getattr(model, "enc_to_dec_proj", nn.Identity())  # condition width -> decoder width


class CodeLM:
    """Decoding state of music codes: keys and values of rows that are at the same frame, and the step that extends them."""

    def __init__(self, weights: DecoderWeights, condition: Tensor, mask: Tensor | None, guided: bool):
        self.weights, self.pad = weights, weights.pad
        self.rows, self.halves = condition.shape[0], 2 if guided else 1
        self.filled = 0
        self._encode_condition(condition.to(weights.embeddings.dtype), mask)

    def _encode_condition(self, condition: Tensor, mask: Tensor | None) -> None:
        """Compute the cross-attention keys and values of the conditional rows.

        The unconditional rows attend to zeros through projections without bias, so their cross-attention is exactly zero
        and is never computed.
        """
        weights, states = self.weights, self.weights.condition_projection(condition)
        self.mask: Tensor | None = None
        if mask is not None and not bool(mask.bool().all()):
            keep = mask.to(states.device).bool()
            states = states * keep[..., None]
            # A row without condition has only zeros: attending to all of them gives the same, and never NaN.
            self.mask = (keep | ~keep.any(-1, keepdim=True))[:, None, None]
        split = (*states.shape[:2], weights.layers[0].heads, -1)
        self.cross = [
            tuple(functional.linear(states, w).view(split).transpose(1, 2).contiguous() for w in (layer.cross_k, layer.cross_v))
            for layer in weights.layers
        ]

    def allocate(self, positions: int) -> None:
        """Allocate the self-attention cache for `positions`; filled with NaN, so that reading ahead is noticed."""
        layers, width = self.weights.layers, self.weights.head_width
        shape = (len(layers), 2, self.rows * self.halves, layers[0].heads, positions, width)
        self.cache = self.weights.embeddings.new_full(shape, float("nan"))

    @property
    def full(self) -> bool:
        """Whether the cache has no free position."""
        return self.filled == self.cache.shape[-2]

    def step(self, codes: Tensor) -> Tensor:
        """Append codes [B, K, T]; return the logits [N, K, V] (float32) of the last position."""
        weights, (rows, _, steps) = self.weights, codes.shape
        start, self.filled = self.filled, self.filled + steps
        tokens = (codes.transpose(1, 2) + weights.offsets).reshape(rows * steps, weights.n_q)
        hidden = functional.embedding_bag(tokens, weights.embeddings, mode="sum").view(rows, steps, -1)
        hidden = self._repeat_for_guidance(hidden + self._position_embeddings(start, steps)).flatten(0, 1)
        for layer, cache, cross in zip(weights.layers, self.cache, self.cross, strict=True):
            hidden += self._self_attention(layer, hidden, cache, start, steps)
            hidden[: rows * steps] += self._cross_attention(layer, hidden[: rows * steps], cross, steps)
            hidden += layer.down(layer.activation(layer.up(layer.final_norm(hidden))))
        last = weights.norm(hidden[steps - 1 :: steps])
        return weights.head(last).unflatten(-1, (weights.n_q, -1)).float()

    def _position_embeddings(self, start: int, steps: int) -> Tensor:
        """Position embeddings of the new positions, [T, d] or [B, T, d]."""
        return self.weights.positions[start : start + steps]

    def _repeat_for_guidance(self, hidden: Tensor) -> Tensor:
        """[B, T, d] -> [N, T, d]: append a copy of each row for its unconditional half."""
        return hidden.repeat(self.halves, 1, 1)

    def _attend(self, query: Tensor, keys_values: Tensor) -> Tensor:
        """Attention of queries [N, heads, T, w] to keys and values [2, N, heads, P, w] of all positions so far."""
        return functional.scaled_dot_product_attention(query, keys_values[0], keys_values[1], is_causal=query.shape[2] > 1)

    def _self_attention(self, layer: DecoderLayer, hidden: Tensor, cache: Tensor, start: int, steps: int) -> Tensor:
        """Self-attention output for hidden [N * T, d]; writes the T new keys and values into `cache` [2, N, heads, P, w]."""
        qkv = layer.qkv(layer.norm(hidden)).reshape(-1, steps, 3, layer.heads, self.weights.head_width)
        query, *fresh = qkv.permute(2, 0, 3, 1, 4).unbind()
        cache[0, :, :, start : start + steps], cache[1, :, :, start : start + steps] = fresh
        attended = self._attend(query, cache[:, :, :, : start + steps])
        return layer.out(attended.transpose(1, 2).reshape(hidden.shape))

    def _cross_attention(self, layer: DecoderLayer, hidden: Tensor, cross: tuple[Tensor, ...], steps: int) -> Tensor:
        """Cross-attention output for the conditional rows of hidden [B * T, d]."""
        query = layer.cross_q(layer.cross_norm(hidden)).reshape(-1, steps, layer.heads, self.weights.head_width)
        attended = functional.scaled_dot_product_attention(query.transpose(1, 2), *cross, attn_mask=self.mask)
        return layer.cross_out(attended.transpose(1, 2).reshape(hidden.shape))


@torch.inference_mode()
def generate(model: CodeLM, pattern: DelayPattern, context: ContextWindow, sampler: CodeSampler) -> Iterator[int]:
    """Sample all columns of the pattern behind its prompt; yields the number of complete frames after every step."""
    start = 0
    model.allocate(min(pattern.columns, context.size + pattern.max_delay))
    for column in range(pattern.prompt_frames, pattern.columns):
        if column == pattern.prompt_frames or model.full:
            start = max(0, column - context.overlap - pattern.max_delay) if model.full else start
            model.filled = 0
            logits = model.step(pattern.decoder_input(start, column))
        else:
            logits = model.step(pattern.delayed_codes[:, :, column - 1 : column])
        sampler.sample_column(logits, column)
        yield max(0, column + 1 - pattern.max_delay)
