"""Readers of weight files: torch archives and safetensors, memory-mapped, without un-pickling code."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_torch(path: Path) -> Any:
    """The content of a torch.save file, memory-mapped: plain values, tensors and at most an argparse.Namespace.

    Raises ValueError for any other object, naming it, and for a file that is truncated or no torch file.
    """
    if not zipfile.is_zipfile(path) and _first_bytes(path) not in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        raise ValueError(f"{path} is truncated or no torch checkpoint; copy or download it again.")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = match[1] if match else "an object"
        raise ValueError(
            f"{path} holds {what}, which is no weight and could run code when read; save its tensors alone and give that."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is truncated or no torch checkpoint; copy or download it again.") from error


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(2)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, memory-mapped. Raises ValueError if it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or no safetensors file; copy or download it again.") from error


def weights_of(raw: Any, path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint by name; those under "model" if it is a training checkpoint."""
    weights = raw.get("model", raw) if isinstance(raw, Mapping) else raw
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        content = ", ".join(sorted(map(str, raw))[:4]) if isinstance(raw, Mapping) else type(raw).__name__
        raise ValueError(f"{path} holds no table of weights (but {content}); give the checkpoint.pth of MuMu-LLaMA or M2UGen.")
    return dict(weights)
