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

RATE = 24_000  # Hz
REACH = 8  # samples of the slower rate that the filter looks to each side, and some more


class Samples:
    """The stream of one piece: stretches in, bytes out."""

    def __init__(self) -> None:
        self._heard = torch.zeros(1, 0)  # [1, N]: from `_first` on
        self._first = 0  # which sample of the piece `_heard` begins with
        self._sent = 0  # samples of the piece whose sound has gone out
        self._rate = RATE

    def add(self, music: Waveform) -> bytes:
        """What the next stretch makes certain."""
        self._rate = music.sample_rate
        self._heard = torch.cat([self._heard, music.mono().samples.detach().cpu().float()], dim=1)
        known = self._first + self._heard.shape[1]
        if self._rate == RATE:
            return self._up_to(known)
        return self._up_to((known - self._margin) // self._step * self._step)

    def end(self) -> bytes:
        """The rest, once there is no more to come."""
        return self._up_to(self._first + self._heard.shape[1])

    @property
    def _step(self) -> int:
        """Samples after which the grids of both rates meet again."""
        return Fraction(self._rate, RATE).numerator

    @property
    def _margin(self) -> int:
        return self._step * ceil(REACH * max(self._rate / RATE, 1) / self._step)

    def _up_to(self, end: int) -> bytes:
        """The sound of the samples from `_sent` to `end`; what no later one looks at is forgotten."""
        if end <= self._sent:
            return b""
        known = Waveform(self._heard, self._rate).resample(RATE).samples
        start, stop = (self._at(place - self._first) for place in (self._sent, end))
        forget = max(0, (end - self._margin) // self._step * self._step - self._first)
        self._heard, self._first, self._sent = self._heard[:, forget:], self._first + forget, end
        return pcm(Waveform(known[:, start:stop].contiguous(), RATE))

    def _at(self, sample: int) -> int:
        """Where that sample's sound begins at the new rate."""
        return -(-sample * RATE // self._rate)


def pcm16(music: Waveform) -> bytes:
    """A whole piece."""
    samples = Samples()
    return samples.add(music) + samples.end()
