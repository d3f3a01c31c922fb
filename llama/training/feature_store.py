"""Where features are kept on disk, whole or not there, and the keys they are kept under: of contents, weights, settings."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from llama.modules.adapters import CachedFeatures

logger = logging.getLogger(__name__)

INCIDENTAL = ("_name_or_path", "_diffusers_version", "_use_default_values", "architectures", "dtype", "torch_dtype",
              "transformers_version")


@dataclass(frozen=True)
class FeatureStore:
    """A folder of small safetensors files, each whole or not there, and of files' digests by their stamps."""

    folder: Path

    def read(self, key: str) -> dict[str, Tensor] | None:
        """What was written under `key`; None if nothing was, or if it is damaged, which is then removed and said."""
        path = self._path(key)
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                sound = (file.metadata() or {}).get("crc32") == checksum(tensors)
        except FileNotFoundError:
            return None
        except SafetensorError:
            sound = False
        if sound:
            return tensors
        logger.warning("The cached feature %s is damaged; it is removed and made again.", path)
        path.unlink(missing_ok=True)
        return None

    def write(self, key: str, tensors: CachedFeatures) -> None:
        """Raises OSError in one sentence when the disk is full or the folder cannot be written to."""
        self._replace(self._path(key), save(dict(tensors), {"crc32": checksum(tensors)}))

    def digest(self, stamp: str) -> str | None:
        """The content digest of a file by its stamp, if it is known."""
        path = self._record(stamp)
        found = path.read_text(errors="replace") if path.exists() else ""
        return found if re.fullmatch("[0-9a-f]{64}", found) else None

    def write_digest(self, stamp: str, digest: str) -> None:
        self._replace(self._record(stamp), digest.encode())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _record(self, stamp: str) -> Path:
        return self.folder / "digests" / stamp[:2] / stamp

    def _replace(self, path: Path, content: bytes) -> None:
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")  # of this process alone
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(content)
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise OSError(f"Cannot write to the feature cache {self.folder} ({error.strerror}); free some space or name "
                          "another folder with cache_dir.") from error


def checksum(tensors: CachedFeatures) -> str:
    """Of all bytes: a file cut by a power failure may keep its length and hold zeros."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(raw(tensors[name]), total)
    return f"{total:08x}"


def raw(tensor: Tensor) -> Any:
    """The bytes of a tensor, uncopied where it lies on the CPU."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def sha256(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def fingerprint(module: nn.Module, *words: str) -> str:
    """Of a frozen module: its tensors, bit for bit with names and types, and the words that say how it is used."""
    total = hashlib.sha256("\0".join(words).encode())
    for name, value in sorted(module.state_dict().items()):
        total.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        total.update(raw(value))
    return total.hexdigest()


def settings_of(config: Any) -> str:
    """A configuration of transformers or diffusers, less what says nothing about the numbers that come out."""
    given = config if isinstance(config, Mapping) else config.to_dict()
    values = {name: value for name, value in given.items() if name not in INCIDENTAL}
    return json.dumps(values, sort_keys=True, default=str)
