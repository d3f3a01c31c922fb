"""Atomic writes: a file or folder appears under its name complete, or not at all.

Each helper gives a temporary path beside the target, which is moved into place when its block ends without an error.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

PARTIAL = ".partial-"  # prefix of temporary names: hidden, and what a killed process may leave behind
BLOCK = 4096  # bytes, the least that a file takes on a disk
SPECIAL_FILES = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a terminal or another device"), (stat.S_ISBLK, "a disk"),
                 (stat.S_ISSOCK, "a socket"))


class WriteError(OSError):
    """A file or folder could not be written; the message is one sentence, the system's error is the cause."""

    @property
    def reason(self) -> str:
        """The system's words alone, such as "No space left on device"."""
        return getattr(self.__cause__, "strerror", None) or str(self.__cause__ or self)


@contextmanager
def atomic_path(path: str | Path, *, fsync: bool = True) -> Iterator[Path]:
    """Yields a temporary path with the target's suffix; its file replaces `path` if the block succeeds.

    fsync: wait until the bytes are on the disk, so that a power cut cannot leave the name with lost content; without it
    for many small files that can be made again. Raises WriteError where the system does not take the file.
    """
    target = Path(path)
    partial = _partial(target)
    try:
        yield partial
        if fsync:
            with partial.open("r+b") as stream:  # Windows syncs writable handles only
                os.fsync(stream.fileno())
        os.replace(partial, target)
    except WriteError:
        raise
    except (SafetensorError, OSError) as error:
        raise _write_error(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def check_writable(path: str | Path, *, parents: bool = False) -> None:
    """Raises WriteError where a file or folder could not be written under this name: to be called before a long work.

    It finds a missing folder, one without permission or room, and a name that the disk does not take, by writing a block beside
    `path` and removing it. parents: missing folders will be made. That a folder lies under the name is not looked at.
    """
    target = Path(os.path.abspath(path))
    try:
        folder = _existing_parent(target) if parents else target.parent
        for name in target.relative_to(folder).parts:
            _check_name(folder / name)
        partial = _partial(folder / target.name)
        try:
            partial.write_bytes(bytes(BLOCK))
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _write_error(Path(path), error) from error


def _existing_parent(target: Path) -> Path:
    return next(folder for folder in target.parents if folder.exists())


def _check_name(path: Path) -> None:
    """Raises OSError for a name that is too long, and for a pipe or device, which a file would replace."""
    with suppress(FileNotFoundError):
        if special := special_file(path):
            raise FileExistsError(errno.EEXIST, f"it is {special}")


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yields a new, empty folder; it replaces `path`, with all that was in it, if the block succeeds.

    The former folder goes back to its name where the new one cannot take it. Raises WriteError as `atomic_path` does.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=PARTIAL) as partial:
            draft, former = Path(partial, "new"), Path(partial, "old")
            draft.mkdir()
            yield draft
            if target.exists():
                os.rename(target, former)
            try:
                os.rename(draft, target)
            finally:
                if former.exists() and not target.exists():
                    os.rename(former, target)
    except WriteError as error:  # of a file inside, whose temporary path says nothing to the user
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise _write_error(target, cause) from cause
    except (SafetensorError, OSError) as error:
        raise _write_error(target, error) from error


@contextmanager
def atomic_files(folder: str | Path) -> Iterator[Path]:
    """Yields a temporary folder; if the block succeeds, its files replace those of the same names in `folder`, one by one.

    Other files in `folder` stay, and it is made if it is missing.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=PARTIAL) as name:
        partial = Path(name)
        yield partial
        for file in sorted(path for path in partial.rglob("*") if path.is_file()):
            destination = target / file.relative_to(partial)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, destination)


def _partial(target: Path) -> Path:
    """A name beside `target` that no other thread or process uses, with its suffix: libraries choose a format by it."""
    return target.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}{target.suffix[-16:]}")


def _write_error(target: Path, error: Exception) -> WriteError:
    reason = getattr(error, "strerror", None) or str(error)
    is_full = getattr(error, "errno", None) in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # None: from safetensors
    advice = "make room" if is_full else "check the name and its permissions"
    result = WriteError(f"{target} could not be written ({reason}); {advice}, or give another place.")
    result.errno = getattr(error, "errno", None)
    return result


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it: onto another disk, and where the file system has no links, as on many USB sticks."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def special_file(path: str | Path) -> str | None:
    """What a path is that is neither a file nor a folder, such as "a pipe"; None for files and folders. Raises OSError without it.

    What it gives may never come, or never end: reading it would wait for ever or fill the memory.
    """
    mode = os.stat(path).st_mode
    return next((words for matches, words in SPECIAL_FILES if matches(mode)), None)


def visible_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Entries of `folder` that match, sorted, without hidden ones: a killed process may leave temporary files."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def write_text(file: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with atomic_path(file) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object, *, indent: int | None = 1) -> None:
    """Writes a JSON file atomically."""
    write_text(path, json.dumps(value, indent=indent) + "\n")
