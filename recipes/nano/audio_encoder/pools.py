"""Training of the pools that read the spectrum (timbre, rhythm and harmony), with heads that are discarded afterwards.

The spectrum is fixed, so clips are read as the bands that the renderer wrote, with augmentation of key, speed, tone colour
and noise. The heads are linear because only a linear projection stands between the pooled vectors and the language model.
Clips without music have the label `kind` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.modules.pooling import HarmonyPool, TimbrePool
from recipes.nano.audio_encoder.exported_pools import learned_pool
from recipes.nano.audio_encoder.harmony_pretraining import copy_readers, pretrain_harmony
from recipes.nano.rendering.clip_set import (
    ATTRIBUTE_VALUES,
    AUDIO,
    FRAMES,
    HOP,
    LEARNED_POOLS,
    RECEPTIVE_FIELD,
    ROLL_WIDTH,
    SPECTRUM,
    TEMPO_BINS,
    ClipSet,
    decode_tempo,
    tempo_targets,
    unpack_spectrum,
)
from recipes.nano.rendering.non_music import KINDS
from recipes.nano.timed_loop import BatchQueue, Schedule, TimedTrainer, cosine, mean_losses, shuffled_batches

WEIGHTS: Mapping[str, float] = {"lead": 1.3, "accompaniment": 1.0, "style": 0.8, "mode": 0.6, "metre": 0.7, "drums": 0.9, "key": 0.5,
                                "tempo": 0.6, "kind": 0.5, "chroma": 3.0}
TRAINING_SETS = ("train", "train_plain", "noise_train")  # the second, if there is one, of an earlier and plainer rendering
LABEL_VALUES: Mapping[str, tuple[Any, ...]] = {**ATTRIBUTE_VALUES, "kind": KINDS}
IGNORE_INDEX = -100  # class of an attribute that a clip does not have
PITCHED_BANDS = SPECTRUM.octaves * SPECTRUM.bins  # bands that move when the key does
BATCH, CROP_FRAMES = 32, 240  # clips; frames
MUSIC_PER_OTHER = 14  # music clips for one that is not music
PRETRAINING_SCORES = 3000  # scores that the harmony pool is pretrained on
RATE, WARMUP_STEPS, LOG_STEPS, SAVE_SECONDS = 2.5e-3, 100, 100, 60.0


class BatchNormConv(nn.Module):
    """A convolution with batch normalization for training; `folded` merges the two into one convolution."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = (nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d)(conv.out_channels, momentum=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    @torch.no_grad()
    def folded(self) -> nn.Conv1d | nn.Conv2d:
        assert self.norm.running_var is not None
        gain = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        self.conv.weight.mul_(gain.view(-1, *[1] * (self.conv.weight.dim() - 1)))
        self.conv.bias.copy_(self.norm.bias + (self.conv.bias - self.norm.running_mean) * gain)
        return self.conv


class PoolsWithHeads(nn.Module):
    """The adapter's learned pools with one linear head an attribute."""

    def __init__(self, normed: bool = True) -> None:
        super().__init__()
        self.pools = nn.ModuleDict({name: learned_pool(name, AUDIO) for name in LEARNED_POOLS})
        width = len(LEARNED_POOLS) * AUDIO.pool_dim
        sizes = {**{name: len(values) for name, values in LABEL_VALUES.items()}, "tempo": TEMPO_BINS}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})
        if normed:
            timbre = self.pools["timbre"]
            assert isinstance(timbre, TimbrePool)
            timbre.layers = nn.ModuleList(BatchNormConv(cast(nn.Conv2d, layer)) for layer in timbre.layers)
            timbre.add_module("gather", BatchNormConv(timbre.gather))

    def pooled_vectors(self, spectrum: Tensor) -> dict[str, Tensor]:
        """Spectrum [B, T, F] -> vector of each pool [B, pool_dim]."""
        states = spectrum[:, None]
        return {name: pool(pool.frames(states)) for name, pool in self.pools.items()}

    def head_logits(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        joined = torch.cat([vectors[name].float() for name in LEARNED_POOLS], dim=-1)
        return {name: head(joined) for name, head in self.heads.items()}

    def without_batch_norm(self) -> PoolsWithHeads:
        """A copy with batch normalization folded into the convolutions; this is what the model gets."""
        copy = PoolsWithHeads()
        copy.load_state_dict(self.state_dict())
        timbre = copy.eval().pools["timbre"]
        timbre.layers = nn.ModuleList(layer.folded() for layer in timbre.layers)
        timbre.gather = timbre.gather.folded()
        return copy

    def pool_state(self) -> dict[str, Tensor]:
        return {key: value.detach().clone().contiguous() for key, value in self.pools.state_dict().items()}


class JoinedClipSets:
    """Several rendered sets as one: bands, rolls and labels. `refresh` includes clips that were added meanwhile."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.sets = [ClipSet(folder, name) for name in names if (folder / f"{name}.jsonl").exists()]
        self.refresh()

    def refresh(self) -> None:
        for clips in self.sets:
            clips.refresh()
        self.clip_indices = [(clips, index) for clips in self.sets for index in range(len(clips))]
        self.labels = [clips.labels[index] for clips, index in self.clip_indices]
        self.classes = {name: class_indices(self.labels, name) for name in LABEL_VALUES}
        self.log_tempo = torch.tensor([math.log(label["tempo"] or 1) for label in self.labels])

    def __len__(self) -> int:
        return len(self.clip_indices)

    def bands(self, indices: Sequence[int]) -> Tensor:
        """[B, FRAMES, F], the spectrum."""
        return unpack_spectrum(torch.from_numpy(np.stack([clips.bands[index] for clips, index in (self.clip_indices[i] for i in indices)])))

    def rolls(self, indices: Sequence[int]) -> Tensor:
        """[B, FRAMES, 24], aligned with the bands."""
        rows = ((np.arange(FRAMES) * HOP + RECEPTIVE_FIELD / 2) // HOP).astype(np.int64)
        return torch.from_numpy(np.stack([clips.rolls[index][rows] for clips, index in (self.clip_indices[i] for i in indices)])).float()


def class_indices(labels: Sequence[dict[str, Any]], name: str) -> Tensor:
    """Class numbers [N]; IGNORE_INDEX where a clip has none."""
    values = LABEL_VALUES[name]
    return torch.tensor([IGNORE_INDEX if label[name] is None else values.index(label[name]) for label in labels])


def augment(bands: Tensor, rolls: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, int, float]:
    """Augments clips [B, T, F]: transposed, resampled in time, equalized, with noise. Returns (bands, rolls, semitones, speed)."""
    semitones, speed = int(rng.integers(-3, 4)), math.exp(rng.uniform(-0.07, 0.07))
    source_frames = min(FRAMES, round(CROP_FRAMES * speed))
    start = int(rng.integers(0, FRAMES - source_frames + 1))
    bands, rolls = (F.interpolate(x[:, start : start + source_frames].transpose(1, 2), size=CROP_FRAMES, mode=mode).transpose(1, 2)
                    for x, mode in ((bands, "linear"), (rolls, "nearest")))
    bands = torch.cat([_shift_bands(bands[..., :PITCHED_BANDS], 2 * semitones), bands[..., PITCHED_BANDS:]], dim=-1)
    rolls = rolls.unflatten(-1, (2, 12)).roll(semitones, -1).flatten(-2)
    return _add_noise(_equalize(bands, rng), rng), rolls, semitones, speed


def _shift_bands(bands: Tensor, steps: int) -> Tensor:
    shifted = bands.roll(steps, -1)
    if steps > 0:
        shifted[..., :steps] = bands[..., :1]
    elif steps < 0:
        shifted[..., steps:] = bands[..., -1:]
    return shifted


def _equalize(bands: Tensor, rng: np.random.Generator) -> Tensor:
    """Applies a smooth random equalizer of a few decibels to every clip; silence stays silent."""
    knots = torch.from_numpy(rng.normal(0, 2.5, (len(bands), 1, 9)) + rng.normal(0, 1.5, (len(bands), 1, 1))).float() / 35
    curve = F.interpolate(knots, size=bands.shape[-1], mode="linear", align_corners=True)
    return torch.where(bands > -0.99, bands + curve, bands).clamp(min=-1)


def _add_noise(bands: Tensor, rng: np.random.Generator) -> Tensor:
    """Adds a noise floor, 62 to 40 dB under full scale, to a third of the clips; silence stays silent."""
    for row in np.flatnonzero((rng.random(len(bands)) < 0.35) & (bands.amax((1, 2)) > -0.5).numpy()):
        noise = 10 ** (rng.uniform(-62, -40) / 10) * torch.empty_like(bands[row]).exponential_()
        bands[row] = torch.log10(torch.exp((bands[row] - 1) * (3.5 * math.log(10))) + noise) / 3.5 + 1
    return bands.clamp(min=-1)


def pool_losses(model: PoolsWithHeads, bands: Tensor, rolls: Tensor, targets: Mapping[str, Tensor], log_tempo: Tensor) -> dict[str, Tensor]:
    states = bands[:, None]
    frames = {name: pool.frames(states) for name, pool in model.pools.items()}
    logits = model.head_logits({name: pool(frames[name].float()) for name, pool in model.pools.items()})
    losses = {name: F.cross_entropy(logits[name], targets[name], label_smoothing=0.05, ignore_index=IGNORE_INDEX) for name in targets}
    music = targets["kind"] == 0
    losses["tempo"] = -(tempo_targets(log_tempo[music]) * logits["tempo"][music].log_softmax(1)).sum(1).mean()
    assert rolls.shape[-1] == ROLL_WIDTH
    chroma = frames["harmony"].float().clamp(1e-6, 1 - 1e-6)
    losses["chroma"] = F.binary_cross_entropy(chroma, rolls)
    return losses


class PoolTrainer:
    """Trains for a given time and resumes from WORK/pools.pt, which holds the whole state."""

    def __init__(self, work: Path, data: Path, minutes: float, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model, self.clips, self.rng = PoolsWithHeads(), JoinedClipSets(data, TRAINING_SETS), np.random.default_rng([0, seed])
        self.batches = BatchQueue(self._shuffle, self.rng)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, weight_decay=0.03, betas=(0.9, 0.98))
        schedule = Schedule(minutes, RATE, WARMUP_STEPS, decay=lambda progress: max(0.005, cosine(progress)))
        self.trainer = TimedTrainer({"model": self.model, "batches": self.batches}, optimizer, schedule, self.rng, max_norm=2.0,
                                    checkpoint=work / "pools.pt", save_every=SAVE_SECONDS)
        if (path := work / "pools.pt").exists():
            self.trainer.load_state_dict(torch.load(path, weights_only=True))
        else:
            self._teach_harmony()

    def _teach_harmony(self) -> None:
        music = [index for index in range(len(self.clips)) if self.clips.classes["kind"][index] == 0][:PRETRAINING_SCORES]
        labels = {name: self.clips.classes[name][music] for name in ("mode", "key")}
        harmony = self.model.pools["harmony"]
        assert isinstance(harmony, HarmonyPool)
        readers = pretrain_harmony(harmony, self.clips.rolls(music), labels)
        width, first = AUDIO.pool_dim, LEARNED_POOLS.index("harmony") * AUDIO.pool_dim
        copy_readers(readers, self.model.heads, width, slice(first, first + width))

    def _shuffle(self) -> list[list[int]]:
        """Batches of indices of every music clip once, and of a share of the others."""
        self.clips.refresh()
        kinds = self.clips.classes["kind"]
        music, other = (kinds == 0).nonzero().flatten().numpy(), (kinds > 0).nonzero().flatten().numpy()
        sampled = self.rng.permutation(other)[: len(music) // MUSIC_PER_OTHER]
        return shuffled_batches(self.rng.permutation(np.concatenate([music, sampled])).tolist(), BATCH)

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """The loss of the next batch, and its parts."""
        indices = self.batches.next()
        bands, rolls, semitones, speed = augment(self.clips.bands(indices), self.clips.rolls(indices), self.rng)
        targets = {name: values[indices] for name, values in self.clips.classes.items()}
        targets["key"] = torch.where(targets["key"] == IGNORE_INDEX, IGNORE_INDEX, (targets["key"] + semitones) % 12)
        with torch.autocast("cpu", torch.bfloat16):
            losses = pool_losses(self.model, bands, rolls, targets, self.clips.log_tempo[indices] + math.log(speed))
        total = sum((WEIGHTS[name] * value for name, value in losses.items()), start=torch.zeros(()))
        return total, {name: value.item() for name, value in losses.items()}

    def run(self, test: Path | None = None, every: float = 300.0) -> None:
        """Trains until the time is spent; prints mean losses and, with `test`, the accuracy on the test sets."""
        recent: list[dict[str, float]] = []
        self.model.train()
        for losses in self.trainer.steps(self.loss):
            recent.append(losses)
            if self.trainer.step % LOG_STEPS == 0:
                values = " ".join(f"{name} {value:.3f}" for name, value in mean_losses(recent).items())
                print(f"step {self.trainer.step} minutes {self.trainer.seconds / 60:.1f} {values}", flush=True)
                recent = []
            if test and self.trainer.due(every):
                report(self.model, test)
        if test:
            report(self.model, test)


@torch.no_grad()
def pool_vectors(model: PoolsWithHeads, clips: JoinedClipSets, batch: int = 50) -> dict[str, Tensor]:
    """Pooled vectors of every clip."""
    model.eval()
    parts = [model.pooled_vectors(clips.bands(range(start, min(start + batch, len(clips))))) for start in range(0, len(clips), batch)]
    return {name: torch.cat([part[name] for part in parts]) for name in LEARNED_POOLS}


@torch.no_grad()
def accuracy(model: PoolsWithHeads, vectors: Mapping[str, Tensor], labels: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Percent right of each attribute among the clips that have it; tempo within 6 %."""
    logits, percent = model.head_logits(vectors), {}
    for name in LABEL_VALUES:
        targets = class_indices(labels, name)
        labelled = targets != IGNORE_INDEX
        if labelled.any():
            percent[name] = 100 * (logits[name].argmax(1) == targets)[labelled].float().mean().item()
    tempi = torch.tensor([label["tempo"] or 0.0 for label in labels])
    if (tempi > 0).any():
        error = (decode_tempo(logits["tempo"]) - tempi.log()).abs()[tempi > 0]
        percent["tempo"] = 100 * (error < math.log(1.06)).float().mean().item()
        percent["tempo an octave off"] = 100 * ((error - math.log(2)).abs() < math.log(1.06)).float().mean().item()
    return percent


def report(model: PoolsWithHeads, folder: Path) -> None:
    for name in ("test_same", "test_unseen", "test_kin", "test_tunes", "noise_test"):
        if (folder / f"{name}.jsonl").exists():
            clips = JoinedClipSets(folder, (name,))
            print(f"  {name} " + " ".join(f"{k} {v:.0f}" for k, v in accuracy(model, pool_vectors(model, clips), clips.labels).items()), flush=True)
    model.train()
