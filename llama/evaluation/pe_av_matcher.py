"""PE-AV, Meta's Perception Encoder for sound and pictures (Apache-2.0), on stock transformers: music and clips in one space.

The combined model of transformers 5.24 calls a method of its video part that does not exist, so the two encoders and their heads are
called here as its own `forward` calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PeAudioFeatureExtractor, PeAudioVideoModel, PeVideoVideoProcessor

from llama.evaluation.audio_metrics import unit
from llama.evaluation.window_embedder import ModelSpec, Placement, WindowEmbedder, load_pretrained, load_processor
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames

SECONDS = 10.0  # of a window of music
FRAMES = 16  # of a clip, spread evenly, where its processor does not say; a picture is one frame


class PeAvMatcher(WindowEmbedder):
    """Unit vectors of pictures, clips and music. Music is cut into windows of 10 s, whose mean is taken."""

    def __init__(self, spec: ModelSpec, placement: Placement) -> None:
        self.model: PeAudioVideoModel = load_pretrained(spec, PeAudioVideoModel, placement)
        self.extractor: PeAudioFeatureExtractor = load_processor(spec, PeAudioFeatureExtractor)
        self.processor: PeVideoVideoProcessor = load_processor(spec, PeVideoVideoProcessor)
        super().__init__(spec, placement, self.extractor.sampling_rate, round(SECONDS * self.extractor.sampling_rate))

    def embed_windows(self, windows: Tensor) -> Tensor:
        prepared = self.extractor(list(windows.numpy()), sampling_rate=self.sample_rate, return_tensors="pt")
        values = prepared["input_values"].to(self.placement.device, self.placement.dtype)
        part = self.model.audio_model
        return part.audio_head(part.audio_encoder(input_values=values).pooler_output)

    def embed_music(self, waves: Sequence[Waveform]) -> np.ndarray:
        """[n, D] of recordings."""
        return np.stack([unit(unit(rows).mean(0)) for rows in self.embed(waves)])

    def embed_media(self, files: Sequence[tuple[str, Path]]) -> np.ndarray:
        """[n, D] of pictures and clips, each given as its kind, "image" or "video", and its file."""
        return unit(np.stack([self._sight(kind, file) for kind, file in files]))

    def _sight(self, kind: str, file: Path) -> np.ndarray:
        count = getattr(self.processor, "num_frames", None) or FRAMES
        frames = load_frames(file, count) if kind == "video" else np.array(load_image(file))[None]
        prepared = self.processor(videos=[frames], do_sample_frames=False, return_tensors="pt")
        values = prepared["pixel_values_videos"].to(self.placement.device, self.placement.dtype)
        part = self.model.video_model
        with torch.inference_mode():
            return part.video_head(part.video_encoder(pixel_values_videos=values).pooler_output)[0].float().cpu().numpy()
