"""Uploads: checks a user's file and copies it into the session's folder under a random name.

The original is never moved or linked, and error messages never contain a path of the server. media_probe.py decides which
content is accepted.
"""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.media_probe import ACCEPTED_MEDIA, MEGABYTE, Kind, Limits, check_bytes, probe
from demo.service.sessions import new_name
from llama.files import atomic_path
from llama.media.containers import SNIFF_BYTES, Encoded, media_file
from llama.media.image import load_image
from llama.media.score_file import SCORE_SUFFIXES, score_from_bytes_with_notes

if TYPE_CHECKING:
    from llama.media.score import Score
    from llama.serving.media_client import MediaWorkerClient

__all__ = ["Kind", "Limits", "Upload", "check_session_size", "display_name", "folder_size", "receive", "without_paths"]

MAX_NAME = 80  # characters of a displayed name
BROWSER_PICTURES = (".png", ".jpg", ".gif", ".webp", ".bmp", ".avif", ".ico")  # suffixes of what every browser shows
PREVIEW_SIDE = 1024  # pixels
HEADER_BYTES = 8  # of a wav file: "RIFF", and the number of bytes after these


@dataclass(frozen=True)
class Upload:
    """Checked file of a user. path: the copy in the session; seconds: None for a picture; name: for display only.

    preview: a JPEG of a picture that browsers do not show, such as HEIC or TIFF; None for all others. score: the notes of a
    file of kind "score"; remarks: sentences about how it was read; sound: a wav file of it, for people to hear.
    """

    kind: Kind
    path: Path
    seconds: float | None = None
    name: str = ""
    preview: Path | None = None
    score: Score | None = None
    remarks: tuple[str, ...] = ()
    sound: Path | None = None


def receive(
    session_folder: Path, file: Path | bytes, limits: Limits | None = None, *, name: str | None = None,
    media_worker: MediaWorkerClient | None = None,
) -> Upload:
    """Checks a file and copies it into the session's folder. name: the user's name for it (None: the file's own).

    media_worker: decodes its beginning in a process of its own (None: in this one).
    Raises ValueError for an unsupported, damaged or too large file and FileNotFoundError for a missing one, in one sentence.
    """
    limits = limits or Limits()
    label = display_name(name if name is not None else file.name if isinstance(file, Path) else "")
    content = Encoded(file if isinstance(file, bytes) else _read_limited(file, label, limits), label)
    check_bytes(label, len(content.content), limits)
    check_session_size(session_folder, len(content.content), limits)
    if is_score(content):
        return _receive_score(session_folder, content, media_worker)
    media_file(content)  # raises for empty files and text
    kind, seconds, suffix = probe(content, limits) if media_worker is None else media_worker.call(label, probe, content, limits)
    preview = None
    if kind == "image" and suffix not in BROWSER_PICTURES:
        jpeg = jpeg_preview(content) if media_worker is None else media_worker.call(label, jpeg_preview, content)
        preview = _save(session_folder, jpeg, ".jpg")
    return Upload(kind, _save(session_folder, content.content, suffix), seconds, label, preview)


def is_score(content: Encoded) -> bool:
    """Whether a file has notes and no sound: by its name, or by how its content begins."""
    head = content.content[:SNIFF_BYTES]
    written = head.startswith(b"PK") and b"META-INF/container.xml" in head or b"<score-partwise" in head or b"<score-timewise" in head
    return written or head.startswith(b"MThd") or head[8:12] == b"RMID" or Path(content.name).suffix.lower() in SCORE_SUFFIXES


def _receive_score(session_folder: Path, content: Encoded, media_worker: MediaWorkerClient | None) -> Upload:
    name = _score_name(content)
    try:
        if media_worker is None:
            score, remarks = score_from_bytes_with_notes(content.content, name)
        else:
            score, remarks = media_worker.call(name, score_from_bytes_with_notes, content.content, name)
    except ValueError as error:  # in the user's own words
        raise ValueError(str(error).replace(name, content.name, 1)) from error
    path = _save(session_folder, content.content, Path(name).suffix.lower())
    return Upload("score", path, score.seconds, content.name, score=score, remarks=remarks)


def _score_name(content: Encoded) -> str:
    """The file's name, with the suffix of what it holds where that is not one of a score."""
    if Path(content.name).suffix.lower() in SCORE_SUFFIXES:
        return content.name
    head = content.content[:4]
    return Path(content.name).stem + (".mxl" if head[:2] == b"PK" else ".mid" if head in (b"MThd", b"RIFF") else ".musicxml")


def jpeg_preview(content: Encoded) -> bytes:
    """A picture as JPEG, with sides of at most `PREVIEW_SIDE`."""
    picture, file = load_image(content), BytesIO()
    picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def display_name(name: str) -> str:
    """Last part of a file name as one printable line of at most `MAX_NAME` characters, for display (escaped) only."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(letter if unicodedata.category(letter)[0] not in "CZ" else " " for letter in last)
    line = " ".join(printable.split()).lstrip(". ")
    if len(line) <= MAX_NAME:
        return line or "the file"
    stem, dot, suffix = line.rpartition(".")
    return f"{line[: MAX_NAME - 9]}….{suffix}" if dot and stem and len(suffix) <= 5 else f"{line[: MAX_NAME - 1]}…"


def without_paths(sentence: str, uploads: Iterable[Upload]) -> str:
    """Error message with the paths of uploads replaced by their display names."""
    for upload in uploads:
        sentence = sentence.replace(str(upload.path), upload.name or "the file")
    return sentence


# -- the file -----------------------------------------------------------------------------------------------------------


def _read_limited(file: Path, label: str, limits: Limits) -> bytes:
    """Reads a regular file, at most one byte more than allowed. Checks the open descriptor, so the file cannot be swapped
    after the check for a link, pipe or device."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{label} has not arrived; send it again.") from error
    except (OSError, ValueError) as error:  # a link, a folder on some systems, a name with a zero byte
        raise ValueError(f"{label} is not a plain file; {ACCEPTED_MEDIA}.") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise ValueError(f"{label} is not a plain file; {ACCEPTED_MEDIA}.")
    with os.fdopen(handle, "rb") as source:
        check_bytes(label, status.st_size, limits)
        return source.read(limits.bytes + 1)


def check_session_size(folder: Path, additional: int, limits: Limits) -> None:
    """Raises ValueError if the session's files and `additional` bytes exceed `limits.session_bytes`."""
    size = folder_size(folder)
    if size + additional > limits.session_bytes:
        total_mb, limit_mb = (size + additional) / MEGABYTE, limits.session_bytes / MEGABYTE
        raise ValueError(f"The files of this conversation would have {total_mb:.1f} MB, at most {limit_mb:g} MB are kept; begin a new one.")


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder and its subfolders; files deleted meanwhile count 0."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _corrected_header(content: bytes) -> bytes:
    """First `HEADER_BYTES` bytes. A wav file shorter than its header states gets its true length: it would otherwise be
    served as one that is still growing (demo/server/file_stream.py)."""
    head = content[:HEADER_BYTES]
    if head[:4] + content[HEADER_BYTES:12] != b"RIFFWAVE" or struct.unpack("<I", head[4:])[0] + HEADER_BYTES <= len(content):
        return head
    return head[:4] + struct.pack("<I", len(content) - HEADER_BYTES)


def _save(folder: Path, content: bytes, suffix: str) -> Path:
    """Writes the file atomically under a random name."""
    path = new_name(folder, suffix)
    with atomic_path(path, fsync=False) as partial:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_corrected_header(content))
            file.write(memoryview(content)[HEADER_BYTES:])
    return path
