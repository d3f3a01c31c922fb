"""Sets of rendered clips: storage, labels, and augmentation that imitates real recordings.

A set is four files: NAME.i16 (int16 mono samples, clip after clip), NAME.roll (uint8 [clips, frames, 24], sounding pitch
classes, bass then treble), NAME.bands (uint8 [clips, frames, 192], the spectrum) and NAME.jsonl (one line of labels a clip,
written last, so that a set can be read while it grows).
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
RECEPTIVE_FIELD = 4395  # samples that one frame sees
CLIP_SECONDS = 8
CLIP_SAMPLES = CLIP_SECONDS * SAMPLE_RATE
ROLL_FRAMES = CLIP_SAMPLES // HOP
ROLL_WIDTH = 24

SPECTRUM = SpectrumConfig()
FRAMES = (CLIP_SAMPLES - RECEPTIVE_FIELD) // HOP + 1
SPECTRUM_BYTES = FRAMES * SPECTRUM.bands

# The model's audio adapter: states of four layers, their embedding and the spectrum; one prompt position a pool.
AUDIO = AdapterConfig(192, 6, pools=("mean", "timbre", "rhythm", "harmony"), frame_rate=FRAME_RATE, pool_dim=128, spectrum=True, blocks=2)
LEARNED_POOLS = ("timbre", "rhythm", "harmony")
FEATURE_NAMES = ("states_mean", *LEARNED_POOLS)  # the cached features of a recording, in the order of AUDIO.pools

ATTRIBUTE_VALUES: dict[str, tuple[Any, ...]] = {
    "lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "style": STYLES, "mode": MODES,
    "metre": METRES, "drums": (False, True), "key": tuple(range(len(KEYS))),
}
TEMPO_BINS, TEMPO_LOW, TEMPO_HIGH = 48, math.log(54), math.log(200)


def frame_count(samples: int) -> int:
    return (samples - RECEPTIVE_FIELD) // HOP + 1


def tempo_targets(log_tempo: Tensor) -> Tensor:
    """Log beats a minute [B] -> soft targets [B, 48], a Gaussian over the bins, so that near misses cost little."""
    centre = (log_tempo - TEMPO_LOW) / (TEMPO_HIGH - TEMPO_LOW) * (TEMPO_BINS - 1)
    weights = torch.exp(-0.5 * (torch.arange(TEMPO_BINS) - centre[:, None]).square())
    return weights / weights.sum(1, keepdim=True)


def decode_tempo(logits: Tensor) -> Tensor:
    """Bin logits [B, 48] -> log beats a minute [B]: weighted mean of the best bin and two on each side."""
    probabilities = logits.softmax(1)
    bins = (probabilities.argmax(1, keepdim=True) + torch.arange(-2, 3)).clamp(0, TEMPO_BINS - 1)
    weights = probabilities.gather(1, bins)
    position = (weights * bins).sum(1) / weights.sum(1)
    return TEMPO_LOW + position / (TEMPO_BINS - 1) * (TEMPO_HIGH - TEMPO_LOW)


@lru_cache(maxsize=1)
def _spectrum() -> Spectrum:
    return Spectrum(SPECTRUM, SAMPLE_RATE, HOP, RECEPTIVE_FIELD)


def clip_spectrum(samples: Tensor) -> Tensor:
    """Normalised samples [B, N] -> [B, T, F], the encoder's last state."""
    return _spectrum()(samples, frame_count(samples.shape[-1]))


def pack_spectrum(spectrum: Tensor) -> Tensor:
    """Quantizes a spectrum to one byte a band, in steps of 0.44 dB."""
    return ((spectrum + 1) * 80).round().clamp(0, 255).byte()


def unpack_spectrum(spectrum: Tensor) -> Tensor:
    return spectrum.float() / 80 - 1


@dataclass(frozen=True)
class ClipBatch:
    samples: Tensor  # [B, N] zero mean, unit variance
    roll: Tensor  # [B, T, 24]
    classes: dict[str, Tensor]  # name of ATTRIBUTE_VALUES -> [B] int64
    log_tempo: Tensor  # [B]


def normalize(samples: Tensor) -> Tensor:
    """Normalizes to zero mean and unit variance along time, as the encoder's preprocessor does."""
    centred = samples - samples.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7)


class ClipSet:
    """A set of rendered clips, read by memory map; `refresh` includes clips that were added meanwhile."""

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

    def excerpts(self, indices: range | np.ndarray, samples: int = CLIP_SAMPLES) -> ClipBatch:
        """The first `samples` of each clip, without augmentation."""
        excerpts = [_Excerpt(0, samples, 1.0, 0) for _ in indices]
        return self._batch([self._samples(int(i), excerpt) for i, excerpt in zip(indices, excerpts, strict=True)], indices, excerpts)

    def normalized(self, indices: range) -> Tensor:
        """Normalized clips [B, CLIP_SAMPLES], the encoder's input; labels are not read."""
        return normalize(torch.stack([self._samples(index, _Excerpt(0, CLIP_SAMPLES, 1.0, 0)) for index in indices]))

    def augmented(self, indices: np.ndarray, samples: int, rng: np.random.Generator) -> ClipBatch:
        """Random excerpts, resampled by up to 8 % (labels follow), with spectral tilt, reflections and noise."""
        excerpts = [_random_excerpt(samples, rng) for _ in indices]
        waves = [degrade(self._samples(int(i), excerpt), rng) for i, excerpt in zip(indices, excerpts, strict=True)]
        return self._batch(waves, indices, excerpts)

    def _samples(self, index: int, excerpt: _Excerpt) -> Tensor:
        samples = torch.from_numpy(self.samples[index, excerpt.start : excerpt.start + excerpt.source_samples].astype(np.float32)) / 32768
        if excerpt.semitones == 0 and excerpt.source_samples == excerpt.samples:
            return samples
        return F.interpolate(samples[None, None], size=excerpt.samples, mode="linear", align_corners=False)[0, 0]

    def _batch(self, waves: list[Tensor], indices: range | np.ndarray, excerpts: list[_Excerpt]) -> ClipBatch:
        labels = [self.labels[int(i)] for i in indices]
        classes = {
            name: torch.tensor([values.index(label[name]) for label in labels]) for name, values in ATTRIBUTE_VALUES.items()
        }
        shift = torch.tensor([excerpt.semitones for excerpt in excerpts])
        classes["key"] = (classes["key"] + shift) % 12
        tempo = torch.tensor([math.log(label["tempo"] * excerpt.speed) for label, excerpt in zip(labels, excerpts, strict=True)])
        rolls = torch.stack([self._excerpt_roll(int(i), excerpt) for i, excerpt in zip(indices, excerpts, strict=True)])
        return ClipBatch(normalize(torch.stack(waves)), rolls, classes, tempo)

    def _excerpt_roll(self, index: int, excerpt: _Excerpt) -> Tensor:
        centres = (np.arange(frame_count(excerpt.samples)) * HOP + RECEPTIVE_FIELD / 2) * excerpt.speed + excerpt.start
        rows = self.rolls[index, np.minimum(centres // HOP, ROLL_FRAMES - 1).astype(np.int64)]
        return torch.from_numpy(np.roll(rows.reshape(-1, 2, 12), excerpt.semitones, axis=2).reshape(-1, 24)).float()


@dataclass(frozen=True)
class _Excerpt:
    """An excerpt of a clip at another speed: `source_samples` samples become `samples`."""

    start: int
    samples: int
    speed: float
    semitones: int

    @property
    def source_samples(self) -> int:
        return int(self.samples * self.speed)


def _random_excerpt(samples: int, rng: np.random.Generator) -> _Excerpt:
    semitones = int(rng.integers(-1, 2))  # whole semitones and a little, so that the key label stays true
    speed = 2 ** (semitones / 12) * math.exp(rng.uniform(-0.015, 0.015))
    return _Excerpt(int(rng.integers(0, CLIP_SAMPLES - int(samples * speed) + 1)), samples, speed, semitones)


def degrade(wave: Tensor, rng: np.random.Generator) -> Tensor:
    """Random tilt, band limit, reflections and noise, [N] -> [N]; the noise stays below the level of a soft hi-hat."""
    if rng.random() < 0.6:
        wave = wave + rng.uniform(-0.6, 0.6) * F.pad(wave, (1, 0))[:-1]
    if rng.random() < 0.15:
        wave = F.avg_pool1d(wave[None, None], 3, 1, 1)[0, 0]
    if rng.random() < 0.35:
        wave = add_reflections(wave, rng)
    if rng.random() < 0.4:
        loudness = float(wave.square().mean().sqrt())
        wave = wave + torch.randn(len(wave)) * loudness * 10 ** rng.uniform(-3.2, -1.7)
    return wave


def add_reflections(wave: Tensor, rng: np.random.Generator) -> Tensor:
    """Adds six early reflections, a cheap model of a small room."""
    result = wave.clone()
    for _ in range(6):
        delay = int(rng.uniform(0.01, 0.16) * SAMPLE_RATE)
        strength = rng.uniform(0.05, 0.3) * math.exp(-delay / SAMPLE_RATE / 0.06) * (1 if rng.random() < 0.5 else -1)
        result[delay:] += strength * wave[:-delay]
    return result
