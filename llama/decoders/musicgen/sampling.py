"""Sampling of codes: the delay pattern, grammars, temperatures and top-k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


class Grammar(Protocol):
    """Rules of a symbolic codec: which codes follow by computation, and how boldly each codebook is sampled."""

    def forced(self, codes: Tensor, book: int, frame: int) -> Tensor | None: ...

    def code(self, codes: NDArray[np.int64], book: int, frame: int) -> int: ...

    def temperature(self, book: int) -> float | None: ...


MIN_TEMPERATURE = 1e-4  # temperatures are divided by


@dataclass(frozen=True)
class Sampling:
    guidance: float  # logits = uncond + guidance * (cond - uncond); up to 1: the conditional half alone
    temperature: float  # 0: always the likeliest code
    top_k: int


def topk_cpu(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
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
    best, codes = topk_cpu(logits, min(top_k, logits.shape[-1]))
    summed = (best / temperatures[..., None]).softmax(-1).cumsum(-1)
    place = (summed < uniform[..., None] * summed[..., -1:]).sum(-1, keepdim=True)
    return codes.gather(-1, place.clamp_max(codes.shape[-1] - 1)).squeeze(-1)


class DelayPattern:
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
class ContextWindow:
    """How much the decoder sees: `window` frames at most; when they are full it goes on from the last `keep` of them."""

    window: int
    keep: int


def uniform_noise(shape: tuple[int, int], seed: int) -> Tensor:
    """The numbers [width, K] that a row is drawn with. Column by column on the CPU, a generator a row: a row's music
    depends neither on its neighbours nor on the device, and a longer piece begins as the shorter one does."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def codebook_temperatures(books: int, temperature: float, grammar: Grammar | None) -> list[float]:
    """The temperature of each book: the codec's own, if it has one, times what was asked for."""
    own = [grammar.temperature(book) if grammar else None for book in range(books)]
    return [temperature * (1.0 if heat is None else heat) for heat in own]


class CodeSampler:
    """Logits of one step -> the codes of one column, by guidance, temperature, and the codec's grammar if it has one."""

    def __init__(self, grid: DelayPattern, sampling: Sampling, seeds: Sequence[int], grammar: Grammar | None):
        self.grid, self.sampling, self.grammar = grid, sampling, grammar
        device, shape = grid.cells.device, (grid.width, grid.books)
        self.uniform = torch.stack([uniform_noise(shape, seed) for seed in seeds]).to(device)
        temperatures = codebook_temperatures(grid.books, sampling.temperature, grammar)
        self.temperatures = torch.tensor(temperatures, device=device).clamp_min(MIN_TEMPERATURE)

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
