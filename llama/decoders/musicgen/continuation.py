"""Continuation of a recording: the recording itself, then new sound without a click between them.

MusicGen reads the end of the recording as codes and goes on (Copet et al. 2023, "Simple and Controllable Music Generation").
What it decodes begins with its own version of that end, which lies where the recording does but does not equal it. The
recording fades into that version over its last two frames, 40 ms; before them every sample is the recording's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llama.media.audio import Waveform

FADE_FRAMES = 2


def fit_channels(wave: Waveform, sample_rate: int, channels: int) -> Tensor:
    """Samples [channels, n] of a recording at a decoder's rate; a mono decoder gets the mix, a stereo decoder mono twice."""
    wave = wave.resample(sample_rate)
    samples = wave.samples if len(wave.samples) == channels else wave.mono().samples
    return samples.expand(channels, -1)


def prompt_frames(samples: int, hop: float, most: int) -> int:
    """Number of whole frames at the end of a recording that a continuation reads."""
    return min(most, int(samples / hop + 1e-6))


class Seam:
    """Where new sound joins a recording [C, n]: at the recording's end, which is the end of a frame of codes.

    `fade`: samples of the recording's end that the new sound repeats.
    """

    def __init__(self, recording: Tensor, new_samples: int, hop: float, prompt_frames: int):
        """`hop`: samples of a frame; `prompt_frames`: of the recording's end, which precede the new sound."""
        self.recording, self.new_samples = recording, new_samples
        self.fade = round(min(FADE_FRAMES, prompt_frames) * hop)
        self.joined: int | None = None  # samples of the fade that have been joined; None before the first

    def join(self, sound: Tensor) -> Tensor:
        """The next sound [1, C, n], the first `fade` samples of which repeat the recording's end; the first is preceded by it."""
        if not sound.shape[-1]:
            return sound
        kept, recording = self.recording.shape[-1] - self.fade, self.recording.to(sound)[None]
        done = self.joined or 0
        count = min(self.fade - done, sound.shape[-1])
        weight = torch.linspace(0, 1, self.fade, device=sound.device)[done : done + count]
        faded = recording[..., kept + done : kept + done + count] * (1 - weight) + sound[..., :count] * weight
        before = recording[..., :kept] if self.joined is None else recording[..., :0]
        self.joined = done + count
        return torch.cat([before, faded, sound[..., count:]], -1)
