"""Two short trainings of the pools that need no encoder: one before it is trained on attributes, one after.

`teach_harmony`: what a mode is can be learned in seconds from the score's own pitch classes; learned from the unsure
chroma of a young encoder it takes hours. `settle`: the encoder stays as it is, all clips are encoded once, and pools
and heads are fitted to what it gives.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.nano.ears_data import CHOICES, CLIP_SAMPLES, Clips, tempo_targets
from recipes.nano.ears_model import Listener

HARMONY_STEPS, BATCH = 400, 32


def rotate(chroma: Tensor, semitones: int) -> Tensor:
    """Transpose frames [B, T, 24]."""
    return chroma.unflatten(-1, (2, 12)).roll(semitones, -1).flatten(-2)


def classes_of(clips: Clips, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Class numbers [N] of every clip, by attribute."""
    return {name: torch.tensor([CHOICES[name].index(label[name]) for label in clips.labels]) for name in names}


def teach_harmony(listener: Listener, clips: Clips, steps: int = HARMONY_STEPS) -> None:
    """Teach the harmony pool, above its chroma, mode and key of the scores; the heads learn to read them there."""
    rng, pool = np.random.default_rng(0), listener.harmony
    rolls = torch.from_numpy(np.array(clips.rolls))
    labels = classes_of(clips, ("mode", "key"))
    readers = nn.ModuleDict({name: nn.Linear(pool.out_dim, len(CHOICES[name])) for name in labels})
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
    _hand_over(listener, readers)


@torch.no_grad()
def _hand_over(listener: Listener, readers: nn.ModuleDict) -> None:
    """The readers become the heads' columns of the harmony vector; heads of other attributes start without it."""
    for name, head in listener.heads.items():
        head.weight[:, -listener.harmony.out_dim :] = readers[name].weight if name in readers else 0.0


@dataclass(frozen=True)
class Heard:
    """Every clip as the frozen encoder gives it, half precision."""

    states_mean: Tensor  # [N, L, F]
    rhythm: Tensor  # [N, T, curves]
    harmony: Tensor  # [N, T, 24]

    @staticmethod
    @torch.no_grad()
    def by(listener: Listener, clips: Clips, batch: int = 16) -> Heard:
        parts: list[tuple[Tensor, ...]] = []
        for start in range(0, len(clips), batch):
            indices = range(start, min(start + batch, len(clips)))
            states, _ = listener.states(clips.plain(indices, CLIP_SAMPLES).samples)
            found = (states.mean(2), listener.rhythm.frames(states), listener.harmony.frames(states))
            parts.append(tuple(tensor.half() for tensor in found))
        return Heard(*(torch.cat(column) for column in zip(*parts, strict=True)))

    @torch.no_grad()
    def vectors(self, listener: Listener, batch: int = 64) -> dict[str, Tensor]:
        """The pooled vectors: states_mean [N, L, F], rhythm [N, R], harmony [N, H]."""
        rhythm = [listener.rhythm(rows.float()) for rows in self.rhythm.split(batch)]
        harmony = [listener.harmony(rows.float()) for rows in self.harmony.split(batch)]
        return {"states_mean": self.states_mean.float(), "rhythm": torch.cat(rhythm), "harmony": torch.cat(harmony)}


def settle(listener: Listener, heard: Heard, clips: Clips, weights: dict[str, float], minutes: float) -> None:
    """Fit pools and heads to the frozen encoder's frames, against the clock."""
    rng, begun, progress = np.random.default_rng(0), time.monotonic(), 0.0
    parts = (listener.rhythm, listener.harmony, listener.heads)
    optimizer = torch.optim.AdamW([p for part in parts for p in part.parameters()], lr=5e-4, weight_decay=0.05)
    labels = classes_of(clips, tuple(CHOICES))
    tempo = torch.tensor([math.log(label["tempo"]) for label in clips.labels])
    while progress < 1:
        for group in optimizer.param_groups:
            group["lr"] = 5e-4 * max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
        chosen = torch.from_numpy(rng.integers(0, len(clips), BATCH))
        semitones, speed = int(rng.integers(12)), float(rng.uniform(0.93, 1.07))
        logits = listener.judge(_varied(listener, heard, chosen, semitones, speed))
        classes = {name: values[chosen] for name, values in labels.items()}
        classes["key"] = (classes["key"] + semitones) % 12
        losses = {name: F.cross_entropy(logits[name], classes[name], label_smoothing=0.05) for name in CHOICES}
        wanted = tempo_targets(tempo[chosen] + math.log(speed))
        losses["tempo"] = -(wanted * logits["tempo"].log_softmax(1)).sum(1).mean()
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        progress = (time.monotonic() - begun) / (60 * minutes)


def _varied(listener: Listener, heard: Heard, chosen: Tensor, semitones: int, speed: float) -> dict[str, Tensor]:
    """Pooled vectors of clips played a little faster or slower, in another key."""
    frames = heard.rhythm[chosen].float().transpose(1, 2)
    played = F.interpolate(frames, scale_factor=1 / speed, mode="linear", align_corners=False).transpose(1, 2)
    return {
        "states_mean": heard.states_mean[chosen].float(),
        "rhythm": listener.rhythm(played),
        "harmony": listener.harmony(rotate(heard.harmony[chosen].float(), semitones)),
    }
