"""Constant-Q spectrum: bands evenly spaced in pitch, with the frames of an encoder's states.

MERT's own code feeds a constant-Q transform to the encoder beside the convolutions (arXiv 2306.00107); a small encoder
trained from audio alone lacks that information. The filters are fixed, nothing is learned. Long windows separate low
notes, short windows locate the onsets of high ones.

Shapes: B recordings, N samples, T frames, F bands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from llama.errors import quoted
from llama.ranges import Range, check_ranges

MAX_WINDOWS = 16
RANGES = {
    "lowest": Range(float, 1, 100_000), "octaves": Range(int, 1, 16), "bins": Range(int, 1, 192), "high": Range(int, 0, 1024),
    "highest": Range(float, 1, 1_000_000), "floor": Range(float, -300, -1),
}  # fmt: skip
LIST_RANGES = {"windows": Range(int, 16, 2**16), "slower": Range(int, 1, 1024), "changes": Range(float, 0, 1_000_000)}


@dataclass(frozen=True)
class SpectrumConfig:
    """Bands of the spectrum: `octaves` x `bins` upward from `lowest`, then `high` wider ones up to `highest` (Hz).

    The field names are keys of preprocessor_config.json.
    """

    lowest: float = 32.703  # C1
    octaves: int = 7
    bins: int = 24  # an octave
    high: int = 24
    highest: float = 11_500.0
    windows: tuple[int, ...] = (512, 1024, 1024)  # samples of the signal decimated by `slower`
    slower: tuple[int, ...] = (16, 4, 1)
    changes: tuple[float, ...] = (350.0, 1400.0)  # Hz from which the next window is used
    floor: float = -70.0  # decibels relative to a sine of unit variance that count as silence

    def __post_init__(self) -> None:
        check_ranges(vars(self), RANGES)
        for name, allowed in LIST_RANGES.items():
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) > MAX_WINDOWS:
                raise ValueError(f"{name} is {quoted(values)}; give a list of at most {MAX_WINDOWS} numbers.")
            for value in values:
                allowed.check(name, value)
        if not len(self.windows) == len(self.slower) == len(self.changes) + 1:
            raise ValueError(f"{len(self.windows)} windows need as many rates and {len(self.windows) - 1} frequencies where they change.")

    @property
    def bands(self) -> int:
        return self.octaves * self.bins + self.high

    def edges(self) -> Tensor:
        """Centre frequencies of the bands and of one more at either end, Hz [F + 2]."""
        ratio = 2 ** (1 / self.bins)
        tuned = [self.lowest * ratio**k for k in range(-1, self.octaves * self.bins)]
        step = (self.highest / tuned[-1]) ** (1 / max(1, self.high))
        above = [tuned[-1] * step**k for k in range(1, self.high + 1)]
        return torch.tensor([*tuned, *above, (above or tuned)[-1] * (step if self.high else ratio)], dtype=torch.float64, device="cpu")


class Spectrum:
    """Computes decibels over the floor for every band, scaled to about -1..1.

    Not a module, so that its tables keep their precision and are not part of checkpoints.
    """

    def __init__(self, config: SpectrumConfig, sample_rate: int, hop: int, receptive: int) -> None:
        if any(hop % factor for factor in config.slower):
            raise ValueError(f"A hop of {hop} samples is no multiple of {config.slower}; choose other factors in \"slower\".")
        self.config, self.sample_rate, self.hop, self.receptive = config, sample_rate, hop, receptive
        self._tables: dict[torch.device, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the tables: they are large and may be on a GPU; another process computes its own."""
        return {**self.__dict__, "_tables": {}}

    @torch.no_grad()
    def __call__(self, samples: Tensor, frames: int) -> Tensor:
        """Spectrum [B, frames, F] float32 of normalised samples [B, N]; frame t has the centre of the encoder's frame t."""
        power = [self._band_power(samples.float(), frames, index) for index in range(len(self.config.windows))]
        decibels = 10 * torch.log10(torch.cat(power, dim=1) + 10 ** (self.config.floor / 10))
        return (decibels / (-self.config.floor / 2) + 1).transpose(1, 2)

    def tables(self, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Low pass, window and filters for every window length; computed once for each device."""
        if device not in self._tables:
            edges, limits = self.config.edges(), [0.0, *self.config.changes, math.inf]
            tables = []
            for index, (size, factor) in enumerate(zip(self.config.windows, self.config.slower, strict=True)):
                rows = ((edges[1:-1] >= limits[index]) & (edges[1:-1] < limits[index + 1])).nonzero().flatten()
                low_pass = _low_pass(factor)
                filters = _filters(edges, rows, size, self.sample_rate / factor, low_pass, self.sample_rate)
                window = torch.hann_window(size, dtype=torch.float32, device=device)
                tables.append((low_pass[None, None].float().to(device), window, filters.to(device)))
            self._tables[device] = tables
        return self._tables[device]

    def _band_power(self, samples: Tensor, frames: int, index: int) -> Tensor:
        """Power of the bands of one window length, [B, bands, frames]."""
        low_pass, window, filters = self.tables(samples.device)[index]
        size, factor = self.config.windows[index], self.config.slower[index]
        if factor > 1:
            samples = F.conv1d(samples[:, None], low_pass, stride=factor, padding=low_pass.shape[-1] // 2)[:, 0]
        hop, before = self.hop // factor, size // 2 - round(self.receptive / 2 / factor)
        samples = F.pad(samples, (before, 0)) if before >= 0 else samples[:, -before:]
        samples = F.pad(samples, (0, max(0, (frames - 1) * hop + size - samples.shape[-1])))
        spectrum = torch.stft(samples, size, hop, window=window, center=False, return_complex=True)
        return filters @ torch.view_as_real(spectrum[:, : filters.shape[1], :frames]).square().sum(-1)


def _low_pass(factor: int) -> Tensor:
    """Low pass before decimation by `factor`: a sinc with a Hann window, [8 factor + 1]."""
    if factor == 1:
        return torch.ones(1, dtype=torch.float64, device="cpu")
    offsets = torch.arange(-4 * factor, 4 * factor + 1, dtype=torch.float64, device="cpu")
    window = torch.hann_window(8 * factor + 3, periodic=False, dtype=torch.float64, device="cpu")[1:-1]
    kernel = torch.sinc(offsets * 0.75 / factor) * window
    return kernel / kernel.sum()


def _filters(edges: Tensor, rows: Tensor, size: int, rate: float, low_pass: Tensor, sample_rate: int) -> Tensor:
    """Gaussian filters [bands, bins] over the bins of a Fourier transform, up to the last bin that is used.

    Half as high midway to the next band, never narrower than a bin; scaled so that a sine of unit variance in the centre of
    a band gives 1. `low_pass`: the low pass before decimation, whose attenuation is compensated.
    """
    centre, spacing = edges[rows + 1, None], (edges[rows + 2] - edges[rows])[:, None] / 2
    width = torch.clamp(spacing / 2.355, min=0.6 * rate / size)
    last = int((centre[-1] + 4 * width[-1]).item() / rate * size) + 2
    bins = torch.arange(min(last, size // 2 + 1), dtype=torch.float64, device="cpu") * rate / size
    curves = torch.exp(-0.5 * ((bins - centre) / width).square())
    # A sine's lobe under a Hann window covers three bins, the middle one of power size^2 / 8.
    lobe = sum(torch.exp(-0.5 * (shift * rate / size / width).square()) * share for shift, share in ((-1, 0.25), (0, 1.0), (1, 0.25)))
    rotations = torch.exp(-2j * math.pi * centre * torch.arange(len(low_pass), device="cpu") / sample_rate)
    gain = (rotations @ low_pass.to(rotations.dtype)).abs().square()[:, None]  # of the low pass
    return (curves / (lobe * gain * size**2 / 8)).float()
