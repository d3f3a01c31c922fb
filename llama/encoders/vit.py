"""ViT, the frozen image encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    ViTConfig,
    ViTModel,
)

from llama.encoders.base import FrozenEncoder
from llama.encoders.image_processor import ImageProcessor
from llama.hf import no_autocast
from llama.media.image import load_image


class ViTEncoder(FrozenEncoder):
    """Image encoder: last hidden states of all patches and the class token; `tokens` = patches + 1."""

    model_class, config_class, kind = ViTModel, ViTConfig, "vit"

    def __init__(self, model: PreTrainedModel, preprocessor: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, preprocessor)
        self.tokens: int = 1 + (model.config.image_size // model.config.patch_size) ** 2
        self.pixels = ImageProcessor.read(self.preprocessor)
        self.pixels.check_image_size(model.config.image_size)

    @classmethod
    def default_preprocessor(cls, config: PretrainedConfig) -> dict[str, Any]:
        side = {"height": config.image_size, "width": config.image_size}
        return {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": side, "resample": 2,
                "do_rescale": True, "rescale_factor": 1 / 255, **HALF_NORMALIZATION}

    @classmethod
    def expected_shapes(cls, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
        width, patch, tokens = config.hidden_size, config.patch_size, 1 + (config.image_size // config.patch_size) ** 2
        return {"embeddings.position_embeddings": (1, tokens, width),
                "embeddings.patch_embeddings.projection.weight": (width, config.num_channels, patch, patch),
                "encoder.layer.0.intermediate.dense.weight": (config.intermediate_size, width)}

    def prepare(self, image: Image.Image | str | Path) -> Tensor:
        """Pixels `[3, H, W]` of an image, preprocessed as in the published training."""
        return self.pixels(np.asarray(load_image(image))[None])[0]

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Last hidden states `[B, 1, tokens, F]` of pixels `[B, 3, H, W]`."""
        with no_autocast(self.model.device):
            return self.model(pixels.to(self.model.device, self.dtype)).last_hidden_state[:, None]


HALF_NORMALIZATION = {"do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
