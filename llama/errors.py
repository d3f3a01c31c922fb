"""Errors that commands report in one sentence instead of a traceback: the user's, the disk's, the installation's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Errors in what a user gives. Any error that is in neither tuple is a fault of the program and keeps its traceback.
USER_ERRORS = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
COMMAND_ERRORS = (*USER_ERRORS, OSError, ImportError)  # OSError: a full disk, a port in use; ImportError: a broken installation

# Words of an OSError from the loader of compiled libraries, such as a torchaudio that was built for another torch.
LOADER_MESSAGES = ("Could not load this library", "cannot open shared object file", "undefined symbol")
OWN_PACKAGES = ("llama", "demo", "DataSet", "recipes", "benchmarks")
QUOTE_LENGTH = 80  # characters of a user's text that a message repeats
PATH_LENGTH = 200  # characters of a path
SENTENCE_LENGTH = 1000  # characters of a whole message
INSTALL = "install the tested versions with make, or pip install -r requirements.txt."


class InstallationError(ImportError):
    """A library is missing or does not load beside the others. No OSError, so that it never counts as a damaged file."""


def is_installation_error(error: BaseException) -> bool:
    """Whether a library is missing or does not load, which no file of the user's can cause."""
    if isinstance(error, ImportError):
        return not is_program_fault(error)
    return isinstance(error, OSError) and any(text in str(error) for text in LOADER_MESSAGES)


def is_program_fault(error: BaseException) -> bool:
    """Whether an import failed for a name or module of this project, which no installation can mend."""
    return isinstance(error, ImportError) and (error.name or "").split(".")[0] in OWN_PACKAGES


@contextmanager
def importing(package: str, extra: str = "") -> Iterator[None]:
    """Turns a failed import inside into an InstallationError that says what to install; `extra`: of pyproject.toml, that names it."""
    try:
        yield
    except (ImportError, OSError) as error:
        if is_program_fault(error):
            raise
        advice = f'install it with pip install ".[{extra}]".' if extra else INSTALL
        raise InstallationError(f"The package {package} does not load ({_one_line(error)}); {advice}") from error


class CollectiveError(RuntimeError):
    """An error that every process of a distributed run raises, on a process other than the main one, which reports it."""


def sentence(error: BaseException) -> str:
    """The error in one line for a user. Raises the error itself if it is a fault of the program, to keep its traceback."""
    if is_program_fault(error):
        raise error
    if is_installation_error(error) and not isinstance(error, InstallationError):
        return f"A library is missing or does not load ({_one_line(error)}); {INSTALL}"
    if isinstance(error, UnicodeError):
        text = shorten(getattr(error, "object", error))
        return f"{text} is no text in {getattr(error, 'encoding', 'UTF-8')}; give a file, folder or text of another name or encoding."
    if isinstance(error, OSError) and error.strerror:
        if isinstance(error, ConnectionError):
            return f"{error.strerror}: the reader of the output, or the other end of the connection, has gone."
        if error.filename is None:  # while writing: a full disk
            return f"{error.strerror}; make room, or give another place."
        return f"{error.strerror}: {shorten(error.filename, PATH_LENGTH)}; check the name, its permissions and the room on its disk."
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    text = str(error)
    if "Traceback (most recent call last)" in text:  # of a worker process, which torch puts into the message
        text = text.strip().splitlines()[-1]
    return shorten(" ".join(text.split()), SENTENCE_LENGTH) or type(error).__name__


def shorten(value: object, limit: int = QUOTE_LENGTH) -> str:
    """What a user gave, as an error message quotes it: at most `limit` characters, its middle left out if it is longer.

    Characters that do not print (line breaks, a terminal's escapes, bytes of a file name that are no text) become escapes
    such as \\x1b, so that a quotation can neither break a line nor fail to print.
    """
    text = str(value)
    if len(text) > limit:  # first, since the escapes of a long text take long, too
        text = _without_middle(text, limit)
    escaped = "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in text)
    return _without_middle(escaped, limit) if len(escaped) > limit else escaped


def quoted(value: object) -> str:
    """The value as an error message repeats it. A whole number may have more digits than Python turns into text."""
    if isinstance(value, int) and abs(value) > 10**60:
        return "a number of more than 60 digits"
    return shorten(repr(value))


def _without_middle(text: str, limit: int) -> str:
    """`limit` characters of a longer text: two thirds from its start, the rest from its end, where a path has its name."""
    tail = (limit - 3) // 3
    return f"{text[: limit - 3 - tail]}...{text[len(text) - tail :]}"


def require_fields(owner: object, names: Iterable[str], allowed: Any, words: str) -> None:
    """Raises ValueError for a field that is not finite or not `allowed`; `words` says what is. None passes."""
    for name in names:
        value = getattr(owner, name)
        if value is not None and not (math.isfinite(value) and allowed(value)):
            raise ValueError(f"{name} is {value}; give {words}.")


def comma_list(words: Iterable[object]) -> str:
    """The words joined with commas."""
    return ", ".join(map(str, words))


def and_list(words: Sequence[str]) -> str:
    """The words joined as in a sentence: "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
