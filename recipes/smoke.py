"""Configuration of `train.py --smoke`: a tiny LLaMA with the embedded model's encoders and decoder, on a small data set."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import torch

from llama import MuMuConfig, MuMuLLaMA, load
from llama.checkpoint.delta import is_delta, read_base_reference
from llama.cli import DEFAULT_MODEL
from llama.data.source import Source
from llama.training.config import ModelSettings, SyntheticSet, TrainConfig
from llama.training.distributed import main_first
from llama.training.run_checkpoints import RunLock

FOLDER, STEPS, PIECES = "runs/smoke", 12, 12
SOURCES = (  # form, list, folder of its media
    ("captions_to_music", "MUCaps", "audios"),
    ("musicqa", "MusicQA", "audios"),
    ("instructions", "MUEditInstructions", "audios"),
    ("instructions", "MUImageInstructions", "images"),
    ("instructions", "MUVideoInstructions", "videos"),
)


def smoke_config(
    output_dir: str | None = None, steps: int | None = None, seed: int | None = None, model: str | None = None, resume: bool = False
) -> TrainConfig:
    """The configuration; model and data set are created in the output folder. An earlier smoke test there is removed unless resumed."""
    root, steps, seed = Path(output_dir or FOLDER), STEPS if steps is None else steps, seed or 0
    with main_first("cpu"):
        if not resume:
            remove_previous_run(root)
        if not (root / "base").exists():
            tiny_model(seed).save_pretrained(root / "base")
    data_folder = root / "made"
    sources = tuple(Source(form, str(data_folder / f"{name}.json"), str(data_folder / media)) for form, name, media in SOURCES)  # type: ignore[arg-type]
    return TrainConfig(
        model=ModelSettings(path=model or str(root / "base")), data=dict.fromkeys((1, 2, 3), sources), made=SyntheticSet(str(data_folder), PIECES),
        holdout=0.15, output_dir=str(root), cache_dir=str(root / "features"), device="cpu", seed=seed, max_steps=steps,
        batch_size=2, max_tokens=192, lr=1e-3, warmup_steps=min(2, steps // 4), condition_padding="silence", condition_weight=0.03,
        validate_every=6, validation_rows=8, examples=2, example_seconds=2.0, save_every=6, log_every=1,
    )  # fmt: skip


def remove_previous_run(root: Path) -> None:
    """Removes the files of an earlier smoke test, and none of another run. Raises ValueError while one is running there."""
    last = root / "last"
    if is_delta(last) and Path(read_base_reference(last).base.get("model", "")).resolve() == (root / "base").resolve():
        with RunLock(root):
            for name in ("checkpoints", "last"):
                shutil.rmtree(root / name, ignore_errors=True)


def tiny_model(seed: int) -> MuMuLLaMA:
    """A tiny LLaMA with random weights and the frozen components of ckpts/nano."""
    nano, sizes = load(DEFAULT_MODEL), MuMuConfig.tiny()
    llama, projector = nano.config.llama, nano.config.projector
    config = dataclasses.replace(
        nano.config,
        query_layer=sizes.query_layer,
        llama=dataclasses.replace(sizes.llama, vocab_size=llama.vocab_size, max_seq_len=llama.max_seq_len),
        projector=dataclasses.replace(sizes.projector, tokens=projector.tokens, width=projector.width),
    )
    torch.manual_seed(seed)
    components = {name: getattr(nano, name) for name in ("tokenizer", "mert", "vit", "vivit", "music_decoder")}
    return MuMuLLaMA(config, **components).eval()
