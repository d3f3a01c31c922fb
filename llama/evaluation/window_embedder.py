"""Embedder: a model that turns recordings into vectors, window by window, and the loading of such models from transformers.

Shapes: b windows of N samples, w windows of a recording, D dimensions, C classes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from llama.component_config import check_component_folder
from llama.hf import check_report, library_errors, suppress_hf_logging
from llama.media.audio import Waveform
from llama.media.audio_reader import check_duration
from llama.weights import check_component

MIN_REST = 0.5  # of a window; a shorter rest at the end of a recording is left out


@dataclass(frozen=True)
class ModelSpec:
    """Which model. name: an embedder's; path: a folder, file or hub name; revision: of a hub name, None for its newest."""

    name: str
    path: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.path}{f' at {self.revision}' if self.revision else ''})"


@dataclass(frozen=True)
class Placement:
    """Where and how a model runs. batch_size: windows at a time."""

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    batch_size: int = 16


class Embedder(Protocol):
    """Turns recordings into vectors for Frechet distance, density and coverage."""

    spec: ModelSpec

    def embed(self, waves: Sequence[Waveform]) -> list[np.ndarray]:
        """One table [w, D] float32 for each recording. ValueError for one that is too short to be heard."""
        ...


@runtime_checkable
class TextEmbedder(Embedder, Protocol):
    """An embedder with a text side, for the CLAP score."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors [n, D] float32 in the space of the recordings'."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Turns recordings into class probabilities, for KL."""

    spec: ModelSpec

    def class_probabilities(self, waves: Sequence[Waveform]) -> np.ndarray:
        """[n, C] float64, the mean over the windows of each recording."""
        ...


class WindowEmbedder(ABC):
    """Cuts recordings into windows, mono at the model's rate, and embeds them in batches of equal length.

    A recording is cut into whole windows. A rest of at least half a window gives one more, which ends where the recording ends and so
    overlaps the one before: nothing is padded. A recording shorter than a window is one window, which the model pads as it does.
    """

    keep_rest = True

    def __init__(self, spec: ModelSpec, placement: Placement, sample_rate: int, window: int, hop: int | None = None) -> None:
        """window, hop: samples of a window, and from one to the next (None: a window)."""
        self.spec, self.placement = spec, placement
        self.sample_rate, self.window, self.hop = sample_rate, window, hop or window

    def windows(self, wave: Waveform) -> list[Tensor]:
        """Windows [N] float32 of a recording."""
        check_duration("The recording", wave.seconds)
        samples = wave.mono().resample(self.sample_rate).samples[0]
        starts = list(range(0, max(1, len(samples) - self.window + 1), self.hop))
        rest = len(samples) - starts[-1] - self.window
        if self.keep_rest and rest >= MIN_REST * self.window:
            starts.append(len(samples) - self.window)
        return [samples[start : start + self.window] for start in starts]

    def embed(self, waves: Sequence[Waveform]) -> list[np.ndarray]:
        """One table [w, D] float32 for each recording."""
        return self._by_recording(waves, self.embed_windows)

    @abstractmethod
    def embed_windows(self, windows: Tensor) -> Tensor:
        """Vectors [b, D] of windows [b, N] on the CPU, all of one length, at most `self.window`."""

    def _by_recording(self, waves: Sequence[Waveform], function: Any) -> list[np.ndarray]:
        """The results of a function of windows [b, N] -> [b, ...], gathered for each recording."""
        cut = [self.windows(wave) for wave in waves]
        places: dict[int, list[tuple[int, int]]] = defaultdict(list)  # length -> recording and window
        for recording, windows in enumerate(cut):
            for index, window in enumerate(windows):
                places[len(window)].append((recording, index))
        results: list[list[Any]] = [[None] * len(windows) for windows in cut]
        for same in places.values():
            for start in range(0, len(same), self.placement.batch_size):
                batch = same[start : start + self.placement.batch_size]
                with torch.inference_mode():
                    vectors = function(torch.stack([cut[recording][index] for recording, index in batch])).float().cpu().numpy()
                for (recording, index), vector in zip(batch, vectors, strict=True):
                    results[recording][index] = vector
        return [np.stack(vectors) for vectors in results]


def load_pretrained(
    spec: ModelSpec, model_class: type[PreTrainedModel], placement: Placement, unused: re.Pattern[str] | None = None
) -> Any:
    """A transformers model in eval mode. Runs no remote code; ValueError for weights that are missing, of other shapes or not finite.

    unused: weights that nothing here depends on.
    """
    check_folder(spec)
    with suppress_hf_logging(), library_errors(model_class.__name__, spec.path, advice(spec)):
        load: Any = model_class.from_pretrained
        model, report = load(spec.path, revision=spec.revision or "main", dtype=placement.dtype, output_loading_info=True,
                             ignore_mismatched_sizes=True, trust_remote_code=False)  # fmt: skip
        check_report(spec.name, f"--embedder {spec.name}=FOLDER", report, unused or re.compile("(?!)"))
        check_component(spec.name, model)
    return model.eval().requires_grad_(False).to(placement.device)


def load_processor(spec: ModelSpec, processor_class: Any) -> Any:
    """A feature extractor, tokenizer or processor of the model."""
    with suppress_hf_logging(), library_errors(processor_class.__name__, spec.path, advice(spec)):
        return processor_class.from_pretrained(spec.path, revision=spec.revision or "main", trust_remote_code=False)


def check_folder(spec: ModelSpec) -> None:
    """Raises FileNotFoundError for a folder that is not there or a file, ValueError for sizes in it that cannot be."""
    path = Path(spec.path)
    if path.is_file() or (not path.exists() and (path.is_absolute() or spec.path.startswith(".") or spec.path.count("/") != 1)):
        raise FileNotFoundError(f"There is no folder {spec.path} for {spec.name}; {advice(spec)}.")
    check_component_folder(path)


def advice(spec: ModelSpec) -> str:
    """What to give instead, as the end of a message."""
    return f"give {spec.name}=FOLDER with config.json and weights, or a hub name"
