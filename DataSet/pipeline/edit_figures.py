"""Figures of the notebook MUEdit: a source above its edit, and what was asked against what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from DataSet.pipeline.figures import COLOURS, WAVE_COLUMNS, jpeg, new_figure, png
from llama.evaluation.editing_metrics import PARTIAL_HOP, chroma, partials
from llama.evaluation.onset_alignment import HOP, onset_envelope
from llama.media.audio import Waveform
from llama.media.score import KEYS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = 16_000
LONGEST = 10.0  # seconds that are drawn
NATURALS = (0, 2, 4, 5, 7, 9, 11)  # pitch classes that are named at the axis

Points = Sequence[tuple[float, float]]  # asked, measured


def source_above_edit(source: Waveform, edit: Waveform) -> bytes:
    """Wave, chroma and onset strength of the source, and below them those of the edit on the same scale of seconds."""
    figure = new_figure(8.4, 3.3)
    rows = figure.subplots(2, 3, sharex=True, width_ratios=(1, 1.3, 1))
    shown = min(LONGEST, max(source.seconds, edit.seconds))
    peak = 1.1 * max(float(wave.samples.abs().max()) for wave in (source, edit))
    for (first, second, third), wave, name, colour in zip(rows, (source, edit), ("source", "edit"), COLOURS, strict=False):
        samples = wave.mono().resample(RATE).samples[0].numpy()
        _wave(first, samples, name, colour, peak)
        _chroma(second, samples)
        onsets = onset_envelope(samples, RATE).clip(min=0)
        third.plot(np.arange(len(onsets)) * HOP, onsets / max(onsets.max(), 1e-9), color=colour, linewidth=0.8)
        third.set(ylim=(0, 1.05), yticks=(), xlim=(0, shown))
    for axes, title in zip(rows[0], ("wave", "chroma", "onsets"), strict=True):
        axes.set_title(title, fontsize=9)
    for axes in rows[1]:
        axes.set_xlabel("seconds", fontsize=8)
    for axes in rows.flat:
        axes.tick_params(labelsize=7)
    return jpeg(figure)


def _wave(axes: Axes, samples: np.ndarray, name: str, colour: str, peak: float) -> None:
    columns = np.array_split(samples, min(WAVE_COLUMNS, len(samples)))
    seconds = np.linspace(0, len(samples) / RATE, len(columns))
    axes.fill_between(seconds, [part.min() for part in columns], [part.max() for part in columns], color=colour, linewidth=0.3)
    axes.set(ylim=(-peak, peak))
    axes.set_ylabel(name, fontsize=9)


def _chroma(axes: Axes, samples: np.ndarray) -> None:
    values = chroma(partials(samples, RATE)).T
    image = np.log1p(20 * values / max(values.max(), 1e-9))
    extent = (0.0, values.shape[1] * PARTIAL_HOP, 0.0, 12.0)  # from 65 Hz, 11 cents below C, up
    axes.imshow(image, origin="lower", aspect="auto", cmap="magma", extent=extent)
    axes.set_yticks([place + 0.11 for place in NATURALS], [KEYS[place] for place in NATURALS])


def asked_against_measured(speeds: Points, cents: Points) -> bytes:
    """Measured over asked speed and pitch, on a line where both are equal, with the deviations below."""
    figure = new_figure(7.6, 4.0)
    above, below = figure.subplots(2, 2, height_ratios=(2.2, 1), sharex="col")
    panels = (("speed, times as fast", speeds, "%", lambda asked, found: 100 * (found / asked - 1), 1.0),
              ("pitch, cents", cents, "cents", lambda asked, found: found - asked, 5.0))  # fmt: skip
    for top, bottom, (label, points, unit, deviation, tolerance) in zip(above, below, panels, strict=True):
        asked, found = np.array([point[0] for point in points]), np.array([point[1] for point in points])
        if len(points):
            ends = [asked.min(), asked.max()]
            top.plot(ends, ends, color=COLOURS[4], linewidth=0.8)
            top.scatter(asked, found, s=20, color=COLOURS[0], alpha=0.7)
            bottom.scatter(asked, deviation(asked, found), s=14, color=COLOURS[0], alpha=0.7)
        bottom.axhspan(-tolerance, tolerance, color=COLOURS[2], alpha=0.15)
        bottom.axhline(0, color=COLOURS[4], linewidth=0.8)
        bottom.set(ylim=(-1.4 * tolerance, 1.4 * tolerance), xlabel=f"asked {label}")
        bottom.set_ylabel(f"off, {unit}")
        top.set_ylabel("measured")
        for axes in (top, bottom):
            axes.grid(alpha=0.3)
    figure.align_ylabels()
    return png(figure)
