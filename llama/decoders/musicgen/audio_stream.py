"""Codes that grow become sound, cut to the exact length of what was asked for: chunk by chunk, if the codec streams.

Legend: B rows, K codebooks, f frames known so far of F.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.decoders.base import SynthesisRequest, pad_or_trim
from llama.decoders.musicgen.encodec_stream import EncodecStream

if TYPE_CHECKING:
    from llama.decoders.musicgen.decoder import MusicGenDecoder
    from llama.media.score import Score

FIRST_CHUNK_SECONDS, CHUNK_SECONDS = 1.0, 2.0


class AudioStreamer:
    """The sound of one request, whose codes may be made elsewhere."""

    def __init__(self, decoder: MusicGenDecoder, request: SynthesisRequest, known: int = 0):
        """`known`: frames at the beginning of the codes that are not to be heard."""
        self.codec, self.voices, self.rate = decoder.model.audio_encoder, decoder.voices, decoder.sample_rate / decoder.hop
        self.streams = [EncodecStream(self.codec) for _ in range(self.voices)] if decoder.streams else []
        self.skip, self.left = round(known * decoder.hop), request.samples(decoder.sample_rate)
        self.next = known + FIRST_CHUNK_SECONDS * self.rate

    def chunk_ready(self, complete: int) -> bool:
        """Whether so many complete frames are enough for a chunk; told once."""
        if not self.streams or complete < self.next:
            return False
        self.next = complete + CHUNK_SECONDS * self.rate
        return True

    @torch.inference_mode()
    def next_chunk(self, codes: Tensor) -> Tensor:
        """Codes [B, K, f] from the beginning -> the sound [B, channels, n] that became final by them; n may be 0."""
        return self._cut(self._feed(codes, last=False))

    @torch.inference_mode()
    def finish(self, codes: Tensor) -> tuple[Tensor, list[Score] | None]:
        """All codes [B, K, F] -> the sound that is left, and the notes of each row, if the codec has notes."""
        codec = self.codec
        sound = self._feed(codes, last=True) if self.streams else self._decode(codes)
        notes = codec.notes(codes) if hasattr(codec, "notes") else None
        return self._cut(pad_or_trim(sound, self.skip + self.left)), notes

    def _feed(self, codes: Tensor, last: bool) -> Tensor:
        parts = [stream.feed(codes[:, voice :: self.voices], last) for voice, stream in enumerate(self.streams)]
        return torch.cat(parts, 1).float()

    def _decode(self, codes: Tensor) -> Tensor:
        """The whole at once, [B, channels, n]."""
        scales = [None] * codes.shape[0]
        voices = [codes[None, :, voice :: self.voices] for voice in range(self.voices)]
        return torch.cat([self.codec.decode(voice, audio_scales=scales).audio_values for voice in voices], 1).float()

    def _cut(self, sound: Tensor) -> Tensor:
        self.skip, fresh = max(0, self.skip - sound.shape[-1]), sound[..., self.skip :][..., : self.left]
        self.left -= fresh.shape[-1]
        return _outside(fresh)


def _outside(sound: Tensor) -> Tensor:
    """A copy that may be worked on: what is made in inference mode may not."""
    with torch.inference_mode(False):
        return sound.clone()
