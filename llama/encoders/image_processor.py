"""Image processor: pixels as the published encoders saw them, with PIL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from llama.media.image import MAX_PIXELS


@dataclass(frozen=True)
class ImageProcessor:
    """What a preprocessor_config.json does to pixels: resize (PIL), crop, scale, shift, normalise.

    Own code because the processors of newer libraries resize in floats and give other pixels than the weights saw.
    """

    size: tuple[int, int] | int | None  # (height, width), or the shortest edge, or as it is
    crop: tuple[int, int] | None  # (height, width)
    resample: int
    factor: float
    shift: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ImageProcessor:
        size, crop = values.get("size"), values.get("crop_size")
        normal = values.get("do_normalize", True)
        return cls(
            size=_size(size) if values.get("do_resize", True) else None,
            crop=_pair(crop) if values.get("do_center_crop") else None,
            resample=values.get("resample", 2),
            factor=values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1.0,
            shift=-1.0 if values.get("offset") else 0.0,
            mean=tuple(values["image_mean"]) if normal else (0.0,) * 3,
            std=tuple(values["image_std"]) if normal else (1.0,) * 3)

    def __call__(self, frames: np.ndarray) -> Tensor:
        """`[T, H, W, 3]` uint8 -> `[T, 3, h, w]` float32."""
        sized = np.stack([np.asarray(self._framed(Image.fromarray(frame))) for frame in frames])
        values = (sized * self.factor + self.shift - np.array(self.mean)) / np.array(self.std)
        return torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2).contiguous()

    def _framed(self, picture: Image.Image) -> Image.Image:
        if self.size is not None:
            height, width = self._target(picture)
            if height * width > MAX_PIXELS:
                raise ValueError(f"A picture of {picture.width} x {picture.height} is too narrow; crop it.")
            picture = picture.resize((width, height), resample=Image.Resampling(self.resample))
        if self.crop is None:
            return picture
        top, left = (picture.height - self.crop[0]) // 2, (picture.width - self.crop[1]) // 2
        return picture.crop((left, top, left + self.crop[1], top + self.crop[0]))

    def _target(self, picture: Image.Image) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return self.size or (picture.height, picture.width)
        short, long = sorted(picture.size)
        other = int(self.size * long / short)
        return (self.size, other) if picture.height <= picture.width else (other, self.size)


def _size(value: Any) -> tuple[int, int] | int:
    return value["shortest_edge"] if isinstance(value, Mapping) and "shortest_edge" in value else _pair(value)


def _pair(value: Any) -> tuple[int, int]:
    return (value["height"], value["width"]) if isinstance(value, Mapping) else (value, value)
