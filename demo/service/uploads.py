"""What users send: checked, and kept under a name of our own.

The file that came is copied, never moved or linked, and what is said about it never holds a path of the server. What may
come in, and how that is found out: contents.py.
"""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from demo.service.media_probe import MEGABYTE, NOT_MEDIA, Kind, Limits, check_bytes, recognised
from demo.service.sessions import new_name
from llama.media.containers import Encoded, media_file

__all__ = ["Kind", "Limits", "Upload", "check_room", "display_name", "receive", "without_paths"]

MAX_NAME = 80  # characters of a name that is shown
HEAD = 8  # bytes of a wav file: "RIFF", and how many come after these


@dataclass(frozen=True)
class Upload:
    """kind: what it holds; path: our copy; seconds: how long it lasts (None: a picture); name: to show, not to open."""

    kind: Kind
    path: Path
    seconds: float | None = None
    name: str = ""


def receive(session_folder: Path, file: Path | bytes, limits: Limits | None = None, *, name: str | None = None) -> Upload:
    """Checks a file and copies it into the session's folder. `name`: what its user calls it (None: as the file is called).

    Raises `ValueError` or `FileNotFoundError`, one sentence that says what was given, what is allowed, what to do.
    """
    limits = limits or Limits()
    shown = display_name(name if name is not None else file.name if isinstance(file, Path) else "")
    content = Encoded(file if isinstance(file, bytes) else _read(file, shown, limits), shown)
    check_bytes(shown, len(content.content), limits)
    check_room(session_folder, len(content.content), limits)
    media_file(content)  # refuses what is empty or text
    kind, seconds, suffix = recognised(content, limits)
    return Upload(kind, _kept(session_folder, content.content, suffix), seconds, shown)


def display_name(name: str) -> str:
    """The last part of a name in one harmless line, to be shown (escaped, as all text of users) and never opened."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(one if unicodedata.category(one)[0] not in "CZ" else " " for one in last)
    line = " ".join(printable.split()).lstrip(". ")
    if len(line) <= MAX_NAME:
        return line or "the file"
    stem, dot, suffix = line.rpartition(".")
    return f"{line[: MAX_NAME - 9]}….{suffix}" if dot and stem and len(suffix) <= 5 else f"{line[: MAX_NAME - 1]}…"


def without_paths(sentence: str, uploads: Iterable[Upload]) -> str:
    """An error's sentence with the names that users gave in place of our paths."""
    for upload in uploads:
        sentence = sentence.replace(str(upload.path), upload.name or "the file")
    return sentence


# -- the file -----------------------------------------------------------------------------------------------------------


def _read(file: Path, shown: str, limits: Limits) -> bytes:
    """At most one byte more than allowed. What is checked is what was opened: no link, pipe or device, nothing swapped."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{shown} has not arrived; send it again.") from error
    except (OSError, ValueError) as error:  # a link, a folder on some systems, a name with a zero byte
        raise ValueError(f"{shown} is not a plain file; {NOT_MEDIA}.") from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise ValueError(f"{shown} is not a plain file; {NOT_MEDIA}.")
    with os.fdopen(handle, "rb") as opened:
        check_bytes(shown, found.st_size, limits)
        return opened.read(limits.bytes + 1)


def check_room(folder: Path, more: int, limits: Limits) -> None:
    """Raises ValueError where a session's files, and so many bytes more, are more than one session may keep."""
    held = folder_size(folder)
    if held + more > limits.session_bytes:
        most = limits.session_bytes / MEGABYTE
        raise ValueError(f"The files of this conversation would have {(held + more) / MEGABYTE:.1f} MB, at most {most:g} MB are kept; "
                         "begin a new one.")


def folder_size(folder: Path) -> int:
    """Bytes of what lies in a folder. Others may delete it meanwhile: what is gone takes no room."""
    total = 0
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            with suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _true_head(content: bytes) -> bytes:
    """The first bytes. A wav file that is shorter than it says gets its true length: it would pass for a piece under way (chunks.py)."""
    head = content[:HEAD]
    if head[:4] + content[HEAD:12] != b"RIFFWAVE" or struct.unpack("<I", head[4:])[0] + HEAD <= len(content):
        return head
    return head[:4] + struct.pack("<I", len(content) - HEAD)


def _kept(folder: Path, content: bytes, suffix: str) -> Path:
    """Whole under its name, or not there at all."""
    path = new_name(folder, suffix)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_true_head(content))
            file.write(memoryview(content)[HEAD:])
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
