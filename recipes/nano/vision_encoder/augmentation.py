"""Real photographs for the training of the vision encoder, with augmentation: drawn scenes alone do not transfer to them.

photographs_train.json lists, by package, what `python -m recipes.nano.vision_encoder.photographs FOLDER --train` fetches, and
manual labels: mood and energy always; place, light and weather where one of the scenes' names fits. No photograph of the
probes is among them. One in five, by a hash of its name, is held out for validation.
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
HELD_OUT_EVERY = 5  # one photograph in so many is for validation
STORED_SIDE = 96  # pixels a side of the stored copies, which random crops are taken from
UNLABELLED = -100  # class of a missing label, which has no loss
DARKENED_SHARE = 0.18  # share of the sampled photographs that are darkened, which changes their mood
_GREY = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


@dataclass(frozen=True)
class LabelledPhotograph:
    """A labelled photograph. A cut-out (an object on a transparent ground) is laid over other photographs."""

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
        return zlib.crc32(self.name.encode()) % HELD_OUT_EVERY == 0


def training_photographs() -> list[LabelledPhotograph]:
    packages = json.loads(LIST.read_text(encoding="utf-8"))
    return [LabelledPhotograph(name, row["package"], member, row["licence"], parse_labels(label_names)) for row in packages for name, member, label_names in row["photographs"]]


def parse_labels(text: str) -> dict[str, str]:
    """"calm low sea day" -> {"mood": "calm", ...}; no two labels share a name."""
    return {label: word for word in text.split() for label, names in LABELS.items() if word in names}


@dataclass(frozen=True)
class PhotographSet:
    """Photographs of one split: `pictures` uint8 [N, STORED_SIDE, STORED_SIDE, 3], `cut_outs` [M, STORED_SIDE, STORED_SIDE, 4], labels [N + M, 5] of both."""

    pictures: np.ndarray
    cut_outs: np.ndarray
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def weights(self) -> np.ndarray:
        """Sampling probability of each photograph: the inverse square root of its mood's count."""
        moods = self.labels[:, list(LABELS).index("mood")].tolist()
        counts = Counter(moods)
        shares = np.array([counts[mood] ** -0.5 for mood in moods])
        return shares / shares.sum()

    def sample(self, count: int, rng: np.random.Generator, side: int) -> tuple[np.ndarray, Tensor]:
        """`count` augmented photographs uint8 [count, side, side, 3], and their labels."""
        indices = rng.choice(len(self), count, p=self.weights)
        pixels = np.stack([self._picture(int(index), rng) for index in indices])
        values, labels = torch.from_numpy(pixels).movedim(-1, 1).float(), self.labels[indices].clone()
        values = random_crops(values, rng, side)
        values = jitter_colours(values, rng)
        darkened = torch.from_numpy(rng.random(count) < DARKENED_SHARE)
        values[darkened], labels[darkened] = darken(values[darkened], labels[darkened], rng)
        return values.clamp(0, 255).round().byte().movedim(1, -1).numpy(), labels

    def _picture(self, index: int, rng: np.random.Generator) -> np.ndarray:
        if index < len(self.pictures):
            return self.pictures[index]
        background = self.pictures[int(rng.integers(len(self.pictures)))].astype(np.float32)
        background = np.asarray(Image.fromarray(background.astype(np.uint8)).resize((5, 5), 2).resize((STORED_SIDE, STORED_SIDE), 2), np.float32)
        return overlay(background, self.cut_outs[index - len(self.pictures)], float(rng.uniform(0.6, 1.3)), rng)


def overlay(background: np.ndarray, cut_out: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A cut-out over a blurred background; with `scale` above 1 it exceeds the edges."""
    size = int(STORED_SIDE * scale)
    top = np.asarray(Image.fromarray(cut_out).resize((size, size), 2), np.float32)
    shift = rng.integers(-STORED_SIDE // 8, STORED_SIDE // 8 + 1, 2) + (STORED_SIDE - size) // 2
    canvas = np.zeros((3 * STORED_SIDE, 3 * STORED_SIDE, 4), np.float32)
    canvas[STORED_SIDE + shift[0] : STORED_SIDE + shift[0] + size, STORED_SIDE + shift[1] : STORED_SIDE + shift[1] + size] = top
    top = canvas[STORED_SIDE : 2 * STORED_SIDE, STORED_SIDE : 2 * STORED_SIDE]
    alpha = top[..., 3:] / 255
    return (background * (1 - alpha) + top[..., :3] * alpha).astype(np.uint8)


def load_photographs(folder: Path, held_out: bool) -> PhotographSet:
    """The listed photographs that lie in `folder`, of one split. Cut-outs are for training only.

    Raises FileNotFoundError where there are none.
    """
    photographs = [photograph for photograph in training_photographs() if (folder / photograph.file).exists() and photograph.held_out == held_out]
    photographs = [photograph for photograph in photographs if not (held_out and photograph.cut_out)]
    if not photographs:
        raise FileNotFoundError(f"No photographs lie in {folder}; python -m recipes.nano.vision_encoder.photographs {folder} --train fetches them.")
    photographs.sort(key=lambda photograph: photograph.cut_out)
    pictures = [_read(folder / photograph.file, "RGB") for photograph in photographs if not photograph.cut_out]
    cut_outs = [_read(folder / photograph.file, "RGBA") for photograph in photographs if photograph.cut_out]
    labels = [[names.index(photograph.labels[label]) if label in photograph.labels else UNLABELLED for label, names in LABELS.items()] for photograph in photographs]
    return PhotographSet(np.stack(pictures), np.stack(cut_outs) if cut_outs else np.zeros((0, STORED_SIDE, STORED_SIDE, 4), np.uint8), torch.tensor(labels))


def _read(path: Path, mode: str) -> np.ndarray:
    """Reads a picture and resizes it to a square, as the image processor does."""
    return np.asarray(Image.open(path).convert(mode).resize((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR))


def full_pictures(photographs: PhotographSet, side: int) -> np.ndarray:
    """The pictures without augmentation, uint8 [N, side, side, 3]."""
    values = F.interpolate(torch.from_numpy(photographs.pictures).movedim(-1, 1).float(), side, mode="bilinear", antialias=True)
    return values.round().byte().movedim(1, -1).numpy()


def label_names(row: Sequence[int]) -> dict[str, str]:
    """A row of labels by name, without the missing ones."""
    return {label: names[index] for (label, names), index in zip(LABELS.items(), row, strict=True) if index != UNLABELLED}


def random_crops(values: Tensor, rng: np.random.Generator, side: int) -> Tensor:
    """Random crops [N, 3, side, side] of half to all of each picture, half of them mirrored."""
    count = len(values)
    scale = np.sqrt(rng.uniform(0.5, 1.0, (count, 2)))
    shift = rng.uniform(-1, 1, (count, 2)) * (1 - scale)
    scale[:, 0] *= np.where(rng.random(count) < 0.5, -1, 1)
    theta = np.zeros((count, 2, 3))
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    theta[:, 0, 1], theta[:, 1, 0] = rng.normal(0, 0.05, (2, count))
    grid = F.affine_grid(torch.from_numpy(theta).float(), [count, 3, side, side], align_corners=False)
    return F.grid_sample(values, grid, padding_mode="reflection", align_corners=False)


def jitter_colours(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Varies exposure, contrast, tint, sharpness and grain, within limits that keep the mood."""
    def random_factor(low: float, high: float, width: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(values), width, 1, 1))).float()

    grey = (values * _GREY).sum(1, keepdim=True)
    values = grey + (values - grey) * random_factor(0.8, 1.2)
    mean = values.mean((1, 2, 3), keepdim=True)
    values = (mean + (values - mean) * random_factor(0.8, 1.2)) * random_factor(0.82, 1.18) * random_factor(0.94, 1.06, 3)
    if rng.random() < 0.4:
        values = F.interpolate(F.avg_pool2d(values, 2), scale_factor=2, mode="bilinear", align_corners=False)
    return values + torch.randn_like(values) * random_factor(0, 9)


def darken(values: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Removes colour and light; the mood becomes sad where energy is low (with haze), else tense, as in drawn scenes."""
    low = labels[:, list(LABELS).index("energy")] == ENERGIES.index("low")

    def random_factor(still: tuple[float, float], lively: tuple[float, float]) -> Tensor:
        factors = np.where(low.numpy(), rng.uniform(*still, len(values)), rng.uniform(*lively, len(values)))
        return torch.from_numpy(factors).float().view(-1, 1, 1, 1)

    grey = (values * _GREY).sum(1, keepdim=True)
    values = grey + (values - grey) * random_factor((0.0, 0.35), (0.0, 0.35))
    mean = values.mean((1, 2, 3), keepdim=True)
    values = mean + (values - mean) * random_factor((0.35, 0.75), (1.1, 1.5))
    values = values * random_factor((0.5, 1.15), (0.4, 0.75))
    changed = labels.clone()
    changed[:, list(LABELS).index("mood")] = torch.where(low, MOODS.index("sad"), MOODS.index("tense"))
    changed[:, list(LABELS).index("light")] = changed[:, list(LABELS).index("weather")] = UNLABELLED
    return values, changed
