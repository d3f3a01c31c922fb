"""The page's own modules and style sheets: their contents, and one hash of all of them.

The hash is part of their addresses, so that browsers keep them for good and still get the new ones after an update.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDERS = {".js": "js", ".css": "css"}  # suffix -> folder beside this file
HERE = Path(__file__).resolve().parent
PREFIX = "page-assets"  # of their addresses, relative to the page's


@dataclass(frozen=True)
class PageAssets:
    """Contents of all files by name, and the hash of all names and contents."""

    files: Mapping[str, bytes]
    digest: str

    @classmethod
    def read(cls, root: Path = HERE) -> PageAssets:
        """Reads all files below `root`. Raises FileNotFoundError where there are none: the package is incomplete."""
        paths = [path for suffix, folder in FOLDERS.items() for path in sorted((root / folder).glob(f"*{suffix}"))]
        if not paths:
            raise FileNotFoundError(f"{root} has no modules of the page; install the package anew.")
        files = {path.name: path.read_bytes() for path in paths}
        digest = hashlib.sha256()
        for name, content in files.items():
            digest.update(f"{name} {len(content)} ".encode() + content)
        return cls(files, digest.hexdigest()[:16])

    def address(self, name: str) -> str:
        """Address of a file, relative to the page's. Raises KeyError for a name that is not there."""
        if name not in self.files:
            raise KeyError(name)
        return f"{PREFIX}/{self.digest}/{name}"

    def style(self) -> str:
        """All style sheets in one text: base.css first, then by name."""
        names = sorted((name for name in self.files if name.endswith(".css")), key=lambda name: (name != "base.css", name))
        return "\n".join(self.files[name].decode() for name in names)


@functools.cache
def page_assets() -> PageAssets:
    """The files of this installation, read once in a process."""
    return PageAssets.read()
