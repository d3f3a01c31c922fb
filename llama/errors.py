"""Errors that a user can cause and mend, and the one sentence that tells them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

# What a user can cause and mend. Anything else is a fault of the program and keeps its traceback.
USER_ERRORS = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def sentence(error: BaseException) -> str:
    """The error in one line for a user."""
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:  # while writing: a full disk, a connection that ended
            return f"{error.strerror}; make room, or give another place."
        return f"{error.strerror}: {error.filename}; check the name, its permissions and the room on its disk."
    return " ".join(str(error).split()) or type(error).__name__


def require_fields(owner: object, names: Iterable[str], allowed: Any, words: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and not (math.isfinite(value) and allowed(value)):
            raise ValueError(f"{name} is {value}; give {words}.")


def comma_list(words: Iterable[object]) -> str:
    """Words of a sentence, with commas between them."""
    return ", ".join(map(str, words))
