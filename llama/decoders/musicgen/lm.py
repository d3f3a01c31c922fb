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

from llama.decoders.musicgen.loading import MusicGen
from llama.decoders.musicgen.sampling import CodeSampler, ContextWindow, DelayPattern
from llama.modules.packed_linear import PackedLinear

SMALL_MODEL_PARAMS = 2**25  # up to here a packed copy of the weights (128 MB at most) is worth its memory


class CrossAttention:
    """Weights of the attention of one decoder layer to the condition."""

    def __init__(self, layer: nn.Module, allow_copy: bool):
        attention = layer.encoder_attn
        self.query, self.out = (PackedLinear(part.weight, allow_copy) for part in (attention.q_proj, attention.out_proj))
        self.key, self.value = attention.k_proj.weight, attention.v_proj.weight
        self.norm = layer.encoder_attn_layer_norm


class DecoderLayer:
    """Weights of one decoder layer; the three self-attention projections are one matrix.

    `cross`: None in MusicGen Melody, whose condition precedes the codes.
    """

    def __init__(self, layer: nn.Module, allow_copy: bool):
        attention = layer.self_attn
        qkv_weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        self.qkv, self.out, self.up, self.down = (
            PackedLinear(weight, allow_copy)
            for weight in (qkv_weight, attention.out_proj.weight, layer.fc1.weight, layer.fc2.weight)
        )
        self.cross = CrossAttention(layer, allow_copy) if hasattr(layer, "encoder_attn") else None
        self.norm, self.final_norm, self.activation = layer.self_attn_layer_norm, layer.final_layer_norm, layer.activation_fn
        self.heads = attention.num_heads


class DecoderWeights:
    """The decoder's weights in the form that decoding needs; shared by several requests.

    `is_small`: small enough to pack and to keep between requests.
    """

    def __init__(self, model: MusicGen):
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
        # Of MusicGen Melody: chroma frames before the codes, pitch classes, and their projection to the decoder's width.
        self.chroma_length, self.num_chroma = getattr(model.config, "chroma_length", 0), getattr(model.config, "num_chroma", 0)
        self.chroma_projection: nn.Module = getattr(model, "audio_enc_to_dec_proj", nn.Identity())


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
            tuple(functional.linear(states, w).view(split).transpose(1, 2).contiguous() for w in (cross.key, cross.value))
            for layer in weights.layers
            if (cross := layer.cross) is not None
        ]

    @property
    def prefix(self) -> int:
        """Number of positions in the cache before the codes."""
        return 0

    def restart(self, frame: int) -> None:
        """Empty the cache: the next step begins a context whose first code is of `frame`."""
        self.filled = 0

    def allocate(self, positions: int) -> None:
        """Allocate the self-attention cache for `positions` of codes; filled with NaN, so that reading ahead is noticed."""
        layers, width = self.weights.layers, self.weights.head_width
        shape = (len(layers), 2, self.rows * self.halves, layers[0].heads, self.prefix + positions, width)
        self.cache = self.weights.embeddings.new_full(shape, float("nan"))

    @property
    def full(self) -> bool:
        """Whether the cache has no free position."""
        return self.filled == self.cache.shape[-2]

    def step(self, codes: Tensor) -> Tensor:
        """Append codes [B, K, T]; return the logits [N, K, V] (float32) of the last position."""
        weights, states, start = self.weights, self._input_states(codes), self.filled
        steps, hidden = states.shape[1], states.flatten(0, 1)
        self.filled += steps
        for index, (layer, cache) in enumerate(zip(weights.layers, self.cache, strict=True)):
            hidden += self._self_attention(layer, hidden, cache, start, steps)
            if layer.cross is not None:
                conditional = hidden[: codes.shape[0] * steps]
                conditional += self._cross_attention(layer.cross, conditional, self.cross[index], steps)
            hidden += layer.down(layer.activation(layer.up(layer.final_norm(hidden))))
        last = weights.norm(hidden[steps - 1 :: steps])
        return weights.head(last).unflatten(-1, (weights.n_q, -1)).float()

    def _input_states(self, codes: Tensor) -> Tensor:
        """States [N, T, d] of codes [B, K, T] at the next positions of the cache."""
        return self._repeat_for_guidance(self._embed(codes) + self._position_embeddings(self.filled, codes.shape[-1]))

    def _embed(self, codes: Tensor) -> Tensor:
        """Sum of the embeddings of codes [B, K, T] in every column, [B, T, d]."""
        weights, (rows, _, steps) = self.weights, codes.shape
        tokens = (codes.transpose(1, 2) + weights.offsets).reshape(rows * steps, weights.n_q)
        return functional.embedding_bag(tokens, weights.embeddings, mode="sum").view(rows, steps, weights.embeddings.shape[1])

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

    def _cross_attention(self, cross: CrossAttention, hidden: Tensor, keys_values: tuple[Tensor, ...], steps: int) -> Tensor:
        """Cross-attention output for the conditional rows of hidden [B * T, d]."""
        query = cross.query(cross.norm(hidden)).reshape(-1, steps, keys_values[0].shape[1], self.weights.head_width)
        attended = functional.scaled_dot_product_attention(query.transpose(1, 2), *keys_values, attn_mask=self.mask)
        return cross.out(attended.transpose(1, 2).reshape(hidden.shape))


@torch.inference_mode()
def generate(model: CodeLM, pattern: DelayPattern, context: ContextWindow, sampler: CodeSampler) -> Iterator[int]:
    """Sample all columns of the pattern behind its prompt; yields the number of complete frames after every step.

    Ends with the last frame that is sampled: those behind it are computed without the model.
    """
    start = 0
    model.allocate(min(pattern.columns, context.size + pattern.max_delay))
    for column in range(pattern.prompt_frames, pattern.columns):
        if column == pattern.prompt_frames or model.full:
            start = max(0, column - context.overlap - pattern.max_delay) if model.full else start
            model.restart(start)
            logits = model.step(pattern.decoder_input(start, column))
        else:
            logits = model.step(pattern.delayed_codes[:, :, column - 1 : column])
        sampler.sample_column(logits, column)
        complete = max(0, column + 1 - pattern.max_delay)
        if sampler.compute_rest(complete):
            yield pattern.frames
            return
        yield complete
