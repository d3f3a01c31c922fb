"""Fingerprint of training data, by which a resumed run notices that its lists or shards have changed.

The order of examples follows from a seed and their number: over other data a resumed run would see some examples twice and
others never.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypedDict

from llama.data.examples import Example
from llama.data.mixture import ExampleMixture, StreamMixture, example_key
from llama.data.source import Source
from llama.data.tar_shards import stream_files


class SourceFingerprint(TypedDict):
    """What identifies the data of one source, wherever they lie; a medium is taken by its file name alone.

    count: of the examples of a list, or of the files of a stream, whose names and sizes are taken. times: how often an
    epoch shows them. share: the range of `split_hash` that a stream is limited to.
    """

    name: str
    count: int
    times: float
    share: list[float]
    sha256: str


def fingerprint(sources: Sequence[Source], data: ExampleMixture | StreamMixture) -> list[SourceFingerprint]:
    """The fingerprint of each source. data: what was read from them, without what is held out for validation."""
    share = list(data.share) if isinstance(data, StreamMixture) else [0.0, 1.0]
    result = []
    for source, part in zip(sources, data.parts, strict=True):
        count, checksum = _of_stream(source) if part is None else _count_and_hash(map(_example_key, part))
        result.append(SourceFingerprint(name=source.label, count=count, times=float(source.times), share=share, sha256=checksum))
    return result


def difference(before: Sequence[SourceFingerprint], now: Sequence[SourceFingerprint]) -> str | None:
    """The first difference in words, as in "begun with ..."; None where the data are the same. Names may differ."""
    if len(before) != len(now):
        return f"{len(before)} source(s) of data, this run has {len(now)}"
    for old, new in zip(before, now, strict=True):
        if old["count"] != new["count"]:
            return f"{old['count']} examples or files of {new['name']}, which now has {new['count']}"
        if old["sha256"] != new["sha256"]:
            return f"other content of {new['name']}, which has changed since"
        if (old["times"], old["share"]) != (new["times"], new["share"]):
            return f"another share of {new['name']} (times {old['times']:g}, now {new['times']:g}; or another holdout)"
    return None


def _example_key(example: Example) -> str:
    return f"{example_key(example)}\0{example.task}\0{example.caption or ''}"


def _of_stream(source: Source) -> tuple[int, str]:
    """Of the names and sizes of its files, or the name on the hub, and of the settings that say what is read of them."""
    files = stream_files(source)
    columns = sorted(f"{ours}={theirs}" for ours, theirs in source.columns.items())
    settings = (source.form, "" if files else source.file, source.split or "", source.name or "", *columns)
    return _count_and_hash((f"{file.name}\0{file.stat().st_size}" for file in files), "\0".join(settings))


def _count_and_hash(keys: Iterable[str], settings: str = "") -> tuple[int, str]:
    checksum, count = hashlib.sha256(settings.encode("utf-8", "surrogatepass")), 0
    for key in keys:
        checksum.update(f"{key}\0\n".encode("utf-8", "surrogatepass"))
        count += 1
    return count, checksum.hexdigest()
