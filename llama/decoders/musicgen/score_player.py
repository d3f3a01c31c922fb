"""What a MusicGen whose codec's codes are notes can do beside composing: play scores, and edit them exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from llama.decoders.base import NO_EDITS, AudioGenerator, EditableCodec, PlayableCodec, SynthesisRequest
from llama.decoders.edit_plan import EditPlan
from llama.media.audio import Waveform
from llama.media.edit import Edit
from llama.media.score import Score

if TYPE_CHECKING:
    from llama.decoders.musicgen.sampling import Grammar


class ScorePlayer:
    """Mixin of MusicGenDecoder. Its methods raise ValueError if the codec is one of sound."""

    model: Any  # a MusicGen, whose transformers types are loose
    sample_rate: int

    if TYPE_CHECKING:  # of the decoder

        def prompt_codes(self, request: SynthesisRequest) -> Tensor: ...

        def sample(
            self, request: SynthesisRequest, prompt_codes: Tensor, frames: int, grammar: Grammar | None
        ) -> Iterator[tuple[Tensor, int]]: ...

    @property
    def edits_scores(self) -> bool:
        """Whether the codec's codes are notes that can be kept."""
        return isinstance(self.model.audio_encoder, EditableCodec)

    def render(self, score: Score) -> Waveform:
        """The sound of a score."""
        return Waveform(self._editable_codec().render(score), self.sample_rate)

    def render_stems(self, score: Score) -> dict[str, Waveform]:
        """The sound of each part, of equal length; they sum to `render(score)`."""
        stems = self._playable_codec().render_stems(score)
        return {name: Waveform(sound, self.sample_rate) for name, sound in stems.items()}

    def render_loop(self, score: Score, first: int, last: int) -> Waveform:
        """Bars `first` to `last` as a loop without a seam."""
        return Waveform(self._playable_codec().render_loop(score, first, last), self.sample_rate)

    def render_stream(self, score: Score) -> Iterator[Waveform]:
        """The sound of a score in blocks that join to `render(score)`."""
        return (Waveform(block, self.sample_rate) for block in self._playable_codec().render_stream(score))

    def _playable_codec(self) -> PlayableCodec:
        codec = self.model.audio_encoder
        if not isinstance(codec, PlayableCodec):
            raise ValueError(NO_EDITS)
        return codec

    def _editable_codec(self) -> EditableCodec:
        codec = self.model.audio_encoder
        if not isinstance(codec, EditableCodec):
            raise ValueError(NO_EDITS)
        return codec

    def edited_score(self, request: SynthesisRequest) -> AudioGenerator:
        """Compose what the edit asks anew, change the rest by rule, and yield the sound of the edited score in blocks."""
        assert isinstance(request.source, Score) and request.edit is not None, "the request has checked it"
        codes, plan = None, self.edit_plan(request.source, request.edit)
        if plan.recomposition is not None:
            *_, (rows, _) = self.sample(request, self.prompt_codes(request), plan.recomposition.frames, plan.recomposition.grammar)
            codes = rows[0]
        score = plan.score(codes)
        for block in self._playable_codec().render_stream(score):
            yield block[None]
        return [score]

    def edit_plan(self, source: Score, edit: Edit) -> EditPlan:
        """What an edit of a piece samples, and the score that results."""
        return EditPlan.of(self._editable_codec(), source, edit)

    def seconds_of_bars(self, request: SynthesisRequest, bar_count: int) -> float:
        """Length of the new piece of a request of one row if it has so many bars.

        Its tempo and metre are sampled for it. They are in the first frame, which does not depend on the length of the piece.
        """
        codec = self._editable_codec()
        frames = 2 * self.model.decoder.model.decoder.num_codebooks
        for codes, complete in self.sample(request, self.prompt_codes(request), frames, codec.grammar(frames)):
            if complete:
                seconds = codec.seconds_of_bars(codes[0, :, 0], bar_count)  # of whole frames, which samples must not exceed
                return math.floor(seconds * self.sample_rate + 1e-6) / self.sample_rate
        raise AssertionError("sampling ends with all frames complete")
