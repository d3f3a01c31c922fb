"""Figures of the notebooks, drawn with matplotlib at 80 dpi without pyplot, so that no state stays behind.

Each returns the bytes of a PNG file, or of a JPEG file where it holds pictures or spectrograms. The curves (motion, onset strength) are functions of their own: the tables correlate them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio

from llama.media.audio import Waveform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 80
COLOURS = ("#5b2a86", "#e07a2f", "#2f8f83", "#b03a5b", "#6b7280")
MEL_RATE, MEL_BANDS, MEL_SIZE, MEL_HOP = 16_000, 64, 1024, 256  # the hop is 16 ms
QUIETEST = -80.0  # dB below the loudest point, drawn dark
WAVE_COLUMNS = 400
CUT = 0.5  # correlation of the pixels of two frames, below which a new shot begins; a flash of light keeps it high


def mel_spectrogram(wave: Waveform) -> np.ndarray:
    """Mel spectrogram [64 bands, F frames of 16 ms] in dB below the loudest point, from -80 to 0."""
    samples = wave.mono().resample(MEL_RATE).samples[0]
    samples = torch.nn.functional.pad(samples, (0, max(0, MEL_SIZE - len(samples))))
    window = torch.hann_window(MEL_SIZE)
    power = torch.stft(samples, MEL_SIZE, MEL_HOP, window=window, pad_mode="constant", return_complex=True).abs().square()
    filters = torchaudio.functional.melscale_fbanks(MEL_SIZE // 2 + 1, 40.0, MEL_RATE / 2, MEL_BANDS, MEL_RATE)
    decibels = 10.0 * torch.log10((filters.T @ power).clamp_min(1e-10))
    return np.asarray((decibels - decibels.max()).clamp_min(QUIETEST))


def onset_strength(wave: Waveform) -> np.ndarray:
    """Rise of the mel spectrogram from frame to frame, averaged over its bands, [F]: high where notes begin."""
    rise = np.diff(mel_spectrogram(wave), axis=1, prepend=QUIETEST)
    rise[:, 0] = 0.0  # the start of the file is no onset
    return np.maximum(rise, 0.0).mean(0)


def motion_curve(frames: np.ndarray) -> np.ndarray:
    """Mean change of brightness from each frame to the next, [T - 1], as a share of full scale; frames: [T, H, W, 3] uint8."""
    grey = frames.astype(np.float32).mean(-1) / 255.0
    return np.abs(np.diff(grey, axis=0)).mean((1, 2))


def cuts(frames: np.ndarray) -> np.ndarray:
    """Indices of the frames after which a new shot begins: the next frame is no longer like it, whatever their brightness."""
    grey = frames[:, ::2, ::2].astype(np.float32).mean(-1).reshape(len(frames), -1)
    grey -= grey.mean(1, keepdims=True)
    grey /= np.linalg.norm(grey, axis=1, keepdims=True) + 1e-6
    return np.flatnonzero((grey[:-1] * grey[1:]).sum(1) < CUT)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, for any thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, without the name and version of the program in it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def jpeg(figure: Figure) -> bytes:
    """The figure as a JPEG file: a fifth of the PNG's size where it holds pictures or spectrograms."""
    content = io.BytesIO()
    figure.savefig(content, format="jpeg", dpi=DPI, pil_kwargs={"quality": 85})
    return content.getvalue()


def wave_and_mel(wave: Waveform) -> bytes:
    """The waveform above its mel spectrogram."""
    figure = new_figure(3.8, 2.3)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    samples = wave.mono().samples[0].numpy()
    columns = np.array_split(samples, min(WAVE_COLUMNS, len(samples)))
    seconds = np.linspace(0, wave.seconds, len(columns))
    above.fill_between(seconds, [part.min() for part in columns], [part.max() for part in columns], color=COLOURS[0], linewidth=0.3)
    above.set(ylim=(-1, 1), yticks=(-1, 0, 1))
    below.imshow(mel_spectrogram(wave), origin="lower", aspect="auto", cmap="magma", extent=(0, wave.seconds, 0, MEL_BANDS), vmin=QUIETEST, vmax=0)
    below.set(xlabel="seconds", ylabel="mel band")
    for axes in (above, below):
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
    return jpeg(figure)


def histograms(values: Mapping[str, Sequence[float]], bins: int = 12) -> bytes:
    """A histogram for each name, side by side; names carry their unit. A name without values gets a sentence."""
    figure = new_figure(2.9 * len(values), 2.4)
    panels = np.atleast_1d(figure.subplots(1, len(values)))
    for axes, (name, numbers) in zip(panels, values.items(), strict=True):
        axes.set_xlabel(name)
        axes.yaxis.get_major_locator().set_params(integer=True)
        if len(numbers):
            axes.hist(numbers, bins=bins, color=COLOURS[0], edgecolor="white", linewidth=0.5)
        else:
            axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
    panels[0].set_ylabel("items")
    return png(figure)


def grouped_points(groups: Mapping[str, Sequence[float]], label: str) -> bytes:
    """The values of each group as points above its name, with their mean as a line: a small sample is shown whole."""
    figure = new_figure(1.3 + 1.1 * len(groups), 2.6)
    axes = figure.subplots()
    for place, numbers in enumerate(groups.values()):
        shifts = np.linspace(-0.15, 0.15, max(1, len(numbers))) if len(numbers) > 1 else np.zeros(len(numbers))
        axes.scatter(place + shifts, numbers, color=COLOURS[place % len(COLOURS)], s=22)
        if len(numbers):
            axes.hlines(float(np.mean(numbers)), place - 0.25, place + 0.25, color="black", linewidth=1)
    axes.set_xticks(range(len(groups)), [f"{name}\n({len(numbers)})" for name, numbers in groups.items()])
    axes.set(ylabel=label, xlim=(-0.6, len(groups) - 0.4))
    axes.grid(axis="y", alpha=0.3)
    return png(figure)


def film_strip(frames: np.ndarray, seconds: float, wave: Waveform) -> bytes:
    """Eight frames of a clip over its motion curve, with cuts marked, over the onset strength of its music.

    frames: [T, H, W, 3] uint8, spread evenly over `seconds`. The three share their time axis, as far as the clip lasts.
    """
    figure = new_figure(8.0, 3.6)
    above, middle, below = figure.subplots(3, 1, height_ratios=(1.5, 1, 1))
    chosen = frames[np.linspace(0, len(frames) - 1, 8).round().astype(int)]
    above.imshow(np.concatenate(list(chosen), axis=1), aspect="auto")
    above.axis("off")
    motion, step = motion_curve(frames), seconds / max(1, len(frames) - 1)
    middle.plot((np.arange(len(motion)) + 0.5) * step, motion, color=COLOURS[0])
    for index in cuts(frames):
        middle.axvline((index + 0.5) * step, color=COLOURS[1], linestyle="--", linewidth=1)
    middle.set(xlim=(0, seconds), ylabel="motion", ylim=(0, None), xticklabels=[])
    strength = onset_strength(wave)
    below.plot(np.arange(len(strength)) * MEL_HOP / MEL_RATE, strength, color=COLOURS[2])
    below.set(xlim=(0, seconds), ylabel="onsets, dB", xlabel="seconds", ylim=(0, None))
    figure.align_ylabels()
    return jpeg(figure)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two curves, resampled to the longer one's length; nan where one of them is constant."""
    size = max(len(first), len(second))
    if min(len(first), len(second)) < 2:
        return float("nan")
    curves = [np.interp(np.linspace(0, len(curve) - 1, size), np.arange(len(curve)), curve) for curve in (first, second)]
    if min(float(np.std(curve)) for curve in curves) < 1e-9:
        return float("nan")
    return float(np.corrcoef(curves)[0, 1])
