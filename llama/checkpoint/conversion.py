"""Conversion between the published and the native format, and verification of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from llama.checkpoint.builder import State
from llama.checkpoint.key_mapping import (
    COMPONENT_PREFIXES,
    to_published,
)
from llama.checkpoint.llama_weights import CHECKLIST, verify_checklist
from llama.checkpoint.loading import load_model
from llama.checkpoint.pretrained import (
    check_native_target,
    from_pretrained,
    is_native,
    save_pretrained,
    trainable_state,
    unshare_tensors,
)
from llama.checkpoint.source import ModelSource
from llama.config import ENCODERS
from llama.decoders.base import MusicDecoder, StoredDecoder
from llama.encoders.base import FrozenEncoder
from llama.files import atomic_path, check_writable
from llama.mumu_model import MuMuModel


def published_state(model: MuMuModel) -> State:
    """All weights under the published names: the inverse of loading with merge_lora=False and dtype="stored".

    Raises ValueError for adapters or decoders that the published form cannot hold.
    """
    state = to_published(trainable_state(model))
    components: dict[str, FrozenEncoder | MusicDecoder | None] = {name: getattr(model, name) for name in ENCODERS.values()}
    components["decoder"] = model.music_decoder
    for name, component in components.items():
        if isinstance(component, FrozenEncoder | StoredDecoder):
            state.update({COMPONENT_PREFIXES[name] + key: value for key, value in component.export_state().items()})
    return state


def save_published(model: MuMuModel, file: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes a checkpoint that the published code reads, atomically."""
    path = check_published_target(file)
    state = unshare_tensors(published_state(model), dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        try:
            torch.save({"model": state}, partial)
        except RuntimeError as error:  # what torch's own writer raises on a full disk
            raise OSError(str(error).splitlines()[0]) from error


def check_published_target(file: str | Path) -> Path:
    """The path of a file that `save_published` may write. Raises ValueError or WriteError, before a long work, if it may not."""
    path = Path(file)
    check_writable(path, parents=True)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file to write, for instance {path / 'checkpoint.pth'}.")
    return path


def convert(source: str, target: str, to: str | None = None, dtype: torch.dtype | None = None, **options: Any) -> None:
    """Reads `source` as `llama.load` does, each weight in its stored type, and writes `target` in the format `to`.

    to: "own" or "published"; None chooses by the suffix of `target`. options: the other fields of `ModelSource`, and verify.
    """
    verify = options.pop("verify", False)
    published = (to or ("published" if target.endswith(".pth") else "own")) == "published"
    (check_published_target if published else check_native_target)(target)
    model = load_model(ModelSource(source, **options), MuMuModel, dtype="stored", merge_lora=False, verify=verify)
    (save_published if published else save_pretrained)(model, target, dtype)


def verify(folder: str) -> str:
    """One sentence on what was checked. Raises ValueError or FileNotFoundError for what is damaged or missing."""
    path = Path(folder)
    if path.is_dir() and is_native(path):
        model = from_pretrained(path, dtype="stored", merge_lora=False, model_class=MuMuModel)
        return f"{path}: all {len(trainable_state(model))} weights and their components fit config.json."
    folders = [candidate for candidate in (path, *sorted(path.glob("*"))) if (candidate / CHECKLIST).is_file()]
    if not folders:
        raise FileNotFoundError(f"{path} has no {CHECKLIST} and is no folder of ours; give LLaMA's as Meta delivered it.")
    checked = [name for candidate in folders for name in verify_checklist(candidate)]
    return f"{path}: {', '.join(checked)} fit {CHECKLIST}."
