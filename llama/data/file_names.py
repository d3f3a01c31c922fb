"""Names of files in lists of examples and in folders, found in whatever form another system wrote them.

macOS writes accented letters decomposed (NFD), most other systems composed (NFC), and Windows separates folders with backslashes.
"""

from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize


def composed(name: str) -> str:
    """The name with composed letters (NFC), by which names are compared."""
    return normalize("NFC", name)


def find_file(folder: Path, name: str) -> Path:
    """The file that a list names, in `folder`: under its very name, else with slashes for backslashes, or composed or decomposed.

    The very name where there is no such file.
    """
    if name.isascii() and "\\" not in name:
        return folder / name
    spellings = dict.fromkeys((name, name.replace("\\", "/")))
    candidates = [folder / form for text in spellings for form in (text, composed(text), normalize("NFD", text))]
    # The function of os.path, since the method of Path raises for a name that is too long.
    return next((path for path in candidates if os.path.exists(path)), candidates[0])
