"""Run state in memory: trainable weights, optimizer moments and random states, gathered on the first process.

It is gathered from one process or many, replicated or sharded, and can be restored into another number of processes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from llama.checkpoint.builder import State
from llama.errors import comma_list

if TYPE_CHECKING:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

WRAPPERS = ("_checkpoint_wrapped_module", "_orig_mod")  # name parts that torch's wrappers add
MAIN = 0  # the rank that gets the complete state
RANDOM_NAMES = ("python", "python_gauss", "numpy", "numpy_gauss", "torch")  # "cuda" too, where it is in use
ValueT = TypeVar("ValueT")
BEGIN_ANEW = "begin with another --output_dir, and keep its weights with --model OUTPUT_DIR/last"

# -- a model and its optimizer, on one process or many ------------------------------------------------------------


def gather_state(model: nn.Module, optimizer: Optimizer, names: Mapping[str, str]) -> tuple[State, State]:
    """(trainable weights, optimizer moments): complete copies on the CPU by internal names, moments as "exp_avg.NAME".

    model: plain, DDP or FSDP2. Every process must call this; those but the first get empty states. names: the model's
    parameter names, without the parts that wrappers add -> internal names.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights = get_model_state_dict(model, options=options)
    plain = _plain(optimizer)
    # For an optimizer without state torch would create one, as after a first step.
    states = get_optimizer_state_dict(model, plain, options=options).get("state", {}) if plain.state else {}
    moments = {
        f"{kind}.{names[name]}": value.detach().clone()
        for name, table in states.items()
        for kind, value in table.items()
        if isinstance(value, torch.Tensor)
    }
    return {names[name]: value.detach().clone() for name, value in weights.items() if name in names}, moments


def restore_state(model: nn.Module, optimizer: Optimizer, names: Mapping[str, str], weights: State, moments: State) -> None:
    """Inverse of `gather_state`, bit for bit. The first process's states are used; the others may pass empty ones.

    The optimizer's learning rates, decay and other group settings are unchanged, because the scheduler sets them.
    Raises ValueError naming a weight that is in only one of checkpoint and trainable parameters, or moments that this kind
    of optimizer does not keep.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    _check_names(model, names, _broadcast(sorted(weights)))
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=_is_distributed(), strict=False)
    # Before the weights, because torch creates the optimizer's state by a step with zero gradients.
    _restore_moments(model, _plain(optimizer), names, moments, options)
    model_names = {internal: name for name, internal in names.items()}
    set_model_state_dict(model, {model_names[internal]: value for internal, value in weights.items()}, options=options)


def _restore_moments(
    model: nn.Module, optimizer: Optimizer, names: Mapping[str, str], moments: State, options: StateDictOptions
) -> None:
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    saved_moments = _broadcast(sorted(moments))
    saved = {flat.partition(".")[2] for flat in saved_moments}
    optimizer.state.clear()
    if not saved:
        return
    initial_state = get_optimizer_state_dict(model, optimizer)
    _check_moments(optimizer, saved_moments, names, {str(kind) for values in initial_state["state"].values() for kind in values})
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    state: dict[str, Any] = {}
    model_names = {internal: name for name, internal in names.items()}
    for flat, value in moments.items():
        kind, _, internal = flat.partition(".")
        state.setdefault(model_names[internal], {})[kind] = value.clone()  # torch stores this tensor itself in the optimizer
    set_optimizer_state_dict(
        model, optimizer, {"state": state, "param_groups": initial_state["param_groups"]} if state else {}, options=options
    )
    for group, values in zip(optimizer.param_groups, groups, strict=True):
        group.update(values)  # the learning rates of the scheduler, not of the checkpoint
    for name, value in _parameters(model):
        if names.get(name) not in saved:  # it never had a gradient, so its first step is still to come
            optimizer.state.pop(value, None)


def _check_names(model: nn.Module, names: Mapping[str, str], saved: list[str]) -> None:
    trained = {names[name] for name, value in _parameters(model) if value.requires_grad}
    if differing := sorted(trained.symmetric_difference(saved)):
        where = "trains now but is not in the checkpoint" if differing[0] in trained else "is in the checkpoint but does not train now"
        raise ValueError(f"{differing[0]} {where}; resume with the stage, preset and freeze of the run that wrote it.")


def _check_moments(optimizer: Optimizer, saved_moments: list[str], names: Mapping[str, str], kinds: set[str]) -> None:
    """Raises ValueError unless each saved moment is of one of `kinds` and of a parameter in `names`, and no kind is missing."""
    saved_kinds = {flat.partition(".")[0] for flat in saved_moments}
    if saved_kinds != kinds:
        raise ValueError(
            f"The checkpoint holds the optimizer state {comma_list(sorted(saved_kinds))}, but this run's {type(optimizer).__name__} "
            f"keeps {comma_list(sorted(kinds)) or 'none'}, so it cannot resume; {BEGIN_ANEW}."
        )
    if unknown := sorted({flat.partition(".")[2] for flat in saved_moments} - set(names.values())):
        raise ValueError(f"The checkpoint holds optimizer state for {unknown[0]}, which this run has not; {BEGIN_ANEW}.")


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters by the names that torch's state dictionaries use, without the parts that wrappers add."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    for name, value in inner.named_parameters():
        yield ".".join(part for part in name.split(".") if part not in WRAPPERS), value


def _plain(optimizer: Optimizer) -> Optimizer:
    """The torch optimizer inside accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


# -- random numbers -----------------------------------------------------------------------------------------------


def gather_random() -> State:
    """Random states of all processes as tensors "RANK.python" and so on; every process must call it."""
    own_state = random_state()
    if not _is_distributed():
        return {f"{MAIN}.{name}": value for name, value in own_state.items()}
    states: list[State] = [{}] * dist.get_world_size()
    dist.all_gather_object(states, own_state)
    return {f"{rank}.{name}": value for rank, state in enumerate(states) for name, value in state.items()}


def restore_random(state: State) -> None:
    """Inverse of `gather_random`, from the first process's `state`. A process without an entry keeps its own state.

    Raises ValueError on every process if the state of one is incomplete.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if _is_distributed() else (MAIN, 1)
    flat = _broadcast(dict(state))
    states = [{name.partition(".")[2]: value for name, value in flat.items() if name.startswith(f"{number}.")} for number in range(world)]
    for own_state in states:
        if own_state and (missing := [name for name in RANDOM_NAMES if name not in own_state]):
            raise ValueError(f"The checkpoint's random states lack that of {missing[0]}, so the run cannot resume; {BEGIN_ANEW}.")
    set_random_state(states[rank])


def random_state() -> State:
    """Random states of Python, numpy and torch in this process, and of the GPU if it is in use."""
    _, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state()  # a tuple; numpy's types allow a dictionary too
    _, keys, position, has_gauss, cached = numpy_state
    state = {
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def set_random_state(state: State) -> None:
    """Inverse of `random_state`; an empty state changes nothing."""
    if not state:
        return
    gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
    *keys, position, has_gauss = state["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, state["numpy_gauss"].item()))
    torch.set_rng_state(state["torch"].clone())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].clone())


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _broadcast(value: ValueT) -> ValueT:
    """The first process's value, on every process."""
    if not _is_distributed():
        return value
    message = [value]
    dist.broadcast_object_list(message, src=MAIN)
    return message[0]
