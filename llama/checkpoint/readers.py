"""Readers of weight files: torch archives and safetensors, memory-mapped, without un-pickling code."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from llama.errors import comma_list, is_installation_error, shorten


def read_torch(path: Path) -> Any:
    """The content of a torch.save file, memory-mapped: plain values, tensors and at most an argparse.Namespace.

    Raises ValueError for any other object, naming it, and for a file that is truncated or no torch file.
    """
    kind = "torch checkpoint"
    try:
        archive = zipfile.is_zipfile(path)
        if not archive and _first_bytes(path) not in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
            raise pickle.UnpicklingError("neither an archive nor a pickle")
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # of damaged bytes
            return torch.load(path, map_location="cpu", mmap=archive, weights_only=True)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL ([\w.]+)", str(error))
        if match is None:
            raise damaged_file(path, kind, error) from error
        raise ValueError(
            f"{path} holds {shorten(match[1])}, which is no weight and could run code when read; save its tensors alone and give that."
        ) from error
    except Exception as error:  # damaged bytes make torch raise nearly any kind, IndexError and struct.error among them
        raise damaged_file(path, kind, error) from error


def damaged_file(path: Path, kind: str, error: Exception) -> Exception:
    """The error to raise for one that reading `path` raised: a library that does not load is no fault of the file."""
    if is_installation_error(error):
        return error
    return ValueError(f"{path} is truncated or no {kind}; copy or download it again.")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(2)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, memory-mapped. Raises ValueError if it is damaged."""
    try:
        return load_file(path)
    except Exception as error:  # for a type of weights that torch has not: KeyError or AttributeError
        raise damaged_file(path, "safetensors file", error) from error


def weights_of(raw: Any, path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint by name; those under "model" if it is a training checkpoint.

    Raises ValueError for anything but a table of names and dense tensors, and for a tensor larger than its data: a file of
    300 bytes could else ask for terabytes.
    """
    weights = raw.get("model", raw) if isinstance(raw, Mapping) else raw
    if not isinstance(weights, Mapping) or not weights or not all(_is_weight(*item) for item in weights.items()):
        content = shorten(comma_list(sorted(map(str, raw))[:4])) if isinstance(raw, Mapping) else type(raw).__name__
        raise ValueError(f"{path} holds no table of weights (but {content}); give the checkpoint.pth of MuMu-LLaMA or M2UGen.")
    for name, value in weights.items():
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{path} holds less data than the shape {list(value.shape)} of {name} needs; copy or download it again.")
    return dict(weights)


def _is_weight(name: object, value: object) -> bool:
    """Whether both are of a weight. Sparse, quantized and meta tensors have no plain data."""
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return False
    return value.layout == torch.strided and not value.is_quantized and not value.is_meta
