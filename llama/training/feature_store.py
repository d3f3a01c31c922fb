"""Feature store: atomic files of cached features on disk, and their keys, which are hashes of content, weights and settings."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from llama.files import WriteError, atomic_path
from llama.modules.adapters import CachedFeatures

logger = logging.getLogger(__name__)

IGNORED_SETTINGS = ("_name_or_path", "_diffusers_version", "_use_default_values", "architectures", "dtype", "torch_dtype",
              "transformers_version")


@dataclass(frozen=True)
class FeatureStore:
    """Folder of small safetensors files, written atomically, and of the content digests of media files by their stamps."""

    folder: Path

    def read(self, key: str) -> dict[str, Tensor] | None:
        """The tensors written under `key`, or None. A damaged file is removed with a warning and counts as missing."""
        path = self._path(key)
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                valid = (file.metadata() or {}).get("crc32") == checksum(tensors)
        except FileNotFoundError:
            return None
        except SafetensorError:
            valid = False
        if valid:
            return tensors
        logger.warning("The cached feature %s is damaged; it is removed and made again.", path)
        path.unlink(missing_ok=True)
        return None

    def write(self, key: str, tensors: CachedFeatures) -> None:
        """Writes tensors atomically. Raises OSError in one sentence if the disk is full or the folder is not writable."""
        self._replace(self._path(key), save(dict(tensors), {"crc32": checksum(tensors)}))

    def digest(self, stamp: str) -> str | None:
        """The recorded content digest of the file with this stamp, or None."""
        path = self._digest_path(stamp)
        digest = path.read_text(errors="replace") if path.exists() else ""
        return digest if re.fullmatch("[0-9a-f]{64}", digest) else None

    def write_digest(self, stamp: str, digest: str) -> None:
        self._replace(self._digest_path(stamp), digest.encode())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _digest_path(self, stamp: str) -> Path:
        return self.folder / "digests" / stamp[:2] / stamp

    def _replace(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path, fsync=False) as partial:  # what a power cut damages is found by its checksum
                partial.write_bytes(content)
        except OSError as error:
            reason = error.reason if isinstance(error, WriteError) else error.strerror
            raise OSError(f"Cannot write to the feature cache {self.folder} ({reason}); free some space or name "
                          "another folder with cache_dir.") from error


def checksum(tensors: CachedFeatures) -> str:
    """CRC-32 of all tensors: after a power failure a file may have its full length and contain zeros."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(raw_bytes(tensors[name]), crc)
    return f"{crc:08x}"


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, without a copy if it is contiguous on the CPU."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def sha256(*texts: str) -> str:
    """SHA-256 of the texts, in hex."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint(module: nn.Module, *settings: str) -> str:
    """SHA-256 of a frozen module: its tensors with names and dtypes, bit for bit, and texts that say how it is used."""
    checksum = hashlib.sha256("\0".join(settings).encode())
    for name, value in sorted(module.state_dict().items()):
        checksum.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        checksum.update(raw_bytes(value))
    return checksum.hexdigest()


def settings_of(config: Any) -> str:
    """A transformers or diffusers configuration as JSON, without the entries that do not affect the outputs."""
    entries = config if isinstance(config, Mapping) else config.to_dict()
    values = {name: value for name, value in entries.items() if name not in IGNORED_SETTINGS}
    return json.dumps(values, sort_keys=True, default=str)
