"""ImageBind (arXiv 2305.05665), which the published ranks of images and clips used, where the user has its package and its weights.

It is no part of this project: transformers has no class for it, and its weights may not be used commercially (CC BY-NC-SA). Its own
functions read pictures, clips and recordings, so music is handed to them as files.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from llama.evaluation.window_embedder import ModelSpec, Placement
from llama.hf import library_errors
from llama.media.audio import Waveform
from llama.weights import check_component

ADVICE = "install a package that brings the module imagebind and give its weights as imagebind=FILE, or give pe-av or nano"


class ImageBindMatcher:
    """Vectors of pictures, clips and music by the module `imagebind`; the model is imagebind_huge, its weights are a file."""

    def __init__(self, spec: ModelSpec, placement: Placement) -> None:
        try:
            self.reader: Any = import_module("imagebind.data")
            models: Any = import_module("imagebind.models.imagebind_model")
        except ImportError as error:
            raise ValueError(f"ImageBind does not load ({error}): it is no part of this project; {ADVICE}.") from error
        if not Path(spec.path).is_file():
            raise FileNotFoundError(f"There is no file {spec.path} with ImageBind's weights; {ADVICE}.")
        self.spec, self.device = spec, placement.device
        with library_errors("ImageBind", spec.path, "give the file of imagebind_huge's weights"):
            self.model = models.imagebind_huge(pretrained=False)
            self.model.load_state_dict(torch.load(spec.path, map_location="cpu", weights_only=True))
        check_component("imagebind", self.model)
        self.model.eval().to(placement.device)

    def embed_media(self, files: Sequence[tuple[str, Path]]) -> np.ndarray:
        """[n, D] of pictures and clips, each given as its kind, "image" or "video", and its file."""
        read = {"image": self.reader.load_and_transform_vision_data, "video": self.reader.load_and_transform_video_data}
        return np.concatenate([self._embed("vision", read[kind]([str(file)], self.device)) for kind, file in files])

    def embed_music(self, waves: Sequence[Waveform]) -> np.ndarray:
        """[n, D] of recordings."""
        with TemporaryDirectory() as folder:
            paths = [Path(folder, f"{index}.wav") for index in range(len(waves))]
            for path, wave in zip(paths, waves, strict=True):
                wave.write(path)
            return self._embed("audio", self.reader.load_and_transform_audio_data([str(path) for path in paths], self.device))

    def _embed(self, modality: str, values: Any) -> np.ndarray:
        with torch.inference_mode():
            return self.model({modality: values})[modality].float().cpu().numpy()
