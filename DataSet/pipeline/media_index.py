"""Index of a media folder: finds the files of an id under the names that downloaders and releases give them.

Names are compared as they are written, upper and lower case apart, also where the disk does not: ids of videos differ in case alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama.data.file_names import composed
from llama.errors import PATH_LENGTH, quoted, shorten
from llama.media.containers import MEDIA_FORMATS

KINDS = ("audio", "image", "video")
SUFFIX_ORDER = {kind: [item.suffix for item in MEDIA_FORMATS if item.kind == kind] for kind in KINDS}
SEGMENT_NAMES = ("[{id}]-[{start}-{end}]", "{id}_{start}_{end}", "{id}-{start}-{end}", "{id}_{start}-{end}", "{id}_{start}")
RECORDING_NAMES = ("{id}", "Y{id}")  # the second is of a release of AudioSet


@dataclass(frozen=True)
class FoundMedia:
    """Files of an id: kind -> path. already_cut: their names say that they hold the segment alone."""

    media: dict[str, str]
    already_cut: bool


class MediaIndex:
    """The sound, picture and clip files of a folder and of those in it, by their stems. Hidden files are left out."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = existing_folder(folder)
        self._by_stem: dict[str, list[Path]] = {}
        self._folded: dict[str, str] = {}
        for path in walk(self.folder):
            if path.suffix.lower() in ALL_SUFFIXES:
                stem = composed(path.name[: -len(path.suffix)])
                self._by_stem.setdefault(stem, []).append(path)
                self._folded.setdefault(stem.casefold(), stem)

    def named(self, stem: str) -> dict[str, str]:
        """The files of this very stem: kind -> path; of several of one kind, the first in the order of `MEDIA_FORMATS`, then by name."""
        paths = sorted(self._by_stem.get(composed(stem), ()))
        result = {}
        for kind, suffixes in SUFFIX_ORDER.items():
            fitting = [path for path in paths if path.suffix.lower() in suffixes]
            if fitting:
                result[kind] = str(min(fitting, key=lambda path: suffixes.index(path.suffix.lower())))
        if ".gif" in {Path(path).suffix.lower() for path in result.values()} and result.get("image") == result.get("video"):
            del result["image"]  # one animation, which is a clip
        return result

    def find(self, media_id: str, start: float | None = None, end: float | None = None) -> FoundMedia:
        """The files of a video's segment: cut ones, or the whole recording's, whichever are of more kinds.

        Raises FileNotFoundError, in one sentence, without any.
        """
        cut: dict[str, str] = {}
        for name in _segment_names(media_id, start, end):
            cut = self.named(name) | cut
        whole: dict[str, str] = {}
        for name in RECORDING_NAMES:
            whole = self.named(name.format(id=media_id)) | whole
        if not cut and not whole:
            raise FileNotFoundError(self._missing(media_id, start, end))
        return FoundMedia(cut, True) if len(cut) >= len(whole) else FoundMedia(whole, False)

    def _missing(self, media_id: str, start: float | None, end: float | None) -> str:
        names = [*_segment_names(media_id, start, end), media_id]
        other = next((self._folded[name.casefold()] for name in names if name.casefold() in self._folded), None)
        if other is not None:
            return f"There is a file {quoted(other)}, which differs from {quoted(media_id)} in upper and lower case; rename it if it is the same video."
        times = "" if start is None else f" or [{media_id}]-[{start:g}-{0 if end is None else end:g}]"
        return f"There is no sound, picture or clip named {media_id}{times} in the folder {shorten(self.folder.name)}; put it there."


ALL_SUFFIXES = {item.suffix for item in MEDIA_FORMATS if item.kind in KINDS}


def _segment_names(media_id: str, start: float | None, end: float | None) -> list[str]:
    if start is None:
        return []
    result = dict[str, None]()
    for number in (_seconds, _one_digit, _three_digits, _milliseconds):
        for name in SEGMENT_NAMES:
            if end is not None or "{end}" not in name:
                result[name.format(id=media_id, start=number(start), end="" if end is None else number(end))] = None
    return list(result)


def _seconds(value: float) -> str:
    return f"{value:g}"


def _one_digit(value: float) -> str:
    return f"{value:.1f}"


def _three_digits(value: float) -> str:
    return f"{value:.3f}"


def _milliseconds(value: float) -> str:
    return f"{round(value * 1000)}"


def walk(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it, sorted, without hidden ones and without following links to folders.

    Raises PermissionError for a folder that may not be read.
    """
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def existing_folder(folder: str | Path) -> Path:
    """The folder. Raises FileNotFoundError or ValueError, in one sentence, for what is none."""
    path = Path(folder).expanduser()
    if path.is_file():
        raise ValueError(f"{shorten(path, PATH_LENGTH)} is a file, not a folder of media; give the folder that it lies in.")
    if not path.is_dir():
        raise FileNotFoundError(f"There is no folder {shorten(path, PATH_LENGTH)}; check its name.")
    return path
