"""Media files on disk or in memory: the table of formats, checks of a file's content, and safe opening with PyAV."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from llama.errors import PATH_LENGTH, shorten
from llama.files import special_file

SNIFF_BYTES = 4096


@dataclass(frozen=True)
class MediaFormat:
    """One kind of media under one suffix.

    library_names: what soundfile, Pillow or FFmpeg call the format. encoding: soundfile's format and subtype, where
    sound is written in it. content_type: None where files of it are not served over HTTP. dataset: whether lists of
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
    MediaFormat("audio", ".aiff", "AIFF", None, ("AIFF",)),
    MediaFormat("image", ".png", "PNG", "image/png", ("PNG",)),
    MediaFormat("image", ".jpg", "JPEG", "image/jpeg", ("JPEG", "MPO")),
    MediaFormat("image", ".jpeg", "JPEG", "image/jpeg"),
    MediaFormat("image", ".webp", "WebP", "image/webp", ("WEBP",)),
    MediaFormat("image", ".gif", "GIF", "image/gif", ("GIF",)),
    MediaFormat("image", ".bmp", "BMP", "image/bmp", ("BMP",)),
    MediaFormat("image", ".tiff", "TIFF", "image/tiff", ("TIFF",)),
    MediaFormat("image", ".tif", "TIFF"),
    MediaFormat("image", ".avif", "AVIF", None, ("AVIF",), dataset=False),
    MediaFormat("video", ".mp4", "MP4", "video/mp4", ("mov",)),
    MediaFormat("video", ".webm", "WebM", "video/webm", ("matroska",)),
    MediaFormat("video", ".mov", "QuickTime", "video/quicktime"),
    MediaFormat("video", ".mkv", "Matroska", "video/x-matroska"),
    MediaFormat("video", ".avi", "AVI", "video/x-msvideo", ("avi",)),
    MediaFormat("video", ".m4v", "M4V"),
    MediaFormat("video", ".gif", "GIF", "image/gif"),
    MediaFormat("video", ".ts", "MPEG-TS", None, ("mpegts",), dataset=False),
    MediaFormat("video", ".mpg", "MPEG", None, ("mpeg",), dataset=False),
    MediaFormat("video", ".flv", "FLV", None, ("flv",), dataset=False),
    MediaFormat("score", ".mid", "MIDI", "audio/midi", dataset=False),
)


# Containers that hold media themselves. Playlists (HLS, DASH, concat, SDP) are excluded: they make the reader open other
# files and addresses, which the sender of the file could choose.
CONTAINERS = ("wav,w64,mp3,flac,ogg,mov,mp4,m4a,matroska,webm,aac,aiff,caf,au,amr,ac3,eac3,asf,avi,flv,mpeg,mpegts,"
              "mpegvideo,m4v,h264,hevc,ivf,gif,apng,wv,ape,tta,dsf")


MAGIC = ((b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
         (b"%PDF", "a PDF document"), (b"PK\x03\x04", "a ZIP archive"), (b"MThd", "a MIDI file (notes, not sound)"),
         (b"\x1f\x8b", "a gzip archive"), (b"\x7fELF", "a program"))


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
    _check_content(path)
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
    return "text" if _is_text(head) else "not a known format"


def _is_text(head: bytes) -> bool:
    if any(byte < 9 or 13 < byte < 27 for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:  # a character cut at the end of the head is still text
        return error.start >= len(head) - 3 and len(head) == SNIFF_BYTES
    return True


def open_container(path: Path | Encoded):  # noqa: ANN201 - av is imported only where it is used
    """Opens `path` with PyAV as a single file of a known container. Raises `ValueError` if it is none."""
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    # "file:" because a name with a colon would be read as an address
    file = path.open() if isinstance(path, Encoded) else f"file:{path.resolve()}"
    try:
        return av.open(file, options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        content = describe_file(path)
        what = "damaged, or of a format unknown here" if content == "not a known format" else content
        raise ValueError(f"Cannot read {path}: it is {what} ({error.strerror}); give a sound or video file "
                         "such as wav, mp3, flac, ogg, m4a, mp4 or webm.") from error


def decoded(container, stream) -> Iterator:  # noqa: ANN001 - av is imported only where it is used
    """The frames of a stream. Skips the frames of a damaged packet, as players do."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
