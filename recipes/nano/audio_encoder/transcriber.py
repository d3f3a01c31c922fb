"""Trains the transcriber, which hears notes, beats and chords, on the pieces that transcriber_data.py rendered.

    python -m recipes.nano.audio_encoder.transcriber --work build/nano --minutes 70

Every step takes short excerpts, transposed by up to four semitones, with another tone colour and some noise. Training stops
after its minutes, resumes from WORK/transcriber.pt when it is run again, and writes WORK/transcriber_model, which becomes the
model's transcriber/. One piece in HELD_OUT_EVERY is held out; its loss is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from llama.encoders.transcriber import ATTRIBUTES, BINS, PARTS, Transcriber, TranscriberConfig, TranscriberNetwork
from llama.media.score import DRUMS, QUALITIES
from recipes.nano.audio_encoder.transcriber_data import PieceSet
from recipes.nano.timed_loop import BatchQueue, Schedule, TimedTrainer, cosine, mean_losses, shuffled_batches

BATCH, FRAMES = 8, 256
TRANSPOSITION = 4  # semitones, at most
ONSET_WIDTH = 2.0  # frames from an onset to where its target is zero
POSITIVE_WEIGHT = {"onsets": 4.0, "drums": 2.0, "beats": 4.0}  # they are rare
WEIGHTS = {"onsets": 1.0, "sounding": 0.25, "drums": 1.0, "beats": 1.0, "root": 0.3, "quality": 0.2, "attributes": 0.1}
PART_WEIGHTS = {"lead": 1.0, "bass": 0.7, "accompaniment": 0.4}
IGNORE_INDEX = -100
HELD_OUT_EVERY = 64
RATE, WARMUP_STEPS, LOG_STEPS, SAVE_SECONDS, TEST_SECONDS = 1.5e-3, 200, 100, 120.0, 600.0
Floats = NDArray[np.float32]


def targets_of(row: Mapping[str, Any], config: TranscriberConfig, first: int, frames: int, shift: int) -> dict[str, Tensor]:
    """What the network should say of frames `first` to `first + frames` of a piece, transposed by `shift` semitones."""
    onsets, sounding = (np.zeros((len(PARTS), frames, config.pitches), np.float32) for _ in range(2))
    drums, beats = np.zeros((frames, len(DRUMS)), np.float32), np.zeros((frames, 2), np.float32)
    root, quality = (np.full(frames, IGNORE_INDEX, np.int64) for _ in range(2))
    rate, attributes = config.frame_rate, row.get("attributes")
    if attributes is not None:
        for number, part in enumerate(PARTS):
            for start, duration, pitch in row["notes"][part]:
                key = pitch + shift - config.lowest
                if 0 <= key < config.pitches:
                    mark(onsets[number, :, key], start * rate - first)
                    begin = start * rate - first
                    sounding[number, max(0, round(begin)) : max(0, round(begin + duration * rate)), key] = 1
        for start, _, key in row["notes"]["drums"]:
            mark(drums[:, DRUMS.index(key)], start * rate - first)
        beat, end = 60 / attributes["tempo"], row["chords"][-1][0] + row["chords"][-1][1]
        for number in range(int(end / beat + 1e-6)):
            mark(beats[:, 0], number * beat * rate - first)
            if number % attributes["metre"] == 0:
                mark(beats[:, 1], number * beat * rate - first)
        for start, duration, tonic, name in row["chords"]:
            span = slice(max(0, round(start * rate - first)), max(0, round((start + duration) * rate - first)))
            root[span], quality[span] = (tonic + shift) % 12, tuple(QUALITIES).index(name)
    arrays = {"onsets": onsets, "sounding": sounding, "drums": drums, "beats": beats, "root": root, "quality": quality}
    return {**{name: torch.from_numpy(array) for name, array in arrays.items()}, **_attribute_targets(attributes, shift)}


def _attribute_targets(attributes: Mapping[str, Any] | None, shift: int) -> dict[str, Tensor]:
    if attributes is None:
        return {name: torch.tensor(IGNORE_INDEX) for name in ATTRIBUTES}
    moved = {**attributes, "key": (attributes["key"] + shift) % 12}
    return {name: torch.tensor(values.index(moved[name])) for name, values in ATTRIBUTES.items()}


def mark(line: Floats, at: float) -> None:
    """Raises a target [T] around frame `at`, a fraction, to a triangle of height one."""
    for frame in range(max(0, int(np.ceil(at - ONSET_WIDTH))), min(len(line), int(at + ONSET_WIDTH) + 1)):
        line[frame] = max(line[frame], 1 - abs(frame - at) / ONSET_WIDTH)


def augmented(bands: Tensor, shift: int, rng: np.random.Generator) -> Tensor:
    """A spectrum [T, F] transposed, at another level, with another tone colour and some noise."""
    tuned = bands.shape[1] // (12 * BINS) * 12 * BINS
    moved = bands.clone()
    if shift > 0:
        moved[:, shift * BINS : tuned], moved[:, : shift * BINS] = bands[:, : tuned - shift * BINS], -1.0
    elif shift < 0:
        moved[:, : tuned + shift * BINS], moved[:, tuned + shift * BINS : tuned] = bands[:, -shift * BINS : tuned], -1.0
    decibels = (moved - 1) * 35
    places = np.linspace(0, 8, bands.shape[1])
    curve = rng.normal(0, 2.5) + np.interp(places, np.arange(9), rng.normal(0, 2.0, 9) + rng.normal(0, 0.7) * (np.arange(9) - 4))
    decibels = decibels + torch.from_numpy(curve.astype(np.float32))
    if rng.random() < 0.4:
        noise = float(rng.uniform(-68, -38)) + 2.0 * torch.randn(decibels.shape)
        decibels = 10 * torch.log10(10 ** (decibels / 10) + 10 ** (noise / 10))
    return (decibels / 35 + 1).clamp_min(-1.0)


def losses_of(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean loss of each of WEIGHTS over a batch; those of notes are summed over pitches."""
    onsets, sounding = outputs["notes"].float().split(len(PARTS), dim=1)
    shares = torch.tensor([PART_WEIGHTS[part] for part in PARTS])
    found = {
        "onsets": (_cross_entropy("onsets", onsets, targets).sum(-1).mean((0, 2)) * shares).sum(),
        "sounding": (F.binary_cross_entropy_with_logits(sounding, targets["sounding"], reduction="none").sum(-1).mean((0, 2)) * shares).sum(),
        **{name: _cross_entropy(name, outputs[name].float(), targets).sum(-1).mean() for name in ("drums", "beats")},
        **{name: _class_loss(outputs[name].flatten(0, 1), targets[name].flatten()) for name in ("root", "quality")},
    }
    losses = [_class_loss(outputs[f"attribute {name}"], targets[name]) for name in ATTRIBUTES]
    return {**found, "attributes": torch.stack(losses).sum()}


def _cross_entropy(name: str, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits, targets[name], reduction="none")
    return loss * (1 + (POSITIVE_WEIGHT[name] - 1) * targets[name])


def _class_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of what has a class; zero where nothing has."""
    return F.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="sum") / max(1, int((target != IGNORE_INDEX).sum()))


class TranscriberTrainer:
    """Trains for a given time and resumes from WORK/transcriber.pt."""

    def __init__(self, work: Path, minutes: float) -> None:
        torch.manual_seed(0)
        self.work, self.pieces = work, PieceSet(work / "transcriber")
        self.model = TranscriberNetwork(TranscriberConfig()).to(memory_format=torch.channels_last)
        self.rng = np.random.default_rng(0)
        self.batches = BatchQueue(self._shuffle, self.rng)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
        schedule = Schedule(minutes, RATE, WARMUP_STEPS, decay=lambda progress: max(0.01, cosine(progress)))
        self.trainer = TimedTrainer({"model": self.model, "batches": self.batches}, optimizer, schedule, self.rng,
                                    checkpoint=work / "transcriber.pt", save_every=SAVE_SECONDS)
        if (work / "transcriber.pt").exists():
            self.trainer.load_state_dict(torch.load(work / "transcriber.pt", weights_only=True))

    def _shuffle(self) -> list[list[int]]:
        self.pieces.refresh()
        training = [index for index in range(len(self.pieces)) if index % HELD_OUT_EVERY]
        return shuffled_batches(self.rng.permutation(training).tolist(), BATCH)

    def batch(self, indices: list[int], rng: np.random.Generator, vary: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Spectra [B, T, F] and targets of excerpts at random places."""
        spectra, targets = [], []
        for index in indices:
            row, shift = self.pieces.rows[index], int(rng.integers(-TRANSPOSITION, TRANSPOSITION + 1)) if vary else 0
            first = int(rng.integers(0, max(1, row["frames"] - FRAMES + 1)))
            spectrum = self.pieces.excerpt(index, first, FRAMES)
            spectra.append(augmented(spectrum, shift, rng) if vary else spectrum)
            targets.append(targets_of(row, self.model.config, first, FRAMES, shift))
        return torch.stack(spectra), {name: torch.stack([target[name] for target in targets]) for name in targets[0]}

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """The loss of the next batch, and its parts."""
        spectra, targets = self.batch(self.batches.next(), self.rng, vary=True)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.model(spectra)
        losses = losses_of(outputs, targets)
        total = sum((WEIGHTS[name] * loss for name, loss in losses.items()), start=torch.zeros(()))
        return total, {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Mean losses of excerpts of the held-out pieces, without augmentation."""
        indices, rng = list(range(0, len(self.pieces), HELD_OUT_EVERY)), np.random.default_rng(1)
        rows = []
        for start in range(0, len(indices), BATCH):
            spectra, targets = self.batch(indices[start : start + BATCH], rng, vary=False)
            rows.append({name: loss.item() for name, loss in losses_of(self.model(spectra), targets).items()})
        return mean_losses(rows)

    def run(self) -> None:
        """Trains until the time is spent, prints mean losses, and writes WORK/transcriber_model."""
        recent: list[dict[str, float]] = []
        for losses in self.trainer.steps(self.loss):
            recent.append(losses)
            if self.trainer.step % LOG_STEPS == 0:
                self._print("training", mean_losses(recent))
                recent = []
            if self.trainer.due(TEST_SECONDS):
                self._print("held out", self.held_out_losses())
        Transcriber(self.model).save(self.work / "transcriber_model")

    def _print(self, name: str, losses: Mapping[str, float]) -> None:
        figures = " ".join(f"{key} {value:.4f}" for key, value in losses.items())
        print(f"{name} step {self.trainer.step} minutes {self.trainer.seconds / 60:.1f} {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with transcriber/; results go here")
    parser.add_argument("--minutes", type=float, default=70.0, help="wall-clock training time")
    parser.add_argument("--threads", type=int, default=2, help="processor cores")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    TranscriberTrainer(options.work, options.minutes).run()


if __name__ == "__main__":
    main()
