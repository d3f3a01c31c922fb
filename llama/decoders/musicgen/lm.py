"""A tight decoding loop over a stock transformers MusicGen: preallocated keys and values, both guidance halves in one batch.

Shapes: B rows, N = 2B rows with guidance (conditional first), K codebooks, F frames, V codes a codebook, D the delay of the
last codebook, S condition tokens. Column s of the delayed grid holds, for codebook k, frame s - delay[k]; that is the
pattern of Copet et al. 2023, "Simple and Controllable Music Generation".
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MusicgenForConditionalGeneration

from llama.decoders.musicgen.sampling import CodeSampler, ContextWindow, DelayPattern
from llama.modules.packed_linear import PackedLinear

SMALL_MODEL_PARAMS = 2**25  # weights of which another copy, 128 MB at most, is worth its memory


class DecoderLayer:
    """One decoder layer's maps, the three self-attention projections side by side in one."""

    def __init__(self, layer: nn.Module, copied: bool):
        attention, cross = layer.self_attn, layer.encoder_attn
        joined = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        self.qkv, self.out, self.cross_q, self.cross_out, self.up, self.down = (
            PackedLinear(weight, copied)
            for weight in (
                joined, attention.out_proj.weight, cross.q_proj.weight, cross.out_proj.weight, layer.fc1.weight, layer.fc2.weight
            )
        )  # fmt: skip
        self.cross_k, self.cross_v, self.activation = cross.k_proj.weight, cross.v_proj.weight, layer.activation_fn
        self.norm, self.cross_norm = layer.self_attn_layer_norm, layer.encoder_attn_layer_norm
        self.final_norm, self.heads = layer.final_layer_norm, attention.num_heads


class DecoderWeights:
    """The decoder's weights laid out for stepping; several pieces may share them. light: they may be held for the next piece."""

    def __init__(self, model: MusicgenForConditionalGeneration):
        decoder = model.decoder.model.decoder
        self.light = sum(weight.numel() for weight in decoder.parameters()) <= SMALL_MODEL_PARAMS
        self.books, self.pad = decoder.num_codebooks, model.decoder.config.vocab_size
        self.layers = [DecoderLayer(layer, self.light) for layer in decoder.layers]
        self.embeddings = torch.cat([book.weight for book in decoder.embed_tokens])
        self.offsets = torch.arange(self.books, device=self.embeddings.device) * decoder.embed_tokens[0].num_embeddings
        self.positions, self.norm = decoder.embed_positions.weights, decoder.layer_norm
        self.head = PackedLinear(torch.cat([head.weight for head in model.decoder.lm_heads]), self.light)
        self.head_width = self.embeddings.shape[1] // self.layers[0].heads
        self.bridge: nn.Module = getattr(model, "enc_to_dec_proj", nn.Identity())  # condition -> the decoder's width


class CodeLM:
    """The keys and values of one piece of music, or of several at the same frame, and the step that adds to them."""

    def __init__(self, weights: DecoderWeights, condition: Tensor, mask: Tensor | None, guided: bool):
        self.weights, self.pad = weights, weights.pad
        self.rows, self.halves = condition.shape[0], 2 if guided else 1
        self.filled = 0
        self._read_condition(condition.to(weights.embeddings.dtype), mask)

    def _read_condition(self, condition: Tensor, mask: Tensor | None) -> None:
        """Cross-attention keys and values of the conditional rows. The unconditional half attends to zeros and its
        projections have no bias, so its cross-attention is exactly zero and is never computed."""
        weights, states = self.weights, self.weights.bridge(condition)
        self.mask: Tensor | None = None
        if mask is not None and not bool(mask.bool().all()):
            keep = mask.to(states.device).bool()
            states = states * keep[..., None]
            # A row with nothing to attend to sees only zeros: attending to all of them is the same, and never NaN.
            self.mask = (keep | ~keep.any(-1, keepdim=True))[:, None, None]
        split = (*states.shape[:2], weights.layers[0].heads, -1)
        self.cross = [
            tuple(functional.linear(states, w).view(split).transpose(1, 2).contiguous() for w in (x.cross_k, x.cross_v))
            for x in weights.layers
        ]

    def allocate(self, positions: int) -> None:
        """Room for `positions` of self-attention; NaN where nothing is written yet, so that reading ahead would show."""
        layers, width = self.weights.layers, self.weights.head_width
        shape = (len(layers), 2, self.rows * self.halves, layers[0].heads, positions, width)
        self.cache = self.weights.embeddings.new_full(shape, float("nan"))

    @property
    def full(self) -> bool:
        return self.filled == self.cache.shape[-2]

    def step(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] at the next T positions -> logits [N, K, V] (float32) of the last of them."""
        weights, (rows, _, steps) = self.weights, codes.shape
        start, self.filled = self.filled, self.filled + steps
        tokens = (codes.transpose(1, 2) + weights.offsets).reshape(rows * steps, weights.books)
        hidden = functional.embedding_bag(tokens, weights.embeddings, mode="sum").view(rows, steps, -1)
        hidden = self._lanes(hidden + self._places(start, steps)).flatten(0, 1)
        for layer, cache, cross in zip(weights.layers, self.cache, self.cross, strict=True):
            hidden += self._self_attention(layer, hidden, cache, start, steps)
            hidden[: rows * steps] += self._cross_attention(layer, hidden[: rows * steps], cross, steps)
            hidden += layer.down(layer.activation(layer.up(layer.final_norm(hidden))))
        last = weights.norm(hidden[steps - 1 :: steps])
        return weights.head(last).unflatten(-1, (weights.books, -1)).float()

    def _places(self, start: int, steps: int) -> Tensor:
        """What is added for the positions of the fresh columns, [T, d] or [B, T, d]."""
        return self.weights.positions[start : start + steps]

    def _lanes(self, hidden: Tensor) -> Tensor:
        """[B, T, d] -> [N, T, d]: what is computed for each row, and again for its unconditional half."""
        return hidden.repeat(self.halves, 1, 1)

    def _attend(self, query: Tensor, seen: Tensor) -> Tensor:
        """Queries [N, heads, T, w] to the keys and values [2, N, heads, P, w] of all columns so far."""
        return functional.scaled_dot_product_attention(query, seen[0], seen[1], is_causal=query.shape[2] > 1)

    def _self_attention(self, layer: DecoderLayer, hidden: Tensor, cache: Tensor, start: int, steps: int) -> Tensor:
        """hidden [N * T, d] -> its update; writes the T fresh keys and values into `cache` [2, N, heads, P, d / heads]."""
        qkv = layer.qkv(layer.norm(hidden)).reshape(-1, steps, 3, layer.heads, self.weights.head_width)
        query, *fresh = qkv.permute(2, 0, 3, 1, 4).unbind()
        cache[0, :, :, start : start + steps], cache[1, :, :, start : start + steps] = fresh
        attended = self._attend(query, cache[:, :, :, : start + steps])
        return layer.out(attended.transpose(1, 2).reshape(hidden.shape))

    def _cross_attention(self, layer: DecoderLayer, hidden: Tensor, cross: tuple[Tensor, ...], steps: int) -> Tensor:
        query = layer.cross_q(layer.cross_norm(hidden)).reshape(-1, steps, layer.heads, self.weights.head_width)
        attended = functional.scaled_dot_product_attention(query.transpose(1, 2), *cross, attn_mask=self.mask)
        return layer.cross_out(attended.transpose(1, 2).reshape(hidden.shape))


@torch.inference_mode()
def generate(model: CodeLM, grid: DelayPattern, span: ContextWindow, chooser: CodeSampler) -> Iterator[int]:
    """Fills the grid from its first unknown frame on; yields after every step how many frames are complete."""
    start = 0
    model.allocate(min(grid.width, span.window + grid.delay))
    for column in range(grid.known, grid.width):
        if column == grid.known or model.full:
            start = max(0, column - span.keep - grid.delay) if model.full else start
            model.filled = 0
            logits = model.step(grid.window(start, column))
        else:
            logits = model.step(grid.cells[:, :, column - 1 : column])
        chooser.choose(logits, column)
        yield max(0, column + 1 - grid.delay)
