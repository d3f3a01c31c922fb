"""Shard file: a header, one JSON line an item, and a trailer with their count and digest.

It is written beside its name and renamed, so that it is there complete or not at all; the trailer finds one that was cut or changed
later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama.files import atomic_path, link_or_copy
from llama.json_yaml import parse_json

DIGEST_LENGTH = 12  # hex digits
SUPERSEDED = "superseded"  # folder of the former versions of shard files


class DamagedShardError(ValueError):
    """A shard file was cut, changed or moved; the message says which and how."""


@dataclass(frozen=True)
class ShardFile:
    """What stands in a shard file. header: values that say what it is of; lines: JSON texts, one an item."""

    header: Mapping[str, Any]
    lines: tuple[str, ...]


def digest(text: str) -> str:
    """The first 12 hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def json_line(value: Any) -> str:
    """A value as one line of ASCII. Raises TypeError or ValueError for what JSON cannot hold, NaN and infinity too."""
    return json.dumps(value, allow_nan=False)


def canonical(value: Any) -> str:
    """A value as JSON text that does not depend on the order of its keys, for digests."""
    return json.dumps(value, allow_nan=False, sort_keys=True)


def shard_path(folder: Path, shard: int) -> Path:
    return folder / f"part-{shard:05d}.jsonl"


def read_shard_file(folder: Path, shard: int, of: int) -> ShardFile | None:
    """The shard file of that number; None if there is none.

    of: number of shards of the ledger. Raises DamagedShardError for one that is not whole.
    """
    path = shard_path(folder, shard)
    try:
        text = path.read_bytes().decode("ascii")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DamagedShardError(f"{path} is damaged (byte {error.start} is none that was written there)") from error
    lines = text.split("\n")
    if len(lines) < 3 or lines[-1]:
        raise DamagedShardError(f"{path} is damaged (it was cut)")
    try:
        header, trailer = parse_json(lines[0]), parse_json(lines[-2])
    except ValueError as error:
        raise DamagedShardError(f"{path} is damaged (its first or last line: {error})") from error
    body = tuple(lines[1:-2])
    if trailer != _trailer(lines[0], body):
        raise DamagedShardError(f"{path} is damaged (its lines are not those that were written)")
    if not isinstance(header, dict) or (header.get("shard"), header.get("of")) != (shard, of):
        raise DamagedShardError(f"{path} is of another place (its first line is not of shard {shard} of {of})")
    return ShardFile(header, body)


def write_shard_file(folder: Path, shard: int, of: int, values: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Writes a shard file atomically. values: of the header beside its number. Raises llama.files.WriteError."""
    header = json_line({"shard": shard, "of": of, **values})
    text = "\n".join([header, *lines, json_line(_trailer(header, lines)), ""])
    with atomic_path(shard_path(folder, shard)) as partial:
        partial.write_bytes(text.encode("ascii"))


def _trailer(header: str, lines: Sequence[str]) -> dict[str, Any]:
    return {"count": len(lines), "digest": digest("\n".join([header, *lines]))}


def keep_former(folder: Path, shard: int) -> None:
    """Keeps a copy of a shard file that is going to be replaced: results are never deleted."""
    path = shard_path(folder, shard)
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST_LENGTH]
    former = folder / SUPERSEDED / f"{path.stem}-{content}.jsonl"
    if former.exists():
        return
    former.parent.mkdir(exist_ok=True)
    with atomic_path(former) as partial:
        link_or_copy(path, partial)
