"""The matchers of pictures and clips with music by name: `nano` (feelings, offline), `pe-av`, and `imagebind` of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from llama.errors import quoted
from llama.evaluation.embedders import DEFAULTS
from llama.evaluation.window_embedder import ModelSpec, Placement
from llama.media.audio import Waveform

MATCHERS = {"nano": DEFAULTS["nano"], "pe-av": "facebook/pe-av-small", "imagebind": "imagebind_huge.pth"}


class Matcher(Protocol):
    """Turns media and music into vectors whose cosine says how well they match."""

    spec: ModelSpec

    def embed_media(self, files: Sequence[tuple[str, Path]]) -> np.ndarray:
        """[n, D] of pictures and clips, each given as its kind, "image" or "video", and its file."""
        ...

    def embed_music(self, waves: Sequence[Waveform]) -> np.ndarray:
        """[n, D] of recordings."""
        ...


def load_matcher(spec: ModelSpec, placement: Placement) -> Matcher:
    """The matcher of that name. Raises ValueError or FileNotFoundError, in one sentence, where it cannot be loaded completely."""
    if spec.name == "nano":
        from llama.evaluation.feeling_matcher import FeelingMatcher

        return FeelingMatcher(spec, placement)
    if spec.name == "pe-av":
        from llama.evaluation.pe_av_matcher import PeAvMatcher

        return PeAvMatcher(spec, placement)
    if spec.name == "imagebind":
        from llama.evaluation.imagebind_matcher import ImageBindMatcher

        return ImageBindMatcher(spec, placement)
    raise ValueError(f"There is no matcher called {quoted(spec.name)}; give one of {', '.join(MATCHERS)}.")
