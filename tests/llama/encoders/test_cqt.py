"""Constant-Q spectrum: tones lie in their bands, frames at the encoder's, silence at the floor."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from llama.encoders.cqt import Spectrum, SpectrumConfig

RATE, HOP, RECEPTIVE, FRAMES = 24_000, 640, 4395, 70


def spectrum() -> Spectrum:
    return Spectrum(SpectrumConfig(), RATE, HOP, RECEPTIVE)


def tone(hertz: float) -> Tensor:
    return math.sqrt(2) * torch.sin(2 * math.pi * hertz * torch.arange(2 * RATE) / RATE)[None]


@pytest.mark.parametrize("semitone", [4, 12, 33, 45, 57, 69, 80])
def test_a_tone_is_in_its_band_at_full_level(semitone: int) -> None:
    heard = spectrum()(tone(SpectrumConfig().lowest * 2 ** (semitone / 12)), FRAMES)[0, 30]
    assert int(heard.argmax()) == 2 * semitone
    assert abs(float(heard.max()) - 1) < 0.02  # 0.7 decibels


def test_frames_are_centred_at_the_encoders() -> None:
    click = torch.zeros(1, 2 * RATE)
    click[0, RECEPTIVE // 2 + 20 * HOP] = 50
    heard = spectrum()(click, FRAMES)[0]
    assert [int(heard[:, band].argmax()) for band in (10, 80, 120, 170)] == [20] * 4


def test_silence_is_the_floor_and_rows_do_not_touch() -> None:
    both = spectrum()(torch.cat([torch.zeros(1, 2 * RATE), tone(300)]), FRAMES)
    assert both.shape == (2, FRAMES, 192) and (both[0] == -1).all()
    assert torch.allclose(both[1:], spectrum()(tone(300), FRAMES), atol=1e-5)


def test_contradictions_are_named() -> None:
    with pytest.raises(ValueError, match="windows need"):
        SpectrumConfig(changes=(350.0,))
    with pytest.raises(ValueError, match="multiple"):
        Spectrum(SpectrumConfig(), RATE, 600, RECEPTIVE)
