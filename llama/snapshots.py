"""A run's state on disk: one run a folder, checkpoints that are whole or not there, and everything that going on needs.

OUTPUT_DIR/checkpoints/step-000200/ holds weights.safetensors and origin.json (so each can be loaded as a model, see
overlay.py), optimizer.safetensors, random.safetensors and state.json; OUTPUT_DIR/last/ the newest weights alone.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from llama.assembly import State
from llama.overlay import ORIGIN, WEIGHTS, Origin, read_origin, read_overlay, write_overlay, write_tensors, write_text
from llama.shards import read_safetensors

OPTIMIZER, RANDOM, PROGRESS = "optimizer.safetensors", "random.safetensors", "state.json"
FILES = (WEIGHTS, ORIGIN, OPTIMIZER, RANDOM, PROGRESS)
WRAPPERS = ("_checkpoint_wrapped_module", "_orig_mod")  # parts of names that torch's own wrappers add
MAIN = 0  # the rank that has whole states and writes them

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
class Snapshot:
    """All of a run after `step`. weights: own names; optimizer and random: flat, as `gather_state` and `gather_random`
    make them; progress: plain values (JSON) that training wants back; origin: what the weights lie over."""

    step: int
    weights: State
    optimizer: State
    random: State
    progress: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True)
class Snapshots:
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

    def save(self, snapshot: Snapshot) -> Path:
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
        write_overlay(self.last, snapshot.weights, snapshot.origin)
        self._remove_old(snapshot.step)
        return target

    def newest(self) -> Snapshot | None:
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
        newest = self.newest()
        if newest is not None and self._last_step() != newest.step:
            write_overlay(self.last, newest.weights, newest.origin)

    def check_fresh(self) -> None:
        """Raises ValueError if a run that starts anew would mix its checkpoints with those of another."""
        if steps := self.steps():
            raise ValueError(
                f"{self.output_dir} holds checkpoints of a run up to step {steps[-1]}; go on with --resume, "
                "or give another --output_dir."
            )

    def _whole(self) -> Iterator[Snapshot]:
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
            return read_origin(self.last).step if (self.last / WEIGHTS).is_file() else None
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


def _write(folder: Path, snapshot: Snapshot) -> None:
    write_overlay(folder, snapshot.weights, snapshot.origin)
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


def _read(folder: Path, step: int) -> Snapshot:
    """Raises ValueError or OSError naming what is missing or damaged."""
    progress = _check(folder, step)
    weights, origin = read_overlay(folder)
    return Snapshot(step, weights, read_safetensors(folder / OPTIMIZER), read_safetensors(folder / RANDOM), progress, origin)


def _check(folder: Path, step: int) -> dict[str, Any]:
    """state.json of a checkpoint whose files are all there, of the length that their heads tell; else raises as `_read`."""
    from safetensors import SafetensorError, safe_open

    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise FileNotFoundError(f"it has no {missing[0]}")
    read_origin(folder)
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


# -- a model and its optimizer, on one process or many ------------------------------------------------------------


def gather_state(model: nn.Module, optimizer: Optimizer, names: Mapping[str, str]) -> tuple[State, State]:
    """(weights, optimizer) that train, whole and on the CPU: copies under own names, the optimizer's as "exp_avg.NAME".

    model: plain, DDP or FSDP2; every process must call this, those but the first get empty states. names: own names by
    the model's parameter names, without what wrappers put before them.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights = get_model_state_dict(model, options=options)
    plain = _plain(optimizer)
    # asked for the state of an optimizer that has none, torch makes one, as of a first step
    states = get_optimizer_state_dict(model, plain, options=options).get("state", {}) if plain.state else {}
    moments = {
        f"{kind}.{names[name]}": value.detach().clone()
        for name, table in states.items()
        for kind, value in table.items()
        if isinstance(value, torch.Tensor)
    }
    return {names[name]: value.detach().clone() for name, value in weights.items() if name in names}, moments


def restore_state(model: nn.Module, optimizer: Optimizer, names: Mapping[str, str], weights: State, moments: State) -> None:
    """Inverse of `gather_state`, bit for bit; the first process's states count, the others may give empty ones.

    Rates, decay and whatever else the optimizer's groups hold stay as they are: those are for the schedule to set.
    Raises ValueError naming a weight that does not train here, or the other way round.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    _check_names(model, names, _shared(sorted(weights)))
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=_many(), strict=False)
    _restore_moments(model, _plain(optimizer), names, moments, options)  # first: its making of states steps once, by nothing
    theirs = {own: name for name, own in names.items()}
    set_model_state_dict(model, {theirs[own]: value for own, value in weights.items()}, options=options)


def _restore_moments(model: nn.Module, optimizer: Optimizer, names: Mapping[str, str], moments: State, options: Any) -> None:
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    saved = {flat.partition(".")[2] for flat in _shared(sorted(moments))}
    optimizer.state.clear()
    if not saved:
        return
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    state: dict[str, Any] = {}
    theirs = {own: name for name, own in names.items()}
    for flat, value in moments.items():
        kind, _, own = flat.partition(".")
        state.setdefault(theirs[own], {})[kind] = value.clone()  # torch makes it the optimizer's own
    listed = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(model, optimizer, {"state": state, "param_groups": listed} if state else {}, options=options)
    for group, values in zip(optimizer.param_groups, groups, strict=True):
        group.update(values)  # rates are the schedule's, not the file's
    for name, value in _parameters(model):
        if names.get(name) not in saved:  # it never had a gradient, and its first step is still to come
            optimizer.state.pop(value, None)


def _check_names(model: nn.Module, names: Mapping[str, str], saved: list[str]) -> None:
    trained = {names[name] for name, value in _parameters(model) if value.requires_grad}
    if strange := sorted(trained.symmetric_difference(saved)):
        where = "trains now but is not in the checkpoint" if strange[0] in trained else "is in the checkpoint but does not train now"
        raise ValueError(f"{strange[0]} {where}; resume with the stage, preset and freeze of the run that wrote it.")


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters under the names that torch's state dictionaries have: without what wrappers put in."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    for name, value in inner.named_parameters():
        yield ".".join(part for part in name.split(".") if part not in WRAPPERS), value


def _plain(optimizer: Optimizer) -> Optimizer:
    """The optimizer itself, out of accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


# -- random numbers -----------------------------------------------------------------------------------------------


def gather_random() -> State:
    """Where the random numbers of every process stand, as tensors "RANK.python" and so on; every process must call it."""
    mine = random_state()
    if not _many():
        return {f"{MAIN}.{name}": value for name, value in mine.items()}
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    return {f"{rank}.{name}": value for rank, state in enumerate(everyone) for name, value in state.items()}


def restore_random(state: State) -> None:
    """Inverse of `gather_random`; the first process's state counts. A process that was not there then keeps its own."""
    rank = dist.get_rank() if _many() else MAIN
    whole = _shared(dict(state))
    set_random_state({name.partition(".")[2]: value for name, value in whole.items() if name.startswith(f"{rank}.")})


def random_state() -> State:
    """Python's, numpy's and torch's random numbers of this process; the GPU's where it is in use."""
    _, words, gauss = random.getstate()
    numpys: Any = np.random.get_state()  # a tuple, in numpy's own types a table as well
    _, keys, position, has_gauss, cached = numpys
    state = {
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def set_random_state(state: State) -> None:
    """Inverse of `random_state`; of an empty state, nothing."""
    if not state:
        return
    gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
    *keys, position, has_gauss = state["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, state["numpy_gauss"].item()))
    torch.set_rng_state(state["torch"].clone())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].clone())


def _many() -> bool:
    return dist.is_available() and dist.is_initialized()


def _shared(value: Any) -> Any:
    """The first process's value, on every process."""
    if not _many():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=MAIN)
    return box[0]
