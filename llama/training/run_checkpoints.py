"""Checkpoints of a training run: one run a folder, written atomically, with everything that resuming needs.

OUTPUT_DIR/checkpoints/step-000200/ has weights.safetensors and origin.json (so each can be loaded as a model, see
llama/checkpoint/delta.py), optimizer.safetensors, random.safetensors and state.json, which has a SHA-256 checksum of each of
them and of itself. OUTPUT_DIR/last/ has the newest weights alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from llama.checkpoint.builder import State
from llama.checkpoint.delta import (
    ORIGIN,
    WEIGHTS,
    BaseReference,
    read_base_reference,
    read_delta,
    write_delta,
    write_tensors,
)
from llama.checkpoint.readers import read_safetensors
from llama.files import PARTIAL, write_text
from llama.json_yaml import parse_json

OPTIMIZER, RANDOM, PROGRESS = "optimizer.safetensors", "random.safetensors", "state.json"
CHECKED_FILES = (WEIGHTS, ORIGIN, OPTIMIZER, RANDOM)  # by a checksum in state.json
FILES = (*CHECKED_FILES, PROGRESS)
CHECKSUMS = "sha256"  # key of state.json; runs of earlier versions have none

logger = logging.getLogger(__name__)


class RunLock:
    """Context that locks OUTPUT_DIR for one run; the system releases the lock when the process ends in any way.

    Entering raises ValueError if another run has the lock.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)

    def __enter__(self) -> RunLock:
        from filelock import FileLock, Timeout

        self.output_dir.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.output_dir / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(f"Another run writes to {self.output_dir}; wait for it, or give another --output_dir.") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()


# -- on disk ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunCheckpoint:
    """State of a run after `step`.

    weights: by internal names. optimizer and random: flat, as run_state.py gathers them. progress: JSON values that the
    trainer restores. base: the base model that the weights apply to.
    """

    step: int
    weights: State
    optimizer: State
    random: State
    progress: Mapping[str, Any]
    base: BaseReference


@dataclass(frozen=True)
class RunCheckpoints:
    """The checkpoints of one output folder; the newest `keep` are kept. Only one process may write."""

    output_dir: Path
    keep: int = 2

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError(f"keep is {self.keep}; at least 1 checkpoint is kept.")

    @property
    def folder(self) -> Path:
        return Path(self.output_dir) / "checkpoints"

    @property
    def last(self) -> Path:
        return Path(self.output_dir) / "last"

    def save(self, checkpoint: RunCheckpoint) -> Path:
        """Writes a checkpoint atomically, then `last`, and only then removes old ones. Returns its folder.

        Raises OSError in one sentence if it cannot be written; the earlier checkpoints are unchanged then.
        """
        checkpoint = dataclasses.replace(checkpoint, base=dataclasses.replace(checkpoint.base, step=checkpoint.step))
        target = self._path(checkpoint.step)
        partial = self._partial(target)
        try:
            _write(partial, checkpoint)
            if target.exists():  # damaged, or the same step of the same run
                target.rename(self._partial(target, "old"))
            partial.rename(target)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(self._write_error(target, error)) from error
        write_delta(self.last, checkpoint.weights, checkpoint.base)
        self._remove_old(checkpoint.step)
        return target

    def newest(self) -> RunCheckpoint | None:
        """The newest undamaged checkpoint, or None. Damaged ones are logged and skipped."""
        damaged: list[str] = []
        for step in reversed(self.steps()):
            try:
                checkpoint = _read(self._path(step), step)
            except (ValueError, OSError) as error:
                damaged.append(f"{self._path(step)} is left out: {' '.join(str(error).split())}")
                continue
            for message in damaged:
                logger.warning("%s; the checkpoint of step %d is used instead.", message, step)
            return checkpoint
        for message in damaged:
            logger.warning("%s.", message)
        return None

    def steps(self) -> list[int]:
        """Steps of all checkpoints, damaged ones included, ascending."""
        matches = (re.fullmatch(r"step-(\d+)", path.name) for path in self.folder.glob("step-*"))
        return sorted(int(match[1]) for match in matches if match)

    def clean_up(self) -> None:
        """Cleans up after a killed run: removes incomplete folders and brings `last` up to the newest checkpoint.

        Optimizer states are checked by their header only: a large one takes long to read, and resuming reads it again.
        """
        leftovers = (folder.glob(f"{PARTIAL}*") for folder in (self.output_dir, self.output_dir / "examples", self.last))
        former = self.last.glob(".*.partial")  # names of earlier versions
        for path in (*self.folder.glob(".step-*"), *chain.from_iterable(leftovers), *former):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for step in reversed(self.steps()):
            if _is_complete(self._path(step), step) and self._last_step() == step:
                return
            if _is_complete(self._path(step), step, checksums_of=(WEIGHTS, ORIGIN)):
                write_delta(self.last, *read_delta(self._path(step)))
                return

    def check_fresh(self) -> None:
        """Raises ValueError if the folder has checkpoints, which a new run would mix with its own."""
        if steps := self.steps():
            raise ValueError(
                f"{self.output_dir} holds checkpoints of a run up to step {steps[-1]}; go on with --resume, "
                "or give another --output_dir."
            )

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def _last_step(self) -> int | None:
        try:
            return read_base_reference(self.last).step if (self.last / WEIGHTS).is_file() else None
        except (ValueError, OSError):
            return None  # damaged counts as missing: it is written again

    def _partial(self, target: Path, kind: str = "partial") -> Path:
        path = self.folder / f".{target.name}.{kind}-{os.getpid()}"
        if path.exists():
            shutil.rmtree(path)
        return path

    def _write_error(self, target: Path, error: OSError) -> str:
        reason = getattr(error.__cause__, "strerror", None) or error.strerror or str(error.__cause__ or error)
        previous = f"step {self.steps()[-1]} is the last one kept" if self.steps() else "none was kept before it"
        return f"The checkpoint {target} could not be written ({reason}), {previous}; make room, and go on with --resume."

    def _remove_old(self, step: int) -> None:
        """Renames old checkpoints to hidden names before removing them, so that a kill leaves no incomplete one under its name."""
        earlier = [number for number in self.steps() if number < step]
        complete = [number for number in earlier if _is_complete(self._path(number), number)]
        keep = complete[max(0, len(complete) - (self.keep - 1)) :]
        for number in earlier:
            if number not in keep:
                self._path(number).rename(self._partial(self._path(number), "old"))
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path)


def _write(folder: Path, checkpoint: RunCheckpoint) -> None:
    write_delta(folder, checkpoint.weights, checkpoint.base)
    write_tensors(folder / OPTIMIZER, checkpoint.optimizer)
    write_tensors(folder / RANDOM, checkpoint.random)
    progress = {**checkpoint.progress, "step": checkpoint.step}
    checksums = {name: _file_checksum(folder / name) for name in CHECKED_FILES} | {PROGRESS: _checksum(progress)}
    write_text(folder / PROGRESS, json.dumps({**progress, CHECKSUMS: checksums}, indent=2) + "\n")
    _sync(folder)


def _file_checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(progress: Mapping[str, Any]) -> str:
    """Checksum of the values of state.json, without the checksums in it."""
    return hashlib.sha256(json.dumps(progress, sort_keys=True).encode()).hexdigest()


def _sync(folder: Path) -> None:
    """Flushes the folder's entries to the disk; systems other than POSIX cannot open folders and do it themselves."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(folder: Path, step: int) -> RunCheckpoint:
    """The checkpoint in `folder`. Raises ValueError or OSError naming the file that is missing or damaged."""
    progress = _check(folder, step, CHECKED_FILES)
    weights, base = read_delta(folder)
    return RunCheckpoint(step, weights, read_safetensors(folder / OPTIMIZER), read_safetensors(folder / RANDOM), progress, base)


def _check(folder: Path, step: int, checksums_of: Iterable[str] = ()) -> dict[str, Any]:
    """The values of state.json, after checking that all files exist with the length their headers give; raises like `_read`.

    checksums_of: files to compare with their checksums, which takes reading them.
    """
    from safetensors import SafetensorError, safe_open

    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise FileNotFoundError(f"it has no {missing[0]}")
    read_base_reference(folder)
    for name in (WEIGHTS, OPTIMIZER, RANDOM):
        try:
            with safe_open(folder / name, framework="pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"its {name} is damaged ({error})") from error
    progress, checksums = _read_progress(folder / PROGRESS, step)
    for name in checksums_of:
        if checksums and checksums.get(name) != _file_checksum(folder / name):
            raise ValueError(f"its {name} is damaged (it differs from its checksum)")
    return progress


def _read_progress(file: Path, step: int) -> tuple[dict[str, Any], dict[str, str]]:
    """(the values of state.json, the checksums in it)."""
    try:
        progress = parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"its {PROGRESS} is damaged ({error})") from error
    if not isinstance(progress, dict) or progress.get("step") != step:
        raise ValueError(f"its {PROGRESS} does not tell of step {step}")
    checksums = progress.pop(CHECKSUMS, {})
    if not isinstance(checksums, dict) or (checksums and checksums.get(PROGRESS) != _checksum(progress)):
        raise ValueError(f"its {PROGRESS} is damaged (it differs from its checksum)")
    return progress, checksums


def _is_complete(folder: Path, step: int, checksums_of: Iterable[str] = ()) -> bool:
    try:
        _check(folder, step, checksums_of)
    except (ValueError, OSError):
        return False
    return True
