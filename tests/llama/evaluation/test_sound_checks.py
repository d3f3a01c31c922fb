"""Checks of samples: a cut piece, a click and clipping are seen."""

from __future__ import annotations

import numpy as np

from llama.evaluation.sound_checks import clipped, ends_silent, largest_step


def test_sound() -> None:
    time = np.arange(32_000) / 32_000
    tone = np.stack([0.5 * np.sin(2 * np.pi * 220 * time)] * 2)
    faded = tone * np.minimum(1, (1 - time) / 0.2) ** 2
    assert ends_silent(faded, 32_000) and not ends_silent(tone[:, :31_000], 32_000)
    assert not ends_silent(np.zeros((2, 32_000)), 32_000)  # silence is no ending
    click = tone.copy()
    click[0, 16_000] += 0.8
    assert largest_step(tone) < 0.03 and largest_step(click) > 0.75
    assert clipped(tone) == 0 and clipped(np.clip(3 * tone, -1, 1)) > 0.5
