"""Train the ears of the nano model: MERT-nano and its rhythm and harmony pools.

    python -m recipes.nano.ears distil   --work nano --minutes 9     # hear spectrum, semitones and chords
    python -m recipes.nano.ears attend   --work nano --minutes 35    # hear instruments, tempo, metre, mode, style
    python -m recipes.nano.ears settle   --work nano --minutes 2     # fit the pools to it, then both below
    python -m recipes.nano.ears export   --work nano                 # nano/mert, nano/ears_pools.safetensors
    python -m recipes.nano.ears features --work nano                 # every clip as the adapter will see it

Clips come from recipes/nano/render.py in NAME/data. Training stops after its minutes and uses one thread and bfloat16
arithmetic; distil and attend may be interrupted and run again (they continue from NAME/ears.pt).
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

from recipes.nano.ears_data import CHOICES, SAMPLE_RATE, ClipBatch, Clips, tempo_of, tempo_targets
from recipes.nano.ears_model import Listener, Teacher, chroma_loss, save_atomically
from recipes.nano.ears_settle import Heard, settle, teach_harmony

SETS = ("train", "test_same", "test_unseen")
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
            teach_harmony(self.listener, self.clips)
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


def settle_all(work: Path, minutes: float) -> None:
    """Encode every clip once; settle on the training clips; save, export and write the features."""
    listener = load_listener(work)
    sets = {name: Clips(work / "data", name) for name in SETS}
    heard = {name: Heard.by(listener, clips) for name, clips in sets.items()}
    settle(listener, heard["train"], sets["train"], WEIGHTS, minutes)
    save_state(work / "ears.pt", {"listener": listener.state_dict(), "phase": "settle"})
    export(listener, work)
    for name, clips in sets.items():
        write_features(work, name, clips, heard[name].vectors(listener))


def export(listener: Listener, work: Path) -> None:
    listener.export(work / "mert", work / "ears_pools.safetensors")


def write_features(work: Path, name: str, clips: Clips, vectors: dict[str, Tensor]) -> None:
    """Cache what the adapter reads of every clip, and the labels in the same order, so that nobody encodes again."""
    target = work / "data" / f"features_{name}.safetensors"
    save_atomically({key: value.half().contiguous() for key, value in vectors.items()}, target)
    write_json(clips.labels, target.with_suffix(".json"))
    print(f"features of {len(clips)} clips: {name}", flush=True)


def write_json(value: Any, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=None if isinstance(value, list) else 2))
    os.replace(part, path)


def scores(listener: Listener, vectors: dict[str, Tensor], batch: ClipBatch) -> dict[str, float]:
    """Share right of each attribute, in percent; tempo within 6 %, and tempo an octave off."""
    with torch.no_grad():
        logits = listener.judge(vectors)
    found = {name: 100 * (logits[name].argmax(1) == batch.classes[name]).float().mean().item() for name in CHOICES}
    error = (tempo_of(logits["tempo"]) - batch.log_tempo).abs()
    near = math.log(1.06)
    found["tempo"] = 100 * (error < near).float().mean().item()
    found["tempo an octave off"] = 100 * ((error - math.log(2)).abs() < near).float().mean().item()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*PHASES, "settle", "export", "features"])
    parser.add_argument("--work", type=Path, required=True, help="folder with data/; results go here")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock training time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command in PHASES:
        Trainer(PHASES[options.command], options.work, options.minutes).run()
    elif options.command == "settle":
        settle_all(options.work, options.minutes)
    elif options.command == "export":
        export(load_listener(options.work), options.work)
    else:
        listener = load_listener(options.work)
        for name in SETS:
            clips = Clips(options.work / "data", name)
            write_features(options.work, name, clips, Heard.by(listener, clips).vectors(listener))


if __name__ == "__main__":
    main()
