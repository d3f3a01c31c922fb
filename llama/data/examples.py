"""Examples to learn from, and what they are kept as until they are asked for: a few strings each.

A medium is looked for, and a broken one told, when it is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from llama.media.containers import Encoded

HASH_BLOCK = 1 << 20  # bytes
MAX_NAMED = 3  # examples named in a sentence about many


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A sound, picture or clip of an example: a file, or the content of one; `source` is how errors name it.

    `fault`: the sentence that opening it raises, for a medium that was broken before it came here.
    """

    kind: str
    source: str
    path: Path | None = None
    content: bytes | None = None
    fault: str | None = None

    def open(self) -> Path | Encoded:
        """What `Waveform.read`, `load_image` and `load_frames` take. Raises `FileNotFoundError` or `ValueError`."""
        if self.fault is not None:
            raise ValueError(self.fault)
        if self.content is not None:
            return Encoded(self.content, self.source)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.source} names {self.path}, but no such file is there; "
                                    "check the source's media folder, or fetch the file.")
        return self.path

    def digest(self) -> str:
        """SHA-256 of the content in hex, of files a block at a time. Raises as `open`."""
        found, total = self.open(), hashlib.sha256()
        with found.open("rb") as file:
            while block := file.read(HASH_BLOCK):
                total.update(block)
        return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One turn to learn: what is asked, heard and seen, and the answer; `source` names it ("MusicQA.json #17").

    `caption`: of the music to make: eight audio tokens follow the answer; None: words only.
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
    """An example in few bytes: its place (`#17`, or a song's name), and its medium as (kind, name of the file)."""

    place: str
    instruction: str
    answer: str
    task: str
    kind: str = "text"
    file: str = ""
    caption: str | None = None

    def example(self, source: str, medium: Callable[[str, str, str], MediaRef]) -> Example:
        """`medium` makes one of (kind, source, file)."""
        media = {} if self.kind == "text" else {self.kind: medium(self.kind, source, self.file)}
        return Example(self.instruction, self.answer, self.task, source, **media, caption=self.caption)


class ExampleList(Sequence[Example]):
    """Entries that become examples when they are asked for, with their media in `folder`."""

    def __init__(self, label: str, folder: Path, entries: Sequence[ExampleRecord]) -> None:
        self.label, self.folder, self.entries = label, folder, entries

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> ExampleList: ...

    def __getitem__(self, index: int | slice) -> Example | ExampleList:
        if isinstance(index, slice):
            return ExampleList(self.label, self.folder, self.entries[index])
        entry = self.entries[index]
        return entry.example(f"{self.label} {entry.place}", self._medium)

    def _medium(self, kind: str, source: str, file: str) -> MediaRef:
        return MediaRef(kind, source, path=self.folder / file)
