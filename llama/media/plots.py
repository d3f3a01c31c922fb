"""Plots of a waveform and its spectrogram.

Legend: S semitones, F frames of a spectrogram.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llama.files import atomic_path
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW = 0.1  # seconds in a frame of the spectrogram: long enough to separate neighbouring notes
LOWEST = 40.0  # Hz
SILENCE = 1e-12  # lowest power; avoids log of 0
FLOOR = -80.0  # dB relative to the loudest point; anything below is drawn dark
PICTURE_COLUMNS = 1200  # columns of a plot; finer time steps would not be visible
TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)  # Hz


def spectrogram(wave: Waveform, lowest: float = LOWEST) -> tuple[Tensor, float]:
    """The spectrogram [S, F] in dB relative to the loudest point, from FLOOR to 0 (silence is FLOOR), and the seconds between frames.

    Bands are semitones from `lowest` Hz to half the sample rate. Channels are averaged.
    """
    samples = wave.mono().samples[0]
    size = 2 ** round(math.log2(max(4.0, WINDOW * wave.sample_rate)))
    hop = max(1, size // 8, len(samples) // PICTURE_COLUMNS)  # long pieces: no more frames than columns
    frames = torch.stft(samples, size, hop, window=torch.hann_window(size), pad_mode="constant", return_complex=True)
    power = semitone_filters(size, wave.sample_rate, lowest) @ frames.abs().square()
    decibels = 10.0 * torch.log10(power.clamp_min(SILENCE))
    loudest = decibels.max().clamp_min(10.0 * math.log10(SILENCE) - FLOOR)
    return (decibels - loudest).clamp_min(FLOOR), hop / wave.sample_rate


def semitone_filters(size: int, rate: int, lowest: float = LOWEST) -> Tensor:
    """Overlapping triangular filters over the bins of a transform of `size` samples, [S, size // 2 + 1]."""
    first, last = _octaves(rate, lowest)
    centres = 2 ** (first + torch.arange(0, last - first, 1 / 12))[:, None]  # Hz
    bins = torch.linspace(0, rate / 2, size // 2 + 1)
    # Low semitones are closer than the bins: a triangle between two bins would give a dark line.
    reach = (centres * (2 ** (1 / 12) - 1)).clamp_min(rate / size)
    return (1.0 - (bins - centres).abs() / reach).clamp_min(0.0)


def _octaves(rate: int, lowest: float = LOWEST) -> tuple[float, float]:
    """The frequency range of the plot, as powers of two in Hz."""
    return math.log2(min(lowest, rate / 8)), math.log2(rate / 2)


def picture(wave: Waveform) -> Figure:
    """A figure of the waveform and, below it, the spectrogram. Does not use pyplot, so it works in any thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    _draw_waveform(above, wave)
    _draw_spectrogram(figure, below, wave)
    below.set_xlim(0, wave.seconds)
    figure.align_ylabels()
    return figure


def _draw_waveform(axes: Axes, wave: Waveform) -> None:
    """Draws the lowest and highest sample of each column, so that a long piece keeps its peaks."""
    samples = wave.mono().samples[0]
    width = -(-len(samples) // PICTURE_COLUMNS)
    columns = torch.nn.functional.pad(samples, (0, -len(samples) % width), value=float(samples[-1])).view(-1, width)
    seconds = (torch.arange(len(columns)) * (width / wave.sample_rate)).numpy()
    axes.fill_between(seconds, columns.amin(1).numpy(), columns.amax(1).numpy(), color="#5b2a86", linewidth=0.5)
    reach = max(1.0, float(samples.abs().max()))
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("amplitude")
    axes.grid(alpha=0.3)


def _draw_spectrogram(figure: Figure, axes: Axes, wave: Waveform) -> None:
    bands, step = spectrogram(wave)
    lowest, highest = _octaves(wave.sample_rate)
    extent = (-step / 2, (bands.shape[1] - 0.5) * step, lowest - 1 / 24, lowest + (len(bands) - 0.5) / 12)
    image = axes.imshow(bands.numpy(), extent=extent, origin="lower", aspect="auto", cmap="magma", vmin=FLOOR, vmax=0)
    ticks = [hertz for hertz in TICKS if lowest <= math.log2(hertz) < highest]
    axes.set_yticks([math.log2(hertz) for hertz in ticks], [str(hertz) for hertz in ticks])
    axes.set_xlabel("seconds")
    axes.set_ylabel("Hz")
    figure.colorbar(image, ax=axes, label="dB", pad=0.01)


def write_picture(wave: Waveform, path: str | Path) -> None:
    """Writes `picture` as a PNG file atomically."""
    with atomic_path(path) as partial:
        picture(wave).savefig(partial, format="png", dpi=100)
