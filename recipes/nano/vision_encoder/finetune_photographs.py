"""Fine-tunes the image encoder, trained on drawn scenes, on real photographs beside them.

    python -m recipes.nano.vision_encoder.finetune_photographs fit WORK --minutes 8      # WORK/vit, with WORK/photographs_train
    python -m recipes.nano.vision_encoder.finetune_photographs add WORK                  # their features to WORK/data/features_image

"fit" starts from the result of `recipes.nano.vision_encoder.train picture` and keeps the weights with the best validation score.
"add", after `recipes.nano.vision_encoder.train cache`, appends augmented photographs to the drawn scenes of "train" and stores
the validation photographs as "photographs".
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ViTModel

from llama.files import atomic_path, write_json
from recipes.nano.timed_loop import Schedule, TimedTrainer
from recipes.nano.vision_encoder import augmentation
from recipes.nano.vision_encoder.augmentation import PhotographSet
from recipes.nano.vision_encoder.train import (
    HEADS,
    SIDE,
    TEST_COUNT,
    WARMUP_STEPS,
    LabelClassifier,
    accuracy,
    augment,
    encode_batches,
    make_dataset,
    save,
    to_pixel_values,
)

DRAWINGS, AUGMENTED_BATCHES, RATE = 6000, 48, 6e-4  # drawings beside the photographs; batches of 64 augmented photographs in the cache
BATCH = (40, 28)  # drawings and photographs: with fewer drawings, accuracy on places drops
DROPOUT, EVALUATION_STEPS = 0.1, 100


class WeightAverage:
    """Exponential moving average of a model's weights."""

    def __init__(self, model: LabelClassifier, decay: float = 0.995) -> None:
        self.model, self.decay = copy.deepcopy(model).eval(), decay

    @torch.no_grad()
    def update(self, model: LabelClassifier) -> None:
        for mean, value in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(value, 1 - self.decay)


def load_classifier(folder: Path, dropout: float = 0.0) -> LabelClassifier:
    """Loads the image encoder and its heads from a folder that `save` wrote."""
    model = LabelClassifier("picture")
    model.encoder = ViTModel.from_pretrained(folder, hidden_dropout_prob=dropout)
    model.heads.load_state_dict(load_file(folder / "heads.safetensors"))
    return model


def fit(start_from: Path, photographs: Path, minutes: float) -> tuple[LabelClassifier, dict[str, Any]]:
    """Trains for `minutes` of processor time; returns the classifier with the best validation score, and its scores."""
    torch.manual_seed(0)
    model, rng = load_classifier(start_from, DROPOUT).train(), np.random.default_rng(2)
    training, validation = augmentation.load_photographs(photographs, held_out=False), augmentation.load_photographs(photographs, held_out=True)
    drawings, labels = make_dataset("picture", DRAWINGS, seed=13)
    average, optimizer = WeightAverage(model), torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    best, scores = copy.deepcopy(average.model), photograph_accuracy(average.model, validation)
    print("photographs before", scores, flush=True)

    def loss() -> tuple[Tensor, float]:
        indices = rng.integers(0, len(drawings), BATCH[0])
        pictures, picture_labels = training.sample(BATCH[1], rng, SIDE)
        batch = np.concatenate([augment("picture", drawings[indices], rng), pictures])
        total = classification_loss(model, batch, torch.cat([labels[indices], picture_labels]))
        return total, total.item()

    trainer = TimedTrainer({"model": model}, optimizer, Schedule(minutes, RATE, WARMUP_STEPS, processor_time=True), rng)
    for value in trainer.steps(loss):
        average.update(model)
        if trainer.step % EVALUATION_STEPS == 0:
            current = photograph_accuracy(average.model, validation)
            print(f"step {trainer.step} of {trainer.progress:.0%} loss {value:.3f} photographs {current}", flush=True)
            if validation_score(current) >= validation_score(scores):
                best, scores = copy.deepcopy(average.model), current
    return best, {**accuracy(best, *make_dataset("picture", TEST_COUNT, seed=12)), "photographs": scores}


def classification_loss(model: LabelClassifier, batch: np.ndarray, labels: Tensor) -> Tensor:
    """Sum of the heads' cross entropies, each over the pictures that have its label."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = [values.float() for values in model(to_pixel_values("picture", batch))]
    losses = [
        nn.functional.cross_entropy(values, labels[:, index], label_smoothing=0.1, ignore_index=augmentation.UNLABELLED)
        for index, values in enumerate(logits)
    ]
    return torch.stack(losses).sum()


def validation_score(scores: dict[str, float]) -> float:
    return sum(scores[name] for name in ("mood", "energy", "mood_balanced", "energy_balanced"))


def photograph_accuracy(model: LabelClassifier, validation: PhotographSet) -> dict[str, float]:
    """Accuracy of mood and energy, balanced accuracy (mean over classes), and the share of the most frequent class."""
    model.eval()
    with torch.inference_mode():
        logits = dict(zip(HEADS["picture"], model(to_pixel_values("picture", augmentation.full_pictures(validation, SIDE))), strict=True))
    scores: dict[str, float] = {}
    for name in ("mood", "energy"):
        truth = validation.labels[:, list(HEADS["picture"]).index(name)]
        hits = (logits[name].argmax(1) == truth).float()
        scores[name] = hits.mean().item()
        scores[f"{name}_balanced"] = float(np.mean([hits[truth == value].mean().item() for value in truth.unique()]))
        scores[f"{name}_commonest"] = truth.bincount().max().item() / len(truth)
    return {name: round(value, 3) for name, value in scores.items()}


def add_features(work: Path, photographs: Path, out: Path) -> None:
    """Adds photographs to the cached image features; does nothing where the cache has them already."""
    tensors, labels = load_file(out / "features_image.safetensors"), json.loads((out / "labels_image.json").read_text())
    if "photographs" in tensors:
        return
    encoder, rng = ViTModel.from_pretrained(work / "vit").eval(), np.random.default_rng(23)
    training, validation = augmentation.load_photographs(photographs, held_out=False), augmentation.load_photographs(photographs, held_out=True)
    augmented_batches = [training.sample(64, rng, SIDE) for _ in range(AUGMENTED_BATCHES)]
    tensors["train"] = torch.cat([tensors["train"], encode_batches(encoder, "picture", (batch for batch, _ in augmented_batches))])
    tensors["photographs"] = encode_batches(encoder, "picture", iter([augmentation.full_pictures(validation, SIDE)]))
    labels["train"] += labels_by_name(torch.cat([batch_labels for _, batch_labels in augmented_batches]))
    labels["photographs"] = labels_by_name(validation.labels)
    write_json(out / "labels_image.json", labels)
    with atomic_path(out / "features_image.safetensors") as partial:
        save_file(tensors, partial)
    print({part: tuple(value.shape) for part, value in tensors.items()})


def labels_by_name(labels: Tensor) -> Sequence[dict[str, str]]:
    return [augmentation.label_names(row) for row in labels.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fit", "add"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--photographs", type=Path, help="instead of WORK/photographs_train")
    parser.add_argument("--out", type=Path, help="of the features, instead of WORK/data")
    parser.add_argument("--minutes", type=float, default=8, help="of processor time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    photographs = options.photographs or options.work / "photographs_train"
    if options.what == "add":
        add_features(options.work, photographs, options.out or options.work / "data")
        return
    model, scores = fit(options.work / "vit", photographs, options.minutes)
    model.encoder.config.hidden_dropout_prob = 0.0
    save(model, scores, options.work / "vit")
    print(scores)


if __name__ == "__main__":
    main()
