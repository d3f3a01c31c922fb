"""Rendered clips as training material for the ears: storage, labels, and the damage real recordings suffer.

A set is four files side by side: NAME.i16 (int16 mono samples, clip after clip), NAME.roll (uint8 [clips, frames, 24],
which pitch classes sound, bass then treble), NAME.bands (uint8 [clips, frames, 192], the spectrum) and NAME.jsonl (one line of labels a clip, written last, so that a set can
be read while it still grows).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from llama.config import AdapterConfig
from llama.encoders.cqt import Spectrum, SpectrumConfig
from llama.media.score import ACCOMPANIMENTS, KEYS, LEADS, METRES, MODES, STYLES

SAMPLE_RATE = 24_000
HOP = 640  # samples a frame of the encoder: 37.5 frames a second
FRAME_RATE = SAMPLE_RATE / HOP
RECEPTIVE = 4395  # samples that one frame sees
CLIP_SECONDS = 8
CLIP_SAMPLES = CLIP_SECONDS * SAMPLE_RATE
ROLL_FRAMES = CLIP_SAMPLES // HOP
ROLL_WIDTH = 24

SPECTRUM = SpectrumConfig()
FRAMES = (CLIP_SAMPLES - RECEPTIVE) // HOP + 1
SPECTRUM_BYTES = FRAMES * SPECTRUM.bands

# How the model's adapter hears: four layers' states, their embedding and the spectrum; one prompt position a pool.
AUDIO = AdapterConfig(192, 6, pools=("mean", "timbre", "rhythm", "harmony"), frame_rate=FRAME_RATE, pool_dim=128, spectrum=True, blocks=2)
LEARNED = ("timbre", "rhythm", "harmony")
HEARD = ("states_mean", *LEARNED)  # what is cached of a recording, in the order of AUDIO.pools

CHOICES: dict[str, tuple[Any, ...]] = {
    "lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "style": STYLES, "mode": MODES,
    "metre": METRES, "drums": (False, True), "key": tuple(range(len(KEYS))),
}
TEMPO_BINS, TEMPO_LOW, TEMPO_HIGH = 48, math.log(54), math.log(200)


def frame_count(samples: int) -> int:
    return (samples - RECEPTIVE) // HOP + 1


def tempo_targets(log_tempo: Tensor) -> Tensor:
    """Log beats a minute [B] -> soft bins [B, 48]; neighbours share, so that being nearly right is nearly right."""
    centre = (log_tempo - TEMPO_LOW) / (TEMPO_HIGH - TEMPO_LOW) * (TEMPO_BINS - 1)
    weights = torch.exp(-0.5 * (torch.arange(TEMPO_BINS) - centre[:, None]).square())
    return weights / weights.sum(1, keepdim=True)


def tempo_of(logits: Tensor) -> Tensor:
    """Bin logits [B, 48] -> log beats a minute [B]: mean of the best bin and two neighbours to each side."""
    chances = logits.softmax(1)
    near = (chances.argmax(1, keepdim=True) + torch.arange(-2, 3)).clamp(0, TEMPO_BINS - 1)
    weights = chances.gather(1, near)
    place = (weights * near).sum(1) / weights.sum(1)
    return TEMPO_LOW + place / (TEMPO_BINS - 1) * (TEMPO_HIGH - TEMPO_LOW)


@lru_cache(maxsize=1)
def _spectrum() -> Spectrum:
    return Spectrum(SPECTRUM, SAMPLE_RATE, HOP, RECEPTIVE)


def heard_spectrum(samples: Tensor) -> Tensor:
    """Normalised samples [B, N] -> [B, T, F], the encoder's last state."""
    return _spectrum()(samples, frame_count(samples.shape[-1]))


def packed(spectrum: Tensor) -> Tensor:
    """A byte a band: steps of 0.44 decibels."""
    return ((spectrum + 1) * 80).round().clamp(0, 255).byte()


def unpacked(spectrum: Tensor) -> Tensor:
    return spectrum.float() / 80 - 1


@dataclass(frozen=True)
class ClipBatch:
    samples: Tensor  # [B, N] zero mean, unit variance
    roll: Tensor  # [B, T, 24]
    classes: dict[str, Tensor]  # name of CHOICES -> [B] int64
    log_tempo: Tensor  # [B]


def normalize(samples: Tensor) -> Tensor:
    """Zero mean and unit variance along time, as the encoder's preprocessor does."""
    centred = samples - samples.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7)


class Clips:
    """A set of rendered clips, read by memory map; `refresh` notices clips that were added meanwhile."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.labels: list[dict[str, Any]] = []
        self.refresh()

    def refresh(self) -> None:
        path = self.folder / f"{self.name}.jsonl"
        if not path.exists():
            raise FileNotFoundError(f"No rendered clips at {path}; make them first with recipes/nano/rendering/render_clips.py.")
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        self.labels = [json.loads(line) for line in lines]
        count = len(self.labels)
        self.samples = np.memmap(self.folder / f"{self.name}.i16", np.int16, "r", shape=(count, CLIP_SAMPLES))
        bands = self.folder / f"{self.name}.bands"
        if bands.exists():
            self.bands = np.memmap(bands, np.uint8, "r", shape=(count, FRAMES, SPECTRUM.bands))
        self.rolls = np.memmap(self.folder / f"{self.name}.roll", np.uint8, "r", shape=(count, ROLL_FRAMES, ROLL_WIDTH))

    def __len__(self) -> int:
        return len(self.labels)

    def plain(self, indices: range | np.ndarray, samples: int = CLIP_SAMPLES) -> ClipBatch:
        """The clips' beginnings as they are."""
        views = [_View(0, samples, 1.0, 0) for _ in indices]
        return self._batch([self._wave(int(i), view) for i, view in zip(indices, views, strict=True)], indices, views)

    def heard(self, indices: range) -> Tensor:
        """The clips as the encoder takes them [B, CLIP_SAMPLES], whatever labels they have."""
        return normalize(torch.stack([self._wave(index, _View(0, CLIP_SAMPLES, 1.0, 0)) for index in indices]))

    def damaged(self, indices: np.ndarray, samples: int, rng: np.random.Generator) -> ClipBatch:
        """Random excerpts, resampled up to 8 % (labels follow), tilted, echoed, with noise."""
        views = [_random_view(samples, rng) for _ in indices]
        waves = [damage(self._wave(int(i), view), rng) for i, view in zip(indices, views, strict=True)]
        return self._batch(waves, indices, views)

    def _wave(self, index: int, view: _View) -> Tensor:
        taken = torch.from_numpy(self.samples[index, view.start : view.start + view.taken].astype(np.float32)) / 32768
        if view.semitones == 0 and view.taken == view.samples:
            return taken
        return F.interpolate(taken[None, None], size=view.samples, mode="linear", align_corners=False)[0, 0]

    def _batch(self, waves: list[Tensor], indices: range | np.ndarray, views: list[_View]) -> ClipBatch:
        picked = [self.labels[int(i)] for i in indices]
        classes = {
            name: torch.tensor([values.index(label[name]) for label in picked]) for name, values in CHOICES.items()
        }
        shift = torch.tensor([view.semitones for view in views])
        classes["key"] = (classes["key"] + shift) % 12
        tempo = torch.tensor([math.log(label["tempo"] * view.speed) for label, view in zip(picked, views, strict=True)])
        rolls = torch.stack([self._roll(int(i), view) for i, view in zip(indices, views, strict=True)])
        return ClipBatch(normalize(torch.stack(waves)), rolls, classes, tempo)

    def _roll(self, index: int, view: _View) -> Tensor:
        centres = (np.arange(frame_count(view.samples)) * HOP + RECEPTIVE / 2) * view.speed + view.start
        rows = self.rolls[index, np.minimum(centres // HOP, ROLL_FRAMES - 1).astype(np.int64)]
        return torch.from_numpy(np.roll(rows.reshape(-1, 2, 12), view.semitones, axis=2).reshape(-1, 24)).float()


@dataclass(frozen=True)
class _View:
    """An excerpt of a clip played at another speed: `taken` samples become `samples`."""

    start: int
    samples: int
    speed: float
    semitones: int

    @property
    def taken(self) -> int:
        return int(self.samples * self.speed)


def _random_view(samples: int, rng: np.random.Generator) -> _View:
    semitones = int(rng.integers(-1, 2))  # whole semitones and a little, so that the key label stays true
    speed = 2 ** (semitones / 12) * math.exp(rng.uniform(-0.015, 0.015))
    return _View(int(rng.integers(0, CLIP_SAMPLES - int(samples * speed) + 1)), samples, speed, semitones)


def damage(wave: Tensor, rng: np.random.Generator) -> Tensor:
    """Tilt, narrow band, echoes and noise [N] -> [N]; noise stays under what a soft hi-hat needs to be heard."""
    if rng.random() < 0.6:
        wave = wave + rng.uniform(-0.6, 0.6) * F.pad(wave, (1, 0))[:-1]
    if rng.random() < 0.15:
        wave = F.avg_pool1d(wave[None, None], 3, 1, 1)[0, 0]
    if rng.random() < 0.35:
        wave = echo(wave, rng)
    if rng.random() < 0.4:
        loudness = float(wave.square().mean().sqrt())
        wave = wave + torch.randn(len(wave)) * loudness * 10 ** rng.uniform(-3.2, -1.7)
    return wave


def echo(wave: Tensor, rng: np.random.Generator) -> Tensor:
    """A few early reflections: a small room, cheaply."""
    result = wave.clone()
    for _ in range(6):
        delay = int(rng.uniform(0.01, 0.16) * SAMPLE_RATE)
        strength = rng.uniform(0.05, 0.3) * math.exp(-delay / SAMPLE_RATE / 0.06) * (1 if rng.random() < 0.5 else -1)
        result[delay:] += strength * wave[:-delay]
    return result
