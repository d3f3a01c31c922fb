"""Fits the image adapter to a changed image encoder; all other weights stay.

    python -m recipes.nano.language.fit_image_adapter WORK --minutes 5
    python -m recipes.nano.language.fit_image_adapter WORK --features FOLDER --minutes 5      # features_image outside WORK/data

After `recipes.nano.vision_encoder.train cache` has written features of another encoder, the language model need not be trained
again: its adapter learns to give the same answers, from questions about pictures and requests of music for pictures. Starts
from WORK/language.pt and replaces it; it does not resume. Run it before `recipes.nano.language.fit_projector`, which then uses
the new states.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.files import atomic_path
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.language.cached_data import ExampleSampler, Library
from recipes.nano.language.train_cached import (
    StageTrainer,
    load_language_weights,
    new_model,
    read_checkpoint,
)
from recipes.nano.timed_loop import Schedule, TimedTrainer

SHARES = {"picture": 1.0}
RATE, WARMUP_STEPS, EPOCH_ROWS, VALIDATION_ROWS = 2e-3, 30, 600, 120
VALIDATION_PARTS = ("photographs", "test")  # validation photographs, and drawn scenes


def picture_library(folder: Path, part: str) -> Library:
    """A library with pictures only."""
    labels = json.loads((folder / "labels_image.json").read_text())[part]
    return Library(None, [], load_file(folder / "features_image.safetensors")[part], labels, None, [])


@torch.inference_mode()
def validation_losses(trainer: StageTrainer, folder: Path) -> dict[str, tuple[float, float]]:
    """(cross entropy, condition loss) by split, on held-out pictures and wording."""
    trainer.model.eval()
    losses = {}
    for part in VALIDATION_PARTS:
        rows = ExampleSampler(trainer.tokenizer, picture_library(folder, part), SHARES, seed=1, held_out=True).sample_many(VALIDATION_ROWS)
        words, condition = trainer.losses(rows)
        losses[part] = round(float(words), 3), round(float(condition), 2)
    trainer.model.train()
    return losses


def fit(trainer: StageTrainer, folder: Path, minutes: float) -> None:
    """Trains the image adapter in place for `minutes` of processor time."""
    adapter = trainer.model.adapters["image"]
    trainer.model.requires_grad_(False)
    adapter.requires_grad_(True)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    batches = trainer.batches(SHARES, 300, EPOCH_ROWS)
    loop = TimedTrainer({"adapter": adapter}, optimizer, Schedule(minutes, RATE, WARMUP_STEPS, processor_time=True), batches.rng)
    print("before", validation_losses(trainer, folder), flush=True)
    trainer.model.train()
    for words, condition in loop.steps(lambda: trainer.total_loss(batches.next())):
        if loop.step % 100 == 0:
            print(f"step {loop.step} of {loop.progress:.0%}: training {words:.3f} {condition:.2f}, {validation_losses(trainer, folder)}", flush=True)
    print(f"{loop.step} steps, {validation_losses(trainer, folder)}")


def save_checkpoint(model: MuMuLLaMA, checkpoint: Path) -> None:
    with atomic_path(checkpoint) as partial:
        torch.save({"model": model.state_dict(), "stage": "look", "step": 0, "spent": 0.0}, partial)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--features", type=Path, help="folder of features_image and labels_image, instead of WORK/data")
    parser.add_argument("--minutes", type=float, default=5, help="of processor time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder, checkpoint = options.features or options.work / "data", options.work / "language.pt"
    model, state = new_model(Tokenizer(options.work / "tokenizer.model")), read_checkpoint(checkpoint)
    if not state:
        raise FileNotFoundError(f"There is no {checkpoint}; train the language stages first.")
    load_language_weights(model, state["model"])
    decoder = MusicGenDecoder.from_folder(options.work / "decoder")
    trainer = StageTrainer(model, options.work, "look", picture_library(folder, "train"), decoder, RATE)
    fit(trainer, folder, options.minutes)
    save_checkpoint(model, checkpoint)


if __name__ == "__main__":
    main()
