"""Writing files whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError


def write_text(file: Path, text: str) -> None:
    """A text file, whole or not at all."""
    _replace(file, lambda partial: partial.write_text(text, encoding="utf-8"))


def _replace(file: Path, write: Callable[[Path], Any]) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())  # a name must never stand for bytes that a power cut would lose
        os.replace(partial, file)
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"{file} could not be written ({reason}); make room, or give another place.") from error
    finally:
        partial.unlink(missing_ok=True)
