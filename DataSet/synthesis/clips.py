"""Short clips drawn from a description: a scene, how fast things move in it, and the beat at which the light pulses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DataSet.synthesis.scenes import Scene, draw, random_scene

MOTIONS = ("slow", "medium", "fast")
PULSES = ("none", "threes", "fours")
FRAMES = 16
_SPEED = {"slow": (0.1, 0.8), "medium": (1.6, 3.0), "fast": (4.5, 8.0)}  # pixels a frame at a width of 64


@dataclass(frozen=True)
class Clip:
    scene: Scene
    motion: str
    pulse: str
    seed: int

    def labels(self) -> dict[str, str]:
        return {"motion": self.motion, "pulse": self.pulse, "light": self.scene.light, "mood": self.scene.mood}


def random_clip(rng: np.random.Generator) -> Clip:
    motion, pulse = str(rng.choice(MOTIONS)), str(rng.choice(PULSES, p=[0.4, 0.3, 0.3]))
    return Clip(random_scene(rng), motion, pulse, int(rng.integers(2**31)))


def render_clip(clip: Clip, size: int = 64) -> np.ndarray:
    """Renders the frames, uint8 [FRAMES, size, size, 3]: a panning camera, moving objects, pulsing light."""
    rng = np.random.default_rng(clip.seed)
    speed = rng.uniform(*_SPEED[clip.motion]) * size / 64
    camera = rng.choice([0.0, 0.5, 1.0]) * speed * rng.choice([-1, 1])
    world = np.asarray(draw(clip.scene, (size * 2, size)))
    world = np.concatenate([world, world[:, ::-1]], axis=1)  # walks round without a seam
    if abs(camera) >= 2:  # a camera that pans fast smears what it sees
        world = np.mean([np.roll(world, step, axis=1) for step in range(int(abs(camera)))], axis=0)
    frames = np.stack([np.roll(world, int(round(camera * t)), axis=1)[:, :size] for t in range(FRAMES)]).astype(np.float32)
    _movers(frames, clip, 0.0 if abs(camera) == speed and rng.random() < 0.5 else speed, rng)
    frames *= _pulse(clip.pulse, rng)[:, None, None, None]
    frames += rng.normal(0, rng.uniform(0, 5), frames.shape)
    return np.clip(frames, 0, 255).astype(np.uint8)


def _movers(frames: np.ndarray, clip: Clip, speed: float, rng: np.random.Generator) -> None:
    """Cars, birds, balls: blocks that cross the picture at the clip's speed and come in again on the other side."""
    size = frames.shape[1]
    dim = {"day": 1.0, "sunset": 0.8, "night": 0.6}[clip.scene.light]
    for _ in range(int(rng.integers(4, 13)) if speed else 0):
        x, y = rng.uniform(0, size, 2)
        angle = rng.choice([0.0, np.pi]) + rng.normal(0, 0.35)
        step = speed * rng.uniform(0.8, 1.2)
        wide, tall = int(rng.integers(4, 12) + abs(step)), int(rng.integers(3, 9))
        colour = rng.uniform(20, 255, 3) * dim
        for t in range(len(frames)):
            left = int(x + np.cos(angle) * step * t) % size
            top = int(y + np.sin(angle) * step * t) % size
            frames[t, top:top + tall, left:left + wide] = colour


def _pulse(pulse: str, rng: np.random.Generator) -> np.ndarray:
    if pulse == "none":
        return np.ones(FRAMES, np.float32)
    beat = 3 if pulse == "threes" else 4
    flash = (np.arange(FRAMES) + int(rng.integers(beat))) % beat == 0
    return np.where(flash, rng.uniform(1.2, 1.5), rng.uniform(0.8, 0.95)).astype(np.float32)
