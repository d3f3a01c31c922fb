"""The pcm16 format of OpenAI's API: raw samples at 24 kHz, one channel, 16 bit, little endian, without a header.

Samples are resampled as soon as the whole support of the resampling filter has arrived, so that the concatenated chunks of a
stream equal the piece resampled at once.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import torch

from demo.service.audio_files import pcm
from llama.media.audio import Waveform

PCM16_RATE = 24_000  # Hz
FILTER_REACH = 8  # half width of the resampling filter in samples of the slower rate, with a margin


class Pcm16Stream:
    """Streaming encoder of one piece: chunks of music in, bytes out."""

    def __init__(self) -> None:
        self._samples = torch.zeros(1, 0)  # [1, N]: samples of the piece that the filter still needs
        self._start = 0  # index in the piece of the first of `_samples`
        self._sent = 0  # samples of the piece that were encoded
        self._rate = PCM16_RATE

    def add(self, music: Waveform) -> bytes:
        """Adds a chunk; returns the bytes that no later chunk can change."""
        self._rate = music.sample_rate
        self._samples = torch.cat([self._samples, music.mono().samples.detach().cpu().float()], dim=1)
        received = self._start + self._samples.shape[1]
        if self._rate == PCM16_RATE:
            return self._up_to(received)
        return self._up_to((received - self._margin) // self._step * self._step)

    def end(self) -> bytes:
        """Returns the remaining bytes after the last chunk."""
        return self._up_to(self._start + self._samples.shape[1])

    @property
    def _step(self) -> int:
        """Samples after which both rates' sample grids coincide again."""
        return Fraction(self._rate, PCM16_RATE).numerator

    @property
    def _margin(self) -> int:
        """Samples at the end of the received ones that the filter cannot resample yet, a multiple of `_step`."""
        return self._step * ceil(FILTER_REACH * max(self._rate / PCM16_RATE, 1) / self._step)

    def _up_to(self, end: int) -> bytes:
        """Encodes the samples from `_sent` to `end`; drops those outside the filter's reach of later ones."""
        if end <= self._sent:
            return b""
        resampled = Waveform(self._samples, self._rate).resample(PCM16_RATE).samples
        start, stop = (self._at(sample - self._start) for sample in (self._sent, end))
        forget = max(0, (end - self._margin) // self._step * self._step - self._start)
        self._samples, self._start, self._sent = self._samples[:, forget:], self._start + forget, end
        return pcm(Waveform(resampled[:, start:stop].contiguous(), PCM16_RATE))

    def _at(self, sample: int) -> int:
        """Index at the new rate of that sample's position."""
        return -(-sample * PCM16_RATE // self._rate)


def pcm16(music: Waveform) -> bytes:
    """Encodes a whole piece."""
    samples = Pcm16Stream()
    return samples.add(music) + samples.end()
