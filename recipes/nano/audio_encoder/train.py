"""Trains the nano model's audio encoder (MERT-nano) and its pools for timbre, rhythm and harmony.

    python -m recipes.nano.audio_encoder.train distil   --work nano --minutes 9     # the encoder: spectrum, semitones and chords
    python -m recipes.nano.audio_encoder.train attend   --work nano --minutes 35    # the encoder: instruments, tempo, metre, mode, style
    python -m recipes.nano.audio_encoder.train pools    --work nano --minutes 40    # the pools that read the spectrum
    python -m recipes.nano.audio_encoder.train export   --work nano                 # nano/mert, nano/ears_pools.safetensors
    python -m recipes.nano.audio_encoder.train features --work nano                 # the cached inputs of the adapter

"features" first encodes every clip, which takes 0.1 s each and needs no pools; "states" does that part alone, so it can run
while the pools still train.

Clips come from recipes/nano/rendering/render_clips.py in NAME/data. Training stops after its minutes and uses one
thread and bfloat16 arithmetic. Every command resumes when it is run again. Encoder and pools do not depend on each other.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from llama.encoders.mert import MERTEncoder
from llama.files import write_json
from recipes.nano.audio_encoder.exported_pools import load_pools as load_exported_pools
from recipes.nano.audio_encoder.harmony_pretraining import copy_readers, pretrain_harmony
from recipes.nano.audio_encoder.model import EncoderWithHeads, TargetExtractor, chroma_loss, save_tensors
from recipes.nano.audio_encoder.pools import PoolsWithHeads, PoolTrainer, class_indices
from recipes.nano.rendering.clip_set import (
    ATTRIBUTE_VALUES,
    AUDIO,
    SAMPLE_RATE,
    ClipBatch,
    ClipSet,
    tempo_targets,
    unpack_spectrum,
)
from recipes.nano.timed_loop import (
    BatchQueue,
    Schedule,
    TimedTrainer,
    append_csv,
    cosine,
    mean_losses,
    shuffled_batches,
)

SETS = ("test_same", "test_unseen", "test_kin", "test_tunes", "noise_test", "noise_train", "train")
WEIGHTS = {
    "lead": 1.0, "accompaniment": 0.5, "style": 0.7, "mode": 1.0, "metre": 1.0, "drums": 0.4, "key": 0.5, "tempo": 1.0,
}
LOG_STEPS, SAVE_SECONDS = 50, 120.0


@dataclass(frozen=True)
class Phase:
    """Hyperparameters of one training phase; `seconds` is the length of the excerpts, `warmup` is in steps."""

    name: str
    seconds: float
    batch: int
    rate: float
    warmup: int


PHASES = {
    "distil": Phase("distil", 3.0, 16, 2e-3, 60),
    "attend": Phase("attend", 7.0, 12, 1.2e-3, 100),
}


def distillation_loss(model: EncoderWithHeads, target_extractor: TargetExtractor, batch: ClipBatch) -> tuple[Tensor, dict[str, float]]:
    """Regression of the targets from the convolutions and from the last state, plus the chroma loss of the harmony pool."""
    states, conv = model.states(batch.samples)
    target = target_extractor(batch.samples)
    low = F.mse_loss(model.conv_readout(conv), target)
    high = F.mse_loss(model.last_readout(states[:, -1]), target)
    chroma = chroma_loss(model, states, batch.roll)
    return low + high + 2 * chroma, {"conv": low.item(), "last": high.item(), "chroma": chroma.item()}


def attribute_loss(model: EncoderWithHeads, batch: ClipBatch) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy of every attribute; the chroma loss stays in the sum so that the chroma does not drift."""
    states, _ = model.states(batch.samples)
    logits = model.head_logits(model.pooled_vectors(states))
    losses = {name: F.cross_entropy(logits[name], batch.classes[name], label_smoothing=0.05) for name in ATTRIBUTE_VALUES}
    losses["tempo"] = -(tempo_targets(batch.log_tempo) * logits["tempo"].log_softmax(1)).sum(1).mean()
    chroma = chroma_loss(model, states, batch.roll)
    total = 3 * chroma + sum(WEIGHTS[name] * loss for name, loss in losses.items())
    return total, {**{name: loss.item() for name, loss in losses.items()}, "chroma": chroma.item()}


class EncoderTrainer:
    """Trains one phase for a given time and resumes from WORK/ears.pt, which also hands the weights to the next phase."""

    def __init__(self, phase: Phase, work: Path, minutes: float) -> None:
        torch.manual_seed(0)
        self.phase, self.work = phase, work
        self.model, self.targets = EncoderWithHeads(), TargetExtractor()
        self.clips = ClipSet(work / "data", "train")
        self.rng = np.random.default_rng([0, len(phase.name)])
        self.batches = BatchQueue(self._shuffle, self.rng)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=phase.rate, weight_decay=0.02, betas=(0.9, 0.98))
        schedule = Schedule(minutes, phase.rate, phase.warmup, decay=lambda progress: max(0.02, cosine(progress)))
        self.trainer = TimedTrainer({"listener": self.model, "batches": self.batches}, optimizer, schedule, self.rng,
                                    checkpoint=work / "ears.pt", save_every=SAVE_SECONDS, values={"phase": phase.name})
        self._resume()
        if phase.name == "attend" and self.trainer.step == 0:
            model, rolls = self.model, torch.from_numpy(np.array(self.clips.rolls))
            readers = pretrain_harmony(model.harmony, rolls, {name: class_indices(self.clips.labels, name) for name in ("mode", "key")})
            width = model.heads["mode"].in_features
            copy_readers(readers, model.heads, model.harmony.out_dim, slice(width - model.harmony.out_dim, width))

    def _resume(self) -> None:
        if not (path := self.work / "ears.pt").exists():
            samples = self.clips.excerpts(range(min(8, len(self.clips))), 2 * SAMPLE_RATE).samples
            self.model.scale_convolutions(samples)
            return
        saved = torch.load(path, weights_only=True)
        if saved["phase"] == self.phase.name:
            self.trainer.load_state_dict(saved)
        else:
            self.model.load_state_dict(saved["listener"])

    def _shuffle(self) -> list[list[int]]:
        self.clips.refresh()
        return shuffled_batches(self.rng.permutation(len(self.clips)).tolist(), self.phase.batch)

    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """The loss of the next batch, and its parts."""
        batch = self.clips.augmented(np.array(self.batches.next()), int(self.phase.seconds * SAMPLE_RATE), self.rng)
        if self.phase.name == "distil":
            return distillation_loss(self.model, self.targets, batch)
        return attribute_loss(self.model, batch)

    def run(self) -> None:
        """Trains until the time is spent; prints mean losses every 50 steps and appends them to WORK/ears_PHASE.csv."""
        recent: list[dict[str, float]] = []
        for losses in self.trainer.steps(self.loss):
            recent.append(losses)
            if self.trainer.step % LOG_STEPS == 0:
                self._log(mean_losses(recent))
                recent = []

    def _log(self, losses: dict[str, float]) -> None:
        step = self.trainer.step
        row = {"step": step, "minutes": self.trainer.seconds / 60, "clips": step * self.phase.batch, **losses}
        append_csv(self.work / f"ears_{self.phase.name}.csv", {name: round(value, 4) for name, value in row.items()})
        print(" ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)


def load_encoder(work: Path) -> EncoderWithHeads:
    path = work / "ears.pt"
    if not path.exists():
        raise FileNotFoundError(f"No trained audio encoder at {path}; train it first with the distil and attend commands.")
    model = EncoderWithHeads()
    model.load_state_dict(torch.load(path, weights_only=True)["listener"])
    return model.eval()


def load_pools(work: Path) -> PoolsWithHeads:
    """The trained pools and heads, without batch normalisation."""
    path = work / "pools.pt"
    if not path.exists():
        raise FileNotFoundError(f"No trained pools at {path}; train them first with the pools command.")
    pools = PoolsWithHeads()
    pools.load_state_dict(torch.load(path, weights_only=True)["model"])
    return pools.without_batch_norm().eval()


def export(work: Path) -> None:
    """Exports the encoder and the pools, each if it is trained."""
    if (work / "ears.pt").exists():
        load_encoder(work).export(work / "mert")
    if (work / "pools.pt").exists():
        tensors = {name: value.half() for name, value in load_pools(work).pool_state().items()}
        save_tensors(tensors, work / "ears_pools.safetensors")


@torch.no_grad()
def write_states(work: Path, name: str, limit: int | None = None, batch: int = 8) -> None:
    """Appends the exported encoder's time-averaged states to NAME.states, clip after clip; resumes where it stopped."""
    clips, encoder = ClipSet(work / "data", name), MERTEncoder.from_folder(work / "mert")
    row = 2 * AUDIO.channels * AUDIO.feature_dim  # bytes, half precision
    path, count = work / "data" / f"{name}.states", min(len(clips), limit or len(clips))
    with path.open("ab") as file:
        file.truncate(file.tell() // row * row)
        for start in range(file.tell() // row, count, batch):
            states = encoder.encode(clips.normalized(range(start, min(start + batch, count))))
            file.write(states.float().mean(2).half().numpy().tobytes())
            file.flush()
    print(f"states of {count} clips: {name}", flush=True)


@torch.no_grad()
def features(work: Path, clips: ClipSet, batch: int = 50) -> dict[str, Tensor]:
    """The adapter's inputs (FEATURE_NAMES, half precision) for every clip in NAME.states."""
    means = np.fromfile(clips.folder / f"{clips.name}.states", np.float16).reshape(-1, AUDIO.channels, AUDIO.feature_dim)
    pools = load_exported_pools(work / "ears_pools.safetensors")
    bands = [unpack_spectrum(torch.from_numpy(clips.bands[start : min(start + batch, len(means))]))[:, None] for start in range(0, len(means), batch)]
    pool_outputs = {name: torch.cat([pool(pool.frames(states)) for states in bands]).half().contiguous() for name, pool in pools.items()}
    return {"states_mean": torch.from_numpy(means), **pool_outputs}


def write_features(work: Path, name: str) -> None:
    """Caches the adapter's inputs and the labels of every clip, in the same order."""
    clips, target = ClipSet(work / "data", name), work / "data" / f"features_{name}.safetensors"
    tensors = features(work, clips)
    save_tensors(tensors, target)
    count = len(tensors["states_mean"])
    write_json(target.with_suffix(".json"), clips.labels[:count], indent=None)
    print(f"features of {count} clips: {name}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*PHASES, "pools", "export", "states", "features"])
    parser.add_argument("--work", type=Path, required=True, help="folder with data/; results go here")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock training time")
    parser.add_argument("--limit", type=int, default=6000, help="training clips whose features are cached")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command in PHASES:
        EncoderTrainer(PHASES[options.command], options.work, options.minutes).run()
    elif options.command == "pools":
        PoolTrainer(options.work, options.work / "data", options.minutes).run(options.work / "data")
    elif options.command == "export":
        export(options.work)
    else:
        for name in [name for name in SETS if (options.work / "data" / f"{name}.jsonl").exists()]:
            write_states(options.work, name, options.limit)
            if options.command == "features":
                write_features(options.work, name)


if __name__ == "__main__":
    main()
