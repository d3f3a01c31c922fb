"""Melody conditioning of MusicGen Melody (Copet et al. 2023, "Simple and Controllable Music Generation", section 2.3).

The melody is a chroma: the strongest pitch class of every moment, one of twelve. Chroma and text states are projected to the
decoder's width and placed before the codes; there is no cross-attention. Legend: as in `lm`, with C chroma frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from llama.decoders.musicgen.lm import CodeLM, DecoderWeights
from llama.media.audio import Waveform
from llama.media.score import Score

SILENT_CLASS = 0  # the pitch class, C, that stands for silence and for no melody


@dataclass(frozen=True)
class Melody:
    """The chroma [C, 12] of a melody, one 1 in every row, and the number of its frames in a second."""

    chroma: Tensor
    rate: float


def melody_of(source: Score | Waveform, extractor: Any) -> Melody:
    """The melody of a recording or of a score's lead. extractor: transformers' MusicgenMelodyFeatureExtractor.

    Of a recording it is the strongest pitch class of the whole mix, over half a second. Raises ValueError for a score without
    a lead.
    """
    rate = extractor.sampling_rate / extractor.hop_length
    if isinstance(source, Score):
        return Melody(_chroma_of_notes(source, rate), rate)
    samples = source.mono().resample(extractor.sampling_rate).samples[0]
    # Without a length of its own the extractor would keep 30 s.
    features = extractor(samples.numpy(), sampling_rate=extractor.sampling_rate, max_length=len(samples), return_tensors="pt")
    return Melody(features["input_features"][0].float(), rate)


def _chroma_of_notes(score: Score, rate: float) -> Tensor:
    """Chroma [C, 12] of the lead; a note holds until the next one, so that rests are not heard as C."""
    if not score.lead:
        raise ValueError("The piece has no melody that could be kept: its lead has no notes; give a piece with a lead.")
    times = torch.arange(int(score.seconds * rate) + 1) / rate
    notes = sorted(score.lead, key=lambda note: note.start)
    starts = torch.tensor([note.start for note in notes], dtype=torch.float32)
    classes = torch.tensor([SILENT_CLASS, *(note.pitch % 12 for note in notes)])
    return functional.one_hot(classes[torch.searchsorted(starts, times, right=True)], 12).float()


class MelodyLM(CodeLM):
    """Decoding state of MusicGen Melody: its cache begins with the states of chroma and text.

    A context that starts later in the music reads the chroma from there on. A melody that is shorter than the music repeats.
    """

    def __init__(
        self, weights: DecoderWeights, condition: Tensor, mask: Tensor | None, guided: bool, melody: Melody | None, frame_rate: float
    ):
        """`melody`: of all rows, or None for none; `frame_rate`: frames of codes in a second."""
        device = weights.embeddings.device
        self.no_melody = functional.one_hot(torch.tensor([SILENT_CLASS], device=device), weights.num_chroma)
        self.chroma = self.no_melody if melody is None else melody.chroma.to(device)
        self.chroma_frames_per_frame = 0.0 if melody is None else melody.rate / frame_rate
        self.first_frame = 0
        super().__init__(weights, condition, mask, guided)

    def _encode_condition(self, condition: Tensor, mask: Tensor | None) -> None:
        """Project the text states; those that the mask excludes become zeros, which are attended to."""
        states = self.weights.condition_projection(condition)
        self.text = states if mask is None else states * mask.to(states.device).bool()[..., None]
        self.cross, self.mask = [], None

    @property
    def prefix(self) -> int:
        return self.weights.chroma_length + self.text.shape[1]

    def restart(self, frame: int) -> None:
        super().restart(frame)
        self.first_frame = frame

    def _input_states(self, codes: Tensor) -> Tensor:
        if self.filled:
            return super()._input_states(codes)
        states = torch.cat([self._prefix_states(), self._repeat_for_guidance(self._embed(codes))], 1)
        return states + self._position_embeddings(0, states.shape[1])

    def _prefix_states(self) -> Tensor:
        """States [N, C + S, d] that precede the codes; the unconditional rows have no melody, and zeros for the text."""
        conditional = torch.cat([self._chroma_states(self.chroma), self.text], 1)
        if self.halves == 1:
            return conditional
        unconditional = torch.cat([self._chroma_states(self.no_melody), torch.zeros_like(self.text)], 1)
        return torch.cat([conditional, unconditional])

    def _chroma_states(self, chroma: Tensor) -> Tensor:
        """Projected chroma [B, C, d] from `first_frame` on, repeated to the length that the model was trained with."""
        first = round(self.first_frame * self.chroma_frames_per_frame)
        indices = torch.arange(first, first + self.weights.chroma_length, device=chroma.device) % len(chroma)
        states = self.weights.chroma_projection(chroma[indices].to(self.text.dtype))
        return states.expand(self.rows, -1, -1)
