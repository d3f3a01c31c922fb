"""ViViT: the frozen clip encoder."""

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
from llama.encoders.vit import _HALVES
from llama.hf import no_autocast
from llama.media.video import load_frames


class ViViTEncoder(FrozenEncoder):
    """Watches a clip of `frames` frames: `tokens` = tubelets + 1."""

    model_class, config_class, kind = VivitModel, VivitConfig, "vivit"

    def __init__(self, model: PreTrainedModel, preprocessor: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, preprocessor)
        self.frames: int = model.config.num_frames
        self.tokens: int = _tubelets(model.config) + 1
        self.pixels = ImageProcessor.read(self.preprocessor)

    @classmethod
    def default_preprocessor(cls, config: PretrainedConfig) -> dict[str, Any]:
        side = config.image_size
        return {"image_processor_type": "VivitImageProcessor", "do_resize": True, "resample": 2,
                "size": {"shortest_edge": side * 256 // 224}, "do_center_crop": True,
                "crop_size": {"height": side, "width": side}, "do_rescale": True, "rescale_factor": 1 / 127.5,
                "offset": True, **_HALVES}

    @classmethod
    def expected_shapes(cls, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
        width, inner = config.hidden_size, config.intermediate_size
        return {"embeddings.position_embeddings": (1, _tubelets(config) + 1, width),
                "embeddings.patch_embeddings.projection.weight": (width, config.num_channels, *config.tubelet_size),
                "encoder.layer.0.intermediate.dense.weight": (inner, width)}

    def prepare(self, frames: np.ndarray | Tensor | str | Path) -> Tensor:
        """A clip, `[T, H, W, 3]` uint8 or a file -> `[frames, 3, H, W]`; another T is spread evenly over `frames`.

        Values lie in [-3, 1]: the published preprocessing shifts twice, and the weights learned that.
        """
        return self.pixels(load_frames(frames, self.frames))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """`[B, frames, 3, H, W]` -> the last states `[B, 1, tokens, F]`."""
        with no_autocast(self.model.device):
            return self.model(pixels.to(self.model.device, self.dtype)).last_hidden_state[:, None]


def _tubelets(config: PretrainedConfig) -> int:
    deep, high, wide = config.tubelet_size
    return (config.num_frames // deep) * (config.image_size // high) * (config.image_size // wide)
