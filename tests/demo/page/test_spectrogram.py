"""The spectrogram shows what sounds, where it sounds, in light and dark."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from demo.page.canvas import AXIS, INK, LEFT, PLOT, RIGHT, WIDTH
from demo.page.spectrogram import spectrogram
from llama.media.audio import Waveform

RATE = 32_000


def opened(png: bytes) -> np.ndarray:
    """[H, W, 4]"""
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGBA")).astype(int)


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """[H, W]: the points of a colour that are not transparent."""
    return (picture[..., :3] == colour).all(-1) & (picture[..., 3] == 255)


def tone(hertz: float, seconds: float, loud: float = 0.5) -> torch.Tensor:
    return loud * torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)


@pytest.mark.parametrize("dark", (False, True))
def test_a_spectrogram_shows_each_tone_at_its_height_and_time(dark: bool) -> None:
    music = Waveform(torch.cat([tone(110, 2), tone(3520, 2)])[None], RATE)  # five octaves apart
    plot = opened(spectrogram(music, dark))[:-AXIS, LEFT : WIDTH - RIGHT, :3]
    loudest = np.abs(plot - plot[plot.shape[0] // 2, 0]).sum(-1)  # against the silence between them
    early, late = loudest[:, PLOT // 4].argmax(), loudest[:, 3 * PLOT // 4].argmax()
    assert early - late == pytest.approx(60 * len(plot) / (12 * np.log2(16_000 / 20)), abs=6)


def test_nothing_is_shown_above_half_the_sample_rate() -> None:
    noise = Waveform(torch.rand(1, 16_000) - 0.5, 8000)
    plot = opened(spectrogram(noise, True))[:-AXIS, LEFT : WIDTH - RIGHT]
    top = round(len(plot) * np.log2(16_000 / 4500) / np.log2(16_000 / 20))
    assert len(np.unique(plot[:top].reshape(-1, 4), axis=0)) == 1 < len(np.unique(plot[top + 10 :].reshape(-1, 4), axis=0))


@pytest.mark.parametrize("shape, rate", (((1, 1), 8000), ((2, 7), 32_000), ((6, 900), 48_000), ((1, 3_000_000), 96_000), ((1, 50), 7)))
def test_every_length_and_rate_can_be_drawn(shape: tuple[int, int], rate: int) -> None:
    music = Waveform(torch.linspace(-1, 1, shape[0] * shape[1]).view(shape).contiguous(), rate)
    assert opened(spectrogram(music, True)).shape[1] == WIDTH


def test_pictures_are_small_see_through_and_different_in_the_dark() -> None:
    noise = Waveform((torch.rand(2, 30 * RATE) - 0.5), RATE)  # the hardest to make small
    light, dark = (spectrogram(noise, dark) for dark in (False, True))
    assert len(light) < 60_000 and len(dark) < 60_000
    pictures = [opened(light), opened(dark)]
    assert pictures[0].shape == pictures[1].shape and (pictures[0][0, 0, 3], pictures[0][-1, 0, 3]) == (0, 0)
    for picture, ink in zip(pictures, INK.values(), strict=True):
        assert where(picture[-AXIS:], ink).any()  # the times


def test_threads_draw_the_same() -> None:
    music = Waveform(tone(220, 2)[None], RATE)
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda dark: spectrogram(music, dark), (False, True) * 4))
    assert drawn == [spectrogram(music, False), spectrogram(music, True)] * 4
