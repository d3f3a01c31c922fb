"""Checks of a piece's samples: clipping, clicks, and whether it ends. Samples are float arrays [channels, N]."""

from __future__ import annotations

import numpy as np


def clipped(samples: np.ndarray, level: float = 0.999) -> float:
    """Share of samples [C, N] at or beyond full scale."""
    return float(np.mean(np.abs(samples) >= level))


def largest_step(samples: np.ndarray) -> float:
    """The largest difference between adjacent samples [C, N]; clicks show as large values."""
    return float(np.abs(np.diff(samples, axis=-1)).max(initial=0.0))


def ends_silent(samples: np.ndarray, sample_rate: int, seconds: float = 0.02, below: float = 0.01) -> bool:
    """Whether the last `seconds` of samples [C, N] are quiet relative to the peak: a cut piece ends with sound."""
    if not np.abs(samples).max(initial=0.0):
        return False
    last = samples[..., -max(1, round(seconds * sample_rate)):]
    return bool(np.sqrt(np.mean(np.square(last))) <= below * np.abs(samples).max())
