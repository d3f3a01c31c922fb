"""Headers of sound files that libsndfile misreads: WAV sizes that were never filled in, and Ogg files of several links."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from llama.media.containers import Encoded

MAX_CHUNKS = 1000  # of a WAV file before its samples
MAX_LINKS = 1000  # of an Ogg file
UNKNOWN_SIZE = b"\xff\xff\xff\xff"  # of a chunk that goes on to the end of the file
WAV_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}
PAGE = struct.Struct("<4sxB20xB")  # of Ogg: "OggS", flags, the number of segments
BEGINS_STREAM = 2  # flag of a page


def unfinished_sizes(file: BinaryIO) -> dict[int, bytes]:
    """{offset: bytes} to read in place of WAV sizes that a recorder never filled in (0); leaves the file at its beginning.

    Where the size of the whole file is true, the recording is empty, whatever follows it.
    """
    length = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    order = WAV_ORDERS.get(head[:4]) if head[8:] == b"WAVE" else None
    patches = _data_size(file, order, head[:4] == b"RF64", head[4:8], length) if order else {}
    file.seek(0)
    return patches


def _data_size(file: BinaryIO, order: str, wide: bool, size_bytes: bytes, length: int) -> dict[int, bytes]:
    """wide: sizes have 64 bits and stand in a chunk of their own; without it, the usual header says the same."""
    total, samples = struct.unpack(f"{order}I", size_bytes)[0], 0
    for _ in range(MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        start, size = file.tell(), struct.unpack(f"{order}I", chunk[4:])[0]
        if wide and chunk[:4] == b"ds64":
            total, samples = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        if chunk[:4] == b"data":
            known = samples or (size and not wide) or total + 8 in (length, length + 1)
            return {} if known else {start - 4: UNKNOWN_SIZE} | ({0: b"RIFF"} if wide else {})
        file.seek(start + size + size % 2)
    return {}


def ogg_links(path: Path | Encoded) -> list[Path | Encoded]:
    """The links of a chained Ogg file, such as a radio's, each a file of its own in memory; [path] for every other file.

    A link begins where a page that begins a stream follows pages that do not. libsndfile reads the first link only.
    """
    with path.open("rb") as file:
        starts = _link_starts(file)
        if len(starts) < 2:
            return [path]
        if len(starts) > MAX_LINKS:
            raise ValueError(f"{path} is an Ogg file of more than {MAX_LINKS} links; cut it into parts.")
        file.seek(0)
        content = file.read()
    ends = [*starts[1:], len(content)]
    return [Encoded(content[start:end], str(path)) for start, end in zip(starts, ends, strict=True)]


def _link_starts(file: BinaryIO) -> list[int]:
    starts: list[int] = []
    position, goes_on = 0, True
    while len(starts) <= MAX_LINKS:
        page = file.read(PAGE.size)
        if len(page) < PAGE.size or page[:4] != b"OggS":
            break
        _, flags, segments = PAGE.unpack(page)
        if flags & BEGINS_STREAM and goes_on:
            starts.append(position)
        goes_on = not flags & BEGINS_STREAM
        position += PAGE.size + segments + sum(file.read(segments))
        file.seek(position)
    return starts
