"""Several processes as one: sharding, sums over all of them, and what must be agreed before anybody goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator

    from llama.training.config import TrainConfig
    from llama.training.module import TrainingModule


def make_accelerator(config: TrainConfig) -> Accelerator:
    """One for every way this is started: plainly, by torchrun, by accelerate launch. Raises ValueError."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs

    if config.device not in (None, "cpu", "cuda", "mps"):
        raise ValueError(f"device {config.device!r} is unknown to training; use cpu, cuda or mps, and CUDA_VISIBLE_DEVICES to pick one.")
    if config.device in ("cuda", "mps") and on_cpu(None):
        raise ValueError(f"device {config.device} is not available here; use cpu, or leave device out.")
    # A stage may train adapters of a medium that no example of a step has.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    AcceleratorState._reset_state()  # what an earlier run in this process had; another precision would be refused
    found = Accelerator(mixed_precision=config.precision, cpu=on_cpu(config.device), kwargs_handlers=[unused])
    if config.device not in (None, found.device.type):
        raise ValueError(f"device {config.device} was asked for, and training would run on {found.device.type}; leave device out.")
    return found


def shut_down(accelerator: Accelerator) -> None:
    """The end of working together; nothing of the run may be held any more.

    Whoever reduces gradients must be gone before: as the last to hold the group of processes it would take that down without
    letting Python's lock go, which a thread of the group may be waiting for, and neither would ever end.
    """
    accelerator.free_memory()
    gc.collect()
    accelerator.end_training()


def on_cpu(device: str | None) -> bool:
    """Whether training runs on the CPU. accelerate must be told: several processes there are one to it otherwise."""
    return device == "cpu" or (device is None and not torch.cuda.is_available() and not torch.backends.mps.is_available())


@contextmanager
def main_first(device: str | None) -> Iterator[None]:
    """What follows is done by the main process alone, while the others wait; then they do it, and find it done."""
    from accelerate import PartialState

    with PartialState(cpu=on_cpu(device)).main_process_first():
        yield


def shard(learner: TrainingModule, precision: str) -> None:
    """Parameters, gradients and optimiser state of each block over all processes (FSDP2, torch's `fully_shard`).

    accelerate does this on GPUs only; torch's own call does it everywhere, so what is tested is what runs. The parts
    beside the blocks are units of their own: generation calls them by themselves.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    policy = MixedPrecisionPolicy(param_dtype=kinds.get(precision), reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in learner.model.llama.layers:
        fully_shard(block, mp_policy=policy)
    fully_shard(learner, mp_policy=policy, reshard_after_forward=False)


Fault = TypeVar("Fault", bound=Exception)


def mark_collective(error: Fault) -> Fault:
    """The error marked as one that every process raises alike, so that one of them tells it."""
    error.shared = True  # type: ignore[attr-defined]
    return error


def run_on_main(accelerator: Accelerator, action: Callable[[], Any]) -> Any:
    """What `action` gives on the main process, on every process; its ValueError or OSError there is raised by all."""
    found, fault = None, None
    if accelerator.is_main_process:
        try:
            found = action()
        except (ValueError, OSError) as error:
            fault = error
    if accelerator.num_processes > 1:
        box = [(found, fault)]
        torch.distributed.broadcast_object_list(box, src=0)
        found, fault = box[0]
    if fault is not None:
        raise mark_collective(fault)
    return found


@dataclass
class DistributedContext:
    """This process among all. `sharded`: the learner is split over them; `wrapped`: what a training step calls."""

    accelerator: Accelerator
    wrapped: nn.Module
    sharded: bool

    @property
    def world(self) -> int:
        return self.accelerator.num_processes

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    @property
    def main(self) -> bool:
        return self.accelerator.is_main_process

    def total(self, values: Sequence[float | Tensor]) -> list[float]:
        """Each value summed over all processes."""
        kind = torch.float32 if self.accelerator.device.type == "mps" else torch.float64
        numbers = torch.stack([torch.as_tensor(value, device=self.accelerator.device).detach().to(kind) for value in values])
        return self.accelerator.reduce(numbers, "sum").tolist() if self.world > 1 else numbers.tolist()

    def together(self, mine: Any) -> list[Any]:
        """What every process has, in the order of their ranks."""
        if self.world == 1:
            return [mine]
        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, mine)
        return found

    def holding_back(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged in the last micro-batch of a step alone."""
        if self.sharded:
            self.wrapped.set_requires_gradient_sync(last)  # type: ignore[operator]
            return nullcontext()
        if self.world == 1 or last:
            return nullcontext()
        return self.wrapped.no_sync()  # type: ignore[operator]

    @contextmanager
    def unsharded(self, learner: nn.Module) -> Iterator[None]:
        """What lies beside the blocks is whole on every process for a while; blocks gather themselves when called."""
        if self.sharded:
            learner.unshard()  # type: ignore[operator]
        try:
            yield
        finally:
            if self.sharded:
                learner.reshard()  # type: ignore[operator]


def distributed_context(accelerator: Accelerator, learner: TrainingModule, config: TrainConfig) -> DistributedContext:
    """Wraps the learner for the way that was asked for."""
    if config.activation_checkpointing == "fairscale" and accelerator.num_processes > 1 and not config.fsdp:
        raise ValueError("fairscale's activation checkpointing does not run in several processes unless they are sharded; "
                         "give activation_checkpointing: torch, or fsdp: true.")  # fmt: skip
    if config.fsdp and accelerator.num_processes > 1:
        learner.to(accelerator.device)
        shard(learner, config.precision)
        return DistributedContext(accelerator, learner, sharded=True)
    learner.to(accelerator.device)
    wrapped = accelerator.prepare_model(learner) if accelerator.num_processes > 1 else learner
    return DistributedContext(accelerator, wrapped, sharded=False)
