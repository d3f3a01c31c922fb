"""Music pools: rhythm (tempo, metre), harmony (key, mode) and timbre (instruments), which a mean over time cannot represent.

A pool stands between a frozen encoder and the projection of the understanding adapter. `frames` reduces a window of
encoder states, `forward` turns the frames of a complete recording into one vector. Tempo depends on when events recur and
mode on which pitch classes sound together; neither is linear in the mean of the states. If the encoder's last state is a
spectrum (llama/encoders/cqt.py), the pools read only that one, because it contains pitches and onsets.

Shapes: B recordings, L encoder states, T frames, F encoder width, K lags.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PITCH_CLASSES = 12


class LayerMix(nn.Module):
    """Learned weighted sum over encoder states: [B, L, T, F] -> [B, T, F]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 1.0 / channels))

    def forward(self, states: Tensor) -> Tensor:
        return torch.einsum("l,bltf->btf", self.weight, states)


class LastState(nn.Module):
    """The last of the encoder states, the spectrum: [B, L, T, F] -> [B, T, F]."""

    def forward(self, states: Tensor) -> Tensor:
        return states[:, -1]


def state_reader(channels: int, spectrum: bool) -> nn.Module:
    """The layer that reduces the encoder states to one: the spectrum if there is one, else a weighted sum."""
    return LastState() if spectrum else LayerMix(channels)


def log_lags(shortest: float, longest: float, count: int, frame_rate: float) -> Tensor:
    """Logarithmically spaced lags [count] in frames, from `shortest` to `longest` seconds; a change of tempo is a shift of them."""
    return frame_rate * torch.exp(torch.linspace(math.log(shortest), math.log(longest), count))


def segments(signal: Tensor, length: int) -> Tensor:
    """[B, C, T] -> [B, S, C, min(T, length)]: half-overlapping segments; the last one ends where the signal ends."""
    total = signal.shape[-1]
    if total <= length:
        return signal.unsqueeze(1)
    count = math.ceil((total - length) / (length / 2)) + 1
    starts = torch.linspace(0, total - length, count).round().long().tolist()
    return torch.stack([signal[..., start : start + length] for start in starts], dim=1)


def autocorrelation(signal: Tensor, reach: int) -> Tensor:
    """Normalised autocorrelation of [..., T] at lags 0 .. reach-1.

    Every lag is divided by the share of frames that overlap there, so that a short recording does not look slow. With
    fewer than a third of the frames the estimate is unreliable and is not scaled up further. Lags past T are 0.
    """
    frames = signal.shape[-1]
    signal = signal.float()  # FFT and powers in half precision would lose the peaks
    signal = signal - signal.mean(-1, keepdim=True)
    size = 1 << (frames + max(frames, reach) - 1).bit_length()
    power = torch.fft.rfft(signal, size).abs().square()
    raw = torch.fft.irfft(power, size)[..., :reach]
    overlap = (frames - torch.arange(reach, device=signal.device)).clamp(min=max(1, frames // 3)) / frames
    return raw / (raw[..., :1] + 1e-4) / overlap


class RhythmPool(nn.Module):
    """Rhythm pool: learned onset curves and their autocorrelation on a logarithmic lag axis.

    The MLP reads absolute lags (tempo). A convolution over log-lag, pooled over shifts, reads the pattern of the peaks
    independently of tempo (metre). Autocorrelations are averaged over segments, so that long recordings keep the precision
    of short ones and a slow drift of tempo does not blur the peaks.
    """

    def __init__(self, channels: int, feature_dim: int, frame_rate: float, out_dim: int = 128,
                 curves: int = 16, lags: int = 112, segment_seconds: float = 7.0, spectrum: bool = False) -> None:
        super().__init__()
        self.out_dim = out_dim
        self.segment = round(segment_seconds * frame_rate)
        self.mix = state_reader(channels, spectrum)
        self.curves = nn.Conv1d(feature_dim, curves, 3, padding=1)
        positions = log_lags(0.17, 4.6, lags, frame_rate)
        self.register_buffer("lag_floor", positions.floor().long(), persistent=False)
        self.register_buffer("lag_part", positions - positions.floor(), persistent=False)
        self.absolute = nn.Sequential(nn.Flatten(), nn.Linear(curves * lags, 192), nn.GELU())
        self.relative = nn.Conv1d(curves, 48, 49, padding=24)
        self.out = nn.Linear(192 + 2 * 48, out_dim)
        self.norm = nn.LayerNorm(out_dim)

    def frames(self, states: Tensor) -> Tensor:
        """[B, L, T, F] -> [B, T, curves]."""
        return self.curves(self.mix(states).transpose(1, 2)).transpose(1, 2)

    def correlogram(self, frames: Tensor) -> Tensor:
        """[B, T, curves] -> [B, curves, K]: mean autocorrelation at the log-spaced lags."""
        frames = F.pad(frames, (0, 0, 1, 0), mode="replicate")  # one difference for each frame, also for T = 1
        onsets = F.softplus(frames.diff(dim=1)).transpose(1, 2)
        curve = autocorrelation(segments(onsets, self.segment), int(self.lag_floor[-1]) + 2).mean(1)
        lags = torch.lerp(curve[..., self.lag_floor], curve[..., self.lag_floor + 1], self.lag_part.to(curve.dtype))
        return lags.to(frames.dtype)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, curves] -> [B, out_dim]."""
        lags = self.correlogram(frames)
        shape = F.gelu(self.relative(lags))
        return self.norm(self.out(torch.cat([self.absolute(lags), shape.amax(-1), shape.mean(-1)], dim=-1)))


def mlp(width: int, hidden: int, out: int) -> nn.Module:
    """Two linear layers with a GELU between them."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))


class HarmonyPool(nn.Module):
    """Harmony pool: templates of pitch classes, matched in all twelve transpositions.

    The chroma of a bass and of a treble range is a linear map of the states, or a small network on a spectrum, where
    overtones must be separated from notes. The circular convolution treats all keys alike. A softmax over the
    transpositions estimates the tonic; the match there and the best match anywhere determine the mode.
    """

    RANGES = 2  # bass, treble

    def __init__(self, channels: int, feature_dim: int, out_dim: int = 128, templates: int = 64,
                 step: int = 18, spectrum: bool = False) -> None:
        super().__init__()
        self.out_dim, self.step = out_dim, step
        self.mix = state_reader(channels, spectrum)
        notes = self.RANGES * PITCH_CLASSES
        self.chroma = mlp(feature_dim, feature_dim, notes) if spectrum else nn.Linear(feature_dim, notes)
        self.match = nn.Conv2d(self.RANGES, templates, (PITCH_CLASSES, 3))
        self.refine = nn.Linear(2 * templates, templates)
        self.tonic = nn.Linear(templates, 1)
        self.out = nn.Linear(2 * templates + PITCH_CLASSES, out_dim)
        self.norm = nn.LayerNorm(out_dim)

    def frames(self, states: Tensor) -> Tensor:
        """[B, L, T, F] -> [B, T, 24]: probability of each pitch class, bass then treble."""
        return self.chroma(self.mix(states)).sigmoid()

    def rotations(self, frames: Tensor) -> Tensor:
        """[B, T, 24] -> [B, 12, templates]: how well each template fits with each pitch class as its root."""
        batch, total, _ = frames.shape
        steps = max(1, total // self.step)  # half-second steps: chords, not notes
        chroma = F.adaptive_avg_pool1d(frames.transpose(1, 2), steps).view(batch, self.RANGES, PITCH_CLASSES, steps)
        circular = torch.cat([chroma, chroma[:, :, : PITCH_CLASSES - 1]], dim=2)
        matched = F.gelu(self.match(F.pad(circular, (1, 1))))  # [B, templates, 12, steps]
        return self.refine(torch.cat([matched.mean(-1), matched.square().mean(-1)], dim=1).transpose(1, 2))

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, 24] -> [B, out_dim]."""
        fits = self.rotations(frames)
        tonic = self.tonic(F.gelu(fits)).squeeze(-1).softmax(-1)  # [B, 12]
        rotated_to_tonic = (tonic.unsqueeze(-1) * fits).sum(1)  # the third above the tonic determines the mode
        return self.norm(self.out(torch.cat([fits.amax(1), tonic * math.sqrt(PITCH_CLASSES), rotated_to_tonic], dim=-1)))


class TimbrePool(nn.Module):
    """Timbre pool: a convolutional network over the spectrum, then statistics over time.

    Patterns of overtones and onsets are alike at neighbouring pitches, hence convolutions over pitch and time. Mean and
    standard deviation describe the whole recording, the attended means its salient parts. Needs a spectrum as the last state.
    """

    WIDTHS = (16, 32, 48, 64)  # channels; each layer halves the bands, the first two halve the frames too

    def __init__(self, feature_dim: int, out_dim: int = 128, width: int = 128, heads: int = 4) -> None:
        super().__init__()
        self.out_dim, self.heads = out_dim, heads
        sizes = zip((1, *self.WIDTHS), self.WIDTHS, (5, 3, 3, 3), (2, 2, 1, 1), strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(before, after, size, (step, 2), size // 2) for before, after, size, step in sizes)
        bands = feature_dim
        for _ in self.WIDTHS:
            bands = (bands + 1) // 2
        self.gather = nn.Conv1d(self.WIDTHS[-1] * bands, width, 5, padding=2)
        self.attention = nn.Linear(width, heads)
        self.out = nn.Linear((2 + heads) * width, out_dim)
        self.norm = nn.LayerNorm(out_dim)

    def frames(self, states: Tensor) -> Tensor:
        """[B, L, T, F] -> [B, T / 4, width]."""
        patches = states[:, -1:].contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            patches = F.relu(layer(patches))
        return F.relu(self.gather(patches.transpose(2, 3).flatten(1, 2))).transpose(1, 2)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T / 4, width] -> [B, out_dim]."""
        mean = frames.mean(1)
        spread = ((frames - mean.unsqueeze(1)).square().mean(1) + 1e-5).sqrt()
        weights = self.attention(frames).softmax(1)
        attended = torch.einsum("bth,btw->bhw", weights, frames).flatten(1)
        return self.norm(self.out(torch.cat([mean, spread, attended], dim=-1)))
