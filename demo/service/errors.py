"""Errors for users: one sentence and a category, without paths of this server."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from llama.errors import SENTENCE_LENGTH, is_installation_error, shorten
from llama.files import WriteError
from llama.serving.request import EngineDeadError, QueueFullError

OUT_OF_MEMORY = "There is not enough memory for this; ask for a shorter piece, or give a shorter recording."
SERVER_ERROR = "The server made a mistake over this request and has noted it; try again, or ask in another way."
DISK_FULL = "The server has no room left for more files; try again in a few minutes, or ask for a shorter piece."
# The folders of an absolute path, without its last name; does not match the slashes of a URL or of "4/4".
FOLDER_PATTERN = re.compile(r"(?<![\w:/.])(?:/(?:[^\s/'\"]+/)+|[A-Za-z]:\\(?:[^\s\\'\"]+\\)+)")

ErrorCategory = Literal["user", "busy", "full", "server"]


class UserFacingError(ValueError):
    """Error with one sentence for the user.

    category: "user" (the request must change), "busy" (try again later), "full" (the server's disk is; try again later) or
    "server" (a fault of the server).
    """

    def __init__(self, sentence: str, category: ErrorCategory = "user") -> None:
        super().__init__(sentence)
        self.category = category


@contextmanager
def user_errors(names: Mapping[Path, str] | None = None) -> Iterator[None]:
    """Context manager that converts every exception into a `UserFacingError`; server errors are logged with their traceback.

    names: user-visible names of files that a message may contain, as {path: "The recording"}.
    """
    try:
        yield
    except UserFacingError:
        raise
    except Exception as error:
        raise to_user_error(error, names or {}) from error


def to_user_error(error: Exception, names: Mapping[Path, str]) -> UserFacingError:
    """Converts an exception into an error for the user. Logs it unless the request or a full queue caused it."""
    if isinstance(error, QueueFullError):
        return UserFacingError(_one_line(error), "busy")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        logging.error("the disk is full", exc_info=error)
        return UserFacingError(DISK_FULL, "full")
    if isinstance(error, WriteError):  # the server's disk, not the user's file
        logging.error("a file could not be written", exc_info=error)
        return UserFacingError(f"The server could not read or write what it needs ({error.reason}); try again later.", "server")
    of_this_machine = _is_out_of_memory(error) or is_installation_error(error)
    if isinstance(error, ValueError) or isinstance(error, OSError) and error.strerror is None and not of_this_machine:
        return UserFacingError(_without_folders(_one_line(error), names))
    logging.error("a request failed", exc_info=error)
    if is_installation_error(error):
        return UserFacingError(SERVER_ERROR, "server")
    if isinstance(error, EngineDeadError):
        return UserFacingError(_one_line(error), "server")
    if _is_out_of_memory(error):
        return UserFacingError(OUT_OF_MEMORY, "server")
    if isinstance(error, OSError):  # of this machine, such as a broken disk
        return UserFacingError(f"The server could not read or write what it needs ({error.strerror}); try again later.", "server")
    return UserFacingError(SERVER_ERROR, "server")


def _is_out_of_memory(error: Exception) -> bool:
    """Torch raises its own class for GPU memory, and a plain RuntimeError for CPU memory."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _one_line(error: Exception) -> str:
    return shorten(" ".join(str(error).split()), SENTENCE_LENGTH) or SERVER_ERROR


def _without_folders(sentence: str, names: Mapping[Path, str]) -> str:
    for path, name in names.items():
        sentence = sentence.replace(str(path), name).replace(str(path.resolve()), name)
    for folder in sorted({str(path.parent) for path in names}, key=len, reverse=True):  # folders may contain spaces
        sentence = sentence.replace(folder + "/", "")
    return FOLDER_PATTERN.sub("", sentence)
