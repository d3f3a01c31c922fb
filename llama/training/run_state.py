"""The state of a run in memory, whole on the first process: what trains, its optimizer's moments, all random numbers.

Gathered from one process or many, replicated or sharded, and put back into as many or another number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from llama.checkpoint.builder import State

WRAPPERS = ("_checkpoint_wrapped_module", "_orig_mod")  # parts of names that torch's own wrappers add
MAIN = 0  # the rank that has whole states

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
