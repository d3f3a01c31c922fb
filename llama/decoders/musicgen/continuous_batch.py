"""Several pieces of music made together, each at a frame of its own: a newcomer joins between two frames, who is done leaves.

Legend: n parts (one piece each), N lanes (a part's conditional half, and behind all of those the unconditional halves of
the guided parts), K codebooks, F frames, P columns of the cache. All lanes share the newest column of the cache; a lane
begins at a column of its own, counts its positions from there, and is blind to what lies before it.
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
    sample,
    uniform_noise,
)

CACHE_GROWTH = 64  # columns by which a cache that is full grows: a copy of all keys and values, so not at every step


class CodeSequence:
    """One piece on its way: its codes [K, F], of which `complete` frames are final, and the column that is next.

    The first column is written by a step on padding alone, so that a newcomer needs nothing computed before it joins.
    """

    def __init__(
        self, request: SynthesisRequest, frames: int, own: CodeLM, delays: Sequence[int], span: ContextWindow, grammar: Grammar | None
    ):
        self.request, self.frames, self.own, self.span, self.grammar = request, frames, own, span, grammar
        self.delays = list(delays)
        self.codes = np.zeros((len(self.delays), frames), np.int64)
        self.column = self.begin = 0  # the next column; the one that the decoder's view begins with
        self.width = frames + self.delays[-1]
        self.capacity = min(self.width, span.window + self.delays[-1])
        self.uniform = uniform_noise((self.width, len(self.delays)), request.seeds[0])
        self.heats = torch.tensor(codebook_temperatures(len(self.delays), request.temperature, grammar)).clamp_min(MIN_TEMPERATURE)

    @property
    def complete(self) -> int:
        return max(0, self.column - self.delays[-1])

    @property
    def done(self) -> bool:
        return self.column == self.width

    @property
    def full(self) -> bool:
        """Whether the decoder sees as much as it can: it must go on from the newest frames alone."""
        return self.column - self.begin == self.capacity

    def written(self, column: int, begin: int) -> list[int]:
        """What stands in a column: padding where no frame is, or one from before the view."""
        frames = [column - delay for delay in self.delays]
        seen = (begin <= frame < self.frames for frame in frames)
        return [int(self.codes[k, frame]) if real else self.own.pad for k, (frame, real) in enumerate(zip(frames, seen, strict=True))]

    def newest(self) -> list[int]:
        return self.written(self.column - 1, self.begin)

    def view(self, begin: int) -> list[list[int]]:
        """The columns of a view that begins anew, all but the newest: padding, then the frames from `begin` on."""
        return [self.written(column, begin) for column in range(begin - 1, self.column - 1)]

    def take(self, codes: Sequence[int]) -> None:
        """The codes chosen for the next column; the grammar's stand where it has an opinion."""
        for book, delay in enumerate(self.delays):
            frame = self.column - delay
            if 0 <= frame < self.frames:
                ruled = self.grammar.code(self.codes, book, frame) if self.grammar else -1
                self.codes[book, frame] = ruled if ruled >= 0 else codes[book]
        self.column += 1


class BatchState(CodeLM):
    """The keys and values of several parts, all at the same newest column of one cache."""

    def __init__(self, weights: DecoderWeights, parts: Sequence[CodeSequence], cache: Tensor, filled: int, starts: Sequence[int]):
        """`cache` [layers, 2, N, heads, P, w]; `starts`: the column at which each part begins."""
        self.weights, self.parts, self.cache, self.filled, self.starts = weights, list(parts), cache, filled, list(starts)
        self.guided = [place for place, part in enumerate(self.parts) if part.request.guided]
        device = weights.embeddings.device
        self.copied = torch.tensor([*range(len(self.parts)), *self.guided], device=device)
        self.lane_starts = torch.tensor(self.starts, device=device)
        self.cross = [tuple(map(torch.cat, zip(*layer, strict=True))) for layer in zip(*(one.own.cross for one in parts), strict=True)]
        masks = [one.own.mask for one in parts]
        self.mask = None if all(mask is None for mask in masks) else torch.cat([self._whole(mask) for mask in masks])
        self.blind: Tensor | None = None

    def _whole(self, mask: Tensor | None) -> Tensor:
        """[1, 1, 1, S] a part's mask of its condition, ones where it has none."""
        condition = self.cross[0][0]
        return mask if mask is not None else torch.ones(1, 1, 1, condition.shape[2], dtype=torch.bool, device=condition.device)

    @classmethod
    def nobody(cls, weights: DecoderWeights) -> BatchState:
        heads = cast(int, weights.layers[0].heads)  # transformers' modules do not say what their numbers are
        shape = (len(weights.layers), 2, 0, heads, 0, weights.head_width)
        return cls(weights, [], weights.embeddings.new_empty(shape), 0, [])

    def of(self, parts: Sequence[CodeSequence]) -> BatchState:
        """Lanes of these parts: those known go on, the others begin at the newest column. Columns that nobody sees are dropped."""
        known = {part: self.starts[place] for place, part in enumerate(self.parts)}
        low = min((known[part] for part in parts if part in known), default=self.filled)
        used = self.filled - low
        starts = [known.get(part, self.filled) - low for part in parts]
        layers, two, _, heads, _, width = self.cache.shape
        places = self._places_of(parts)
        cache = self.cache.new_empty((layers, two, len(places), heads, used + CACHE_GROWTH, width))
        cache[..., used:, :] = float("nan")
        for new, old in enumerate(places):
            # Columns before a newcomer's first are read with weight zero, so they must be numbers.
            cache[:, :, new, :, :used] = 0 if old is None else self.cache[:, :, old, :, low : self.filled]
        return BatchState(self.weights, parts, cache, used, starts)

    def _places_of(self, parts: Sequence[CodeSequence]) -> list[int | None]:
        """Where the lanes of `parts` are here, None for those of newcomers."""
        here = {part: place for place, part in enumerate(self.parts)}
        free = {self.parts[place]: len(self.parts) + number for number, place in enumerate(self.guided)}
        return [here.get(part) for part in parts] + [free.get(part) for part in parts if part.request.guided]

    def begin_anew(self, part: CodeSequence) -> None:
        """Fills a part's columns as if the music began with the frames that it keeps."""
        place, begin = self.parts.index(part), max(0, part.column - part.span.keep - part.delays[-1])
        columns = torch.tensor(part.view(begin), device=self.cache.device).T[None]
        count = columns.shape[-1]
        part.own.allocate(count)
        part.own.filled = 0
        part.own.step(columns)
        lanes = [place] + ([len(self.parts) + self.guided.index(place)] if part.request.guided else [])
        self.cache[:, :, lanes, :, self.filled - count : self.filled] = part.own.cache
        self.starts[place] = self.filled - count
        self.lane_starts[place] = self.filled - count
        part.begin = begin
        del part.own.cache

    def next_logits(self) -> Tensor:
        """One step of all parts -> logits [n, K, V], guided. The parts do not move on: failed, it may be asked again."""
        if self.full:
            raise AssertionError("lanes without room were asked to step")
        columns = [part.newest() for part in self.parts]
        filled = self.filled
        try:
            self.blind = self._blindness()
            logits = self.step(torch.tensor(columns, device=self.cache.device)[..., None])
        except BaseException:
            self.filled = filled
            raise
        if not self.guided:
            return logits
        conditional, free = logits.split([len(self.parts), len(self.guided)])
        scale = torch.tensor([self.parts[place].request.guidance for place in self.guided], device=logits.device)
        chosen = free + scale[:, None, None] * (conditional[self.guided] - free)
        return conditional.index_copy(0, torch.tensor(self.guided, device=logits.device), chosen)

    def _blindness(self) -> Tensor | None:
        """[N, 1, 1, P] minus infinity at the columns before a lane's own, None if there are none."""
        if max(self.starts) == 0:
            return None
        hidden = torch.arange(self.filled + 1, device=self.cache.device) < self.lane_starts[self.copied][:, None]
        mask = torch.zeros(hidden.shape, dtype=self.cache.dtype, device=self.cache.device)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None]

    def _places(self, start: int, steps: int) -> Tensor:
        return self.weights.positions[start - self.lane_starts][:, None]

    def _lanes(self, hidden: Tensor) -> Tensor:
        return hidden[self.copied] if self.guided else hidden

    def _attend(self, query: Tensor, seen: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, seen[0], seen[1], attn_mask=self.blind)


class CodeBatch:
    """Parts that are played together; `step` adds one column to each. Not safe to be used by two threads at once."""

    def __init__(self, lay_out: Callable[[], DecoderWeights], span: ContextWindow, top_k: int, delays: Sequence[int]):
        """lay_out: gives the decoder's weights; the ensemble holds them while it plays. delays: of every codebook, in columns."""
        self.lay_out, self.span, self.top_k, self.delays = lay_out, span, top_k, delays
        self.parts: list[CodeSequence] = []
        self._weights: DecoderWeights | None = None
        self._lanes: BatchState | None = None

    @torch.inference_mode()
    def add(self, request: SynthesisRequest, frames: int, grammar: Grammar | None) -> CodeSequence:
        """A new part of one row; it plays from the next step on."""
        if self._weights is None:
            self._weights = self.lay_out()
        device = self._weights.embeddings.device
        own = CodeLM(self._weights, request.condition.to(device), request.mask, request.guided)
        self.parts.append(part := CodeSequence(request, frames, own, self.delays, self.span, grammar))
        return part

    def remove(self, part: CodeSequence) -> None:
        """Whether it is done or not; without parts nothing is held."""
        self.parts.remove(part)
        if not self.parts:
            self._lanes = self._weights = None

    @torch.inference_mode()
    def step(self) -> dict[CodeSequence, Exception]:
        """One column of every part; returns the parts that failed by themselves. An error of all is raised, and nothing moves."""
        if self._lanes is None or self._lanes.parts != self.parts or self._lanes.full:
            self._lanes = (self._lanes or BatchState.nobody(self._weights)).of(self.parts)
        failed = self._each(self._lanes.begin_anew, [part for part in self.parts if part.full])
        if failed:  # their lanes are not fit to be read
            return failed
        chosen = dict(zip(self.parts, self._choose(self._lanes.next_logits()).tolist(), strict=True))
        return self._each(lambda part: part.take(chosen[part]), self.parts)

    @torch.inference_mode()
    def probe_step(self, part: CodeSequence) -> None:
        """The next step of one part alone, its result thrown away: raises what that part would raise."""
        (self._lanes or BatchState.nobody(self._weights)).of([part]).next_logits()

    def _each(self, work: Callable[[CodeSequence], None], parts: Sequence[CodeSequence]) -> dict[CodeSequence, Exception]:
        """Who failed, and by what."""
        failed: dict[CodeSequence, Exception] = {}
        for part in parts:
            try:
                work(part)
            except Exception as error:  # handed to the piece that it belongs to
                failed[part] = error
        return failed

    def _choose(self, logits: Tensor) -> Tensor:
        """Logits [n, K, V] -> codes [n, K]: each part by its own numbers and temperatures, the likeliest at temperature 0."""
        uniform = torch.stack([part.uniform[part.column] for part in self.parts]).to(logits.device)
        temperatures = torch.stack([part.heats for part in self.parts]).to(logits.device)
        codes = sample(logits, uniform, temperatures, self.top_k)
        greedy = [part.request.temperature == 0 for part in self.parts]
        return torch.where(torch.tensor(greedy, device=logits.device)[:, None], logits.argmax(-1), codes) if any(greedy) else codes
