"""Archives that are written while they are read: a ZIP of any size in the memory of one block."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO

BLOCK_BYTES = 1 << 18
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # that a ZIP can hold: the same files give the same bytes
READABLE = 0o644 << 16  # rights of a file, where Unix unpacks it
ENTRY_BYTES, END_BYTES = 30 + 16 + 46, 22  # beside each file's content and twice its name: header, checksum and sizes, directory; end


@dataclass(frozen=True)
class ZipEntry:
    """A file of an archive. name: its path there, of ASCII; size: in bytes; open: a stream of its content."""

    name: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]

    @classmethod
    def of_file(cls, name: str, path: Path) -> ZipEntry:
        """Raises FileNotFoundError for a missing file."""
        return cls(name, path.stat().st_size, lambda: path.open("rb"))

    @classmethod
    def of_open_file(cls, name: str, path: Path) -> ZipEntry:
        """Opens the file now, so that it can be read once even if it is deleted. Raises FileNotFoundError for a missing file."""
        stream = path.open("rb")
        return cls(name, os.fstat(stream.fileno()).st_size, lambda: stream)

    @classmethod
    def of_bytes(cls, name: str, content: bytes) -> ZipEntry:
        return cls(name, len(content), partial(BytesIO, content))


def entries_of_zip(folder: str, path: Path) -> tuple[ZipEntry, ...]:
    """The files of another archive, put into a folder of this one."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    return tuple(ZipEntry(f"{folder}/{member.filename}", member.file_size, partial(_Member, path, member.filename)) for member in members)


class _Member(AbstractContextManager[IO[bytes]]):
    """A file of an archive that is open as long as that is read."""

    def __init__(self, path: Path, name: str) -> None:
        self._archive = zipfile.ZipFile(path)
        self._file = self._archive.open(name)

    def __enter__(self) -> IO[bytes]:
        return self._file

    def __exit__(self, *details: object) -> None:
        self._file.close()
        self._archive.close()


def zip_bytes(entries: Iterable[ZipEntry]) -> int:
    """Bytes of an archive, which packs without compression: sound has been compressed already, or cannot be."""
    return sum(entry.size + 2 * len(entry.name) + ENTRY_BYTES for entry in entries) + END_BYTES


def zip_blocks(entries: Iterable[ZipEntry]) -> Iterator[bytes]:
    """The archive block by block. Each file is opened when its turn comes; one that was deleted before raises FileNotFoundError."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, FIRST_DATE)
            info.create_system, info.external_attr, info.file_size = 3, READABLE, entry.size
            with entry.open() as source, archive.open(info, "w") as target:
                while block := source.read(BLOCK_BYTES):
                    target.write(block)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


class _Sink:
    """Collects what a ZIP writer writes. It cannot seek, so the writer never goes back."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, block: bytes) -> int:
        self._blocks.append(bytes(block))
        return len(block)

    def flush(self) -> None:
        """Nothing waits: `take` gives everything."""

    def take(self) -> bytes:
        content = b"".join(self._blocks)
        self._blocks.clear()
        return content
