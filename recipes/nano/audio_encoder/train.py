"""Train the ears of the nano model: MERT-nano, and the pools that hear timbre, rhythm and harmony.

    python -m recipes.nano.audio_encoder.train distil   --work nano --minutes 9     # the encoder: spectrum, semitones and chords
    python -m recipes.nano.audio_encoder.train attend   --work nano --minutes 35    # the encoder: instruments, tempo, metre, mode, style
    python -m recipes.nano.audio_encoder.train pools    --work nano --minutes 40    # the pools that read the spectrum
    python -m recipes.nano.audio_encoder.train export   --work nano                 # nano/mert, nano/ears_pools.safetensors
    python -m recipes.nano.audio_encoder.train features --work nano                 # clips as the adapter will see them

"features" first hears every clip with the encoder, which takes a tenth of a second each and needs no pools; "states" does that
part alone, so that it can run while the pools still train.

Clips come from recipes/nano/rendering/render_clips.py in NAME/data. Training stops after its minutes and uses one thread and bfloat16
arithmetic; all of it may be interrupted and run again. The pools do not need the encoder, nor the encoder them.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.encoders.mert import MERTEncoder
from recipes.nano.audio_encoder.exported_pools import load_pools as load_exported_pools
from recipes.nano.audio_encoder.harmony_pretraining import hand_over, teach_harmony
from recipes.nano.audio_encoder.model import Listener, Teacher, chroma_loss, save_atomically
from recipes.nano.audio_encoder.pools import Pools, PoolTrainer, classes
from recipes.nano.rendering.clip_set import AUDIO, CHOICES, SAMPLE_RATE, ClipBatch, Clips, tempo_targets, unpacked

SETS = ("test_same", "test_unseen", "test_kin", "test_tunes", "noise_test", "noise_train", "train")
WEIGHTS = {
    "lead": 1.0, "accompaniment": 0.5, "style": 0.7, "mode": 1.0, "metre": 1.0, "drums": 0.4, "key": 0.5, "tempo": 1.0,
}
LONGEST_STEP = 20.0  # seconds; a pause does not count as training


@dataclass(frozen=True)
class Phase:
    """How one phase of training goes; `seconds` is the length of the excerpts."""

    name: str
    seconds: float
    batch: int
    rate: float
    warmup: int


PHASES = {
    "distil": Phase("distil", 3.0, 16, 2e-3, 60),
    "attend": Phase("attend", 7.0, 12, 1.2e-3, 100),
}


def distil_loss(listener: Listener, teacher: Teacher, batch: ClipBatch) -> tuple[Tensor, dict[str, float]]:
    """Spectrum and semitones from the convolutions and from the last state, the score's pitch classes from the pool."""
    states, conv = listener.states(batch.samples)
    target = teacher(batch.samples)
    low = F.mse_loss(listener.conv_readout(conv), target)
    high = F.mse_loss(listener.last_readout(states[:, -1]), target)
    chroma = chroma_loss(listener, states, batch.roll)
    return low + high + 2 * chroma, {"conv": low.item(), "last": high.item(), "chroma": chroma.item()}


def attend_loss(listener: Listener, batch: ClipBatch) -> tuple[Tensor, dict[str, float]]:
    """Every attribute from the pooled vectors; the chroma stays a guest so that it stays chroma."""
    states, _ = listener.states(batch.samples)
    logits = listener.judge(listener.vectors(states))
    losses = {name: F.cross_entropy(logits[name], batch.classes[name], label_smoothing=0.05) for name in CHOICES}
    losses["tempo"] = -(tempo_targets(batch.log_tempo) * logits["tempo"].log_softmax(1)).sum(1).mean()
    chroma = chroma_loss(listener, states, batch.roll)
    total = 3 * chroma + sum(WEIGHTS[name] * loss for name, loss in losses.items())
    return total, {**{name: loss.item() for name, loss in losses.items()}, "chroma": chroma.item()}


class Trainer:
    """One phase against the clock: the learning rate follows the share of the time that is spent."""

    def __init__(self, phase: Phase, work: Path, minutes: float) -> None:
        torch.manual_seed(0)
        self.phase, self.work, self.budget = phase, work, 60 * minutes
        self.listener, self.teacher = Listener(), Teacher()
        self.clips = Clips(work / "data", "train")
        parameters = self.listener.parameters()
        self.optimizer = torch.optim.AdamW(parameters, lr=phase.rate, weight_decay=0.02, betas=(0.9, 0.98))
        self.spent, self.step = 0.0, 0
        self._resume()
        if phase.name == "attend" and self.step == 0:
            listener, rolls = self.listener, torch.from_numpy(np.array(self.clips.rolls))
            readers = teach_harmony(listener.harmony, rolls, {name: classes(self.clips.labels, name) for name in ("mode", "key")})
            width = listener.heads["mode"].in_features
            hand_over(readers, listener.heads, listener.harmony.out_dim, slice(width - listener.harmony.out_dim, width))
        self.rng = np.random.default_rng([self.step, len(phase.name)])
        self.order: list[int] = []

    @property
    def path(self) -> Path:
        return self.work / "ears.pt"

    def _resume(self) -> None:
        if not self.path.exists():
            samples = self.clips.plain(range(min(8, len(self.clips))), 2 * SAMPLE_RATE).samples
            self.listener.scale_convolutions(samples)
            return
        saved = torch.load(self.path, weights_only=True)
        self.listener.load_state_dict(saved["listener"])
        if saved["phase"] == self.phase.name:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.spent, self.step = saved["spent"], saved["step"]

    def save(self) -> None:
        save_state(self.path, {"listener": self.listener.state_dict(), "optimizer": self.optimizer.state_dict(),
                               "phase": self.phase.name, "spent": self.spent, "step": self.step})

    def _rate(self) -> float:
        progress = min(1.0, self.spent / self.budget)
        fall = max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
        return self.phase.rate * min(1.0, (self.step + 1) / self.phase.warmup) * fall

    def _batch(self) -> ClipBatch:
        if len(self.order) < self.phase.batch:
            self.clips.refresh()
            self.order = self.rng.permutation(len(self.clips)).tolist()
        taken, self.order = self.order[: self.phase.batch], self.order[self.phase.batch :]
        return self.clips.damaged(np.array(taken), int(self.phase.seconds * SAMPLE_RATE), self.rng)

    def _loss(self, batch: ClipBatch) -> tuple[Tensor, dict[str, float]]:
        if self.phase.name == "distil":
            return distil_loss(self.listener, self.teacher, batch)
        return attend_loss(self.listener, batch)

    def train_step(self) -> dict[str, float]:
        begun = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        loss, parts = self._loss(self._batch())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.listener.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.spent += min(time.monotonic() - begun, LONGEST_STEP)
        return parts

    def run(self) -> None:
        """Train until the time is spent; log averages every 50 steps, save every two minutes."""
        log, saved, sums = Log(self.work / f"ears_{self.phase.name}.csv"), self.spent, dict[str, float]()
        while self.spent < self.budget:
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value / 50
            if self.step % 50 == 0:
                clips = self.step * self.phase.batch
                log.write({"step": self.step, "minutes": self.spent / 60, "clips": clips, **sums})
                sums = {}
            if self.spent - saved > 120:
                self.save()
                saved = self.spent
        self.save()


class Log:
    """A CSV file that grows; the header comes from the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, row: dict[str, float]) -> None:
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(row)
            writer.writerow([round(value, 4) for value in row.values()])
        print(" ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)


def save_state(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def load_listener(work: Path) -> Listener:
    path = work / "ears.pt"
    if not path.exists():
        raise FileNotFoundError(f"No trained ears at {path}; train them first with the distil and attend commands.")
    listener = Listener()
    listener.load_state_dict(torch.load(path, weights_only=True)["listener"])
    return listener.eval()


def load_pools(work: Path) -> Pools:
    """The trained pools and heads, without batch normalisation."""
    path = work / "pools.pt"
    if not path.exists():
        raise FileNotFoundError(f"No trained pools at {path}; train them first with the pools command.")
    pools = Pools()
    pools.load_state_dict(torch.load(path, weights_only=True)["model"])
    return pools.plain().eval()


def export(work: Path) -> None:
    """Whatever is trained of both."""
    if (work / "ears.pt").exists():
        load_listener(work).export(work / "mert")
    if (work / "pools.pt").exists():
        tensors = {name: value.half() for name, value in load_pools(work).pool_tensors().items()}
        save_atomically(tensors, work / "ears_pools.safetensors")


@torch.no_grad()
def hear_states(work: Path, name: str, limit: int | None = None, batch: int = 8) -> None:
    """The exported encoder's states, averaged over time, clip after clip; run again, it goes on where it stopped."""
    clips, encoder = Clips(work / "data", name), MERTEncoder.from_folder(work / "mert")
    row = 2 * AUDIO.channels * AUDIO.feature_dim  # bytes, half precision
    path, count = work / "data" / f"{name}.states", min(len(clips), limit or len(clips))
    with path.open("ab") as file:
        file.truncate(file.tell() // row * row)
        for start in range(file.tell() // row, count, batch):
            states = encoder.encode(clips.heard(range(start, min(start + batch, count))))
            file.write(states.float().mean(2).half().numpy().tobytes())
            file.flush()
    print(f"states of {count} clips: {name}", flush=True)


@torch.no_grad()
def features(work: Path, clips: Clips, batch: int = 50) -> dict[str, Tensor]:
    """What the adapter reads of every clip whose states were heard: HEARD, half precision."""
    means = np.fromfile(clips.folder / f"{clips.name}.states", np.float16).reshape(-1, AUDIO.channels, AUDIO.feature_dim)
    pools = load_exported_pools(work / "ears_pools.safetensors")
    bands = [unpacked(torch.from_numpy(clips.bands[start : min(start + batch, len(means))]))[:, None] for start in range(0, len(means), batch)]
    found = {name: torch.cat([pool(pool.frames(states)) for states in bands]).half().contiguous() for name, pool in pools.items()}
    return {"states_mean": torch.from_numpy(means), **found}


def write_features(work: Path, name: str) -> None:
    """Cache what the adapter reads of every clip, and the labels in the same order, so that nobody encodes again."""
    clips, target = Clips(work / "data", name), work / "data" / f"features_{name}.safetensors"
    found = features(work, clips)
    save_atomically(found, target)
    count = len(found["states_mean"])
    write_json(clips.labels[:count], target.with_suffix(".json"))
    print(f"features of {count} clips: {name}", flush=True)


def write_json(value: Any, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=None if isinstance(value, list) else 2))
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*PHASES, "pools", "export", "states", "features"])
    parser.add_argument("--work", type=Path, required=True, help="folder with data/; results go here")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock training time")
    parser.add_argument("--limit", type=int, default=6000, help="training clips whose features are cached")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command in PHASES:
        Trainer(PHASES[options.command], options.work, options.minutes).run()
    elif options.command == "pools":
        PoolTrainer(options.work, options.work / "data", options.minutes).run(options.work / "data")
    elif options.command == "export":
        export(options.work)
    else:
        for name in [name for name in SETS if (options.work / "data" / f"{name}.jsonl").exists()]:
            hear_states(options.work, name, options.limit)
            if options.command == "features":
                write_features(options.work, name)


if __name__ == "__main__":
    main()
