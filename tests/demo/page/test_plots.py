"""Drawings show what sounds, where it sounds, in both versions; and say it in words."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from demo.page.canvas import AXIS, INK, LEFT, PLOT, RIGHT, WIDTH
from demo.page.plots import (
    BODY,
    NAMED,
    PEAK,
    TRACK,
    piano_roll,
    piano_roll_alt,
    spectrogram,
    spectrogram_alt,
    waveform,
    waveform_alt,
)
from llama.media.audio import Waveform
from llama.media.score import Attributes, Chord, Note, Score

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


@pytest.fixture()
def score() -> Score:
    attributes = Attributes("violin", "strings", "swing", 120, "minor", 4, True, 7)
    return Score(attributes, 10.0, lead=(Note(0.0, 1.0, 67, 90), Note(5.0, 5.0, 79, 90)), accompaniment=(Note(2.0, 2.0, 60, 70),),
                 bass=(Note(0.0, 9.0, 31, 80),), drums=(Note(0.0, 0.1, 36, 100), Note(1.0, 0.1, 42, 80)),
                 chords=(Chord(0.0, 2.0, 7, "minor"), Chord(2.0, 2.0, 7, "minor"), Chord(4.0, 4.0, 3, "major7")))  # fmt: skip


@pytest.mark.parametrize("dark", (False, True))
def test_a_waveform_is_high_where_it_is_loud(dark: bool) -> None:
    music = Waveform(torch.stack([torch.cat([torch.zeros(RATE), tone(220, 1)]), torch.cat([tone(220, 1), torch.zeros(RATE)])]), RATE)
    drawn = where(opened(waveform(music, dark)), PEAK[dark]) | where(opened(waveform(music, dark)), BODY[dark])
    assert drawn.shape[1] == WIDTH and not drawn[:, :LEFT].any() and not drawn[:, WIDTH - RIGHT :].any()
    left, right = np.split(drawn[:-AXIS, LEFT : WIDTH - RIGHT], 2)
    heights = [half.sum(0) for lane in (left, right) for half in np.split(lane, 2, axis=1)]
    assert heights[0].max() <= 3 and heights[3].max() <= 3
    assert min(heights[1][5:].min(), heights[2][:-5].min()) > 0.8 * (len(left) - 8)


def test_a_quiet_piece_is_drawn_as_large_as_a_loud_one() -> None:
    loud, quiet = (where(opened(waveform(Waveform(tone(220, 1, peak)[None], RATE), False)), BODY[False]) for peak in (1.0, 0.1))
    assert quiet.sum() == pytest.approx(loud.sum(), rel=0.02)


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


@pytest.mark.parametrize("dark", (False, True))
def test_a_piano_roll_has_the_notes_of_each_instrument(score: Score, dark: bool) -> None:
    picture = opened(piano_roll(score, 10.0, dark))
    drawn = {name: where(picture, TRACK[name][dark])[NAMED:] for name in TRACK}
    spans = {name: np.flatnonzero(points.any(0))[[0, -1]] - LEFT for name, points in drawn.items()}
    assert spans["accompaniment"] == pytest.approx([0.2 * PLOT, 0.4 * PLOT], abs=3)
    assert spans["bass"] == pytest.approx([0, 0.9 * PLOT], abs=3) and spans["lead"] == pytest.approx([0, PLOT], abs=3)
    heights = {name: np.flatnonzero(points.any(1)).mean() for name, points in drawn.items()}
    assert heights["lead"] < heights["accompaniment"] < heights["bass"] < heights["drums"]
    first, second = (np.flatnonzero(drawn["lead"][:, LEFT + at].any(-1) if at is None else drawn["lead"][:, LEFT + at]) for at in (10, 600))
    assert first.min() > second.max()  # an octave higher


def test_instruments_that_do_not_play_are_not_named(score: Score) -> None:
    alone = Score(score.attributes, 10.0, score.lead, (), (), (), ())
    legend = opened(piano_roll(alone, 10.0, False))[:NAMED]
    assert where(legend, TRACK["lead"][False]).any() and not where(legend, TRACK["drums"][False]).any()
    assert piano_roll_alt(alone, 10.0).endswith("4 beats a bar: violin, 2 notes from G 4 to G 5.")
    nobody = Score(score.attributes, 10.0, (), (), (), (), ())
    assert opened(piano_roll(nobody, 10.0, False)).shape[1] == WIDTH and "no notes" in piano_roll_alt(nobody, 10.0)


def test_words_for_those_who_cannot_see(score: Score) -> None:
    sound = torch.cat([tone(220, 4.2, 0.2), tone(220, 0.1, 0.9), tone(220, 8, 0.2)])[None]
    assert waveform_alt(Waveform(sound, RATE)) == "Waveform, 12.3 s, mono, loudest at 4.2 s."
    assert spectrogram_alt(Waveform(tone(905, 2)[None], RATE)).endswith("strongest near 910 Hz.")
    silence = Waveform(torch.zeros(2, RATE), RATE)
    assert waveform_alt(silence) == "Waveform, 1.0 s, stereo, silent throughout."
    assert spectrogram_alt(silence) == "Spectrogram, 1.0 s, 20 Hz to 16 kHz: silent throughout."
    assert piano_roll_alt(score, 10.0) == (
        "Piano roll, 10.0 s, G minor, 120 beats a minute, 4 beats a bar: violin, 2 notes from G 4 to G 5; strings, 1 note on C 4; "
        "double bass, 1 note on G 1; drums, 2 strokes. Chords: G minor, E flat major seventh."
    )


@pytest.mark.parametrize("shape, rate", (((1, 1), 8000), ((2, 7), 32_000), ((6, 900), 48_000), ((1, 3_000_000), 96_000), ((1, 50), 7)))
def test_every_length_and_rate_can_be_drawn(shape: tuple[int, int], rate: int) -> None:
    music = Waveform(torch.linspace(-1, 1, shape[0] * shape[1]).view(shape).contiguous(), rate)
    for draw in (waveform, spectrogram):
        assert opened(draw(music, True)).shape[1] == WIDTH
    assert waveform_alt(music) and spectrogram_alt(music)


def test_pictures_are_small_see_through_and_different_in_the_dark(score: Score) -> None:
    noise = Waveform((torch.rand(2, 30 * RATE) - 0.5), RATE)  # the hardest to make small
    both = [[waveform(noise, dark), spectrogram(noise, dark), piano_roll(score, 10.0, dark)] for dark in (False, True)]
    assert sum(len(picture) for version in both for picture in version) < 150_000
    for light, dark in zip(*both, strict=True):
        pictures = [opened(version) for version in (light, dark)]
        assert pictures[0].shape == pictures[1].shape and (pictures[0][0, 0, 3], pictures[0][-1, 0, 3]) == (0, 0)
        for picture, ink in zip(pictures, INK.values(), strict=True):
            assert where(picture[-AXIS:], ink).any()  # the times


def test_threads_draw_the_same(score: Score) -> None:
    music = Waveform(tone(220, 2)[None], RATE)
    tasks = [lambda: waveform(music, False), lambda: spectrogram(music, True), lambda: piano_roll(score, 10.0, False)]
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda task: task(), tasks * 4))
    assert drawn == [task() for task in tasks] * 4
