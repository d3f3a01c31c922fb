"""Trains the vision encoders: a small ViT on drawn scenes and a small ViViT on drawn clips, by classification.

    python -m recipes.nano.vision_encoder.train picture OUT/vit --minutes 5
    python -m recipes.nano.vision_encoder.train clip OUT/vivit --minutes 5
    python -m recipes.nano.vision_encoder.train cache OUT OUT/data        # features of fresh scenes and clips, for the language stages

A run that is stopped leaves its checkpoint beside the folder, OUT/vit.pt, for --resume.

The heads read the mean over the tokens of the last hidden state, because the understanding adapter mixes tokens with one
weight each: only what the mean contains can reach the language model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel, VivitConfig, VivitModel

from DataSet.synthesis.clips import FRAMES, MOTIONS, PULSES, random_clip, render_clip
from DataSet.synthesis.scenes import ENERGIES, LIGHTS, MOODS, PLACES, WEATHERS, draw, random_scene
from llama.files import atomic_path, write_json
from recipes.nano.timed_loop import Schedule, TimedTrainer

SIDE = 64
WARMUP_STEPS, TEST_COUNT = 100, 600
HEADS = {
    "picture": {"place": PLACES, "light": LIGHTS, "weather": WEATHERS, "mood": MOODS, "energy": ENERGIES},
    "clip": {"motion": MOTIONS, "pulse": PULSES, "light": LIGHTS, "mood": MOODS},
}
_MEAN = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 2}
PREPROCESSORS: dict[str, dict[str, Any]] = {
    "picture": {**_MEAN, "image_processor_type": "ViTImageProcessor", "rescale_factor": 1 / 255,
                "size": {"height": SIDE, "width": SIDE}},
    "clip": {**_MEAN, "image_processor_type": "VivitImageProcessor", "rescale_factor": 1 / 127.5, "offset": True,
             "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}, "size": {"shortest_edge": SIDE}},
}


def build_encoder(kind: str) -> ViTModel | VivitModel:
    shared: dict[str, Any] = {"image_size": SIDE, "intermediate_size": 256, "num_attention_heads": 4}
    if kind == "picture":
        return ViTModel(ViTConfig(patch_size=8, hidden_size=128, num_hidden_layers=4, **shared))
    model = VivitModel(VivitConfig(num_frames=FRAMES, tubelet_size=[2, 16, 16], hidden_size=96, num_hidden_layers=3, **shared))
    filters = next(value for value in model.parameters() if value.dim() == 5).data  # [96, 3, 2, 16, 16]
    # Half of the filters start as differences of the two frames: from random ones, motion is not learned within minutes.
    filters[::2, :, 1] = -filters[::2, :, 0]
    filters *= 3
    return model


def sample(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, str]]:
    """A random scene or clip: uint8 pixels [64, 64, 3] or [16, 64, 64, 3], and its labels."""
    if kind == "picture":
        scene = random_scene(rng)
        size = (int(rng.integers(80, 150)), int(rng.integers(80, 130)))
        return np.asarray(draw(scene, size).resize((SIDE, SIDE), 2)), scene.labels()
    clip = random_clip(rng)
    return render_clip(clip, SIDE), clip.labels()


def to_pixel_values(kind: str, batch: np.ndarray) -> Tensor:
    """Scales as the published processors do: pictures to [-1, 1], clips to [-3, 1]."""
    values = torch.from_numpy(batch).float().movedim(-1, -3)
    return values / 127.5 - 1 if kind == "picture" else values / 63.75 - 3


def make_dataset(kind: str, count: int, seed: int) -> tuple[np.ndarray, Tensor]:
    rng = np.random.default_rng(seed)
    pixels, labels = zip(*(sample(kind, rng) for _ in range(count)), strict=True)
    rows = [[names.index(row[head]) for head, names in HEADS[kind].items()] for row in labels]
    return np.stack(pixels), torch.tensor(rows)


def augment(kind: str, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random mirroring and, for pictures, a random shift."""
    batch = batch[..., ::-1, :] if rng.random() < 0.5 else batch
    if kind == "picture":
        dy, dx = rng.integers(-6, 7, 2)
        padded = np.pad(batch, ((0, 0), (6, 6), (6, 6), (0, 0)), mode="edge")
        batch = padded[:, 6 + dy:6 + dy + SIDE, 6 + dx:6 + dx + SIDE]
    return np.ascontiguousarray(batch)


class LabelClassifier(nn.Module):
    """An encoder with one linear head for each label, on the mean of its tokens."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.encoder = kind, build_encoder(kind)
        width = self.encoder.config.hidden_size
        self.heads = nn.ModuleDict({head: nn.Linear(width, len(names)) for head, names in HEADS[kind].items()})

    def forward(self, values: Tensor) -> list[Tensor]:
        states = self.encoder(pixel_values=values).last_hidden_state.mean(dim=1)
        return [head(states) for head in self.heads.values()]


def accuracy(model: LabelClassifier, images: np.ndarray, labels: Tensor) -> dict[str, float]:
    model.eval()
    hits = torch.zeros(labels.shape[1])
    with torch.inference_mode():
        for at in range(0, len(images), 100):
            logits = model(to_pixel_values(model.kind, images[at:at + 100]))
            hits += torch.stack([(x.argmax(1) == labels[at:at + 100, i]).sum() for i, x in enumerate(logits)])
    model.train()
    return {head: round(float(hit) / len(images), 3) for head, hit in zip(HEADS[model.kind], hits, strict=True)}


def fit(
    kind: str, minutes: float, count: int, checkpoint: Path, start_from: Path | None = None, batch: int = 32, lr: float = 1e-3
) -> tuple[LabelClassifier, dict[str, float]]:
    """Trains for `minutes` of processor time, from `checkpoint` on if it exists; `start_from`: a folder that `save` wrote."""
    torch.manual_seed(0)
    model, rng = LabelClassifier(kind), np.random.default_rng(1)
    if start_from:
        model.encoder = type(model.encoder).from_pretrained(start_from)
        model.heads.load_state_dict(load_file(start_from / "heads.safetensors"))
    images, labels = make_dataset(kind, count, seed=11)
    test = make_dataset(kind, TEST_COUNT, seed=12)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.02)

    def loss() -> tuple[Tensor, float]:
        indices = rng.integers(0, len(images), batch)
        logits = model(to_pixel_values(kind, augment(kind, images[indices], rng)))
        losses = [nn.functional.cross_entropy(x, labels[indices, i], label_smoothing=0.05) for i, x in enumerate(logits)]
        total = torch.stack(losses).sum()
        return total, total.item()

    trainer = TimedTrainer({"model": model}, optimizer, Schedule(minutes, lr, WARMUP_STEPS, processor_time=True), rng, checkpoint=checkpoint)
    if checkpoint.exists():
        trainer.load_state_dict(torch.load(checkpoint, weights_only=True))
    for value in trainer.steps(loss):
        if trainer.step % 200 == 0:
            print(f"{kind} step {trainer.step} loss {value:.3f} test {accuracy(model, *test)}", flush=True)
    return model.eval(), accuracy(model, *test)


def save(model: LabelClassifier, scores: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.encoder.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", PREPROCESSORS[model.kind])
    write_json(folder / "scores.json", scores)
    save_file({name: value.contiguous() for name, value in model.heads.state_dict().items()}, folder / "heads.safetensors")


def encode_batches(encoder: nn.Module, kind: str, batches: Iterator[np.ndarray]) -> Tensor:
    """Last hidden states, fp16 [N, 1, tokens, F], in the form of llama's encoders."""
    with torch.inference_mode():
        states = [encoder(pixel_values=to_pixel_values(kind, batch)).last_hidden_state.half() for batch in batches]
    return torch.cat(states).unsqueeze(1).contiguous()


def write_features(folder: Path, out: Path, counts: dict[str, int]) -> None:
    """Writes features_image and features_video .safetensors, with "train" and "test", and their labels; skips existing files."""
    load: dict[str, Callable[..., Any]] = {"picture": ViTModel.from_pretrained, "clip": VivitModel.from_pretrained}
    for kind, sub, name in (("picture", "vit", "image"), ("clip", "vivit", "video")):
        if not (folder / sub / "config.json").exists():
            print(f"{folder / sub} is not there yet: skipped")
            continue
        if (out / f"features_{name}.safetensors").exists():
            continue
        encoder = load[kind](folder / sub).eval()
        tensors, labels = {}, {}
        for part, seed, count in (("train", 21, counts[kind]), ("test", 22, 300)):
            rng = np.random.default_rng(seed)
            images, names = zip(*(sample(kind, rng) for _ in range(count)), strict=True)
            tensors[part] = encode_batches(encoder, kind, (np.stack(images[at:at + 64]) for at in range(0, count, 64)))
            labels[part] = names
        with atomic_path(out / f"features_{name}.safetensors") as partial:
            save_file(tensors, partial)
        write_json(out / f"labels_{name}.json", labels)
        print(name, {part: tuple(value.shape) for part, value in tensors.items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["picture", "clip", "cache"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", help="where 'cache' writes")
    parser.add_argument("--minutes", type=float, default=5, help="of processor time")
    parser.add_argument("--count", type=int, default=12000, help="drawings to train on")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped, else from what lies in FOLDER")
    options = parser.parse_args()
    if options.what == "cache":
        write_features(options.folder, options.out or options.folder, {"picture": 4000, "clip": 2500})
        return
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = options.folder.with_name(f"{options.folder.name}.pt")
    if not options.resume:
        checkpoint.unlink(missing_ok=True)
    start_from = options.folder if options.resume and not checkpoint.exists() else None
    model, scores = fit(options.what, options.minutes, options.count, checkpoint, start_from)
    save(model, scores, options.folder)
    checkpoint.unlink(missing_ok=True)
    print(options.what, scores)


if __name__ == "__main__":
    main()
