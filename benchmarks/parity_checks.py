"""Shared parts of the parity checks: bounds, comparisons of tensors, and the reference picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

BOUND = 1e-5  # relative, in float32


@dataclass(frozen=True)
class Check:
    """Result of one comparison; `error` is relative to the largest reference value."""

    name: str
    error: float
    note: str = ""
    bound: float = BOUND

    @property
    def ok(self) -> bool:
        return self.error <= self.bound

    def line(self) -> str:
        return f"{self.name:68s} {self.error:9.2e} {'ok' if self.ok else 'FAIL'}{'  ' + self.note if self.note else ''}"


ABSENT = Check("absent", 0.0)  # no reference value in this folder


class Values(dict[str, Tensor]):
    """Reference values by name; what the file does not hold is None and makes its check `ABSENT`."""

    def __missing__(self, name: str) -> None:
        return None

    @classmethod
    def read(cls, file: Path) -> Values:
        return cls(load_file(file))


def close(name: str, ours: Tensor, reference: Tensor | None, note: str = "") -> Check:
    """Largest difference over the largest reference value; infinite where shapes differ."""
    if reference is None:
        return ABSENT
    if ours.shape != reference.shape:
        return Check(name, float("inf"), f"shape {list(ours.shape)}, not {list(reference.shape)}")
    scale = reference.abs().max().clamp(min=1e-30)
    return Check(name, float((ours.detach() - reference).abs().max() / scale), note)


def same(name: str, ours: Any, reference: Any, note: str = "") -> Check:
    """Equality: error 0 or infinite."""
    if reference is None:
        return ABSENT
    ours, reference = (value.tolist() if isinstance(value, Tensor) else value for value in (ours, reference))
    equal = ours == reference
    return Check(name, 0.0 if equal else float("inf"), note if equal else f"{ours!r:.120} is not {reference!r:.120}")


def present(folder: Path, *names: str) -> bool:
    return all((folder / name).exists() for name in names)


def read_picture(values: dict[str, Tensor]) -> Image.Image:
    """The reference's float image, truncated to 8 bits."""
    return Image.fromarray((values["image_chw_float01"] * 255).to(torch.uint8).permute(1, 2, 0).numpy())
