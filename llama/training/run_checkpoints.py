"""A run's state on disk: one run a folder, checkpoints that are whole or not there, and everything that going on needs.

OUTPUT_DIR/checkpoints/step-000200/ holds weights.safetensors and origin.json (so each can be loaded as a model, see
overlay.py), optimizer.safetensors, random.safetensors and state.json; OUTPUT_DIR/last/ the newest weights alone.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from llama.files import write_text

OPTIMIZER, RANDOM, PROGRESS = "optimizer.safetensors", "random.safetensors", "state.json"
FILES = (WEIGHTS, ORIGIN, OPTIMIZER, RANDOM, PROGRESS)

logger = logging.getLogger(__name__)


class RunLock:
    """Holds OUTPUT_DIR for one run, as a context; the system frees it when the process ends, however it ends.

    Entering raises ValueError in one sentence if another run holds the folder.
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
    """All of a run after `step`. weights: own names; optimizer and random: flat, as run_state.py gathers them;
    progress: plain values (JSON) that training wants back; origin: what the weights lie over."""

    step: int
    weights: State
    optimizer: State
    random: State
    progress: Mapping[str, Any]
    origin: BaseReference


@dataclass(frozen=True)
class RunCheckpoints:
    """The checkpoints of one output folder, of which the newest `keep` stay. Only one process may write."""

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

    def save(self, snapshot: RunCheckpoint) -> Path:
        """Writes a checkpoint whole, then `last`, and only then removes old ones. Returns its folder.

        Raises OSError in one sentence where the disk does not take it; the checkpoints before it are left as they are.
        """
        snapshot = dataclasses.replace(snapshot, origin=dataclasses.replace(snapshot.origin, step=snapshot.step))
        target = self._place(snapshot.step)
        partial = self._partial(target)
        try:
            _write(partial, snapshot)
            if target.exists():  # one that was damaged, or the same step of the same run
                target.rename(self._partial(target, "old"))
            partial.rename(target)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(self._failed(target, error)) from error
        write_delta(self.last, snapshot.weights, snapshot.origin)
        self._remove_old(snapshot.step)
        return target

    def newest(self) -> RunCheckpoint | None:
        """The newest checkpoint that is whole; None if there is none. Those that are damaged are named in the log."""
        return next(self._whole(), None)

    def steps(self) -> list[int]:
        """Steps of all checkpoints, whole or not, ascending."""
        names = (re.fullmatch(r"step-(\d+)", place.name) for place in self.folder.glob("step-*"))
        return sorted(int(found[1]) for found in names if found)

    def tidy(self) -> None:
        """What a killed run left: half-written folders are removed, `last` is brought up to the newest checkpoint."""
        for place in (*self.folder.glob(".step-*"), *self.last.glob(".*.partial")):
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        # Judged by their heads: a large run's optimizer would take long to read, only to be read again when it goes on.
        newest = next((step for step in reversed(self.steps()) if _is_whole(self._place(step), step)), None)
        if newest is not None and self._last_step() != newest:
            write_delta(self.last, *read_delta(self._place(newest)))

    def check_fresh(self) -> None:
        """Raises ValueError if a run that starts anew would mix its checkpoints with those of another."""
        if steps := self.steps():
            raise ValueError(
                f"{self.output_dir} holds checkpoints of a run up to step {steps[-1]}; go on with --resume, "
                "or give another --output_dir."
            )

    def _whole(self) -> Iterator[RunCheckpoint]:
        for step in reversed(self.steps()):
            place = self._place(step)
            try:
                yield _read(place, step)
            except (ValueError, OSError) as error:
                logger.warning("%s is left out: %s", place, " ".join(str(error).split()))

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def _last_step(self) -> int | None:
        try:
            return read_base_reference(self.last).step if (self.last / WEIGHTS).is_file() else None
        except (ValueError, OSError):
            return None  # damaged is as good as missing: it is written anew

    def _partial(self, target: Path, kind: str = "partial") -> Path:
        place = self.folder / f".{target.name}.{kind}-{os.getpid()}"
        if place.exists():
            shutil.rmtree(place)
        return place

    def _failed(self, target: Path, error: OSError) -> str:
        reason = getattr(error.__cause__, "strerror", None) or error.strerror or str(error.__cause__ or error)
        kept = f"step {self.steps()[-1]} is the last one kept" if self.steps() else "none was kept before it"
        return f"The checkpoint {target} could not be written ({reason}), {kept}; make room, and go on with --resume."

    def _remove_old(self, step: int) -> None:
        """Hidden first and then removed, so that a kill in between leaves no half checkpoint under a true name."""
        before = [one for one in self.steps() if one < step]
        whole = [one for one in before if _is_whole(self._place(one), one)]
        kept = whole[max(0, len(whole) - (self.keep - 1)) :]
        for one in before:
            if one not in kept:
                self._place(one).rename(self._partial(self._place(one), "old"))
        for place in self.folder.glob(".step-*"):
            shutil.rmtree(place)


def _write(folder: Path, snapshot: RunCheckpoint) -> None:
    write_delta(folder, snapshot.weights, snapshot.origin)
    write_tensors(folder / OPTIMIZER, snapshot.optimizer)
    write_tensors(folder / RANDOM, snapshot.random)
    write_text(folder / PROGRESS, json.dumps({**snapshot.progress, "step": snapshot.step}, indent=2) + "\n")
    _sync(folder)


def _sync(folder: Path) -> None:
    """The folder's list of names, too, must reach the disk; where folders cannot be opened, the system sees to it."""
    if os.name == "posix":
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _read(folder: Path, step: int) -> RunCheckpoint:
    """Raises ValueError or OSError naming what is missing or damaged."""
    progress = _check(folder, step)
    weights, origin = read_delta(folder)
    return RunCheckpoint(step, weights, read_safetensors(folder / OPTIMIZER), read_safetensors(folder / RANDOM), progress, origin)


def _check(folder: Path, step: int) -> dict[str, Any]:
    """state.json of a checkpoint whose files are all there, of the length that their heads tell; else raises as `_read`."""
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
    try:
        progress = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"its {PROGRESS} is damaged ({error})") from error
    if not isinstance(progress, dict) or progress.get("step") != step:
        raise ValueError(f"its {PROGRESS} does not tell of step {step}")
    return progress


def _is_whole(folder: Path, step: int) -> bool:
    try:
        _check(folder, step)
    except (ValueError, OSError):
        return False
    return True
