"""Device and dtype selection."""

from __future__ import annotations

import torch

from llama.errors import quoted


def choose_device(name: str | None) -> torch.device:
    """The device of that name; None is the GPU if there is one. Raises ValueError for one that is not available."""
    return device_named(name or ("cuda" if torch.cuda.is_available() else "cpu"))


Dtype = torch.dtype | None  # None: each weight as it is stored


def device_named(name: str | torch.device | None) -> torch.device:
    """The device of that name; None is the CPU. Raises ValueError for one that is unknown or not available."""
    try:
        device = torch.device("cpu" if name is None else name)
    except RuntimeError as error:
        raise ValueError(f"The device {quoted(name)} is unknown; give cpu, cuda, cuda:N or mps.") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"The device {quoted(name)} is none that this model runs on; give cpu, cuda, cuda:N or mps.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"The device {quoted(name)} is not there (CUDA devices found: {count}); give one that is, or cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"The device {quoted(name)} is not there (no Metal on this machine); give cpu.")
    return device


def resolve_dtype(requested: torch.dtype | str | None, stored: torch.dtype, device: torch.device) -> Dtype:
    """The dtype to load weights in; None keeps each weight's own.

    requested: "stored" gives None; None gives the LLaMA's stored dtype, but float32 instead of float16 on a CPU.
    """
    if isinstance(requested, torch.dtype):
        return requested
    if requested == "stored":
        return None
    if requested is not None:
        raise ValueError(f"dtype {requested!r} is unknown; give a torch dtype, 'stored' or None.")
    return torch.float32 if stored == torch.float16 and device.type == "cpu" else stored
