"""Identity of a model: by its name and revision on the hub, or by its folder's name and a checksum of what lies in it.

The spec of a step holds it, so that results of other weights never mix; a folder that moves keeps its results.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from llama.files import visible_files

SAMPLES, SAMPLE = 64, 1 << 16  # stretches of a large file, evenly spread, and their bytes: weights of gigabytes take milliseconds


def identity(model: str, revision: str | None, *, local: bool) -> dict[str, Any]:
    """{"model", "revision"}, or {"model", "sha256"} of a local file or folder. local: whether the name may be one."""
    path = Path(model)
    if not local or not path.exists():
        return {"model": model, "revision": revision}
    return {"model": path.resolve().name, "sha256": folder_checksum(path)}


def folder_checksum(path: Path) -> str:
    """12 hex digits of the SHA-256 of a folder's files: their names, sizes, and up to 64 stretches of the content of each."""
    files = [path] if path.is_file() else [file for file in visible_files(path, "**/*") if file.is_file()]
    checksum = hashlib.sha256()
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        checksum.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogatepass"))
        for stretch in _stretches(file):
            checksum.update(stretch)
    return checksum.hexdigest()[:12]


def _stretches(file: Path) -> list[bytes]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= SAMPLES * SAMPLE:
            return [stream.read()]
        result = []
        for index in range(SAMPLES):
            stream.seek((size - SAMPLE) * index // (SAMPLES - 1))
            result.append(stream.read(SAMPLE))
        return result
