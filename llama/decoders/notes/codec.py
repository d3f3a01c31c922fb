"""A symbolic codec in the place of a neural one: codes are notes, and decoding them is playing them.

`register()` makes it known to transformers; a stock `MusicgenForConditionalGeneration` then loads it as its audio encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from llama.decoders.notes.grammar import CodeGrammar
from llama.decoders.notes.sampler import SAMPLE_RATE, BankEntry, Sampler
from llama.decoders.notes.tokens import CODEBOOK_SIZE, CODEBOOKS, FRAME_RATE, decode
from llama.media.score import Score


class NoteCodecConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes, and where each note lies in the sample bank: `entries` of (program, pitch, offset, length, gain)."""

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
        self.licence = licence
        known = ("sampling_rate", "frame_rate", "codebook_size", "num_codebooks", "audio_channels")
        super().__init__(**{name: value for name, value in kwargs.items() if name not in known})


@dataclass
class NoteCodecOutput(ModelOutput):  # type: ignore[misc]
    """audio_values [B, 2, N] float32 at 32 kHz."""

    audio_values: Tensor | None = None


class NoteCodecModel(PreTrainedModel):  # type: ignore[misc]
    """Plays note codes with a bank of recorded notes, kept as a compressed recording inside the weights."""

    config_class = NoteCodecConfig
    base_model_prefix = "note_codec"
    main_input_name = "audio_codes"
    _supports_sdpa = _supports_flash_attn = _supports_attention_backend = True  # it has no attention to object

    def __init__(self, config: NoteCodecConfig) -> None:
        super().__init__(config)
        self.register_buffer("bank", torch.zeros(config.bank_bytes, dtype=torch.uint8))
        self._sampler: Sampler | None = None
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing here is learnt."""

    @property
    def dtype(self) -> torch.dtype:
        """Of what `decode` gives; there is no floating-point weight to ask."""
        return torch.float32

    @property
    def sampler(self) -> Sampler:
        """The unpacked bank, kept after its first use."""
        if self._sampler is None:
            entries = [BankEntry(int(p), int(k), int(o), int(n), float(g)) for p, k, o, n, g in self.config.entries]
            self._sampler = Sampler(self.bank.cpu().numpy().tobytes(), entries)
        return self._sampler

    def notes(self, audio_codes: Tensor) -> list[Score]:
        """Codes [B, K, T] -> one score a row: notes in seconds, chords and attributes."""
        return [decode(row) for row in audio_codes.cpu().numpy()]

    def decode(self, audio_codes: Tensor, audio_scales: Any = None, **_: Any) -> NoteCodecOutput:
        """Codes [1, B, K, T] -> stereo sound of T / 6 seconds. `audio_scales` is accepted, as neural codecs have it."""
        if audio_codes.dim() != 4 or audio_codes.shape[0] != 1 or audio_codes.shape[2] != len(CODEBOOKS):
            raise ValueError(f"Note codes have shape {list(audio_codes.shape)}; they must be [1, batch, {len(CODEBOOKS)}, frames].")
        played = [torch.from_numpy(self.sampler.render(score)) for score in self.notes(audio_codes[0])]
        return NoteCodecOutput(audio_values=torch.stack(played).to(audio_codes.device))

    def forward(self, audio_codes: Tensor, **_: Any) -> NoteCodecOutput:
        """The same as `decode`."""
        return self.decode(audio_codes)

    def grammar(self, frames: int) -> CodeGrammar:
        """What may be computed rather than sampled in a piece of so many frames."""
        return CodeGrammar(frames)


def register() -> None:
    """Make `note_codec` known to AutoConfig and AutoModel; again does no harm."""
    AutoConfig.register("note_codec", NoteCodecConfig, exist_ok=True)
    AutoModel.register(NoteCodecConfig, NoteCodecModel, exist_ok=True)
