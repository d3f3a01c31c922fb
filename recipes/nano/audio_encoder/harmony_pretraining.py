"""Pretraining of a harmony pool on pitch classes of scores, before it sees any audio.

Mode and key are learned in seconds from the pitch classes of the score; from the noisy chroma of an untrained encoder it
takes hours.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.modules.pooling import HarmonyPool
from recipes.nano.rendering.clip_set import ATTRIBUTE_VALUES

STEPS, BATCH = 400, 32


def rotate(chroma: Tensor, semitones: int) -> Tensor:
    """Transpose frames [B, T, 24]."""
    return chroma.unflatten(-1, (2, 12)).roll(semitones, -1).flatten(-2)


def pretrain_harmony(pool: HarmonyPool, rolls: Tensor, labels: Mapping[str, Tensor], steps: int = STEPS) -> nn.ModuleDict:
    """Trains the part of a pool above its chroma to tell mode and key: rolls [N, T, 24], labels "mode" and "key" [N].

    Returns the linear readers of both, trained with the pool.
    """
    rng = np.random.default_rng(0)
    readers = nn.ModuleDict({name: nn.Linear(pool.out_dim, len(ATTRIBUTE_VALUES[name])) for name in ("mode", "key")})
    optimizer = torch.optim.AdamW([*pool.parameters(), *readers.parameters()], lr=2e-3, weight_decay=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        indices, semitones = torch.from_numpy(rng.integers(0, len(rolls), BATCH)), int(rng.integers(12))
        clean = rotate(rolls[indices].float(), semitones)
        noisy = clean * (0.5 + 0.5 * torch.rand_like(clean)) + 0.3 * torch.rand_like(clean) * (1 - clean)
        vector = pool(noisy)
        loss = F.cross_entropy(readers["mode"](vector), labels["mode"][indices])
        loss = loss + F.cross_entropy(readers["key"](vector), (labels["key"][indices] + semitones) % 12)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
    return readers


@torch.no_grad()
def copy_readers(readers: nn.ModuleDict, heads: nn.ModuleDict, width: int, columns: slice) -> None:
    """Copies the readers into the heads' columns of the harmony vector; in the other heads those columns become zero."""
    assert columns.stop - columns.start == width
    for name, head in heads.items():
        head.get_parameter("weight")[:, columns] = readers[name].get_parameter("weight") if name in readers else torch.tensor(0.0)
