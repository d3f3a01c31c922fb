"""Tar shards of a set, as `llama.data.tar_shards` and webdataset read them: key.json and the media of each key, one after another.

A shard's bytes depend on its samples alone: members carry no time, owner or mode of this machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama.files import atomic_path, write_json
from llama.json_yaml import read_table

CONTENTS = "contents.json"  # name of a shard -> digest of what is in it: a shard that is there already is not written again


@dataclass(frozen=True)
class ShardSample:
    """A sample: its key, its json, and the files of its media by their extension, such as "jpg" or "output.flac"."""

    key: str
    text: Mapping[str, Any]
    media: Mapping[str, Path]


def shard_names(name: str, count: int, items_per_shard: int) -> list[str]:
    """The names of the files of `count` samples, below the folder that `name` lies in."""
    return [f"{name}/{file}" for file in (*_tars(count, items_per_shard), CONTENTS)] if count else []


def _tars(count: int, items_per_shard: int) -> list[str]:
    return [f"{number:04}.tar" for number in range(-(-count // items_per_shard))]


def write_shards(folder: Path, name: str, samples: Sequence[ShardSample], items_per_shard: int) -> None:
    """Writes samples as `name`/0000.tar and so on inside `folder`: `shard_names`. No samples: no folder."""
    if not samples:
        return
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    former = read_table(target / CONTENTS, "remove it and export again") if (target / CONTENTS).exists() else {}
    digests: dict[str, str] = {}
    for number, shard in enumerate(_tars(len(samples), items_per_shard)):
        part = samples[number * items_per_shard : (number + 1) * items_per_shard]
        digests[shard] = _digest(part)
        if former.get(shard) != digests[shard] or not (target / shard).exists():
            _write_shard(target / shard, part)
    write_json(target / CONTENTS, digests)


def _digest(samples: Sequence[ShardSample]) -> str:
    """Digest of the texts and of the media's content."""
    checksum = hashlib.sha256()
    for sample in samples:
        checksum.update(json.dumps([sample.key, sample.text], sort_keys=True).encode())
        for extension, path in sample.media.items():
            checksum.update(f"{extension}:".encode() + hashlib.sha256(path.read_bytes()).digest())
    return checksum.hexdigest()


def _write_shard(path: Path, samples: Sequence[ShardSample]) -> None:
    with atomic_path(path, fsync=False) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            _add(archive, f"{sample.key}.json", json.dumps(sample.text).encode())
            for extension, file in sample.media.items():
                _add(archive, f"{sample.key}.{extension}", file.read_bytes())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
