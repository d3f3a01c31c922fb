"""run.json of a folder of results: what made them, so that a run that goes on never mixes two models or two sets of options."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama.errors import comma_list, quoted
from llama.evaluation.tables import library_versions
from llama.files import write_json
from llama.json_yaml import read_table

FILE, LOCK = "run.json", ".run.lock"
LIBRARIES = ("torch", "torchaudio", "transformers", "numpy", "soundfile", "av")


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Raises ValueError while another run writes to the folder, which is made if it is missing."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"Another run writes to {folder}; wait for it, or give another folder.") from error
    try:
        yield
    finally:
        lock.release()


def digest(values: Any) -> str:
    """16 hex digits of values that JSON can hold, to tell two lists of questions or captions apart."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def result_meta(notes: Mapping[str, Any], *packages: str) -> dict[str, Any]:
    """What stands beside the tables in their JSON file: the command, the notes, and the versions of LIBRARIES and other packages."""
    return {"command": sys.argv, **notes, "versions": library_versions(*LIBRARIES, *packages)}


def start_run(folder: Path, settings: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Writes run.json, or compares it with the one that is there. Raises ValueError where a setting differs.

    settings: all that the results depend on. notes: what is told beside them, such as the model's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, settings = folder / FILE, json.loads(json.dumps(settings))
    if file.exists():
        former = read_table(file, "remove the folder, or give another").get("settings", {})
        if changes := [_change(name, former.get(name), settings.get(name)) for name in dict.fromkeys((*former, *settings))
                       if former.get(name) != settings.get(name)]:  # fmt: skip
            advice = "give another folder, or the same model and options"
            raise ValueError(f"{folder} holds results of another run ({comma_list(changes)}); {advice}.")
        return
    write_json(file, {"settings": settings, **notes, "versions": library_versions(*LIBRARIES)})


def _change(name: str, former: Any, now: Any) -> str:
    """How a setting differs, in words; digests, which say nothing to a reader, are left out."""
    is_digest = any(isinstance(value, str) and len(value) >= 16 and set(value) <= set("0123456789abcdef") for value in (former, now))
    return f"other {name}" if is_digest else f"{name} {quoted(former)} there, {quoted(now)} here"
