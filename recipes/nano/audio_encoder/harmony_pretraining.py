"""A lesson of seconds for a harmony pool, before it hears anything.

What a mode is can be learned in seconds from the score's own pitch classes; learned from the unsure chroma of a young
encoder it takes hours.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.modules.pooling import HarmonyPool
from recipes.nano.rendering.clip_set import CHOICES

STEPS, BATCH = 400, 32


def rotate(chroma: Tensor, semitones: int) -> Tensor:
    """Transpose frames [B, T, 24]."""
    return chroma.unflatten(-1, (2, 12)).roll(semitones, -1).flatten(-2)


def teach_harmony(pool: HarmonyPool, rolls: Tensor, labels: Mapping[str, Tensor], steps: int = STEPS) -> nn.ModuleDict:
    """Teach a pool, above its chroma, mode and key of scores: rolls [N, T, 24], labels "mode" and "key" [N].

    Returns the linear readers of both, which learned with it.
    """
    rng = np.random.default_rng(0)
    readers = nn.ModuleDict({name: nn.Linear(pool.out_dim, len(CHOICES[name])) for name in ("mode", "key")})
    optimizer = torch.optim.AdamW([*pool.parameters(), *readers.parameters()], lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen, semitones = torch.from_numpy(rng.integers(0, len(rolls), BATCH)), int(rng.integers(12))
        sure = rotate(rolls[chosen].float(), semitones)
        unsure = sure * (0.5 + 0.5 * torch.rand_like(sure)) + 0.3 * torch.rand_like(sure) * (1 - sure)
        vector = pool(unsure)
        loss = F.cross_entropy(readers["mode"](vector), labels["mode"][chosen])
        loss = loss + F.cross_entropy(readers["key"](vector), (labels["key"][chosen] + semitones) % 12)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return readers


@torch.no_grad()
def hand_over(readers: nn.ModuleDict, heads: nn.ModuleDict, width: int, place: slice) -> None:
    """The readers become the heads' columns of the harmony vector; heads of other attributes start without it."""
    assert place.stop - place.start == width
    for name, head in heads.items():
        head.weight[:, place] = readers[name].weight if name in readers else 0.0
