"""Continuous batching of music codes: sequences are added and removed between decoding steps, each at its own frame.

Shapes: n sequences (one request each), N batch rows (the conditional rows of all sequences, then the unconditional rows of
those with guidance), K codebooks, F frames, P columns of the cache, S condition tokens, V codes of a codebook. All rows
share the newest column of the cache. A row starts at its own column, counts positions from there, and masks the columns
before it as padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.lm import CodeLM, DecoderWeights
from llama.decoders.musicgen.sampling import (
    MIN_TEMPERATURE,
    ContextWindow,
    Grammar,
    codebook_temperatures,
    compute_frames,
    sample,
    uniform_noise,
)

CACHE_GROWTH = 64  # columns that a full cache grows by; growing copies all keys and values, so it is not done at every step


class CodeSequence:
    """One sequence of the batch: its codes [K, F], of which `complete` frames are final, and the next column to sample.

    The first column is sampled from a step on padding, or on the last column of the prompt. What comes before it in the cache,
    the prompt and the states that precede the codes, is computed when the sequence is added.
    """

    def __init__(
        self, request: SynthesisRequest, prompt: Tensor, frames: int, code_lm: CodeLM, delays: Sequence[int], context: ContextWindow,
        grammar: Grammar | None,
    ):
        """`prompt` [K, n], n >= 0, is followed by `frames` frames; `code_lm`: the condition; `delays`: of every codebook, in columns."""
        self.request, self.code_lm, self.context, self.grammar = request, code_lm, context, grammar
        self.prompt_frames, self.frames = prompt.shape[-1], prompt.shape[-1] + frames
        self.delays = list(delays)
        self.codes = np.zeros((len(self.delays), self.frames), np.int64)
        self.codes[:, : self.prompt_frames] = prompt.cpu().numpy()
        self.column, self.context_start = self.prompt_frames, 0  # the next column; the first one of the decoder's context
        self.columns = self.frames + self.delays[-1]
        self.capacity = min(self.columns, context.size + self.delays[-1])
        self.noise = uniform_noise((self.columns, len(self.delays)), request.seeds[0])
        self.temperatures = torch.tensor(codebook_temperatures(len(self.delays), request.temperature, grammar)).clamp_min(MIN_TEMPERATURE)

    @property
    def complete(self) -> int:
        """Frames whose codes are all final."""
        return max(0, self.column - self.delays[-1])

    @property
    def done(self) -> bool:
        """Whether all columns are sampled."""
        return self.column == self.columns

    @property
    def full(self) -> bool:
        """Whether the context window is full: decoding must continue from its newest frames alone."""
        return self.column - self.context_start == self.capacity

    @property
    def positions(self) -> int:
        """Positions of the cache that the context fills, without the newest column."""
        return self.code_lm.prefix + self.column - self.context_start

    def column_codes(self, column: int, context_start: int) -> list[int]:
        """Codes [K] of a column; padding where there is no frame or where it lies before the context."""
        frames = [column - delay for delay in self.delays]
        pad = self.code_lm.pad
        return [int(self.codes[k, frame]) if context_start <= frame < self.frames else pad for k, frame in enumerate(frames)]

    def last_column(self) -> list[int]:
        """Codes [K] of the newest column, the input of the next step."""
        return self.column_codes(self.column - 1, self.context_start)

    def context_columns(self, context_start: int) -> list[list[int]]:
        """Columns of a context that starts at `context_start`, without the newest: one of padding, then the frames."""
        return [self.column_codes(column, context_start) for column in range(context_start - 1, self.column - 1)]

    def append_codes(self, codes: Sequence[int]) -> None:
        """Write the sampled codes [K] into the next column; codes that the grammar computes replace them."""
        for codebook, delay in enumerate(self.delays):
            frame = self.column - delay
            if self.prompt_frames <= frame < self.frames:
                forced = self.grammar.forced_code(self.codes, codebook, frame) if self.grammar else -1
                self.codes[codebook, frame] = forced if forced >= 0 else codes[codebook]
        self.column += 1
        self._compute_rest()

    def _compute_rest(self) -> None:
        """Ends the sequence with the last frame that is sampled: those behind it are computed without the model."""
        complete = self.complete
        if self.grammar is None or complete <= self.prompt_frames or self.done:
            return
        if self.grammar.sampled_frames(self.codes) <= complete:
            compute_frames(self.grammar, self.codes, complete)
            self.column = self.columns


class BatchState(CodeLM):
    """Batch state: one cache with the keys and values of several sequences, aligned at the newest column."""

    def __init__(self, weights: DecoderWeights, sequences: Sequence[CodeSequence], cache: Tensor, filled: int, starts: Sequence[int]):
        """`cache` [layers, 2, N, heads, P, w]; `starts`: the column at which each sequence begins."""
        self.weights, self.sequences, self.cache, self.filled, self.starts = weights, list(sequences), cache, filled, list(starts)
        self.guided_indices = [index for index, sequence in enumerate(self.sequences) if sequence.request.guided]
        device = weights.embeddings.device
        self.row_sources = torch.tensor([*range(len(self.sequences)), *self.guided_indices], device=device)
        self.start_columns = torch.tensor(self.starts, device=device)
        cross = zip(*(sequence.code_lm.cross for sequence in sequences), strict=True)
        self.cross = [tuple(map(torch.cat, zip(*layer, strict=True))) for layer in cross]
        masks = [sequence.code_lm.mask for sequence in sequences]
        self.mask = None if all(mask is None for mask in masks) else torch.cat([self._mask_or_ones(mask) for mask in masks])
        self.padding_mask: Tensor | None = None

    def _mask_or_ones(self, mask: Tensor | None) -> Tensor:
        """Condition mask [1, 1, 1, S] of a sequence; ones if it has none."""
        condition = self.cross[0][0]
        return mask if mask is not None else torch.ones(1, 1, 1, condition.shape[2], dtype=torch.bool, device=condition.device)

    @classmethod
    def empty(cls, weights: DecoderWeights) -> BatchState:
        """A state without sequences."""
        heads = cast(int, weights.layers[0].heads)  # transformers does not type the numbers of its modules
        shape = (len(weights.layers), 2, 0, heads, 0, weights.head_width)
        return cls(weights, [], weights.embeddings.new_empty(shape), 0, [])

    def rebuild(self, sequences: Sequence[CodeSequence]) -> BatchState:
        """State of these sequences: keeps the rows of known ones, starts new ones at the newest column, drops unused columns."""
        known_starts = {sequence: self.starts[index] for index, sequence in enumerate(self.sequences)}
        first_column = min((known_starts[sequence] for sequence in sequences if sequence in known_starts), default=self.filled)
        new = [sequence for sequence in sequences if sequence not in known_starts]
        kept = self.filled - first_column
        used = max([kept, *(sequence.positions for sequence in new)])
        starts = [known_starts.get(sequence, self.filled) - first_column + used - kept for sequence in sequences]
        layers, two, _, heads, _, width = self.cache.shape
        source_rows = self._source_rows(sequences)
        cache = self.cache.new_empty((layers, two, len(source_rows), heads, used + CACHE_GROWTH, width))
        cache[..., used:, :] = float("nan")
        for row, source in enumerate(source_rows):
            # Columns before a new row's start have attention weight 0; NaN would still spread.
            cache[:, :, row, :, :used] = 0
            if source is not None:
                cache[:, :, row, :, used - kept : used] = self.cache[:, :, source, :, first_column : self.filled]
        state = BatchState(self.weights, sequences, cache, used, starts)
        for sequence in new:
            if sequence.positions:
                state.fill_context(sequence, sequence.context_start)
        return state

    def _source_rows(self, sequences: Sequence[CodeSequence]) -> list[int | None]:
        """Rows of this state that hold the rows of `sequences`: conditional, then unconditional; None for new ones."""
        conditional = {sequence: row for row, sequence in enumerate(self.sequences)}
        unconditional = {self.sequences[index]: row for row, index in enumerate(self.guided_indices, len(self.sequences))}
        guided = [sequence for sequence in sequences if sequence.request.guided]
        return [conditional.get(sequence) for sequence in sequences] + [unconditional.get(sequence) for sequence in guided]

    def restart_context(self, sequence: CodeSequence) -> None:
        """Recompute the keys and values of a full sequence as if music began with the newest `overlap` frames."""
        self.fill_context(sequence, max(0, sequence.column - sequence.context.overlap - sequence.delays[-1]))

    def fill_context(self, sequence: CodeSequence, context_start: int) -> None:
        """Compute the keys and values of a sequence whose context begins at a column."""
        index = self.sequences.index(sequence)
        columns = torch.tensor(sequence.context_columns(context_start), dtype=torch.long, device=self.cache.device)
        columns = columns.view(-1, len(sequence.delays)).T[None]
        sequence.code_lm.allocate(columns.shape[-1])
        sequence.code_lm.restart(context_start)
        sequence.code_lm.step(columns)
        count = sequence.code_lm.filled
        rows = [index] + ([len(self.sequences) + self.guided_indices.index(index)] if sequence.request.guided else [])
        self.cache[:, :, rows, :, self.filled - count : self.filled] = sequence.code_lm.cache
        self.starts[index] = self.filled - count
        self.start_columns[index] = self.filled - count
        sequence.context_start = context_start
        del sequence.code_lm.cache

    def next_logits(self) -> Tensor:
        """Logits [n, K, V] of the next column of every sequence, with guidance applied.

        Does not advance the sequences; after an exception it may be called again.
        """
        if self.full:
            raise AssertionError("the cache of the batch is full; rebuild it before the next step")
        columns = [sequence.last_column() for sequence in self.sequences]
        filled = self.filled
        try:
            self.padding_mask = self._padding_mask()
            logits = self.step(torch.tensor(columns, device=self.cache.device)[..., None])
        except BaseException:
            self.filled = filled
            raise
        if not self.guided_indices:
            return logits
        conditional, unconditional = logits.split([len(self.sequences), len(self.guided_indices)])
        scale = torch.tensor([self.sequences[index].request.guidance for index in self.guided_indices], device=logits.device)
        guided = unconditional + scale[:, None, None] * (conditional[self.guided_indices] - unconditional)
        return conditional.index_copy(0, torch.tensor(self.guided_indices, device=logits.device), guided)

    def _padding_mask(self) -> Tensor | None:
        """Additive mask [N, 1, 1, P]: minus infinity at the columns before a row's start; None if there are none."""
        if max(self.starts) == 0:
            return None
        hidden = torch.arange(self.filled + 1, device=self.cache.device) < self.start_columns[self.row_sources][:, None]
        mask = torch.zeros(hidden.shape, dtype=self.cache.dtype, device=self.cache.device)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None]

    def _position_embeddings(self, start: int, steps: int) -> Tensor:
        return self.weights.positions[start - self.start_columns][:, None]

    def _repeat_for_guidance(self, hidden: Tensor) -> Tensor:
        return hidden[self.row_sources] if self.guided_indices else hidden

    def _attend(self, query: Tensor, keys_values: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, keys_values[0], keys_values[1], attn_mask=self.padding_mask)


class CodeBatch:
    """Continuous batch of code sequences; `step` samples one column of each. Not thread-safe."""

    def __init__(
        self, get_weights: Callable[[], DecoderWeights], make_lm: Callable[[DecoderWeights, SynthesisRequest], CodeLM],
        get_prompt: Callable[[SynthesisRequest], Tensor], context: ContextWindow, top_k: int, delays: Sequence[int],
    ):
        """
        Args:
            get_weights: returns the decoder's weights, held while the batch has sequences.
            make_lm: returns the decoding state of a request.
            get_prompt: returns the codes [1, K, n] of the recording that a request continues, n = 0 without one.
            delays: of every codebook, in columns.
        """
        self.get_weights, self.make_lm, self.get_prompt = get_weights, make_lm, get_prompt
        self.context, self.top_k, self.delays = context, top_k, delays
        self.members: list[CodeSequence] = []
        self._weights: DecoderWeights | None = None
        self._state: BatchState | None = None

    @torch.inference_mode()
    def add(self, request: SynthesisRequest, frames: int, grammar: Grammar | None) -> CodeSequence:
        """Add the sequence of a request of one row, and of `frames` new frames; it takes part from the next step on."""
        if self._weights is None:
            self._weights = self.get_weights()
        prompt, code_lm = self.get_prompt(request)[0], self.make_lm(self._weights, request)
        self.members.append(sequence := CodeSequence(request, prompt, frames, code_lm, self.delays, self.context, grammar))
        return sequence

    def remove(self, sequence: CodeSequence) -> None:
        """Remove a sequence, finished or not. An empty batch releases weights and cache."""
        self.members.remove(sequence)
        if not self.members:
            self._state = self._weights = None

    @torch.inference_mode()
    def step(self) -> dict[CodeSequence, Exception]:
        """Sample one column of every sequence; return the sequences that failed, with their errors.

        Raises an error of the whole batch; no sequence has advanced then.
        """
        if self._state is None or self._state.sequences != self.members or self._state.full:
            self._state = (self._state or BatchState.empty(self._weights)).rebuild(self.members)
        failed = self._isolate(self._state.restart_context, [sequence for sequence in self.members if sequence.full])
        if failed:  # their rows are incomplete, so no step is possible
            return failed
        codes = dict(zip(self.members, self._sample(self._state.next_logits()).tolist(), strict=True))
        return self._isolate(lambda sequence: sequence.append_codes(codes[sequence]), self.members)

    @torch.inference_mode()
    def probe_step(self, sequence: CodeSequence) -> None:
        """Compute the next step of one sequence alone and discard it: raises the error that this sequence causes."""
        (self._state or BatchState.empty(self._weights)).rebuild([sequence]).next_logits()

    def _isolate(self, work: Callable[[CodeSequence], None], sequences: Sequence[CodeSequence]) -> dict[CodeSequence, Exception]:
        """Call `work` for each sequence; return those that raised, with their errors."""
        failed: dict[CodeSequence, Exception] = {}
        for sequence in sequences:
            try:
                work(sequence)
            except Exception as error:  # fail only this sequence
                failed[sequence] = error
        return failed

    def _sample(self, logits: Tensor) -> Tensor:
        """Codes [n, K] from logits [n, K, V], with each sequence's own noise and temperatures; at temperature 0 the likeliest."""
        noise = torch.stack([sequence.noise[sequence.column] for sequence in self.members]).to(logits.device)
        temperatures = torch.stack([sequence.temperatures for sequence in self.members]).to(logits.device)
        codes = sample(logits, noise, temperatures, self.top_k)
        greedy = [sequence.request.temperature == 0 for sequence in self.members]
        return torch.where(torch.tensor(greedy, device=logits.device)[:, None], logits.argmax(-1), codes) if any(greedy) else codes
