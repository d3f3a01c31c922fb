"""Spectrogram of a piece as a PNG: which pitches sound, and when."""

from __future__ import annotations

import math

import numpy as np
import torch

from demo.page.canvas import AXIS, LEFT, PLOT, RIGHT, WIDTH, Canvas, Colour
from llama.media.audio import Waveform
from llama.media.plots import spectrogram as semitone_bands

LOWEST, HIGHEST = 20.0, 16_000.0  # Hz
SEMITONE = 3  # points
CELL = 2  # points of a moment
SHADES = 48
HEAT: dict[bool, tuple[Colour, ...]] = {  # colour map by dark mode, from silence to the loudest
    False: ((248, 250, 252), (203, 213, 245), (129, 140, 248), (126, 34, 206), (190, 24, 93), (69, 10, 10)),
    True: ((15, 23, 42), (49, 46, 129), (126, 34, 206), (225, 29, 72), (251, 146, 60), (254, 249, 195)),
}
HERTZ = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MIN_DB = -65.0  # relative to the loudest: where colour begins


def spectrogram(music: Waveform, dark: bool) -> bytes:
    """Spectrogram from 20 Hz to 16 kHz by semitones, down to 65 dB below the loudest band (PNG). dark: colours for dark pages."""
    height = round(12 * math.log2(HIGHEST / LOWEST)) * SEMITONE
    canvas = Canvas(height + AXIS, dark)
    first = canvas.ramp(HEAT[dark], SHADES)
    plot = canvas.points[:height, LEFT : WIDTH - RIGHT]
    plot[:] = first + np.repeat(np.repeat(_shades(music, height // SEMITONE), SEMITONE, 0), CELL, 1)
    for hertz in HERTZ:
        y = height - 12 * math.log2(hertz / LOWEST) * SEMITONE
        words = f"{hertz} Hz" if hertz < 1000 else f"{hertz // 1000} kHz"
        canvas.write(LEFT - 10, min(y, height - 12), words, "rm")
    canvas.times(music.seconds, height)
    return canvas.png()


def _shades(music: Waveform, semitones: int) -> np.ndarray:
    """Shade indices (0 to SHADES - 1), [semitones, PLOT // CELL], highest pitch first; 0 above the Nyquist frequency."""
    bands, step = semitone_bands(music, LOWEST)
    frames = torch.arange(PLOT // CELL) * (CELL / PLOT * music.seconds / step)
    starts = frames.long().clamp_max(bands.shape[1] - 1).numpy()
    loud = np.maximum.reduceat(bands.numpy(), starts, axis=1)[:semitones]
    loud = np.pad(loud, ((0, semitones - len(loud)), (0, 0)), constant_values=MIN_DB)
    return np.rint((1 - loud[::-1].clip(MIN_DB) / MIN_DB) * (SHADES - 1)).astype(np.uint8)
