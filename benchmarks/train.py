"""Training compared with the published way: examples a second, and memory of activation checkpointing.

    python -m benchmarks.train        two tables, every ratio from this one run

The published way takes one example at a time, without padding: it decodes the medium, asks the frozen encoders and, for
music, the decoder's text encoder anew in every epoch, then goes forward and backward; the optimiser steps as often as
ours. Ours is the loop of train.py; the first epoch fills its cache. The two take turns, step by step, over the same
examples, from the same weights; float32, no workers, one thread, whose own seconds count, so that others on the machine do
not. Left out to the published way's advantage: in stage 2 it also decodes the music that it does not use.

How much is won depends on what share the frozen encoders have: on how long the recordings are, and how large the LLaMA is.

Exit code 1 if the two learn something else (another loss for the first step), if ours decodes media after its first
epoch, or if checkpointing changes a loss; a missed target is only reported, because timings vary.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from DataSet.synthesis.composer import sample_attributes
from DataSet.synthesis.made_set import SyntheticPiece, load_sampler, make_set
from llama.checkpoint.delta import AUDIO_TOKEN_ROWS
from llama.cli import DEFAULT_MODEL
from llama.config import AUDIO_TOKENS, LlamaConfig, MuMuConfig
from llama.data.batch_sampler import BatchSampler
from llama.data.collate import Batch
from llama.data.examples import Example
from llama.data.mixture import ExampleMixture
from llama.data.source import Source
from llama.data.tokenization import tokenize_example
from llama.modules.losses import IGNORE, answer_loss, audio_token_positions, condition_loss
from llama.mumu_llama import MuMuLLaMA, load
from llama.training.config import ModelSettings, TrainConfig
from llama.training.distributed import make_accelerator
from llama.training.launch import build_trainer, training_module
from llama.training.loader import LoaderOptions, train_batches
from llama.training.module import TrainingBatch
from llama.training.run_checkpoints import RunCheckpoints
from llama.training.stages import stage, trainable
from llama.training.trainer import Trainer
from llama.training.validation import turn_of

THREADS = 1
TARGET = 5.0
PIECES, BATCH, ROUNDS = 16, 16, 3  # 32 questions, 16 captions, 8 pictures; steps of each way that are compared
LONG_SECONDS = 30.0  # seconds, as the clips of MagnaTagATune; the made set's recordings are of 6 to 10
CONDITION_WEIGHT = 0.03  # of the condition, as in configs/nano.yaml
TOLERANCE = 1e-4  # relative, of losses that must be equal
LARGER: dict[str, Any] = {"dim": 512, "n_layers": 12, "n_heads": 8, "ffn_hidden": None}
STAGE_SOURCES = {  # stage -> form, list and folder of media of each source
    1: (("captions", "MUCaps", "audios"), ("captions", "COCO", "images"), ("musicqa", "MusicQA", "audios")),
    2: (("captions_to_music", "MUCaps", "audios"),),
    3: (("musicqa", "MusicQA", "audios"), ("captions_to_music", "MUCaps", "audios"),
        ("instructions", "MUEditInstructions", "audios"), ("instructions", "MUImageInstructions", "images")),
}  # fmt: skip
CASES = (("nano", 1, False), ("nano", 1, True), ("nano", 2, False), ("nano", 3, False), ("larger", 1, False), ("larger", 1, True))
DEEP = LlamaConfig(dim=512, n_layers=16, n_heads=8, vocab_size=2008, max_seq_len=512)
ROWS, TOKENS = 2, 512  # of the step whose memory is measured
WAYS = {"none": ("none", False), "torch": ("torch", False), "fairscale": ("fairscale", False), "fairscale, offload": ("fairscale", True)}


# -- examples a second ------------------------------------------------------------------------------------------------


@dataclass
class Published:
    """The published way, with this project's classes: one example at a time, without caching."""

    model: MuMuLLaMA
    config: TrainConfig
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, config: TrainConfig, number: int) -> Published:
        model = load(config.model.path, merge_lora=False)
        names = set(trainable(model, stage(number, config.preset), config.freeze))
        for name, value in model.named_parameters():
            value.requires_grad_(name in names)
        model.train()
        learned = [value for value in model.parameters() if value.requires_grad]
        return cls(model, config, torch.optim.AdamW(learned, lr=config.lr, betas=config.betas))

    def step(self, examples: Sequence[Example]) -> float:
        """One optimizer step; returns the mean cross entropy of its tokens."""
        assert self.model.tokenizer is not None
        total = count = 0.0
        for example in examples:
            row = tokenize_example(self.model.tokenizer, example, self.config.max_tokens)
            tokens, labels = torch.tensor([row.tokens]), torch.tensor([row.labels])
            words, loss = self.losses(example, tokens, labels)
            (loss / len(examples)).backward()
            learned = int((labels[:, 1:] != IGNORE).sum())
            total, count = total + float(words) * learned, count + learned
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total / count

    def losses(self, example: Example, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of the text, and of text and condition together."""
        with torch.no_grad():
            target = self.model.music_decoder.embed([example.caption]) if example.caption is not None else None
        out = self.model(tokens, self.model.encode([turn_of(example)]))
        words = answer_loss(out.logits, labels)
        if target is None:
            return words.detach(), words
        _, at = audio_token_positions(labels, self.model.tokenizer.audio_tokens[0])[-1].tolist()
        projected = self.model.project(out.hidden[:, at : at + AUDIO_TOKENS], self.model.audio_token_embeddings(1))
        return words.detach(), words + self.config.condition_weight * condition_loss(projected, *target)


@dataclass
class Ours:
    """The loop of train.py, without reports and checkpoints."""

    run: Trainer
    batches: Iterator[list[Batch]]

    @classmethod
    def of(cls, config: TrainConfig, number: int) -> Ours:
        run = build_trainer(config, number, make_accelerator(config.precision, config.device), RunCheckpoints(Path(config.output_dir), 1))
        return cls(run, train_batches(LoaderOptions.of(config), run.tokenizer, run.train_data, run.train_step.features.reader))

    def step(self) -> float:
        return self.run.update(next(self.batches))["words"]

    @property
    def decoded(self) -> int:
        return self.run.train_step.features.misses


@dataclass(frozen=True)
class Speed:
    """Examples a second of both ways for one stage and model, and whether their losses agree."""

    published: float
    first: float  # ours, while the cache is filled
    later: float
    ratios: tuple[float, ...]  # of the steps that were compared
    same: bool

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def make_config(folder: Path, model: str, number: int, work: Path) -> TrainConfig:
    """`folder`: the set's folder. `work`: an empty one, for the cache."""
    sources = tuple(Source(form, str(folder / f"{name}.json"), str(folder / media)) for form, name, media in STAGE_SOURCES[number])  # type: ignore[arg-type]
    return TrainConfig(
        model=ModelSettings(path=model), freeze=("adapters.audio.pools",), data={number: sources}, output_dir=str(work / "run"),
        cache_dir=str(work / "features"), device="cpu", max_steps=1000, batch_size=BATCH, max_tokens=256, lr=1e-4,
        condition_weight=CONDITION_WEIGHT,
    )  # fmt: skip


def seconds(work: Callable[[], float]) -> tuple[float, float]:
    """(result, CPU seconds of this process)."""
    gc.collect()
    started = time.process_time()
    return work(), time.process_time() - started


def compare(config: TrainConfig, number: int, rounds: int) -> Speed:
    """Ours goes through its first epoch, the published way through one step of it; then they take turns."""
    theirs, ours = Published.of(config, number), Ours.of(config, number)
    assert isinstance(ours.run.train_data, ExampleMixture)
    order, examples = BatchSampler.of(ours.run.train_data, config.seed, config.batch_size), ours.run.train_data

    def published(step: int) -> tuple[float, float]:
        chosen = [examples[index] for _, index in order.batch(step)]
        return seconds(lambda: theirs.step(chosen))

    epoch = -(-order.epoch_size // order.global_batch_size)
    cold = [seconds(ours.step) for _ in range(epoch)]
    same = math.isclose(cold[0][0], published(0)[0], rel_tol=TOLERANCE)
    decoded = ours.decoded
    pairs = [(published(step)[1], seconds(ours.step)[1]) for step in range(epoch, epoch + rounds)]
    slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    first = epoch * config.batch_size / sum(time for _, time in cold)
    ratios = tuple(a / b for a, b in pairs)
    return Speed(config.batch_size / slow, first, config.batch_size / fast, ratios, same and ours.decoded == decoded)


def save_larger_model(folder: Path) -> str:
    """Saves a model with ckpts/nano's encoders and decoder and a larger random LLaMA."""
    nano = load(DEFAULT_MODEL)
    torch.manual_seed(0)
    config = dataclasses.replace(nano.config, llama=dataclasses.replace(nano.config.llama, **LARGER))
    parts = {name: getattr(nano, name) for name in ("tokenizer", "mert", "vit", "vivit", "music_decoder")}
    MuMuLLaMA(config, **parts).save_pretrained(folder / "larger")
    return str(folder / "larger")


def made_sets(folder: Path) -> dict[bool, Path]:
    """The made set, and one whose recordings are long (True)."""
    folders = {long: folder / f"made-{long}" for long in (False, True)}
    for folder_made in folders.values():
        make_set(folder_made, PIECES, 0, lambda _: None)
    player = load_sampler()
    for index, path in enumerate(sorted((folders[True] / "audios").glob("heard_*"))):
        attributes = sample_attributes(np.random.default_rng(index))
        SyntheticPiece(attributes, LONG_SECONDS, (index,)).write(lambda: player, path)
    return folders


def report_speed(folder: Path, rounds: int = ROUNDS) -> bool:
    """Prints the table; whether both ways did the same throughout."""
    sets, models = made_sets(folder), {"nano": str(DEFAULT_MODEL), "larger": save_larger_model(folder)}
    names = {"nano": "8 layers of 192", "larger": f"{LARGER['n_layers']} layers of {LARGER['dim']}"}
    print(f"\nexamples a second, batch {BATCH}; ratio: median of {rounds} steps (least to most); first: while the cache is filled")
    print(f"{'LLaMA':18} {'stage':>5} {'sound':>7} {'published':>9} {'ours':>7} {'ratio':>19} {'first':>7} {'same':>5}")
    good = True
    for model, number, long in CASES:
        with TemporaryDirectory(dir=folder) as work:
            result = compare(make_config(sets[long], models[model], number, Path(work)), number, rounds)
        sound = "none" if number == 2 else f"{LONG_SECONDS:g} s" if long else "6-10 s"
        print(f"{names[model]:18} {number:5} {sound:>7} {line(result)}", flush=True)
        good = good and result.same
    return good


def line(speed: Speed) -> str:
    spread = f"{speed.ratio:.1f} ({min(speed.ratios):.1f} to {max(speed.ratios):.1f})"
    missed = "" if speed.ratio >= TARGET else f"   (at least {TARGET:g}: missed)"
    same = "yes" if speed.same else "NO"
    return f"{speed.published:9.1f} {speed.later:7.1f} {spread:>19} {speed.first:7.1f} {same:>5}{missed}"


# -- memory -------------------------------------------------------------------------------------------------------------


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(way: str, rows: int, tokens: int, llama: LlamaConfig = DEEP) -> tuple[float, float, float]:
    """(bytes that a step needs beyond weights, gradients and the optimiser's state; seconds; loss). In a fresh process."""
    kind, offload = WAYS[way]
    torch.manual_seed(0)
    model = MuMuLLaMA(MuMuConfig.tiny(llama=llama))
    config = TrainConfig(activation_checkpointing=kind, offload=offload)  # type: ignore[arg-type]
    names = trainable(model, stage(1))
    assert AUDIO_TOKEN_ROWS in names
    module = training_module(model, config, names)
    optimizer = torch.optim.AdamW([value for value in module.parameters() if value.requires_grad], lr=0.0)
    figures: list[float] = []
    for size in ((1, 8), (rows, tokens)):  # the small step allocates everything persistent
        before = peak_memory()
        lesson = random_batch(model, *size)
        started = time.process_time()
        losses = module(lesson)
        loss = losses["words"].sum() / losses["words_count"].sum()
        loss.backward()
        optimizer.step()
        for value in module.parameters():  # zeroed, not let go: they belong to the base of the next step
            if value.grad is not None:
                value.grad.zero_()
        figures = [peak_memory() - before, time.process_time() - started, float(loss.detach())]
    return figures[0], figures[1], figures[2]


def random_batch(model: MuMuLLaMA, rows: int, tokens: int) -> TrainingBatch:
    """Questions about recordings, of which what is kept is drawn at random."""
    generator = torch.Generator().manual_seed(rows)
    tokens_drawn = torch.randint(3, model.config.llama.vocab_size - AUDIO_TOKENS, (rows, tokens), generator=generator)
    audio = model.config.audio
    features = torch.randn(rows, audio.channels, audio.feature_dim, generator=generator)
    return TrainingBatch(tokens_drawn, tokens_drawn.clone(), {"audio": [{"channels": row} for row in features]}, None, None)


def report_memory(rows: int) -> bool:
    """Prints the table; whether every way finds the same loss."""
    print(f"\none step of stage 1, {DEEP.n_layers} layers of {DEEP.dim}, {rows} x {TOKENS} tokens, float32, CPU")
    print(f"{'activation checkpointing':25} {'peak MB':>8} {'of none':>8} {'seconds':>8} {'of none':>8}")
    # Memory that is let go shall be gone: else the C library's holes between blocks are measured, not what is alive.
    environment, results = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}, {}
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.train", "--way", way, "--rows", str(rows)]
        words = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()[-3:]
        results[way] = peak_bytes, took, _ = tuple(map(float, words))
        base = results["none"]
        print(f"{way:25} {peak_bytes / 1e6:8.0f} {peak_bytes / base[0]:8.2f} {took:8.1f} {took / base[1]:8.2f}", flush=True)
    print("(on a CPU there is nowhere to offload to: what fairscale keeps stays where it was)")
    return all(math.isclose(result[2], results["none"][2], rel_tol=TOLERANCE) for result in results.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="steps of each way that are compared (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the step whose memory is measured (default: %(default)s)")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    if options.way:
        print(*measure(options.way, options.rows, TOKENS))
        return 0
    good = report_memory(options.rows)  # first: a child begins with the peak of the process that started it
    with TemporaryDirectory() as folder:
        good = report_speed(Path(folder), options.rounds) and good
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
