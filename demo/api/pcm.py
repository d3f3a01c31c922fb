"""Bare samples as clients of OpenAI's expect them, who are told no rate: 24 kHz, one channel, 16 bit, little endian.

A stretch is brought to that rate as soon as the resampler's filter has all that it looks at, so that the parts of a stream
joined are the whole resampled at once.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import torch

from demo.service.audio_files import pcm
from llama.media.audio import Waveform

PCM16_RATE = 24_000  # Hz
FILTER_REACH = 8  # samples of the slower rate that the filter looks to each side, and some more


class Pcm16Stream:
    """The stream of one piece: stretches in, bytes out."""

    def __init__(self) -> None:
        self._samples = torch.zeros(1, 0)  # [1, N]: from `_first` on
        self._start = 0  # which sample of the piece `_heard` begins with
        self._sent = 0  # samples of the piece whose sound has gone out
        self._rate = PCM16_RATE

    def add(self, music: Waveform) -> bytes:
        """What the next stretch makes certain."""
        self._rate = music.sample_rate
        self._samples = torch.cat([self._samples, music.mono().samples.detach().cpu().float()], dim=1)
        received = self._start + self._samples.shape[1]
        if self._rate == PCM16_RATE:
            return self._up_to(received)
        return self._up_to((received - self._margin) // self._step * self._step)

    def end(self) -> bytes:
        """The rest, once there is no more to come."""
        return self._up_to(self._start + self._samples.shape[1])

    @property
    def _step(self) -> int:
        """Samples after which the grids of both rates meet again."""
        return Fraction(self._rate, PCM16_RATE).numerator

    @property
    def _margin(self) -> int:
        return self._step * ceil(FILTER_REACH * max(self._rate / PCM16_RATE, 1) / self._step)

    def _up_to(self, end: int) -> bytes:
        """The sound of the samples from `_sent` to `end`; what no later one looks at is forgotten."""
        if end <= self._sent:
            return b""
        resampled = Waveform(self._samples, self._rate).resample(PCM16_RATE).samples
        start, stop = (self._at(sample - self._start) for sample in (self._sent, end))
        forget = max(0, (end - self._margin) // self._step * self._step - self._start)
        self._samples, self._start, self._sent = self._samples[:, forget:], self._start + forget, end
        return pcm(Waveform(resampled[:, start:stop].contiguous(), PCM16_RATE))

    def _at(self, sample: int) -> int:
        """Where that sample's sound begins at the new rate."""
        return -(-sample * PCM16_RATE // self._rate)


def pcm16(music: Waveform) -> bytes:
    """A whole piece."""
    samples = Pcm16Stream()
    return samples.add(music) + samples.end()
