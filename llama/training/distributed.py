"""Distributed training: sharding, collective sums and gathers, and errors that all processes raise together."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

import torch
from torch import Tensor, nn

from llama.errors import CollectiveError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from llama.training.config import Precision
    from llama.training.module import TrainingModule

ValueT = TypeVar("ValueT")

def make_accelerator(precision: Precision, device: str | None = None) -> Accelerator:
    """The accelerator, however the program was started (python, torchrun, accelerate launch). ValueError for an unusable device.

    device: cpu, cuda or mps; None: the best that there is.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs

    if device not in (None, "cpu", "cuda", "mps"):
        raise ValueError(f"device {device!r} is unknown to training; use cpu, cuda or mps, and CUDA_VISIBLE_DEVICES to pick one.")
    if device in ("cuda", "mps") and on_cpu(None):
        raise ValueError(f"device {device} is not available here; use cpu, or leave device out.")
    # A step may have no example of a modality whose adapter trains.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    AcceleratorState._reset_state()  # forget an earlier run in this process: accelerate refuses another precision
    accelerator = Accelerator(mixed_precision=precision, cpu=on_cpu(device), kwargs_handlers=[unused])
    if device not in (None, accelerator.device.type):
        raise ValueError(f"device {device} was asked for, and training would run on {accelerator.device.type}; leave device out.")
    return accelerator


def shut_down(accelerator: Accelerator) -> None:
    """Ends distributed training; the caller must hold no reference to the run any more.

    It frees DDP reducers before the process group: destroying the group from a reducer's destructor holds the GIL and
    can deadlock.
    """
    accelerator.free_memory()
    gc.collect()
    accelerator.end_training()


def on_cpu(device: str | None) -> bool:
    """Whether training runs on the CPU. accelerate needs to know, or it takes several CPU processes for one."""
    return device == "cpu" or (device is None and not torch.cuda.is_available() and not torch.backends.mps.is_available())


@contextmanager
def main_first(device: str | None) -> Iterator[None]:
    """Context whose block the main process runs first, while the others wait; then they run it too, and find the work done."""
    from accelerate import PartialState

    with PartialState(cpu=on_cpu(device)).main_process_first():
        yield


def shard(module: TrainingModule, precision: Precision) -> None:
    """Shards parameters, gradients and optimizer state over all processes with FSDP2 (torch's `fully_shard`), by block.

    accelerate shards on GPUs only; torch's own function works everywhere, so the tests run the same code. The parameters
    outside the blocks are one unit that is gathered for the whole step, because generation calls them by themselves.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
    policy = MixedPrecisionPolicy(param_dtype=dtypes.get(precision), reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in module.model.llama.layers:
        fully_shard(block, mp_policy=policy)
    fully_shard(module, mp_policy=policy, reshard_after_forward=False)


def raise_collective(error: Exception, is_main: bool) -> NoReturn:
    """Raises an error that every process raises: itself on the main process, which reports it, elsewhere as CollectiveError."""
    if is_main:
        raise error
    raise CollectiveError(str(error)) from error


def run_on_main(accelerator: Accelerator, action: Callable[[], ValueT]) -> ValueT:
    """Runs `action` on the main process; every process gets its result, or its ValueError or OSError (see `raise_collective`)."""
    result: ValueT | None = None
    failure: ValueError | OSError | None = None
    if accelerator.is_main_process:
        try:
            result = action()
        except (ValueError, OSError) as error:
            failure = error
    if accelerator.num_processes > 1:
        message = [(result, failure)]
        torch.distributed.broadcast_object_list(message, src=0)
        result, failure = message[0]
    if failure is not None:
        raise_collective(failure, accelerator.is_main_process)
    return cast(ValueT, result)  # None only if the action returned that


@dataclass
class DistributedContext:
    """This process's view of the group: its rank, collectives and gradient synchronization.

    `wrapped_module`: the training module as a step calls it (plain, DDP or FSDP2). `sharded`: its parameters are split
    over the processes.
    """

    accelerator: Accelerator
    wrapped_module: nn.Module
    sharded: bool

    @property
    def world(self) -> int:
        return self.accelerator.num_processes

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    @property
    def is_main(self) -> bool:
        return self.accelerator.is_main_process

    def sum(self, values: Sequence[float | Tensor]) -> list[float]:
        """Each value summed over all processes."""
        dtype = torch.float32 if self.accelerator.device.type == "mps" else torch.float64
        numbers = torch.stack([torch.as_tensor(value, device=self.accelerator.device).detach().to(dtype) for value in values])
        return self.accelerator.reduce(numbers, "sum").tolist() if self.world > 1 else numbers.tolist()

    def all_gather(self, value: ValueT) -> list[ValueT]:
        """The values of all processes, in the order of their ranks."""
        if self.world == 1:
            return [value]
        values: list[ValueT | None] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return cast(list[ValueT], values)

    def no_sync(self, unless: bool) -> AbstractContextManager[None]:
        """Context without gradient synchronization, unless `unless` (the last micro-batch of a step)."""
        if self.sharded:
            self.wrapped_module.set_requires_gradient_sync(unless)  # type: ignore[operator]
            return nullcontext()
        if self.world == 1 or unless:
            return nullcontext()
        return self.wrapped_module.no_sync()  # type: ignore[operator]

    @contextmanager
    def unsharded(self, module: nn.Module) -> Iterator[None]:
        """Context with the parameters outside the blocks gathered on every process; blocks gather theirs when called."""
        if self.sharded:
            module.unshard()  # type: ignore[operator]
        try:
            yield
        finally:
            if self.sharded:
                module.reshard()  # type: ignore[operator]


def distributed_context(accelerator: Accelerator, module: TrainingModule, *, fsdp: bool, precision: Precision) -> DistributedContext:
    """Moves the module to the device and wraps it: plain for one process, FSDP2 (in `precision`) if `fsdp`, else DDP."""
    if fsdp and accelerator.num_processes > 1:
        module.to(accelerator.device)
        shard(module, precision)
        return DistributedContext(accelerator, module, sharded=True)
    module.to(accelerator.device)
    wrapped_module = accelerator.prepare_model(module) if accelerator.num_processes > 1 else module
    return DistributedContext(accelerator, wrapped_module, sharded=False)
