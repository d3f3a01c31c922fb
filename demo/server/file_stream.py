"""A wav file that is still being written, read as it grows.

The writer appends to the file at its final address, header first, and the header tells the final length (`demo.service.audio_files`).
What users send is kept with its true length (`demo.service.uploads`), so that no upload is taken for one of those.
The file may be replaced by one that is whole and has the same bytes, which goes on where this one was; where it is
deleted, the piece was given up and silence follows. Readers look at the file only: a slow one holds nobody, and one that
leaves is not missed.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

PREFIX = 12  # bytes: "RIFF", the bytes that follow the first eight, "WAVE"
LOOK_AGAIN = 0.05  # seconds between two looks at a file that has not grown
STALLED = 120.0  # seconds without growth: whoever wrote it is gone
UNKNOWN = 0xFFFFFF00  # sizes from here on were written by programs that did not know the length
BLOCK = 1 << 16  # bytes sent at a time


def final_size(file: Path) -> int:
    """Bytes of a wav file once it is whole, as its first bytes tell; a file that tells nothing is as long as it is.

    Raises FileNotFoundError when it is gone.
    """
    with file.open("rb") as source:
        head, size = source.read(PREFIX), os.fstat(source.fileno()).st_size
    if len(head) < PREFIX or head[:4] + head[8:] != b"RIFFWAVE":
        return size
    announced = struct.unpack("<I", head[4:8])[0] + 8
    return max(size, announced) if announced < UNKNOWN else size


def under_way(file: Path) -> bool:
    """Whether more of the file is to come. Raises FileNotFoundError when it is gone."""
    if file.suffix != ".wav":
        return False
    found = file.stat()
    return found.st_size < final_size(file) and time.time() - found.st_mtime < STALLED


async def follow(file: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes from `start` to before `end`, each as soon as it is there.

    Where the piece is given up, silence follows: the length was promised, and a broken promise would be an error in the
    player and in the server's log for every piece that somebody stops.
    """
    while start < end:
        block, more = await asyncio.to_thread(_look, file, start, end)
        if not block and not more:
            block = bytes(min(BLOCK, end - start))
        if block:
            start += len(block)
            yield block
        else:
            await asyncio.sleep(LOOK_AGAIN)


def _look(file: Path, start: int, end: int) -> tuple[bytes, bool]:
    """The next block, and whether there is more to wait for."""
    try:
        more = under_way(file)  # asked first: what is appended between the two looks is read, and not taken for the end
        with file.open("rb") as source:
            source.seek(start)
            return source.read(min(BLOCK, end - start)), more
    except FileNotFoundError:
        return b"", False
