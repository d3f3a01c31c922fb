"""How an error is told to the one who asked: one sentence, whose fault it is, and nothing of this server's folders."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from llama.serving.request import EngineDeadError, QueueFullError

OUT_OF_MEMORY = "There is not enough memory for this; ask for a shorter piece, or give a shorter recording."
SERVER_ERROR = "The server made a mistake over this request and has noted it; try again, or ask in another way."
# A path from the root, up to the last of its names; not the slashes of an address or of "4/4".
FOLDER_PATTERN = re.compile(r"(?<![\w:/.])(?:/(?:[^\s/'\"]+/)+|[A-Za-z]:\\(?:[^\s\\'\"]+\\)+)")

ErrorCategory = Literal["user", "busy", "server"]


class UserFacingError(ValueError):
    """One sentence for the user. fault: "user" (mend the request), "busy" (come back later) or "server" (not theirs)."""

    def __init__(self, sentence: str, category: ErrorCategory = "user") -> None:
        super().__init__(sentence)
        self.category = category


@contextmanager
def user_errors(names: Mapping[Path, str] | None = None) -> Iterator[None]:
    """Whatever goes wrong inside leaves as `UserFacingError`; what is not the user's fault is logged with its traceback first.

    names: what the user calls the files that a sentence may mention, as {path: "The recording"}.
    """
    try:
        yield
    except UserFacingError:
        raise
    except Exception as error:
        raise to_user_error(error, names or {}) from error


def to_user_error(error: Exception, names: Mapping[Path, str]) -> UserFacingError:
    """The error as the user is told it."""
    if isinstance(error, QueueFullError):
        return UserFacingError(_one_line(error), "busy")
    if isinstance(error, ValueError) or isinstance(error, OSError) and error.strerror is None and not _is_out_of_memory(error):
        return UserFacingError(_without_folders(_one_line(error), names))
    logging.error("a request failed", exc_info=error)
    if isinstance(error, EngineDeadError):
        return UserFacingError(_one_line(error), "server")
    if _is_out_of_memory(error):
        return UserFacingError(OUT_OF_MEMORY, "server")
    if isinstance(error, OSError):  # of this machine, not of the user's: a full disk, a lost connection
        return UserFacingError(f"The server could not read or write what it needs ({error.strerror}); try again later.", "server")
    return UserFacingError(SERVER_ERROR, "server")


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has a class of its own for the GPU's memory, and a plain RuntimeError for the processor's."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or SERVER_ERROR


def _without_folders(sentence: str, names: Mapping[Path, str]) -> str:
    for path, name in names.items():
        sentence = sentence.replace(str(path), name).replace(str(path.resolve()), name)
    for folder in sorted({str(path.parent) for path in names}, key=len, reverse=True):  # folders may have spaces
        sentence = sentence.replace(folder + "/", "")
    return FOLDER_PATTERN.sub("", sentence)
