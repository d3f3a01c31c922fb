"""ViViT, the frozen video encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    VivitConfig,
    VivitModel,
)

from llama.encoders.base import FrozenEncoder
from llama.encoders.image_processor import ImageProcessor
from llama.encoders.vit import HALF_NORMALIZATION
from llama.hf import no_autocast
from llama.media.video import load_frames


class ViViTEncoder(FrozenEncoder):
    """Video encoder of clips of `frames` frames: last hidden states of all tubelets and the class token; `tokens` = tubelets + 1."""

    model_class, config_class, kind = VivitModel, VivitConfig, "vivit"

    def __init__(self, model: PreTrainedModel, preprocessor: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, preprocessor)
        self.frames: int = model.config.num_frames
        self.tokens: int = _tubelets(model.config) + 1
        self.pixels = ImageProcessor.read(self.preprocessor)
        self.pixels.check_image_size(model.config.image_size)

    @classmethod
    def default_preprocessor(cls, config: PretrainedConfig) -> dict[str, Any]:
        side = config.image_size
        return {"image_processor_type": "VivitImageProcessor", "do_resize": True, "resample": 2,
                "size": {"shortest_edge": side * 256 // 224}, "do_center_crop": True,
                "crop_size": {"height": side, "width": side}, "do_rescale": True, "rescale_factor": 1 / 127.5,
                "offset": True, **HALF_NORMALIZATION}

    @classmethod
    def expected_shapes(cls, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
        width, inner = config.hidden_size, config.intermediate_size
        return {"embeddings.position_embeddings": (1, _tubelets(config) + 1, width),
                "embeddings.patch_embeddings.projection.weight": (width, config.num_channels, *config.tubelet_size),
                "encoder.layer.0.intermediate.dense.weight": (inner, width)}

    def prepare(self, frames: np.ndarray | Tensor | str | Path) -> Tensor:
        """Pixels `[frames, 3, H, W]` of a clip, `[T, H, W, 3]` uint8 or a file; `frames` evenly spaced ones if T differs.

        Values lie in [-3, 1], because the preprocessing of the published training shifts twice.
        """
        return self.pixels(load_frames(frames, self.frames))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Last hidden states `[B, 1, tokens, F]` of pixels `[B, frames, 3, H, W]`."""
        with no_autocast(self.model.device):
            return self.model(pixels.to(self.model.device, self.dtype)).last_hidden_state[:, None]


def _tubelets(config: PretrainedConfig) -> int:
    frames, height, width = config.tubelet_size
    return (config.num_frames // frames) * (config.image_size // height) * (config.image_size // width)
