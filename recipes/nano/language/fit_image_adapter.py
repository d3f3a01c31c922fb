"""Fits what the language model sees to new eyes: the adapter of pictures alone, everything else as it is.

    python -m recipes.nano.language.fit_image_adapter WORK --minutes 5
    python -m recipes.nano.language.fit_image_adapter WORK --features EYES --minutes 5      # features_image of elsewhere than WORK/data

Once `recipes.nano.vision_encoder.train cache` has written features of other eyes, the finished language model need not learn again: its adapter
learns to say the same with them, from questions about pictures and music for pictures. Starts from WORK/language.pt and writes it;
short enough to be run again from the start. Before `recipes.nano.language.fit_projector`, which then learns from the new states.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.language.cached_data import Library, Writer, batches
from recipes.nano.language.train_cached import CONDITION_WEIGHT, STEP_TOKENS, Trainer, fresh, give, read

SHARES = {"picture": 1.0}
RATE, WARM_UP, TESTED = 2e-3, 30, 120
PARTS = ("photographs", "test")  # photographs kept for validation, and drawn scenes


def sights(folder: Path, part: str) -> Library:
    """Pictures alone."""
    labels = json.loads((folder / "labels_image.json").read_text())[part]
    return Library(None, [], load_file(folder / "features_image.safetensors")[part], labels, None, [])


@torch.inference_mode()
def held_out(trainer: Trainer, folder: Path) -> dict[str, tuple[float, float]]:
    """(cross entropy, regression) on pictures that are not trained on, in wording that is not."""
    trainer.model.eval()
    found = {}
    for part in PARTS:
        rows = Writer(trainer.model.tokenizer, sights(folder, part), SHARES, seed=1, held_out=True).rows(TESTED)
        words, condition = trainer.losses(rows)
        found[part] = round(float(words), 3), round(float(condition), 2)
    trainer.model.train()
    return found


def fit(trainer: Trainer, folder: Path, minutes: float) -> None:
    """Trains the adapter in place for so many minutes of processor time."""
    adapter = trainer.model.adapters["image"]
    trainer.model.requires_grad_(False)
    adapter.requires_grad_(True)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    writer, queue, step = Writer(trainer.model.tokenizer, trainer.shelf, SHARES, seed=300), [], 0
    print("before", held_out(trainer, folder), flush=True)
    trainer.model.train()
    start = time.process_time()
    while (spent := (time.process_time() - start) / (60 * minutes)) < 1:
        queue = queue or batches(writer.rows(600), STEP_TOKENS, writer.rng)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * spent))
        words, condition = trainer.losses(queue.pop())
        optimizer.zero_grad()
        (words + CONDITION_WEIGHT * condition).backward()
        nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(f"step {step} of {spent:.0%}: training {words.item():.3f} {condition.item():.2f}, {held_out(trainer, folder)}", flush=True)
    print(f"{step} steps, {held_out(trainer, folder)}")


def write(model: MuMuLLaMA, checkpoint: Path) -> None:
    partial = checkpoint.with_name(f"{checkpoint.name}.partial")
    torch.save({"model": model.state_dict(), "stage": "look", "step": 0, "spent": 0.0}, partial)
    os.replace(partial, checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--features", type=Path, help="folder of features_image and labels_image, instead of WORK/data")
    parser.add_argument("--minutes", type=float, default=5, help="of processor time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder, checkpoint = options.features or options.work / "data", options.work / "language.pt"
    model, state = fresh(Tokenizer(options.work / "tokenizer.model")), read(checkpoint)
    if not state:
        raise FileNotFoundError(f"There is no {checkpoint}; train the language stages first.")
    give(model, state["model"])
    decoder = MusicGenDecoder.from_folder(options.work / "decoder")
    trainer = Trainer(model, options.work, "look", sights(folder, "train"), decoder, RATE)
    fit(trainer, folder, options.minutes)
    write(model, checkpoint)


if __name__ == "__main__":
    main()
