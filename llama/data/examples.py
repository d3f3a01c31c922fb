"""Training examples and the compact records they are built from.

A record is a few strings, so lists of millions fit into memory. Media files are opened, and errors in them raised, only
when they are read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from llama.data.file_names import find_file
from llama.media.containers import Encoded

HASH_BLOCK = 1 << 20  # bytes
MAX_NAMED = 3  # examples that an error message about many names


@dataclass(frozen=True, slots=True)
class MediaRef:
    """Reference to the recording, picture or clip of an example: a file's path, or its content in memory.

    `source`: what error messages call it. `error`: the sentence that `open` raises, for a medium that was found damaged
    while its sample was read.
    """

    kind: str
    source: str
    path: Path | None = None
    content: bytes | None = None
    error: str | None = None

    def open(self) -> Path | Encoded:
        """The input of `Waveform.read`, `load_image` and `load_frames`. Raises `FileNotFoundError` or `ValueError`."""
        if self.error is not None:
            raise ValueError(self.error)
        if self.content is not None:
            return Encoded(self.content, self.source)
        if self.path is None:
            raise ValueError(f"{self.source} has neither a file nor the content of one.")
        if not os.path.isfile(self.path):  # the method of Path raises for a name that is too long
            raise FileNotFoundError(f"{self.source} names {self.path}, but no such file is there; "
                                    "check the source's media folder, or fetch the file.")
        return self.path

    def digest(self) -> str:
        """SHA-256 of the content in hex; files are read in blocks. Raises what `open` raises."""
        content, checksum = self.open(), hashlib.sha256()
        with content.open("rb") as file:
            while block := file.read(HASH_BLOCK):
                checksum.update(block)
        return checksum.hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One turn to train on: an instruction with its media, and the answer.

    `source` names the example in messages ("MusicQA.json #17"). `caption`: of the music to generate, whose eight audio
    tokens follow the answer; None: the answer is text alone.
    """

    instruction: str
    answer: str
    task: str
    source: str
    audio: MediaRef | None = None
    image: MediaRef | None = None
    video: MediaRef | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    """Compact form of an example: its position in the list (`#17`, or a song's name), and the kind and file name of its medium."""

    position: str
    instruction: str
    answer: str
    task: str
    kind: str = "text"
    file: str = ""
    caption: str | None = None

    def example(self, source: str, medium: Callable[[str, str, str], MediaRef]) -> Example:
        """The full example; `medium` makes a `MediaRef` of (kind, source, file)."""
        media = {} if self.kind == "text" else {self.kind: medium(self.kind, source, self.file)}
        return Example(self.instruction, self.answer, self.task, source, **media, caption=self.caption)


class ExampleList(Sequence[Example]):
    """Sequence that builds each example from its record on access; media lie in `folder`."""

    def __init__(self, label: str, folder: Path, records: Sequence[ExampleRecord]) -> None:
        self.label, self.folder, self.records = label, folder, records

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> ExampleList: ...

    def __getitem__(self, index: int | slice) -> Example | ExampleList:
        if isinstance(index, slice):
            return ExampleList(self.label, self.folder, self.records[index])
        record = self.records[index]
        return record.example(f"{self.label} {record.position}", self._medium)

    def _medium(self, kind: str, source: str, file: str) -> MediaRef:
        return MediaRef(kind, source, path=find_file(self.folder, file))
