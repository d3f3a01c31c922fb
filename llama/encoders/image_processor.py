"""Image processor of the published encoders, with PIL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from llama.errors import quoted
from llama.media.image import MAX_PIXELS
from llama.ranges import Range

CHANNELS = 3
SIDE, RESAMPLE, FACTOR, COLOUR = Range(int, 1, 2**14), Range(int, 0, 5), Range(float, 1e-9, 1e9), Range(float, -1e9, 1e9)


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

    def check_image_size(self, side: int) -> None:
        """Raises ValueError unless the pixels have the height and width that the encoder takes."""
        if (self.crop or self.size) != (side, side):
            raise ValueError(f"The preprocessor makes pictures of {self.crop or self.size}, the encoder takes {side} x {side} pixels.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ImageProcessor:
        """The processor that the values of a preprocessor_config.json describe."""
        size, crop = values.get("size"), values.get("crop_size")
        normalize, resample = values.get("do_normalize", True), values.get("resample", 2)
        RESAMPLE.check("resample", resample)
        FACTOR.check("rescale_factor", values.get("rescale_factor", 1 / 255))
        return cls(
            size=_size(size) if values.get("do_resize", True) else None,
            crop=_pair(crop) if values.get("do_center_crop") else None,
            resample=resample,
            factor=values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1.0,
            shift=-1.0 if values.get("offset") else 0.0,
            mean=_colours(values, "image_mean") if normalize else (0.0,) * CHANNELS,
            std=_colours(values, "image_std") if normalize else (1.0,) * CHANNELS)

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
    if not isinstance(value, Mapping) or "shortest_edge" not in value:
        return _pair(value)
    SIDE.check("shortest_edge", value["shortest_edge"])
    return value["shortest_edge"]


def _pair(value: Any) -> tuple[int, int]:
    sides: dict[str, Any] = {name: value.get(name) if isinstance(value, Mapping) else value for name in ("height", "width")}
    for name, side in sides.items():
        SIDE.check(name, side)
    return sides["height"], sides["width"]


def _colours(values: Mapping[str, Any], name: str) -> tuple[float, ...]:
    numbers = values.get(name)
    if not isinstance(numbers, list | tuple) or len(numbers) != CHANNELS:
        raise ValueError(f"{name} is {quoted(numbers)}; give a list of {CHANNELS} numbers, one for each colour.")
    for number in numbers:
        COLOUR.check(name, number)
    return tuple(numbers)
