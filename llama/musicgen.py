"""A tight decoding loop over a stock transformers MusicGen: preallocated keys and values, both guidance halves in one batch.

Shapes: B rows, N = 2B rows with guidance (conditional first), K codebooks, F frames, V codes a codebook, D the delay of the
last codebook, S condition tokens. Column s of the delayed grid holds, for codebook k, frame s - delay[k]; that is the
pattern of Copet et al. 2023, "Simple and Controllable Music Generation".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import MusicgenForConditionalGeneration

from llama.linear import Matrix


class Grammar(Protocol):
    """Rules of a symbolic codec: which codes follow by computation, and how boldly each codebook is sampled."""

    def forced(self, codes: Tensor, book: int, frame: int) -> Tensor | None: ...

    def code(self, codes: NDArray[np.int64], book: int, frame: int) -> int: ...

    def temperature(self, book: int) -> float | None: ...


COLDEST = 1e-4  # temperatures are divided by
LIGHT = 2**25  # weights of which another copy, 128 MB at most, is worth its memory


@dataclass(frozen=True)
class Sampling:
    guidance: float  # logits = uncond + guidance * (cond - uncond); up to 1: the conditional half alone
    temperature: float  # 0: always the likeliest code
    top_k: int


class Layer:
    """One decoder layer's maps, the three self-attention projections side by side in one."""

    def __init__(self, layer: nn.Module, copied: bool):
        attention, cross = layer.self_attn, layer.encoder_attn
        joined = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        self.qkv, self.out, self.cross_q, self.cross_out, self.up, self.down = (
            Matrix(weight, copied)
            for weight in (
                joined, attention.out_proj.weight, cross.q_proj.weight, cross.out_proj.weight, layer.fc1.weight, layer.fc2.weight
            )
        )  # fmt: skip
        self.cross_k, self.cross_v, self.activation = cross.k_proj.weight, cross.v_proj.weight, layer.activation_fn
        self.norm, self.cross_norm = layer.self_attn_layer_norm, layer.encoder_attn_layer_norm
        self.final_norm, self.heads = layer.final_layer_norm, attention.num_heads


class Weights:
    """The decoder's weights laid out for stepping; several pieces may share them. light: they may be held for the next piece."""

    def __init__(self, model: MusicgenForConditionalGeneration):
        decoder = model.decoder.model.decoder
        self.light = sum(weight.numel() for weight in decoder.parameters()) <= LIGHT
        self.books, self.pad = decoder.num_codebooks, model.decoder.config.vocab_size
        self.layers = [Layer(layer, self.light) for layer in decoder.layers]
        self.embeddings = torch.cat([book.weight for book in decoder.embed_tokens])
        self.offsets = torch.arange(self.books, device=self.embeddings.device) * decoder.embed_tokens[0].num_embeddings
        self.positions, self.norm = decoder.embed_positions.weights, decoder.layer_norm
        self.head = Matrix(torch.cat([head.weight for head in model.decoder.lm_heads]), self.light)
        self.head_width = self.embeddings.shape[1] // self.layers[0].heads
        self.bridge: nn.Module = getattr(model, "enc_to_dec_proj", nn.Identity())  # condition -> the decoder's width


class CodeModel:
    """The keys and values of one piece of music, or of several at the same frame, and the step that adds to them."""

    def __init__(self, weights: Weights, condition: Tensor, mask: Tensor | None, guided: bool):
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

    def _self_attention(self, layer: Layer, hidden: Tensor, cache: Tensor, start: int, steps: int) -> Tensor:
        """hidden [N * T, d] -> its update; writes the T fresh keys and values into `cache` [2, N, heads, P, d / heads]."""
        qkv = layer.qkv(layer.norm(hidden)).reshape(-1, steps, 3, layer.heads, self.weights.head_width)
        query, *fresh = qkv.permute(2, 0, 3, 1, 4).unbind()
        cache[0, :, :, start : start + steps], cache[1, :, :, start : start + steps] = fresh
        attended = self._attend(query, cache[:, :, :, : start + steps])
        return layer.out(attended.transpose(1, 2).reshape(hidden.shape))

    def _cross_attention(self, layer: Layer, hidden: Tensor, cross: tuple[Tensor, ...], steps: int) -> Tensor:
        query = layer.cross_q(layer.cross_norm(hidden)).reshape(-1, steps, layer.heads, self.weights.head_width)
        attended = functional.scaled_dot_product_attention(query.transpose(1, 2), *cross, attn_mask=self.mask)
        return layer.cross_out(attended.transpose(1, 2).reshape(hidden.shape))


def ranked(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of logits [..., V], falling, and their places, of equal ones the first.

    On a CPU each number and its place are sorted as one whole number, a tenth of topk's time for 40 rows of 257: the bits
    of floats rise with their size, once those of negative ones are turned round.
    """
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return logits.topk(count)
    bits = logits.numpy().view(np.int32)
    keys = (bits ^ (~(bits >> 31) | np.int32(-(2**31)))).astype(np.int64) << 32 | np.arange(logits.shape[-1])
    keys.sort(-1)
    codes = torch.from_numpy(keys[..., :count] & 0xFFFFFFFF)
    return logits.gather(-1, codes), codes


def sample(logits: Tensor, uniform: Tensor, temperatures: Tensor, top_k: int) -> Tensor:
    """Logits [B, K, V], one uniform number a row and book [B, K], temperatures [K] or [B, K] -> codes [B, K].

    The inverse of the cumulative distribution over the `top_k` likeliest, in order: each row uses its own numbers only.
    """
    best, codes = ranked(logits, min(top_k, logits.shape[-1]))
    summed = (best / temperatures[..., None]).softmax(-1).cumsum(-1)
    place = (summed < uniform[..., None] * summed[..., -1:]).sum(-1, keepdim=True)
    return codes.gather(-1, place.clamp_max(codes.shape[-1] - 1)).squeeze(-1)


class DelayedGrid:
    """Codes [B, K, F] written on the diagonal, so that one column is one step of the decoder."""

    def __init__(self, known: Tensor, frames: int, pad: int, channels: int = 1):
        """`known` [B, K, n]: the codes to go on from, n >= 0; the grid has n + frames of them. Two channels share a delay."""
        rows, self.books, self.known = known.shape
        self.frames, self.pad, self.channels = self.known + frames, pad, channels
        self.delays = [book // channels for book in range(self.books)]
        self.delay = self.delays[-1]
        self.width = self.frames + self.delay
        self.cells = torch.zeros(rows, self.books, self.width, dtype=torch.long, device=known.device)
        frame = torch.arange(self.width)[None] - torch.tensor(self.delays)[:, None]
        self.cells[:, (frame < 0) | (frame >= self.frames)] = pad
        self.fixed = (frame < self.known) | (frame >= self.frames)  # [K, width]: cells that are not to be chosen
        self.edge = self.fixed.any(0).tolist()
        self.fixed = self.fixed.to(known.device)
        for book, delay in enumerate(self.delays):
            self.cells[:, book, delay : delay + self.known] = known[:, book]

    @property
    def codes(self) -> Tensor:
        """[B, K, F]; a view of the cells when every codebook has a delay of its own."""
        rows, width, channels = self.cells.shape[0], self.width, self.channels
        strides = (self.books * width, channels * width + 1, width, 1)
        view = self.cells.as_strided((rows, self.books // channels, channels, self.frames), strides)
        return view.reshape(rows, self.books, self.frames)

    def put(self, column: int, codes: Tensor) -> None:
        """Codes [B, K] into one column, but for its fixed cells."""
        if self.edge[column]:
            codes = torch.where(self.fixed[:, column], self.cells[:, :, column], codes)
        self.cells[:, :, column] = codes

    def window(self, start: int, stop: int) -> Tensor:
        """Decoder input that predicts column `stop`: a column of padding, then start..stop as if the music began at `start`."""
        piece = self.cells[:, :, start:stop].clone()
        for book, delay in enumerate(self.delays):
            piece[:, book, :delay] = self.pad
        return functional.pad(piece, (1, 0), value=self.pad)


@dataclass(frozen=True)
class Span:
    """How much the decoder sees: `window` frames at most; when they are full it goes on from the last `keep` of them."""

    window: int
    keep: int


def draw(shape: tuple[int, int], seed: int) -> Tensor:
    """The numbers [width, K] that a row is drawn with. Column by column on the CPU, a generator a row: a row's music
    depends neither on its neighbours nor on the device, and a longer piece begins as the shorter one does."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def heats(books: int, temperature: float, grammar: Grammar | None) -> list[float]:
    """The temperature of each book: the codec's own, if it has one, times what was asked for."""
    own = [grammar.temperature(book) if grammar else None for book in range(books)]
    return [temperature * (1.0 if heat is None else heat) for heat in own]


class Chooser:
    """Logits of one step -> the codes of one column, by guidance, temperature, and the codec's grammar if it has one."""

    def __init__(self, grid: DelayedGrid, sampling: Sampling, seeds: Sequence[int], grammar: Grammar | None):
        self.grid, self.sampling, self.grammar = grid, sampling, grammar
        device, shape = grid.cells.device, (grid.width, grid.books)
        self.uniform = torch.stack([draw(shape, seed) for seed in seeds]).to(device)
        self.temperatures = torch.tensor(heats(grid.books, sampling.temperature, grammar), device=device).clamp_min(COLDEST)

    def choose(self, logits: Tensor, column: int) -> None:
        if self.sampling.guidance > 1:
            conditional, free = logits.chunk(2)
            logits = free + self.sampling.guidance * (conditional - free)
        if self.sampling.temperature == 0:
            codes = logits.argmax(-1)
        else:
            codes = sample(logits, self.uniform[:, column], self.temperatures, self.sampling.top_k)
        self.grid.put(column, self._obey(codes, column) if self.grammar else codes)

    def _obey(self, codes: Tensor, column: int) -> Tensor:
        """Codes [B, K] with those replaced that the grammar computes."""
        assert self.grammar is not None
        for book, delay in enumerate(self.grid.delays):
            if self.grid.known <= column - delay < self.grid.frames:
                forced = self.grammar.forced(self.grid.codes, book, column - delay)
                if forced is not None:
                    codes[:, book] = torch.where(forced >= 0, forced.to(codes), codes[:, book])
        return codes


@torch.inference_mode()
def generate(model: CodeModel, grid: DelayedGrid, span: Span, chooser: Chooser) -> Iterator[int]:
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
