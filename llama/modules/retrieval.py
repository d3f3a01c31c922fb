"""Prototype retrieval: moves a feature towards its nearest neighbours in an index (ImageBind-LLM, arXiv 2309.03905, section 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RETRIEVED = 10  # prototypes for each feature
SHARPNESS = 20.0  # inverse temperature of the softmax over similarities
SHARE = 0.5  # weight of the prototypes in the result


class PrototypeIndex:
    """A faiss index of unit prototypes. Calling it maps features [B, F] to unit features [B, F]."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.width: int = index.d

    @classmethod
    def read(cls, folder: str | Path) -> PrototypeIndex:
        """The index in `folder`/knn.index. Raises FileNotFoundError, or ValueError if faiss is missing or cannot read it."""
        path = Path(folder) / "knn.index"
        if not path.is_file():
            raise FileNotFoundError(f"No index at {path}; --knn_dir must name a folder with a knn.index of faiss.")
        try:
            import faiss
        except ImportError as error:
            raise ValueError("A knn.index needs the package faiss-cpu; install it with pip install faiss-cpu.") from error
        try:
            index = faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:  # MemoryError: damaged bytes ask for any amount
            raise ValueError(f"{path} is not an index that faiss can read; give the published knn.index.") from error
        if index.ntotal < 1:
            raise ValueError(f"{path} holds no prototypes; give the published knn.index.")
        return cls(index)

    def __call__(self, features: Tensor) -> Tensor:
        query = F.normalize(features, dim=-1)
        similarity, indices = self.index.search(query.detach().cpu().float().numpy(), min(RETRIEVED, self.index.ntotal))
        if (indices < 0).any() or not np.isfinite(similarity).all():
            raise ValueError("The knn.index holds prototypes that are not finite; copy it again, or leave knn_dir out.")
        prototypes = np.stack([self.index.reconstruct(int(index)) for index in indices.ravel()]).reshape(*indices.shape, -1)
        weights = (SHARPNESS * torch.from_numpy(similarity)).softmax(dim=-1)
        mean = F.normalize((weights[..., None] * torch.from_numpy(prototypes)).sum(dim=-2), dim=-1)
        return F.normalize((1 - SHARE) * query + SHARE * mean.to(features), dim=-1)
