"""Writes a folder of many files atomically and resumes after an interruption."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama.files import write_json
from llama.json_yaml import read_json

ORIGIN, FORMAT = "made.json", 1

Log = Callable[[str], object]
Writer = Callable[[Path], None]


@dataclass(frozen=True)
class Contents:
    tables: Mapping[str, Any]  # name of a JSON file -> what stands in it
    media: Mapping[str, Writer]  # path inside the folder -> what writes that file, complete or not at all


def make_folder(folder: str | Path, origin: Mapping[str, Any], plan: Callable[[], Contents], log: Log) -> None:
    """Writes the files of `plan`; the folder gets its name only when it is complete. A complete folder is left unchanged.

    `origin` tells how it is made; it is kept in the folder, so that one made otherwise is refused with `ValueError`, and an
    interrupted one goes on. A second process that wants the same waits, and finds it made.
    """
    from filelock import FileLock

    folder, origin = Path(folder).expanduser().resolve(), {**origin, "format": FORMAT}
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.partial")
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        _refuse_foreign(folder, origin)
        contents = plan()
        if folder.is_dir() and all((folder / name).is_file() for name in (*contents.tables, *contents.media)):
            log(f"{folder} is whole already")
            return
        _resume_draft(folder, draft, origin)
        _fill(draft, contents, lambda words: log(f"{folder.name}: {words}"))
        os.replace(draft, folder)  # not files.atomic_folder: a draft that was interrupted is kept and completed
        log(f"{folder}: {len(contents.media)} files of sound, pictures and clips")


def _read_origin(folder: Path) -> Any:
    path = folder / ORIGIN
    return read_json(path, "remove the folder, or give another") if path.is_file() else None


def _refuse_foreign(folder: Path, origin: Mapping[str, Any]) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    found = _read_origin(folder) if folder.is_dir() else None
    if found != origin:
        what = f"a set made otherwise ({json.dumps(found)})" if found else "something that was not made here"
        raise ValueError(f"{folder} holds {what}; name another folder, or remove it to have {json.dumps(origin)}.")


def _resume_draft(folder: Path, draft: Path, origin: Mapping[str, Any]) -> None:
    """Keeps a draft of the same set with its files; starts a new draft otherwise."""
    if folder.is_dir() and any(folder.iterdir()):  # files were lost from it
        if draft.exists():
            shutil.rmtree(draft)
        os.replace(folder, draft)
    if draft.exists() and _read_origin(draft) != origin:
        shutil.rmtree(draft)
    draft.mkdir(exist_ok=True)
    write_json(draft / ORIGIN, origin)


def _fill(draft: Path, contents: Contents, log: Log) -> None:
    missing = [name for name in contents.media if not (draft / name).is_file()]
    for stray in [path for path in draft.rglob(".*") if path.is_file()]:  # what a killed run was writing
        stray.unlink()
    for part in sorted({Path(name).parent for name in contents.media}):
        (draft / part).mkdir(parents=True, exist_ok=True)
    started, step = time.monotonic(), max(1, len(missing) // 10)
    for done, name in enumerate(missing, 1):
        contents.media[name](draft / name)
        if done % step == 0:
            left = (time.monotonic() - started) / done * (len(missing) - done)
            log(f"{done} of {len(missing)} files, {left:.0f} s left")
    for table, value in contents.tables.items():
        write_json(draft / table, value)
