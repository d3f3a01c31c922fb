"""Media files on disk or in memory: the table of formats, checks of a file's content, and reading it without its name."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from llama.errors import PATH_LENGTH, shorten
from llama.files import special_file

SNIFF_BYTES = 4096
DOWNLOAD = "application/octet-stream"  # content type of files that no browser is known to play


@dataclass(frozen=True)
class MediaFormat:
    """One kind of media under one suffix.

    library_names: what soundfile, Pillow or FFmpeg call the format. encoding: soundfile's format and subtype, where
    sound is written in it. content_type: None where no upload is stored under the suffix. dataset: whether lists of
    training data may name such files.
    """

    kind: Literal["audio", "image", "video", "score"]
    suffix: str
    label: str
    content_type: str | None = None
    library_names: tuple[str, ...] = ()
    encoding: tuple[str, str] | None = None
    dataset: bool = True


# Every list of suffixes or content types in the project derives from this table. It holds no type with
# code that a browser would run, so no HTML and no SVG. A GIF may be a picture or a clip.
MEDIA_FORMATS = (
    MediaFormat("audio", ".wav", "WAV", "audio/wav", ("WAV", "WAVEX"), ("WAV", "PCM_16")),
    MediaFormat("audio", ".flac", "FLAC", "audio/flac", ("FLAC",), ("FLAC", "PCM_16")),
    MediaFormat("audio", ".ogg", "OGG", "audio/ogg", ("OGG",), ("OGG", "VORBIS")),
    MediaFormat("audio", ".mp3", "MP3", "audio/mpeg", ("MPEG", "MP3"), ("MP3", "MPEG_LAYER_III")),
    MediaFormat("audio", ".opus", "Opus", "audio/ogg"),
    MediaFormat("audio", ".m4a", "M4A", "audio/mp4"),
    MediaFormat("audio", ".aac", "AAC", "audio/aac", ("aac",)),
    MediaFormat("audio", ".aiff", "AIFF", "audio/aiff", ("AIFF",)),
    MediaFormat("audio", ".caf", "CAF", "audio/x-caf", ("CAF",), dataset=False),
    MediaFormat("audio", ".au", "AU", "audio/basic", ("AU",), dataset=False),
    MediaFormat("audio", ".w64", "Wave64", "audio/x-w64", ("W64",), dataset=False),
    MediaFormat("audio", ".rf64", "RF64", "audio/x-rf64", ("RF64",), dataset=False),
    MediaFormat("audio", ".amr", "AMR", "audio/amr", ("amr",), dataset=False),
    MediaFormat("audio", ".ac3", "AC-3", "audio/ac3", ("ac3",), dataset=False),
    MediaFormat("audio", ".eac3", "E-AC-3", "audio/eac3", ("eac3",), dataset=False),
    MediaFormat("audio", ".wv", "WavPack", "audio/x-wavpack", ("wv",), dataset=False),
    MediaFormat("audio", ".ape", "Monkey's Audio", "audio/x-ape", ("ape",), dataset=False),
    MediaFormat("audio", ".tta", "TTA", "audio/x-tta", ("tta",), dataset=False),
    MediaFormat("audio", ".dsf", "DSF", "audio/x-dsf", ("dsf",), dataset=False),
    MediaFormat("audio", ".audio", "sound", DOWNLOAD, dataset=False),
    MediaFormat("image", ".png", "PNG", "image/png", ("PNG",)),
    MediaFormat("image", ".jpg", "JPEG", "image/jpeg", ("JPEG", "MPO")),
    MediaFormat("image", ".jpeg", "JPEG", "image/jpeg"),
    MediaFormat("image", ".webp", "WebP", "image/webp", ("WEBP",)),
    MediaFormat("image", ".gif", "GIF", "image/gif", ("GIF",)),
    MediaFormat("image", ".bmp", "BMP", "image/bmp", ("BMP",)),
    MediaFormat("image", ".tiff", "TIFF", "image/tiff", ("TIFF",)),
    MediaFormat("image", ".tif", "TIFF"),
    MediaFormat("image", ".avif", "AVIF", "image/avif", ("AVIF",), dataset=False),
    MediaFormat("image", ".heic", "HEIC", "image/heic", ("HEIF",), dataset=False),
    MediaFormat("image", ".ppm", "PPM", "image/x-portable-pixmap", ("PPM",), dataset=False),
    MediaFormat("image", ".ico", "icon", "image/vnd.microsoft.icon", ("ICO",), dataset=False),
    MediaFormat("image", ".jp2", "JPEG 2000", "image/jp2", ("JPEG2000",), dataset=False),
    MediaFormat("video", ".mp4", "MP4", "video/mp4", ("mov",)),
    MediaFormat("video", ".webm", "WebM", "video/webm", ("matroska",)),
    MediaFormat("video", ".mov", "QuickTime", "video/quicktime"),
    MediaFormat("video", ".mkv", "Matroska", "video/x-matroska"),
    MediaFormat("video", ".avi", "AVI", "video/x-msvideo", ("avi",)),
    MediaFormat("video", ".m4v", "M4V", "video/x-m4v", ("m4v",)),
    MediaFormat("video", ".gif", "GIF", "image/gif"),
    MediaFormat("video", ".ts", "MPEG-TS", "video/mp2t", ("mpegts",), dataset=False),
    MediaFormat("video", ".mpg", "MPEG", "video/mpeg", ("mpeg", "mpegvideo"), dataset=False),
    MediaFormat("video", ".flv", "FLV", "video/x-flv", ("flv",), dataset=False),
    MediaFormat("video", ".asf", "ASF", "video/x-ms-asf", ("asf",), dataset=False),
    MediaFormat("video", ".h264", "H.264", "video/h264", ("h264",), dataset=False),
    MediaFormat("video", ".h265", "H.265", "video/h265", ("hevc",), dataset=False),
    MediaFormat("video", ".ivf", "IVF", "video/x-ivf", ("ivf",), dataset=False),
    MediaFormat("video", ".video", "clip", DOWNLOAD, dataset=False),
    MediaFormat("score", ".mid", "MIDI", "audio/midi", dataset=False),
)


MAGIC = ((b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
         (b"%PDF", "a PDF document"), (b"PK\x03\x04", "a ZIP archive"), (b"MThd", "a MIDI file (notes, not sound)"),
         (b"\x1f\x8b", "a gzip archive"), (b"\x7fELF", "a program"))
HEIC = "a HEIC picture"
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}  # of an ISO file, which else may be a clip or an AVIF


@dataclass(frozen=True)
class Encoded:
    """An encoded file (mp3, jpg, mp4, ...) in memory; `name` is used in error messages."""

    content: bytes = field(repr=False)
    name: str = "The file in memory"

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BytesIO:
        """A new reader of the content; `mode` as for a path."""
        return BytesIO(self.content)


MediaFile = str | Path | bytes | BinaryIO | Encoded  # a path, or the content of a file


def media_file(source: MediaFile) -> Path | Encoded:
    """`source` as a file on disk or in memory. Raises ValueError or FileNotFoundError if it cannot hold media."""
    if isinstance(source, (str, Path)):
        return existing_file(source)
    if not isinstance(source, Encoded):
        source = Encoded(source) if isinstance(source, bytes) else Encoded(source.read())
    _check_content(source)
    return source


def existing_file(path: str | Path) -> Path:
    """`path` as a file that may hold media. Raises ValueError or FileNotFoundError, saying what it is instead."""
    path = regular_file(path)
    _check_content(path)
    return path


def regular_file(path: str | Path) -> Path:
    """`path` as a file, whatever it holds. Raises ValueError or FileNotFoundError, saying what it is instead."""
    if path == "":
        raise ValueError("The name of a file is empty; give a sound, picture or video file.")
    path = Path(path)
    try:
        special = special_file(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a zero byte
        raise _no_file(path) from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise _no_file(path) from error
        raise
    if special:
        raise ValueError(f"{shorten(path, PATH_LENGTH)} is {special}, not a file; save the sound, picture or clip to a file and give that.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file in it.")
    return path


def _no_file(path: Path) -> FileNotFoundError:
    if str(path) == "-":
        return FileNotFoundError("- stands for the standard input, which is not read; save it to a file and give that.")
    return FileNotFoundError(f"There is no file {shorten(path, PATH_LENGTH)}; check the name.")


def _check_content(path: Path | Encoded) -> None:
    content = describe_file(path)
    if content in ("empty", "text"):
        what = "an empty file" if content == "empty" else "a text file, whatever its name says"
        raise ValueError(f"{path} is {what}; give a sound, picture or video file.")


def readable(path: Path | Encoded) -> Path | bytes | BytesIO:
    """What media libraries can open: a path, or a new reader of the content in memory."""
    return path.open() if isinstance(path, Encoded) else native_path(path)


def native_path(path: Path) -> Path | bytes:
    """The path, or its bytes where these are no text in the system's encoding, which soundfile cannot encode."""
    try:
        str(path).encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def describe_file(path: Path | Encoded) -> str:
    """Description of a file from its first bytes: "empty", "text", a known format in words, or "not a known format"."""
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
    if not head:
        return "empty"
    for magic, words in MAGIC:
        if head.startswith(magic):
            return words
    if _brands(head) & HEIC_BRANDS:
        return HEIC
    return "text" if _is_text(head) else "not a known format"


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file says that it is compatible with."""
    size = int.from_bytes(head[:4], "big") if head[4:8] == b"ftyp" else 0
    return {head[start : start + 4] for start in range(8, min(size, len(head)), 4)}


def _is_text(head: bytes) -> bool:
    if any(byte < 9 or 13 < byte < 27 for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:  # a character cut at the end of the head is still text
        return error.start >= len(head) - 3 and len(head) == SNIFF_BYTES
    return True


class ContentReader:
    """A file as a library reads it, without its name, which would decide the format before the content does.

    patches: {offset: bytes} to read in place of the file's own, such as the sizes of a header that were never filled in.
    """

    def __init__(self, file: BinaryIO, patches: Mapping[int, bytes] | None = None) -> None:
        self._file = file
        self._patches = patches or {}
        self.tell = file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position; -1, which libraries read as an error, where a damaged header asks for one before the start."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            return -1

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        content = self._file.read(size)
        for offset, patch in self._patches.items():
            content = _patched(content, offset - start, patch)
        return content


def _patched(content: bytes, offset: int, patch: bytes) -> bytes:
    first, last = max(offset, 0), min(offset + len(patch), len(content))
    return content[:first] + patch[first - offset : last - offset] + content[last:] if first < last else content
