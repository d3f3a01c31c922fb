"""Pools that hear what a time mean cannot: the beat, the key and who plays.

A pool stands between a frozen encoder and the projection of the understanding adapter. `frames` reduces a window of
encoder states cheaply, `forward` turns the frames of a whole recording into one vector. Tempo is a matter of when
things recur and mode of which pitch classes sound together; neither is linear in the mean of the states. Where the
encoder's last state is a spectrum (llama/encoders/cqt.py) they read that one alone: it is where pitch and the instant of a
stroke are.

Shapes: B recordings, L encoder states, T frames, F encoder width, K lags.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PITCH_CLASSES = 12


class LayerMix(nn.Module):
    """A learned average over encoder states: [B, L, T, F] -> [B, T, F]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 1.0 / channels))

    def forward(self, states: Tensor) -> Tensor:
        return torch.einsum("l,bltf->btf", self.weight, states)


class LastState(nn.Module):
    """The last of the encoder states, the spectrum: [B, L, T, F] -> [B, T, F]."""

    def forward(self, states: Tensor) -> Tensor:
        return states[:, -1]


def reader(channels: int, spectrum: bool) -> nn.Module:
    """How a pool reads the states."""
    return LastState() if spectrum else LayerMix(channels)


def log_lags(shortest: float, longest: float, count: int, frame_rate: float) -> Tensor:
    """Lags evenly spaced in log time, in frames [count]: a tempo change is then a shift."""
    return frame_rate * torch.exp(torch.linspace(math.log(shortest), math.log(longest), count))


def segments(signal: Tensor, length: int) -> Tensor:
    """[B, C, T] -> [B, S, C, min(T, length)]: half-overlapping pieces; the last one ends where the signal ends."""
    total = signal.shape[-1]
    if total <= length:
        return signal.unsqueeze(1)
    count = math.ceil((total - length) / (length / 2)) + 1
    starts = torch.linspace(0, total - length, count).round().long().tolist()
    return torch.stack([signal[..., start : start + length] for start in starts], dim=1)


def autocorrelation(signal: Tensor, reach: int) -> Tensor:
    """Normalised autocorrelation of [..., T] at lags 0 .. reach-1.

    Every lag is divided by the share of frames that overlap there, so that a short recording does not look slow;
    below a third of the frames the estimate is left to fade, as it rests on too little. Lags past T are 0.
    """
    frames = signal.shape[-1]
    signal = signal.float()  # transforms and powers of half precision would lose the peaks
    signal = signal - signal.mean(-1, keepdim=True)
    size = 1 << (frames + max(frames, reach) - 1).bit_length()
    power = torch.fft.rfft(signal, size).abs().square()
    raw = torch.fft.irfft(power, size)[..., :reach]
    overlap = (frames - torch.arange(reach, device=signal.device)).clamp(min=max(1, frames // 3)) / frames
    return raw / (raw[..., :1] + 1e-4) / overlap


class RhythmPool(nn.Module):
    """When things recur: learned onset curves, their autocorrelation on a log-lag axis, and what that says.

    The MLP reads absolute lags (tempo); a convolution over log-lag, pooled over shift, reads the pattern of the
    peaks regardless of tempo (metre). Long recordings are averaged over segments, so that minutes cost no more
    precision than seconds and a slow drift does not blur the peaks.
    """

    def __init__(self, channels: int, feature_dim: int, frame_rate: float, out_dim: int = 128,
                 curves: int = 16, lags: int = 112, segment_seconds: float = 7.0, spectrum: bool = False) -> None:
        super().__init__()
        self.out_dim = out_dim
        self.segment = round(segment_seconds * frame_rate)
        self.mix = reader(channels, spectrum)
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
        frames = F.pad(frames, (0, 0, 1, 0), mode="replicate")  # one frame in, one difference out, T = 1 included
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
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))


class HarmonyPool(nn.Module):
    """Which pitch classes sound together: one template match in all twelve transpositions, and the best of them.

    Chroma of a bass and of a treble range is read linearly from the states, or by a small network from a spectrum, where
    overtones must be told from notes. The circular convolution treats all keys alike; a softmax over rotations finds the
    tonic, and what fits there and best anywhere says the mode.
    """

    RANGES = 2  # bass, treble

    def __init__(self, channels: int, feature_dim: int, out_dim: int = 128, templates: int = 64,
                 step: int = 18, spectrum: bool = False) -> None:
        super().__init__()
        self.out_dim, self.step = out_dim, step
        self.mix = reader(channels, spectrum)
        notes = self.RANGES * PITCH_CLASSES
        self.chroma = mlp(feature_dim, feature_dim, notes) if spectrum else nn.Linear(feature_dim, notes)
        self.match = nn.Conv2d(self.RANGES, templates, (PITCH_CLASSES, 3))
        self.refine = nn.Linear(2 * templates, templates)
        self.tonic = nn.Linear(templates, 1)
        self.out = nn.Linear(2 * templates + PITCH_CLASSES, out_dim)
        self.norm = nn.LayerNorm(out_dim)

    def frames(self, states: Tensor) -> Tensor:
        """[B, L, T, F] -> [B, T, 24]: how surely each pitch class sounds (0 to 1), bass then treble."""
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
        seen_from_tonic = (tonic.unsqueeze(-1) * fits).sum(1)  # a third above the tonic is what tells the mode
        return self.norm(self.out(torch.cat([fits.amax(1), tonic * math.sqrt(PITCH_CLASSES), seen_from_tonic], dim=-1)))


class TimbrePool(nn.Module):
    """Who plays, how and over what: a convolutional network over the spectrum, then what it finds over time.

    Patterns of overtones and of their beginnings are the same at every pitch nearby, hence convolutions over pitch and
    time. Mean and spread say what is there, the attended means what stands out. It needs a spectrum as the last state.
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
        marked = torch.einsum("bth,btw->bhw", weights, frames).flatten(1)
        return self.norm(self.out(torch.cat([mean, spread, marked], dim=-1)))
