"""AST (arXiv 2104.01778), the Audio Spectrogram Transformer: embeddings for FAD, and AudioSet's 527 class probabilities for KL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from llama.evaluation.audio_metrics import softmax
from llama.evaluation.window_embedder import ModelSpec, Placement, WindowEmbedder, load_pretrained, load_processor
from llama.media.audio import Waveform

FRAME_SECONDS = 0.01  # step of its filter bank


class AstEmbedder(WindowEmbedder):
    """An AST classifier. Windows of 10.24 s; the extractor pads a shorter recording with silence."""

    def __init__(self, spec: ModelSpec, placement: Placement) -> None:
        self.model: ASTForAudioClassification = load_pretrained(spec, ASTForAudioClassification, placement)
        self.extractor: ASTFeatureExtractor = load_processor(spec, ASTFeatureExtractor)
        rate = self.extractor.sampling_rate
        super().__init__(spec, placement, rate, round(self.extractor.max_length * FRAME_SECONDS * rate))

    def embed_windows(self, windows: Tensor) -> Tensor:
        return self._pooled(windows)

    def class_probabilities(self, waves: Sequence[Waveform]) -> np.ndarray:
        """[n, C]: the softmax of the logits, as the published KL takes it of PaSST's, averaged over the windows."""
        logits = self._by_recording(waves, lambda windows: self.model.classifier(self._pooled(windows)))
        return np.stack([softmax(rows).mean(0) for rows in logits])

    def _pooled(self, windows: Tensor) -> Tensor:
        prepared = self.extractor(list(windows.numpy()), sampling_rate=self.sample_rate, return_tensors="pt")
        values = torch.as_tensor(prepared["input_values"]).to(self.placement.device, self.placement.dtype)
        return self.model.audio_spectrogram_transformer(values).pooler_output
