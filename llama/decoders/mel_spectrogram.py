"""The mel spectrogram that AudioLDM2's autoencoder and vocoder were trained with.

64 ms windows every frame of the vocoder, magnitudes (not their squares), mel filters of Slaney's kind from 0 Hz to half the
rate, natural logarithm with a floor of 1e-5. At 16 kHz: windows of 1024 samples every 160, 64 filters (Liu et al. 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

WINDOW_SECONDS = 0.064
FLOOR = 1e-5
PEAK = 0.5  # of the recordings that the networks were trained with


def normalize_level(samples: Tensor) -> Tensor:
    """Samples [n] without offset and with the peak of the training recordings; silence stays silence."""
    centred = samples - samples.mean()
    return centred / centred.abs().max().clamp_min(1e-8) * PEAK


class MelSpectrogram:
    """Log-mel spectrogram with the frame length of a vocoder."""

    def __init__(self, sample_rate: int, hop: int, bins: int):
        self.hop, self.window_length = hop, round(WINDOW_SECONDS * sample_rate)
        filters = mel_filter_bank(
            self.window_length // 2 + 1, bins, 0.0, sample_rate / 2, sample_rate, norm="slaney", mel_scale="slaney"
        )
        self.filters = torch.from_numpy(filters.T).float()
        self.window = torch.hann_window(self.window_length)

    def __call__(self, samples: Tensor, frames: int) -> Tensor:
        """Samples [n] -> [frames, bins]; missing samples are silence."""
        needed = max(frames * self.hop, self.window_length)
        padded = functional.pad(samples, (0, max(0, needed - len(samples))))
        spectrum = torch.stft(
            padded, self.window_length, self.hop, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )
        return (self.filters @ spectrum.abs()).clamp_min(FLOOR).log().T[:frames]
