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
    """Rules of a symbolic codec: codes that are computed instead of sampled, and the temperature of each codebook."""

    def forced_codes(self, codes: Tensor, codebook: int, frame: int) -> Tensor | None:
        """Codes [B] that must stand at (codebook, frame) of codes [B, K, F]; negative where free, None if all are free."""
        ...

    def forced_code(self, codes: NDArray[np.int64], codebook: int, frame: int) -> int:
        """The same for one row of codes [K, F]; negative where it is free."""
        ...

    def sampled_frames(self, codes: NDArray[np.int64]) -> int:
        """Frames of one row [K, F], from the first on, behind which every code is computed; at least 1.

        codes: final at the first frame.
        """
        ...

    def temperature(self, codebook: int) -> float | None:
        """Sampling temperature of a codebook, a factor of the requested one; None for 1."""
        ...


def compute_frames(grammar: Grammar, codes: NDArray[np.int64], first: int) -> None:
    """Writes the frames of one row [K, F] from `first` on, all of which the grammar computes."""
    for frame in range(first, codes.shape[1]):
        for codebook in range(len(codes)):
            codes[codebook, frame] = grammar.forced_code(codes, codebook, frame)


MIN_TEMPERATURE = 1e-4  # logits are divided by the temperature


@dataclass(frozen=True)
class Sampling:
    """Sampling options of one request."""

    guidance: float  # logits = uncond + guidance * (cond - uncond); up to 1: conditional logits only
    temperature: float  # 0: always the likeliest code
    top_k: int


def topk_cpu(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of logits [..., V] in descending order, and their indices; of equal values the first index first.

    On a CPU each logit and its index are packed into one 64-bit integer and sorted, which takes a tenth of topk's time for
    40 rows of 257. The bits of positive floats sort like integers; those of negative floats are inverted first.
    """
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return logits.topk(count)
    bits = logits.numpy().view(np.int32)
    keys = (bits ^ (~(bits >> 31) | np.int32(-(2**31)))).astype(np.int64) << 32 | np.arange(logits.shape[-1])
    keys.sort(-1)
    codes = torch.from_numpy(keys[..., :count] & 0xFFFFFFFF)
    return logits.gather(-1, codes), codes


def sample(logits: Tensor, uniform: Tensor, temperatures: Tensor, top_k: int) -> Tensor:
    """Sample codes [B, K] from logits [B, K, V], with uniform numbers [B, K] and temperatures [K] or [B, K].

    Inverts the cumulative distribution over the `top_k` likeliest codes. A row depends on its own numbers only.
    """
    best, codes = topk_cpu(logits, min(top_k, logits.shape[-1]))
    summed = (best / temperatures[..., None]).softmax(-1).cumsum(-1)
    rank = (summed < uniform[..., None] * summed[..., -1:]).sum(-1, keepdim=True)
    return codes.gather(-1, rank.clamp_max(codes.shape[-1] - 1)).squeeze(-1)


class DelayPattern:
    """Codes [B, K, F] in delayed order: codebook k is shifted by its delay, so that one column is one decoder step.

    Copet et al. 2023, "Simple and Controllable Music Generation".
    """

    def __init__(self, prompt_codes: Tensor, frames: int, pad: int, audio_channels: int = 1):
        """`prompt_codes` [B, K, n], n >= 0, are followed by `frames` sampled frames. The codebooks of two channels share delays."""
        rows, self.n_q, self.prompt_frames = prompt_codes.shape
        self.frames, self.pad, self.audio_channels = self.prompt_frames + frames, pad, audio_channels
        self.delays = [codebook // audio_channels for codebook in range(self.n_q)]
        self.max_delay = self.delays[-1]
        self.columns = self.frames + self.max_delay
        self.delayed_codes = torch.zeros(rows, self.n_q, self.columns, dtype=torch.long, device=prompt_codes.device)
        frame = torch.arange(self.columns)[None] - torch.tensor(self.delays)[:, None]
        self.delayed_codes[:, (frame < 0) | (frame >= self.frames)] = pad
        self.fixed_mask = (frame < self.prompt_frames) | (frame >= self.frames)  # [K, columns]: prompt and padding, never sampled
        self.column_has_fixed = self.fixed_mask.any(0).tolist()
        self.fixed_mask = self.fixed_mask.to(prompt_codes.device)
        for codebook, delay in enumerate(self.delays):
            self.delayed_codes[:, codebook, delay : delay + self.prompt_frames] = prompt_codes[:, codebook]

    @property
    def codes(self) -> Tensor:
        """Codes [B, K, F] in frame order; a view of `delayed_codes` if every codebook has its own delay."""
        rows, width, channels = self.delayed_codes.shape[0], self.columns, self.audio_channels
        strides = (self.n_q * width, channels * width + 1, width, 1)
        view = self.delayed_codes.as_strided((rows, self.n_q // channels, channels, self.frames), strides)
        return view.reshape(rows, self.n_q, self.frames)

    def write_column(self, column: int, codes: Tensor) -> None:
        """Write codes [B, K] into a column, except where it holds prompt or padding."""
        if self.column_has_fixed[column]:
            codes = torch.where(self.fixed_mask[:, column], self.delayed_codes[:, :, column], codes)
        self.delayed_codes[:, :, column] = codes

    def write_frames(self, codes: Tensor, first: int) -> None:
        """Write the frames of codes [B, K, F] from `first` on."""
        for codebook, delay in enumerate(self.delays):
            self.delayed_codes[:, codebook, first + delay : self.frames + delay] = codes[:, codebook, first:]

    def decoder_input(self, start: int, stop: int) -> Tensor:
        """Decoder input [B, K, stop - start + 1] that predicts column `stop`: padding, then start..stop as if music began at `start`."""
        columns = self.delayed_codes[:, :, start:stop].clone()
        for codebook, delay in enumerate(self.delays):
            columns[:, codebook, :delay] = self.pad
        return functional.pad(columns, (1, 0), value=self.pad)


@dataclass(frozen=True)
class ContextWindow:
    """Frames that the decoder attends to: at most `size`; when they are full, it continues from the last `overlap` of them."""

    size: int
    overlap: int


def uniform_noise(shape: tuple[int, int], seed: int) -> Tensor:
    """Uniform numbers [columns, K] for sampling one row.

    One CPU generator for each row, drawn column by column: music depends neither on the other rows nor on the device, and
    a longer piece begins like a shorter one.
    """
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def codebook_temperatures(n_q: int, temperature: float, grammar: Grammar | None) -> list[float]:
    """The temperature of each codebook: the requested one times that of the codec's grammar, if it has one."""
    factors = [grammar.temperature(codebook) if grammar else None for codebook in range(n_q)]
    return [temperature * (1.0 if factor is None else factor) for factor in factors]


class CodeSampler:
    """Samples the codes of one column from the logits of one step: guidance, temperature, top-k, and the codec's grammar."""

    def __init__(self, pattern: DelayPattern, sampling: Sampling, seeds: Sequence[int], grammar: Grammar | None):
        self.pattern, self.sampling, self.grammar = pattern, sampling, grammar
        device, shape = pattern.delayed_codes.device, (pattern.columns, pattern.n_q)
        self.noise = torch.stack([uniform_noise(shape, seed) for seed in seeds]).to(device)
        temperatures = codebook_temperatures(pattern.n_q, sampling.temperature, grammar)
        self.temperatures = torch.tensor(temperatures, device=device).clamp_min(MIN_TEMPERATURE)

    def sample_column(self, logits: Tensor, column: int) -> None:
        """Write the codes of `column`, sampled from logits [N, K, V] (N = 2B with guidance, conditional rows first)."""
        if self.sampling.guidance > 1:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + self.sampling.guidance * (conditional - unconditional)
        if self.sampling.temperature == 0:
            codes = logits.argmax(-1)
        else:
            codes = sample(logits, self.noise[:, column], self.temperatures, self.sampling.top_k)
        self.pattern.write_column(column, self._apply_grammar(codes, column) if self.grammar else codes)

    def compute_rest(self, complete: int) -> bool:
        """Writes all frames behind the first `complete` ones if the grammar computes every one of them; whether it did."""
        if self.grammar is None or complete <= self.pattern.prompt_frames:
            return False
        rows = self.pattern.codes.cpu().numpy()
        if any(self.grammar.sampled_frames(row) > complete for row in rows):
            return False
        for row in rows:
            compute_frames(self.grammar, row, complete)
        self.pattern.write_frames(torch.from_numpy(rows), complete)
        return True

    def _apply_grammar(self, codes: Tensor, column: int) -> Tensor:
        """Replace those of codes [B, K] that the grammar computes."""
        assert self.grammar is not None
        for codebook, delay in enumerate(self.pattern.delays):
            if self.pattern.prompt_frames <= column - delay < self.pattern.frames:
                forced = self.grammar.forced_codes(self.pattern.codes, codebook, column - delay)
                if forced is not None:
                    codes[:, codebook] = torch.where(forced >= 0, forced.to(codes), codes[:, codebook])
        return codes
