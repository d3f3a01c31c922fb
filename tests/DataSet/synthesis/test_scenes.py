"""Drawn pictures and clips: reproducible, consistent with their labels, with complete music requests."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from DataSet.synthesis.clips import FRAMES, Clip, random_clip, render_clip
from DataSet.synthesis.scenes import MOODS, PLACES, Scene, draw, random_scene
from DataSet.synthesis.wishes import complete_attributes, even_tempo, full_caption, music_for_clip, music_for_picture


def _pixels(**changes: object) -> np.ndarray:
    scene = Scene("city", "day", "clear", 0.8, 0.5, 3)
    return np.asarray(draw(dataclasses.replace(scene, **changes)), np.float32)  # type: ignore[arg-type]


def test_a_scene_is_its_picture() -> None:
    assert np.array_equal(_pixels(), _pixels())
    assert not np.array_equal(_pixels(), _pixels(seed=4))


@pytest.mark.parametrize("place", [place for place in PLACES if place not in ("party", "fire")])  # those bring their own light
def test_every_place_is_darker_at_night(place: str) -> None:
    assert _pixels(place=place).mean() > 1.5 * _pixels(place=place, light="night").mean()


def test_colour_is_saturation() -> None:
    def saturation(pixels: np.ndarray) -> float:
        return float((pixels.max(2) - pixels.min(2)).mean())

    assert saturation(_pixels(colour=1.0)) > 2 * saturation(_pixels(colour=0.0))


def test_every_mood_is_drawn_and_none_is_a_matter_of_taste() -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(300)]
    assert {scene.mood for scene in scenes} == set(MOODS)
    assert all(scene.clear_cut for scene in scenes)


def test_faster_clips_change_more_from_frame_to_frame() -> None:
    scene = Scene("meadow", "day", "clear", 0.8, 0.3, 1)

    def mean_change(motion: str, seed: int) -> float:
        return np.abs(np.diff(render_clip(Clip(scene, motion, "none", seed)).astype(float), axis=0)).mean()

    change = {motion: np.mean([mean_change(motion, seed) for seed in range(8)]) for motion in ("slow", "medium", "fast")}
    assert change["slow"] < change["medium"] < change["fast"]


@pytest.mark.parametrize(("pulse", "beat"), [("threes", 3), ("fours", 4)])
def test_a_pulse_returns_after_its_beat(pulse: str, beat: int) -> None:
    light = render_clip(Clip(Scene("sea", "day", "clear", 0.5, 0.1, 2), "slow", pulse, 5)).mean(axis=(1, 2, 3))
    assert len(light) == FRAMES
    bright = np.flatnonzero(light > light.mean() * 1.1)
    assert set(np.diff(bright)) == {beat}


def test_what_is_seen_becomes_playable_music() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        scene, clip = random_scene(rng), random_clip(rng)
        assert complete_attributes(music_for_picture(scene.labels())).mode == ("major" if scene.mood in ("happy", "calm") else "minor")
        piece = complete_attributes(music_for_clip(clip.labels()))
        assert (piece.metre == 3) == (clip.pulse == "threes")
        assert 10 <= len(full_caption(piece, key=True).split()) <= 24


def test_tempo_is_brought_into_range() -> None:
    assert [even_tempo(tempo) for tempo in (3, 61, 97, 180, 3000)] == [60, 60, 96, 180, 180]
