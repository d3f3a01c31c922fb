"""Finds media under the names that lists, downloads and other projects give them, wherever they lie in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from llama.data.file_names import composed
from llama.errors import PATH_LENGTH, shorten
from llama.media.containers import MEDIA_FORMATS

SOUND = list(dict.fromkeys(item.suffix for item in MEDIA_FORMATS if item.kind in ("audio", "video")))
SHOWN_NAMES = 4


class MediaIndex:
    """All files below a folder, by name. Links to folders are followed once; hidden files are left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for file in _files(folder):
            self._by_name.setdefault(composed(file.name), []).append(file)
            if file.suffix.lower() in SOUND:
                self._by_stem.setdefault(composed(file.stem), []).append(file)

    def find(self, names: Sequence[str]) -> Path | None:
        """The file of the first name that is there: at that place, or in any folder where just one has it. None without it."""
        return next((file for name in names if (file := self._find(name)) is not None), None)

    def find_sound(self, names: Sequence[str]) -> Path | None:
        """Like `find`; else the sound file or clip of the first name that is there under another suffix, or that has none."""
        stems = [composed(stem) for name in names for stem in (PurePosixPath(name).name, PurePosixPath(name).stem)]
        return self.find(names) or next((file for stem in stems if (file := _best(self._by_stem.get(stem, []))) is not None), None)

    def missing(self, names: Sequence[str]) -> str:
        """The sentence of a medium that `find` does not give."""
        shown = " or ".join(shorten(name, PATH_LENGTH) for name in names[:SHOWN_NAMES])
        return f"There is no file {shown} in {self.folder}, or several in different folders; get it, or leave one there."

    def _find(self, name: str) -> Path | None:
        parts = PurePosixPath(composed(name.replace("\\", "/"))).parts
        files = self._by_name.get(parts[-1], []) if parts else []
        if (exact := self.folder.joinpath(*parts)) in files or not files:
            return exact if files else None
        likeness = [_common_end(parts, file.relative_to(self.folder).parts) for file in files]
        closest = [file for file, like in zip(files, likeness, strict=True) if like == max(likeness)]
        return closest[0] if len(closest) == 1 else None


def _best(files: Sequence[Path]) -> Path | None:
    """The file whose format comes first in the table; None where files of one name lie in different folders."""
    if len({file.parent for file in files}) != 1:
        return None
    return min(files, key=lambda file: SOUND.index(file.suffix.lower()))


def _common_end(first: Sequence[str], second: Sequence[str]) -> int:
    """How many last parts two paths share."""
    pairs = zip(reversed(first), map(composed, reversed(second)), strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give the benchmark's folder.")
    result, seen = [], set()
    for place, names, files in os.walk(folder, followlinks=True):
        names[:] = sorted(name for name in names if not name.startswith("."))
        real = os.path.realpath(place)
        if real in seen:
            names[:] = []
            continue
        seen.add(real)
        result += [Path(place, name) for name in sorted(files) if not name.startswith(".")]
    return result
