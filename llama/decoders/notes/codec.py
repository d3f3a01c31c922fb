"""Symbolic codec in place of a neural one: its codes are notes, and decoding renders them with recorded samples.

`register()` adds it to transformers; a stock `MusicgenForConditionalGeneration` then loads it as its audio encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from llama.decoders.notes.grammar import CodeGrammar
from llama.decoders.notes.recomposition import Recomposition
from llama.decoders.notes.sampler import MAX_BANK_SAMPLES, PERCUSSION, SAMPLE_RATE, BankEntry, Sampler
from llama.decoders.notes.stream import NoteStream
from llama.decoders.notes.tokens import CODEBOOK_SIZE, CODEBOOKS, FRAME_RATE, decode, read_headers
from llama.errors import quoted
from llama.media.edit import Edit, prepare
from llama.media.score import Score, timeline
from llama.media.score_edits import fitting_seconds
from llama.ranges import Range

ENTRY = {
    "program": Range(float, 0, PERCUSSION), "pitch": Range(float, 0, 127), "offset": Range(float, 0, MAX_BANK_SAMPLES),
    "length": Range(float, 1, MAX_BANK_SAMPLES), "gain": Range(float, 0, 1000),
}  # fmt: skip

ENDING_BEATS = 2  # about as long sounds the final chord of a piece whose length is given in bars


def check_entries(entries: Any) -> None:
    """Raises ValueError for a list of the bank's notes that is none, naming the first number that is out of range."""
    for entry in entries if isinstance(entries, list | tuple) else [entries]:
        if not isinstance(entry, list | tuple) or len(entry) != len(ENTRY):
            raise ValueError(f"entries of audio_encoder holds {quoted(entry)}; give lists of {', '.join(ENTRY)}.")
        for (name, allowed), value in zip(ENTRY.items(), entry, strict=True):
            allowed.check(f"{name} in entries of audio_encoder", value)


class NoteCodecConfig(PretrainedConfig):  # type: ignore[misc]
    """Configuration: sizes, and the position of each note in the sample bank, `entries` of (program, pitch, offset, length, gain)."""

    model_type = "note_codec"

    def __init__(
        self, bank_bytes: int = 0, entries: list[list[float]] | None = None, licence: str = "", **kwargs: Any
    ) -> None:
        self.sampling_rate = SAMPLE_RATE
        self.frame_rate = FRAME_RATE
        self.codebook_size = CODEBOOK_SIZE
        self.num_codebooks = len(CODEBOOKS)
        self.audio_channels = 2
        self.bank_bytes = bank_bytes
        self.entries = entries or []
        check_entries(self.entries)
        self.licence = licence
        constants = ("sampling_rate", "frame_rate", "codebook_size", "num_codebooks", "audio_channels")
        super().__init__(**{name: value for name, value in kwargs.items() if name not in constants})


@dataclass
class NoteCodecOutput(ModelOutput):  # type: ignore[misc]
    """Output of `decode`: audio_values [B, 2, N] float32 at 32 kHz."""

    audio_values: Tensor | None = None


class NoteCodecModel(PreTrainedModel):  # type: ignore[misc]
    """Renders note codes with a bank of recorded notes, which is a compressed recording in the state dict."""

    config_class = NoteCodecConfig
    base_model_prefix = "note_codec"
    main_input_name = "audio_codes"
    _supports_sdpa = _supports_flash_attn = _supports_attention_backend = True  # it has no attention

    def __init__(self, config: NoteCodecConfig) -> None:
        super().__init__(config)
        self.register_buffer("bank", torch.zeros(config.bank_bytes, dtype=torch.uint8))
        self._sampler: Sampler | None = None
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Does nothing: there are no weights to initialise."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the decoded sound; there is no floating-point weight to take it from."""
        return torch.float32

    @property
    def sampler(self) -> Sampler:
        """The sampler with the decoded bank, created at first use."""
        if self._sampler is None:
            entries = [BankEntry(int(p), int(k), int(o), int(n), float(g)) for p, k, o, n, g in self.config.entries]
            self._sampler = Sampler(self.bank.cpu().numpy().tobytes(), entries)
        return self._sampler

    def notes(self, audio_codes: Tensor) -> list[Score]:
        """A score for each row of codes [B, K, T]: notes in seconds, chords and attributes."""
        return [decode(row) for row in audio_codes.cpu().numpy()]

    def seconds_of_bars(self, codes: Tensor, bar_count: int) -> float:
        """Length of a piece of so many bars before its ending, with the tempo and metre of codes [K] of its first frame.

        Raises ValueError if it would be longer than music may be.
        """
        attributes = read_headers(codes.tolist())
        final = ENDING_BEATS * 60 / attributes.tempo
        return fitting_seconds(timeline(attributes, final), attributes, bar_count, final, tag=0)

    def decode(self, audio_codes: Tensor, audio_scales: Any = None, **_: Any) -> NoteCodecOutput:
        """Stereo sound of T / 6 seconds from codes [1, B, K, T]. `audio_scales` has no effect; neural codecs take it."""
        if audio_codes.dim() != 4 or audio_codes.shape[0] != 1 or audio_codes.shape[2] != len(CODEBOOKS):
            raise ValueError(f"Note codes have shape {list(audio_codes.shape)}; they must be [1, batch, {len(CODEBOOKS)}, frames].")
        sounds = [torch.from_numpy(self.sampler.render(score)) for score in self.notes(audio_codes[0])]
        return NoteCodecOutput(audio_values=torch.stack(sounds).to(audio_codes.device))

    def forward(self, audio_codes: Tensor, **_: Any) -> NoteCodecOutput:
        """The same as `decode`."""
        return self.decode(audio_codes)

    def stream(self, frames: int) -> NoteStream:
        """The decoder of a piece of so many frames whose codes are still growing; the sound equals that of `decode`."""
        return NoteStream(self.sampler, frames)

    def grammar(self, frames: int) -> CodeGrammar:
        """The rules for a piece of so many frames: which codes are computed instead of sampled."""
        return CodeGrammar(frames)

    def recomposition(self, score: Score, edit: Edit) -> Recomposition | None:
        """What an edit composes anew in a piece; None if it composes nothing."""
        parts = edit.composed_parts(score)
        if not parts:
            return None
        chords = not edit.keeps_chords or edit.continuation is not None
        return Recomposition(prepare(score, edit), parts, edit.composed_bars(score), chords, other_groove=edit.replaces_groove(score))

    def render(self, score: Score) -> Tensor:
        """Stereo sound [2, n] of a score at 32 kHz."""
        return torch.from_numpy(self.sampler.render(score))

    def render_stems(self, score: Score) -> dict[str, Tensor]:
        """The sound [2, n] of each part that has notes; they sum to that of the score."""
        return {name: torch.from_numpy(sound) for name, sound in self.sampler.render_stems(score).items()}

    def render_loop(self, score: Score, first: int, last: int) -> Tensor:
        """Sound [2, n] of bars `first` to `last`, from 1, whose end goes on at its beginning. Raises ValueError for other bars."""
        return torch.from_numpy(self.sampler.render_loop(score, first, last))

    def render_stream(self, score: Score) -> Iterator[Tensor]:
        """The sound of a score in blocks [2, n]; joined they equal `render`."""
        return map(torch.from_numpy, self.sampler.render_stream(score))


def register() -> None:
    """Register `note_codec` with AutoConfig and AutoModel; may be called repeatedly."""
    AutoConfig.register("note_codec", NoteCodecConfig, exist_ok=True)
    AutoModel.register(NoteCodecConfig, NoteCodecModel, exist_ok=True)
