"""CLAP (arXiv 2211.06687) on stock transformers: recordings and captions in one space, for the CLAP score and for FAD.

Two traps of its feature extractor: by default it prepares four channels for the fused models, which crash the others, and it cuts
recordings beyond ten seconds at random. So windows are cut here, and the extractor never sees a longer one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from llama.evaluation.window_embedder import ModelSpec, Placement, WindowEmbedder, load_pretrained, load_processor

MAX_TOKENS = 77  # of a caption, the length CLAP was trained with


class ClapEmbedder(WindowEmbedder):
    """An unfused CLAP. Windows of 10 s, each a unit vector; a shorter recording is repeated to 10 s by the extractor."""

    def __init__(self, spec: ModelSpec, placement: Placement) -> None:
        self.model: ClapModel = load_pretrained(spec, ClapModel, placement)
        if self.model.config.audio_config.enable_fusion:
            raise ValueError(
                f"{spec.path} is a fused CLAP, whose extractor draws crops at random; "
                "give an unfused one, such as laion/clap-htsat-unfused."
            )
        self.extractor: ClapFeatureExtractor = load_processor(spec, ClapFeatureExtractor)
        self.tokenizer = load_processor(spec, AutoTokenizer)
        super().__init__(spec, placement, self.extractor.sampling_rate, int(self.extractor.nb_max_samples))

    def embed_windows(self, windows: Tensor) -> Tensor:
        prepared = self.extractor(list(windows.numpy()), truncation="rand_trunc", sampling_rate=self.sample_rate, return_tensors="pt")
        values = prepared["input_features"].to(self.placement.device, self.placement.dtype)
        return self.model.get_audio_features(input_features=values).pooler_output

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [n, D] of captions; words beyond 77 tokens are left out, as in CLAP's training."""
        vectors = []
        for start in range(0, len(texts), self.placement.batch_size):
            batch = list(texts[start : start + self.placement.batch_size])
            prepared = self.tokenizer(batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            inputs = {name: prepared[name].to(self.placement.device) for name in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                vectors.append(self.model.get_text_features(**inputs).pooler_output.float().cpu().numpy())
        return np.concatenate(vectors)
