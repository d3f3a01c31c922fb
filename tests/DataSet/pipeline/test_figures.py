"""Figures and galleries of the notebooks: curves by known sounds and frames, files by their headers, media inside the HTML."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from DataSet.pipeline import figures
from DataSet.pipeline.agreement import agreement_row, tempo_class
from DataSet.pipeline.media_cards import Card, Figure, Gallery, sound_player, thumbnail
from DataSet.pipeline.stated_scenes import parse_scene
from llama.evaluation.tables import Measurement
from llama.media.audio import Waveform
from llama.media.containers import Encoded

RATE = 16_000


def clicks(*seconds: float, length: float = 3.0) -> Waveform:
    samples = torch.zeros(1, round(length * RATE))
    for time in seconds:
        samples[0, round(time * RATE) : round(time * RATE) + 400] = torch.hann_window(400) * 0.8
    return Waveform(samples, RATE)


def test_onsets_are_where_sounds_begin() -> None:
    strength = figures.onset_strength(clicks(0.5, 1.5, 2.25))
    peaks = np.flatnonzero(strength > 0.5 * strength.max()) * figures.MEL_HOP / RATE
    assert all(min(abs(peak - time) for time in (0.5, 1.5, 2.25)) < 0.05 for peak in peaks)
    assert all(min(abs(peak - time) for peak in peaks) < 0.05 for time in (0.5, 1.5, 2.25))


def test_cuts_are_found_and_flashes_are_none() -> None:
    rng = np.random.default_rng(0)
    scenes = [np.repeat(np.repeat(rng.integers(0, 256, (1, 12, 12, 3)), 8, 1), 8, 2) for _ in range(2)]
    frames = np.concatenate([np.repeat(scenes[0], 5, 0), np.repeat(scenes[1], 5, 0)]).astype(np.uint8)
    frames[2] = frames[2] // 2  # a flash
    assert figures.cuts(frames).tolist() == [4]
    motion = figures.motion_curve(frames)
    assert motion.shape == (9,) and motion[1] > 0.1 and motion[0] == motion[7] == 0
    assert not len(figures.cuts(frames[:1])) and not len(figures.motion_curve(frames[:1]))


def test_curves_correlate_with_themselves_alone() -> None:
    curve = np.sin(np.arange(50.0))
    assert figures.correlation(curve, curve[::-1].copy()) < 0.9 and figures.correlation(curve, np.repeat(curve, 2)) > 0.9
    assert np.isnan(figures.correlation(curve, np.ones(9))) and np.isnan(figures.correlation(curve, curve[:1]))


def test_every_figure_is_a_file_and_leaves_no_pyplot() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    contents = [
        figures.wave_and_mel(clicks(0.5)), figures.histograms({"length, s": [1.0, 2.0], "none": []}),
        figures.film_strip(frames, 3.0, clicks(1.0)), figures.grouped_points({"happy": [1.0, 2.0], "sad": [], "calm": [1.0]}, "energy"),
    ]  # fmt: skip
    for content in contents:
        assert Image.open(io.BytesIO(content)).size[0] > 200 and len(content) < 60_000
        (kind,) = [kind for kind in Figure(content)._repr_mimebundle_() if kind.startswith("image/")]
        assert (kind == "image/png") == content.startswith(b"\x89PNG")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert contents[0] == figures.wave_and_mel(clicks(0.5)) and (pyplot is None or not pyplot.get_fignums())


def test_players_hold_the_first_seconds() -> None:
    html = sound_player(clicks(0.5, 1.5, length=9.0), 2.0)
    (content,) = re.findall(r"base64,([\w+/=]+)", html)
    wave = Waveform.read(Encoded(base64.b64decode(content), "the player's sound"))
    assert wave.seconds < 2.2 and len(content) < 14_000 and int(wave.samples[0].abs().argmax()) / wave.sample_rate < 1.6


def test_a_gallery_escapes_what_it_shows(tmp_path: Path) -> None:
    Image.new("RGB", (300, 100), (200, 30, 30)).save(tmp_path / "red.png")
    card = Card("<b>", [thumbnail(tmp_path / "red.png")], ["1 < 2"], [])
    html = Gallery([card])._repr_html_()
    assert "&lt;b&gt;" in html and "1 &lt; 2" in html and "data:image/jpeg;base64," in html
    assert Image.open(io.BytesIO(card.pictures[0])).size == (300, 150)


def test_agreement_beside_shuffled_pairs() -> None:
    row = agreement_row("mode", ["major", "minor", None, "major"], ["major", "minor", "minor", "minor"])
    own, shuffled = row.cells["own"], row.cells["shuffled"]
    assert isinstance(own, Measurement) and isinstance(shuffled, Measurement)
    assert own.value == 0.5 and own.n == 4 and shuffled.value == 3 / 12  # of 12 ordered pairs, minor with two others, major with one
    assert [tempo_class(tempo) for tempo in (60, 92, 129, 130, None)] == ["slow", "medium", "medium", "fast", None]


def test_facts_are_read_from_captions_of_pictures_and_clips() -> None:
    picture = "It feels tense: a city at sunset in the rain."
    clip = "It moves at a medium pace by day, with a pulse in fours; it feels sad."
    facts = [parse_scene(name, picture) for name in ("mood", "place", "light", "weather", "motion")]
    assert facts == ["tense", "city", "sunset", "rain", None]
    assert [parse_scene(name, clip) for name in ("mood", "place", "light", "motion")] == ["sad", None, "day", "medium"]
