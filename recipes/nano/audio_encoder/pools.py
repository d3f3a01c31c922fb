"""Train the pools that read the spectrum: timbre, rhythm and harmony, with heads that are thrown away.

The spectrum is fixed, so clips are read as bands that the renderer wrote, and varied here once more: another key, speed,
tone colour and noise each time. The heads are linear, because a linear projection is all that stands between the pooled
vectors and the language model. What is not music has a kind and no other label.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.modules.adapters import build_pool
from recipes.nano.audio_encoder.harmony_pretraining import hand_over, teach_harmony
from recipes.nano.rendering.clip_set import (
    AUDIO,
    CHOICES,
    FRAMES,
    HOP,
    LEARNED,
    RECEPTIVE,
    ROLL_WIDTH,
    SPECTRUM,
    TEMPO_BINS,
    Clips,
    tempo_of,
    tempo_targets,
    unpacked,
)
from recipes.nano.rendering.non_music import KINDS

WEIGHTS: Mapping[str, float] = {"lead": 1.3, "accompaniment": 1.0, "style": 0.8, "mode": 0.6, "metre": 0.7, "drums": 0.9, "key": 0.5,
                                "tempo": 0.6, "kind": 0.5, "chroma": 3.0}
TRAINED = ("train", "train_plain", "noise_train")  # the second, if there is one, of an earlier and plainer rendering
JUDGED: Mapping[str, tuple[Any, ...]] = {**CHOICES, "kind": KINDS}
IGNORED = -100  # the class of what a clip does not have
TUNED = SPECTRUM.octaves * SPECTRUM.bins  # bands that move when the key does
BATCH, CROP = 32, 240  # clips; frames
OTHERS = 14  # music clips for one that is not music
LESSON = 3000  # scores that the harmony pool learns from before it hears anything


class Normed(nn.Module):
    """A convolution whose outputs are normalised over the batch in training; `folded` gives the plain one."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = (nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d)(conv.out_channels, momentum=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    @torch.no_grad()
    def folded(self) -> nn.Conv1d | nn.Conv2d:
        gain = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        self.conv.weight.mul_(gain.view(-1, *[1] * (self.conv.weight.dim() - 1)))
        self.conv.bias.copy_(self.norm.bias + (self.conv.bias - self.norm.running_mean) * gain)
        return self.conv


class Pools(nn.Module):
    """The pools of the adapter and the heads above them."""

    def __init__(self, normed: bool = True) -> None:
        super().__init__()
        self.pools = nn.ModuleDict({name: build_pool(name, AUDIO) for name in LEARNED})
        width = len(LEARNED) * AUDIO.pool_dim
        sizes = {**{name: len(values) for name, values in JUDGED.items()}, "tempo": TEMPO_BINS}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})
        if normed:
            timbre = self.pools["timbre"]
            timbre.layers = nn.ModuleList(Normed(layer) for layer in timbre.layers)
            timbre.gather = Normed(timbre.gather)

    def vectors(self, spectrum: Tensor) -> dict[str, Tensor]:
        """[B, T, F] -> what each pool says [B, pool_dim]."""
        states = spectrum[:, None]
        return {name: pool(pool.frames(states)) for name, pool in self.pools.items()}

    def judge(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        joined = torch.cat([vectors[name].float() for name in LEARNED], dim=-1)
        return {name: head(joined) for name, head in self.heads.items()}

    def plain(self) -> Pools:
        """A copy without batch normalisation: what is saved for the model."""
        made = Pools()
        made.load_state_dict(self.state_dict())
        timbre = made.eval().pools["timbre"]
        timbre.layers = nn.ModuleList(layer.folded() for layer in timbre.layers)
        timbre.gather = timbre.gather.folded()
        return made

    def pool_tensors(self) -> dict[str, Tensor]:
        return {key: value.detach().clone().contiguous() for key, value in self.pools.state_dict().items()}


class Bands:
    """Several sets of rendered clips as one: bands, rolls and labels; `refresh` notices clips that were added."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.sets = [Clips(folder, name) for name in names if (folder / f"{name}.jsonl").exists()]
        self.refresh()

    def refresh(self) -> None:
        for clips in self.sets:
            clips.refresh()
        self.places = [(clips, index) for clips in self.sets for index in range(len(clips))]
        self.labels = [clips.labels[index] for clips, index in self.places]
        self.classes = {name: classes(self.labels, name) for name in JUDGED}
        self.log_tempo = torch.tensor([math.log(label["tempo"] or 1) for label in self.labels])

    def __len__(self) -> int:
        return len(self.places)

    def bands(self, chosen: Sequence[int]) -> Tensor:
        """[B, FRAMES, F], the spectrum."""
        return unpacked(torch.from_numpy(np.stack([clips.bands[index] for clips, index in (self.places[i] for i in chosen)])))

    def rolls(self, chosen: Sequence[int]) -> Tensor:
        """[B, FRAMES, 24], aligned with the bands."""
        rows = ((np.arange(FRAMES) * HOP + RECEPTIVE / 2) // HOP).astype(np.int64)
        return torch.from_numpy(np.stack([clips.rolls[index][rows] for clips, index in (self.places[i] for i in chosen)])).float()


def classes(labels: Sequence[dict[str, Any]], name: str) -> Tensor:
    """Class numbers [N]; IGNORED where a clip has none."""
    values = JUDGED[name]
    return torch.tensor([IGNORED if label[name] is None else values.index(label[name]) for label in labels])


def varied(bands: Tensor, rolls: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, int, float]:
    """Clips [B, T, F] in another key, faster or slower, recoloured and noisier: (bands, rolls, semitones, speed)."""
    semitones, speed = int(rng.integers(-3, 4)), math.exp(rng.uniform(-0.07, 0.07))
    taken = min(FRAMES, round(CROP * speed))
    start = int(rng.integers(0, FRAMES - taken + 1))
    bands, rolls = (F.interpolate(x[:, start : start + taken].transpose(1, 2), size=CROP, mode=mode).transpose(1, 2)
                    for x, mode in ((bands, "linear"), (rolls, "nearest")))
    bands = torch.cat([_moved(bands[..., :TUNED], 2 * semitones), bands[..., TUNED:]], dim=-1)
    rolls = rolls.unflatten(-1, (2, 12)).roll(semitones, -1).flatten(-2)
    return _noisier(_recoloured(bands, rng), rng), rolls, semitones, speed


def _moved(bands: Tensor, steps: int) -> Tensor:
    moved = bands.roll(steps, -1)
    if steps > 0:
        moved[..., :steps] = bands[..., :1]
    elif steps < 0:
        moved[..., steps:] = bands[..., -1:]
    return moved


def _recoloured(bands: Tensor, rng: np.random.Generator) -> Tensor:
    """A smooth equaliser of its own for every clip, up to some decibels; silence stays silent."""
    knots = torch.from_numpy(rng.normal(0, 2.5, (len(bands), 1, 9)) + rng.normal(0, 1.5, (len(bands), 1, 1))).float() / 35
    curve = F.interpolate(knots, size=bands.shape[-1], mode="linear", align_corners=True)
    return torch.where(bands > -0.99, bands + curve, bands).clamp(min=-1)


def _noisier(bands: Tensor, rng: np.random.Generator) -> Tensor:
    """A third of the clips get a floor of noise, 62 to 40 decibels under a full tone; silence stays silence."""
    for row in np.flatnonzero((rng.random(len(bands)) < 0.35) & (bands.amax((1, 2)) > -0.5).numpy()):
        noise = 10 ** (rng.uniform(-62, -40) / 10) * torch.empty_like(bands[row]).exponential_()
        bands[row] = torch.log10(torch.exp((bands[row] - 1) * (3.5 * math.log(10))) + noise) / 3.5 + 1
    return bands.clamp(min=-1)


def losses(model: Pools, bands: Tensor, rolls: Tensor, wanted: Mapping[str, Tensor], log_tempo: Tensor) -> dict[str, Tensor]:
    states = bands[:, None]
    frames = {name: pool.frames(states) for name, pool in model.pools.items()}
    logits = model.judge({name: pool(frames[name].float()) for name, pool in model.pools.items()})
    found = {name: F.cross_entropy(logits[name], wanted[name], label_smoothing=0.05, ignore_index=IGNORED) for name in wanted}
    music = wanted["kind"] == 0
    found["tempo"] = -(tempo_targets(log_tempo[music]) * logits["tempo"][music].log_softmax(1)).sum(1).mean()
    assert rolls.shape[-1] == ROLL_WIDTH
    chroma = frames["harmony"].float().clamp(1e-6, 1 - 1e-6)
    found["chroma"] = F.binary_cross_entropy(chroma, rolls)
    return found


class PoolTrainer:
    """Against the clock, resumable: everything is in WORK/pools.pt."""

    def __init__(self, work: Path, data: Path, minutes: float, rate: float = 2.5e-3, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.work, self.budget, self.rate = work, 60 * minutes, rate
        self.model, self.clips = Pools(), Bands(data, TRAINED)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.03, betas=(0.9, 0.98))
        self.spent, self.step, self.order = 0.0, 0, list[int]()
        path = work / "pools.pt"
        if path.exists():
            saved = torch.load(path, weights_only=True)
            self.model.load_state_dict(saved["model"])
            if "optimizer" in saved:
                self.optimizer.load_state_dict(saved["optimizer"])
                self.spent, self.step = saved["spent"], saved["step"]
        else:
            self._teach_harmony()
        self.rng = np.random.default_rng([self.step, seed])

    def _teach_harmony(self) -> None:
        music = [index for index in range(len(self.clips)) if self.clips.classes["kind"][index] == 0][:LESSON]
        labels = {name: self.clips.classes[name][music] for name in ("mode", "key")}
        readers = teach_harmony(self.model.pools["harmony"], self.clips.rolls(music), labels)
        width, first = AUDIO.pool_dim, LEARNED.index("harmony") * AUDIO.pool_dim
        hand_over(readers, self.model.heads, width, slice(first, first + width))

    def save(self) -> None:
        part = self.work / "pools.part"
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "spent": self.spent, "step": self.step}, part)
        os.replace(part, self.work / "pools.pt")

    def _shuffled(self) -> list[int]:
        """Every music clip once, and a few that are not music."""
        kinds = self.clips.classes["kind"]
        music, other = (kinds == 0).nonzero().flatten().numpy(), (kinds > 0).nonzero().flatten().numpy()
        some = self.rng.permutation(other)[: len(music) // OTHERS]
        return self.rng.permutation(np.concatenate([music, some])).tolist()

    def train_step(self) -> dict[str, float]:
        begun = time.monotonic()
        progress = min(1.0, self.spent / self.budget)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / 100) * max(0.005, 0.5 * (1 + math.cos(math.pi * progress)))
        if len(self.order) < BATCH:
            self.clips.refresh()
            self.order = self._shuffled()
        chosen, self.order = self.order[:BATCH], self.order[BATCH:]
        bands, rolls, semitones, speed = varied(self.clips.bands(chosen), self.clips.rolls(chosen), self.rng)
        wanted = {name: values[chosen] for name, values in self.clips.classes.items()}
        wanted["key"] = torch.where(wanted["key"] == IGNORED, IGNORED, (wanted["key"] + semitones) % 12)
        with torch.autocast("cpu", torch.bfloat16):
            found = losses(self.model, bands, rolls, wanted, self.clips.log_tempo[chosen] + math.log(speed))
        total = sum(WEIGHTS[name] * value for name, value in found.items())
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        self.spent += min(time.monotonic() - begun, 5.0)
        return {name: value.item() for name, value in found.items()}

    def run(self, test: Path | None = None, every: float = 300.0) -> None:
        """Train until the time is spent; print averages and, where test clips are, what is right."""
        saved, shown, sums = self.spent, self.spent, dict[str, float]()
        self.model.train()
        while self.spent < self.budget:
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value / 100
            if self.step % 100 == 0:
                print(f"step {self.step} minutes {self.spent / 60:.1f} " + " ".join(f"{k} {v:.3f}" for k, v in sums.items()), flush=True)
                sums = {}
            if self.spent - saved > 60:
                self.save()
                saved = self.spent
            if test and self.spent - shown > every:
                report(self.model, test)
                shown = self.spent
        self.save()
        if test:
            report(self.model, test)


@torch.no_grad()
def hear(model: Pools, clips: Bands, batch: int = 50) -> dict[str, Tensor]:
    """Pooled vectors of every clip."""
    model.eval()
    parts = [model.vectors(clips.bands(range(start, min(start + batch, len(clips))))) for start in range(0, len(clips), batch)]
    return {name: torch.cat([part[name] for part in parts]) for name in LEARNED}


@torch.no_grad()
def right(model: Pools, vectors: Mapping[str, Tensor], labels: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Percent right of each attribute among the clips that have it; tempo within 6 %."""
    logits, found = model.judge(vectors), {}
    for name in JUDGED:
        wanted = classes(labels, name)
        known = wanted != IGNORED
        if known.any():
            found[name] = 100 * (logits[name].argmax(1) == wanted)[known].float().mean().item()
    tempi = torch.tensor([label["tempo"] or 0.0 for label in labels])
    if (tempi > 0).any():
        error = (tempo_of(logits["tempo"]) - tempi.log()).abs()[tempi > 0]
        found["tempo"] = 100 * (error < math.log(1.06)).float().mean().item()
        found["tempo an octave off"] = 100 * ((error - math.log(2)).abs() < math.log(1.06)).float().mean().item()
    return found


def report(model: Pools, folder: Path) -> None:
    for name in ("test_same", "test_unseen", "test_kin", "test_tunes", "noise_test"):
        if (folder / f"{name}.jsonl").exists():
            clips = Bands(folder, (name,))
            print(f"  {name} " + " ".join(f"{k} {v:.0f}" for k, v in right(model, hear(model, clips), clips.labels).items()), flush=True)
    model.train()
