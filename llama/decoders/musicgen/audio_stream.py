"""Audio stream: decodes music codes to sound of the exact requested length, in chunks while the codes grow.

Shapes: B rows, K codebooks, f complete frames of F, n samples. Only codecs that can be decoded in pieces stream; others
decode all codes at the end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from llama.decoders.base import CodecStream, StreamingCodec, SymbolicCodec, SynthesisRequest, pad_or_trim
from llama.decoders.musicgen.continuation import Seam
from llama.decoders.musicgen.encodec_stream import EncodecStream, can_stream

if TYPE_CHECKING:
    from llama.media.score import Score

FIRST_CHUNK_SECONDS, CHUNK_SECONDS = 1.0, 2.0


class AudioStreamer:
    """Decodes the codes of one request to sound. The codes may be computed in another thread or process."""

    def __init__(
        self, codec: nn.Module, request: SynthesisRequest, *, audio_channels: int, sample_rate: int, hop: float,
        prompt_frames: int = 0, seam: Seam | None = None,
    ):
        """
        Args:
            codec: decodes codes [1, B, K, F] to `audio_values`, as transformers' codecs do.
            audio_channels: channels that are coded as separate recordings, with interleaved codebooks.
            sample_rate, hop: samples of a second and of a frame; the frame rate is sample_rate / hop.
            prompt_frames: frames at the beginning of the codes whose sound is not returned.
            seam: the recording that the prompt was taken from, if it comes before the new sound; its length is part of the request's.
        """
        self.codec, self.audio_channels, self.frame_rate, self.seam = codec, audio_channels, sample_rate / hop, seam
        new_samples, repeated = request.samples(sample_rate), 0
        if seam is not None:
            new_samples, repeated = seam.new_samples, seam.fade
        self.samples_to_skip, self.samples_left = round(prompt_frames * hop) - repeated, new_samples + repeated
        frames = prompt_frames + math.ceil(new_samples / hop - 1e-6)
        self.streams = _codec_streams(codec, audio_channels, frames)
        self.next_chunk_frame = prompt_frames + FIRST_CHUNK_SECONDS * self.frame_rate

    def chunk_ready(self, complete: int) -> bool:
        """Whether `complete` frames are enough for the next chunk. True only once for each chunk."""
        if not self.streams or complete < self.next_chunk_frame:
            return False
        self.next_chunk_frame = complete + CHUNK_SECONDS * self.frame_rate
        return True

    @torch.inference_mode()
    def next_chunk(self, codes: Tensor) -> Tensor:
        """Sound [B, channels, n] that became final since the last call, of all codes [B, K, f] so far; n may be 0."""
        return self._returned(self._feed(codes, last=False))

    @torch.inference_mode()
    def finish(self, codes: Tensor) -> tuple[Tensor, list[Score] | None]:
        """The remaining sound [B, channels, n] of all codes [B, K, F], and a score for each row if the codec is symbolic."""
        sound = self._feed(codes, last=True) if self.streams else self._decode(codes)
        scores = self.codec.notes(codes) if isinstance(self.codec, SymbolicCodec) else None
        return self._returned(pad_or_trim(sound, self.samples_to_skip + self.samples_left)), scores

    def _feed(self, codes: Tensor, last: bool) -> Tensor:
        """Feed codes [B, K, f] to the stream of each audio channel; sound [B, channels, n]."""
        channels = [stream.feed(codes[:, index :: self.audio_channels], last) for index, stream in enumerate(self.streams)]
        return torch.cat(channels, 1).float()

    def _decode(self, codes: Tensor) -> Tensor:
        """Decode all codes at once, [B, channels, n]."""
        scales = [None] * codes.shape[0]
        channels = [codes[None, :, index :: self.audio_channels] for index in range(self.audio_channels)]
        return torch.cat([self.codec.decode(channel, audio_scales=scales).audio_values for channel in channels], 1).float()

    def _returned(self, sound: Tensor) -> Tensor:
        """The part of new sound that lies behind the prompt and within the requested length, joined to the recording if there is one."""
        new = sound[..., self.samples_to_skip :][..., : self.samples_left]
        self.samples_to_skip = max(0, self.samples_to_skip - sound.shape[-1])
        self.samples_left -= new.shape[-1]
        return _copy_outside_inference_mode(new if self.seam is None else self.seam.join(new))


def _codec_streams(codec: nn.Module, audio_channels: int, frames: int) -> list[CodecStream]:
    """A streaming decoder for each audio channel; [] if the codec cannot be decoded in pieces."""
    if isinstance(codec, StreamingCodec):
        return [codec.stream(frames) for _ in range(audio_channels)]
    return [EncodecStream(codec) for _ in range(audio_channels)] if can_stream(codec) else []


def _copy_outside_inference_mode(sound: Tensor) -> Tensor:
    """A copy that callers may modify in place; tensors of inference mode do not allow that."""
    with torch.inference_mode(False):
        return sound.clone()
