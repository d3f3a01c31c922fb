"""Streaming of wav files that are still being written.

The writer appends to the file at its final path, and the header states the final length (`demo.service.audio_files`).
Uploads are stored with their true length (`demo.service.uploads`), so that none is mistaken for a growing file. The file
may be replaced by the complete one, which has the same bytes; if it is deleted, the take was abandoned and silence
follows. Readers poll the file, so a slow or disconnected reader does not affect the writer or other readers.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

HEADER_BYTES = 12  # "RIFF", the number of bytes after the first eight, "WAVE"
POLL_INTERVAL = 0.05  # seconds between two checks of a file that has not grown
STALLED = 120.0  # seconds without growth after which the writer is taken for dead
UNKNOWN_SIZE = 0xFFFFFF00  # programs that do not know the length write sizes from here on
BLOCK_BYTES = 1 << 16  # sent at a time


def final_size(file: Path) -> int:
    """Size in bytes of a wav file once it is complete, from its header; the current size for any other file.

    Raises FileNotFoundError if it was deleted.
    """
    with file.open("rb") as source:
        header, size = source.read(HEADER_BYTES), os.fstat(source.fileno()).st_size
    if len(header) < HEADER_BYTES or header[:4] + header[8:] != b"RIFFWAVE":
        return size
    stated_size = struct.unpack("<I", header[4:8])[0] + 8
    return max(size, stated_size) if stated_size < UNKNOWN_SIZE else size


def is_growing(file: Path) -> bool:
    """Whether the file is still being written. Raises FileNotFoundError if it was deleted."""
    if file.suffix != ".wav":
        return False
    status = file.stat()
    return status.st_size < final_size(file) and time.time() - status.st_mtime < STALLED


async def stream_file(file: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """Yields the bytes from `start` up to `end` as soon as they are written.

    An abandoned file is filled up with silence: its length was announced, and a shorter body would be an error in the
    player and in the server's log for every take that a user stops.
    """
    while start < end:
        block, growing = await asyncio.to_thread(_read_block, file, start, end)
        if not block and not growing:
            block = bytes(min(BLOCK_BYTES, end - start))
        if block:
            start += len(block)
            yield block
        else:
            await asyncio.sleep(POLL_INTERVAL)


def _read_block(file: Path, start: int, end: int) -> tuple[bytes, bool]:
    """(next block, whether the file is still growing)."""
    try:
        growing = is_growing(file)  # before reading, so that bytes appended in between are not lost
        with file.open("rb") as source:
            source.seek(start)
            return source.read(min(BLOCK_BYTES, end - start)), growing
    except FileNotFoundError:
        return b"", False
