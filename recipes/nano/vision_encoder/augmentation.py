"""Real photographs as material for the eyes: drawn scenes alone do not carry over to them.

photographs_train.json names, package by package, what `python -m recipes.nano.vision_encoder.photographs FOLDER --train` fetches, and the labels
that were given after looking: mood and energy always, place, light and weather where one of the scenes' names fits. None of the
photographs that the probes look at is among them. One in five, by its name, is kept for validation.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from DataSet.synthesis.scenes import ENERGIES, LIGHTS, MOODS, PLACES, WEATHERS

LIST = Path(__file__).with_name("photographs_train.json")
LABELS: Mapping[str, Sequence[str]] = {"place": PLACES, "light": LIGHTS, "weather": WEATHERS, "mood": MOODS, "energy": ENERGIES}
HELD_OUT = 5  # one in so many validates
KEPT = 96  # pixels a side of which random parts are shown
UNKNOWN = -100  # a label that nobody gave: no loss
GRADED = 0.18  # of the photographs shown lose colour and light, and so their cheer
_GREY = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Sight:
    """A labelled photograph; a cut-out is laid over parts of others."""

    name: str
    package: str
    member: str
    licence: str
    labels: Mapping[str, str]

    @property
    def cut_out(self) -> bool:
        return "stamps" in self.package

    @property
    def file(self) -> str:
        return f"{self.name}.png" if self.cut_out else f"{self.name}.jpg"

    @property
    def held_out(self) -> bool:
        return zlib.crc32(self.name.encode()) % HELD_OUT == 0


def listed() -> list[Sight]:
    packages = json.loads(LIST.read_text(encoding="utf-8"))
    return [Sight(name, row["package"], member, row["licence"], named(words)) for row in packages for name, member, words in row["photographs"]]


def named(words: str) -> dict[str, str]:
    """"calm low sea day" -> {"mood": "calm", ...}; no two labels share a name."""
    return {label: word for word in words.split() for label, names in LABELS.items() if word in names}


@dataclass(frozen=True)
class Album:
    """Photographs of one part: `pictures` uint8 [N, KEPT, KEPT, 3], `cut_outs` [M, KEPT, KEPT, 4], labels [N + M, 5] of both."""

    pictures: np.ndarray
    cut_outs: np.ndarray
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def weights(self) -> np.ndarray:
        """How often each is shown: rare moods oftener, by the square root of how rare they are."""
        moods = self.labels[:, list(LABELS).index("mood")].tolist()
        counts = Counter(moods)
        shares = np.array([counts[mood] ** -0.5 for mood in moods])
        return shares / shares.sum()

    def show(self, count: int, rng: np.random.Generator, side: int) -> tuple[np.ndarray, Tensor]:
        """`count` augmented photographs uint8 [count, side, side, 3], and their labels."""
        picked = rng.choice(len(self), count, p=self.weights)
        shown = np.stack([self._one(int(place), rng) for place in picked])
        values, labels = torch.from_numpy(shown).movedim(-1, 1).float(), self.labels[picked].clone()
        values = part(values, rng, side)
        values = developed(values, rng)
        graded = torch.from_numpy(rng.random(count) < GRADED)
        values[graded], labels[graded] = cheerless(values[graded], labels[graded], rng)
        return values.clamp(0, 255).round().byte().movedim(1, -1).numpy(), labels

    def _one(self, place: int, rng: np.random.Generator) -> np.ndarray:
        if place < len(self.pictures):
            return self.pictures[place]
        ground = self.pictures[int(rng.integers(len(self.pictures)))].astype(np.float32)
        ground = np.asarray(Image.fromarray(ground.astype(np.uint8)).resize((5, 5), 2).resize((KEPT, KEPT), 2), np.float32)
        return overlaid(ground, self.cut_outs[place - len(self.pictures)], float(rng.uniform(0.6, 1.3)), rng)


def overlaid(ground: np.ndarray, cut_out: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A cut-out over a blurred ground; larger than 1, it goes past the edges."""
    size = int(KEPT * scale)
    top = np.asarray(Image.fromarray(cut_out).resize((size, size), 2), np.float32)
    shift = rng.integers(-KEPT // 8, KEPT // 8 + 1, 2) + (KEPT - size) // 2
    canvas = np.zeros((3 * KEPT, 3 * KEPT, 4), np.float32)
    canvas[KEPT + shift[0] : KEPT + shift[0] + size, KEPT + shift[1] : KEPT + shift[1] + size] = top
    top = canvas[KEPT : 2 * KEPT, KEPT : 2 * KEPT]
    cover = top[..., 3:] / 255
    return (ground * (1 - cover) + top[..., :3] * cover).astype(np.uint8)


def album(folder: Path, held_out: bool) -> Album:
    """What of the list lies in `folder`, of one part; cut-outs are for training alone."""
    rows = [one for one in listed() if (folder / one.file).exists() and one.held_out == held_out]
    rows = [one for one in rows if not (held_out and one.cut_out)]
    if not rows:
        raise FileNotFoundError(f"No photographs lie in {folder}; python -m recipes.nano.vision_encoder.photographs {folder} --train fetches them.")
    rows.sort(key=lambda one: one.cut_out)
    pictures = [_read(folder / one.file, "RGB") for one in rows if not one.cut_out]
    cut_outs = [_read(folder / one.file, "RGBA") for one in rows if one.cut_out]
    labels = [[names.index(one.labels[label]) if label in one.labels else UNKNOWN for label, names in LABELS.items()] for one in rows]
    return Album(np.stack(pictures), np.stack(cut_outs) if cut_outs else np.zeros((0, KEPT, KEPT, 4), np.uint8), torch.tensor(labels))


def _read(path: Path, mode: str) -> np.ndarray:
    """As the processor does, a picture is squeezed to a square."""
    return np.asarray(Image.open(path).convert(mode).resize((KEPT, KEPT), Image.Resampling.BILINEAR))


def whole(shown: Album, side: int) -> np.ndarray:
    """Its pictures as they are, uint8 [N, side, side, 3]."""
    values = F.interpolate(torch.from_numpy(shown.pictures).movedim(-1, 1).float(), side, mode="bilinear", antialias=True)
    return values.round().byte().movedim(1, -1).numpy()


def words(row: Sequence[int]) -> dict[str, str]:
    """A row of an album's labels by name, without those that nobody gave."""
    return {label: names[index] for (label, names), index in zip(LABELS.items(), row, strict=True) if index != UNKNOWN}


def part(values: Tensor, rng: np.random.Generator, side: int) -> Tensor:
    """A random half to all of each picture, [N, 3, side, side], half of them mirrored."""
    count = len(values)
    scale = np.sqrt(rng.uniform(0.5, 1.0, (count, 2)))
    shift = rng.uniform(-1, 1, (count, 2)) * (1 - scale)
    scale[:, 0] *= np.where(rng.random(count) < 0.5, -1, 1)
    theta = np.zeros((count, 2, 3))
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    theta[:, 0, 1], theta[:, 1, 0] = rng.normal(0, 0.05, (2, count))
    grid = F.affine_grid(torch.from_numpy(theta).float(), [count, 3, side, side], align_corners=False)
    return F.grid_sample(values, grid, padding_mode="reflection", align_corners=False)


def developed(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Other exposure, contrast, tint, sharpness and grain, little enough to keep the mood."""
    def drawn(low: float, high: float, width: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(values), width, 1, 1))).float()

    grey = (values * _GREY).sum(1, keepdim=True)
    values = grey + (values - grey) * drawn(0.8, 1.2)
    mean = values.mean((1, 2, 3), keepdim=True)
    values = (mean + (values - mean) * drawn(0.8, 1.2)) * drawn(0.82, 1.18) * drawn(0.94, 1.06, 3)
    if rng.random() < 0.4:
        values = F.interpolate(F.avg_pool2d(values, 2), scale_factor=2, mode="bilinear", align_corners=False)
    return values + torch.randn_like(values) * drawn(0, 9)


def cheerless(values: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Without colour and light, in haze where little goes on: sad where energy is low, else tense, as of drawn scenes."""
    low = labels[:, list(LABELS).index("energy")] == ENERGIES.index("low")

    def drawn(still: tuple[float, float], lively: tuple[float, float]) -> Tensor:
        chosen = np.where(low.numpy(), rng.uniform(*still, len(values)), rng.uniform(*lively, len(values)))
        return torch.from_numpy(chosen).float().view(-1, 1, 1, 1)

    grey = (values * _GREY).sum(1, keepdim=True)
    values = grey + (values - grey) * drawn((0.0, 0.35), (0.0, 0.35))
    mean = values.mean((1, 2, 3), keepdim=True)
    values = mean + (values - mean) * drawn((0.35, 0.75), (1.1, 1.5))
    values = values * drawn((0.5, 1.15), (0.4, 0.75))
    changed = labels.clone()
    changed[:, list(LABELS).index("mood")] = torch.where(low, MOODS.index("sad"), MOODS.index("tense"))
    changed[:, list(LABELS).index("light")] = changed[:, list(LABELS).index("weather")] = UNKNOWN
    return values, changed
