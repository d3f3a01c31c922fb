"""Image processor of the published encoders, with PIL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from llama.media.image import MAX_PIXELS

CHANNELS = 3


@dataclass(frozen=True)
class ImageProcessor:
    """Applies a preprocessor_config.json: resize (PIL), crop, scale, shift, normalise.

    Own code because newer libraries resize in floating point, which gives other pixels than those of the published training.
    """

    size: tuple[int, int] | int | None  # (height, width), or the shortest edge, or None: no resizing
    crop: tuple[int, int] | None  # (height, width)
    resample: int
    factor: float
    shift: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != CHANNELS or len(self.std) != CHANNELS:
            raise ValueError(f"image_mean and image_std have {len(self.mean)} and {len(self.std)} numbers; give one for each colour.")

    def check_image_size(self, side: int) -> None:
        """Raises ValueError unless the pixels have the height and width that the encoder takes."""
        if (self.crop or self.size) != (side, side):
            raise ValueError(f"The preprocessor makes pictures of {self.crop or self.size}, the encoder takes {side} x {side} pixels.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ImageProcessor:
        """The processor that the values of a preprocessor_config.json describe."""
        size, crop = values.get("size"), values.get("crop_size")
        normalize = values.get("do_normalize", True)
        return cls(
            size=_size(size) if values.get("do_resize", True) else None,
            crop=_pair(crop) if values.get("do_center_crop") else None,
            resample=values.get("resample", 2),
            factor=values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1.0,
            shift=-1.0 if values.get("offset") else 0.0,
            mean=tuple(values["image_mean"]) if normalize else (0.0,) * 3,
            std=tuple(values["image_std"]) if normalize else (1.0,) * 3)

    def __call__(self, frames: np.ndarray) -> Tensor:
        """Normalised pixels `[T, 3, h, w]` float32 of frames `[T, H, W, 3]` uint8."""
        resized = np.stack([np.asarray(self._resize_and_crop(Image.fromarray(frame))) for frame in frames])
        values = (resized * self.factor + self.shift - np.array(self.mean)) / np.array(self.std)
        return torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2).contiguous()

    def _resize_and_crop(self, picture: Image.Image) -> Image.Image:
        if self.size is not None:
            height, width = self._target_size(picture)
            if height * width > MAX_PIXELS:
                raise ValueError(f"A picture of {picture.width} x {picture.height} is too narrow; crop it.")
            picture = picture.resize((width, height), resample=Image.Resampling(self.resample))
        if self.crop is None:
            return picture
        top, left = (picture.height - self.crop[0]) // 2, (picture.width - self.crop[1]) // 2
        return picture.crop((left, top, left + self.crop[1], top + self.crop[0]))

    def _target_size(self, picture: Image.Image) -> tuple[int, int]:
        """(height, width) after resizing; a shortest edge keeps the aspect ratio."""
        if not isinstance(self.size, int):
            return self.size or (picture.height, picture.width)
        short, long = sorted(picture.size)
        long_edge = int(self.size * long / short)
        return (self.size, long_edge) if picture.height <= picture.width else (long_edge, self.size)


def _size(value: Any) -> tuple[int, int] | int:
    return value["shortest_edge"] if isinstance(value, Mapping) and "shortest_edge" in value else _pair(value)


def _pair(value: Any) -> tuple[int, int]:
    return (value["height"], value["width"]) if isinstance(value, Mapping) else (value, value)
