"""Memory plan of a load: in which dtype a model fits into the free memory, known before its weights are read.

Weights of a file are mapped into memory, and the system can drop and read them again. What counts is what loading copies:
weights whose dtype changes, weights that LoRA is merged into, and on a GPU all. A process that takes more than there is would be
killed by the system without a word.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from llama.checkpoint.readers import damaged_file, read_torch, weights_of
from llama.device import Dtype, resolve_dtype
from llama.memory import available_memory

RESERVE = 1.05  # for what a first answer takes beside the weights
LORA = re.compile(r"(?:lora_(w\w)_l1\.weight|(w\w)\.l1)$")  # published and internal name of a low-rank factor
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightSize:
    """Number of values of a weight, its stored dtype, and whether merging LoRA writes to it."""

    count: int
    dtype: torch.dtype
    has_lora: bool = False

    def copied_bytes(self, dtype: Dtype, merge_lora: bool, device: torch.device) -> int:
        """Bytes of memory that loading takes for it."""
        target = dtype if dtype and self.dtype.is_floating_point else self.dtype
        copied = device.type != "cpu" or target != self.dtype or (merge_lora and self.has_lora)
        return self.count * target.itemsize if copied else 0


@dataclass(frozen=True)
class LoadPlan:
    """How a model is loaded: dtype of its weights (None: as stored), and whether LoRA is merged."""

    dtype: Dtype
    merge_lora: bool


def sizes_of(state: Mapping[str, Tensor]) -> Iterator[WeightSize]:
    """Sizes of weights under their published or internal names; no value is read."""
    with_lora = {LORA.sub(lambda match: f"{match[1] or match[2]}.weight", name) for name in state if LORA.search(name)}
    for name, value in state.items():
        yield WeightSize(value.numel(), value.dtype, name in with_lora)


def folder_sizes(folder: Path) -> Iterator[WeightSize]:
    """Sizes of all weights in a component's folder, from the headers of its files. Raises ValueError for a damaged one."""
    for file in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as opened:
                slices = [opened.get_slice(name) for name in opened.keys()]
                sizes = [(torch.Size(part.get_shape()).numel(), part.get_dtype()) for part in slices]
        except Exception as error:
            raise damaged_file(file, "safetensors file", error) from error
        yield from (WeightSize(count, DTYPES.get(dtype, torch.uint8)) for count, dtype in sizes)
    if not any(folder.rglob("*.safetensors")):
        for file in sorted(folder.rglob("*.bin")):
            yield from sizes_of(weights_of(read_torch(file), file))


def plan_loading(
    sizes: Iterable[WeightSize],
    requested: torch.dtype | str | None,
    stored: torch.dtype,
    device: torch.device,
    merge_lora: bool,
    *,
    fixed: bool = False,
) -> LoadPlan:
    """The requested dtype (as in `resolve_dtype`) if it fits; without one, another that does, which a log line says.

    LoRA stays separate, which answers the same more slowly, where only that fits. fixed: for training, which must not change
    by the memory that happens to be free. Raises ValueError with what would fit.
    """
    all_sizes = list(sizes)
    first = LoadPlan(resolve_dtype(requested, stored, device), merge_lora)
    free = available_memory(device)
    if free is None or (needed := _needed(all_sizes, first, device)) <= free:
        return first
    half = stored if stored.itemsize == 2 else torch.bfloat16
    smaller = [LoadPlan(half, merge_lora), LoadPlan(half, False), LoadPlan(first.dtype, False)]
    fitting = [plan for plan in smaller if _needed(all_sizes, plan, device) <= free]
    allowed = [] if fixed else [plan for plan in fitting if requested is None or plan.dtype == first.dtype]
    text = f"Loading this model in {_name(first.dtype)} takes {_gigabytes(needed)} of memory, and {_gigabytes(free)} are free"
    if not allowed:
        advice = f"give dtype {_name(fitting[0].dtype)} (--dtype {_name(fitting[0].dtype)}), which fits" if fitting else (
            "close other programs, or take a machine with more memory")  # fmt: skip
        raise ValueError(f"{text}; {advice}.")
    plan = allowed[0]
    separate = " and LoRA is not merged, which is slower" if merge_lora and not plan.merge_lora else ""
    size = _gigabytes(_needed(all_sizes, plan, device))
    logger.warning("%s, so its weights are kept in %s%s (%s).", text, _name(plan.dtype), separate, size)
    return plan


def require_memory(size: int, what: str) -> None:
    """Raises ValueError if `size` bytes are more than the free memory of the CPU."""
    free = available_memory(torch.device("cpu"))
    if free is not None and size > free:
        raise ValueError(f"{what} takes {_gigabytes(size)} of memory, and {_gigabytes(free)} are free; close other programs, "
                         "or take a machine with more memory.")  # fmt: skip


def _needed(sizes: Iterable[WeightSize], plan: LoadPlan, device: torch.device) -> int:
    return int(RESERVE * sum(size.copied_bytes(plan.dtype, plan.merge_lora, device) for size in sizes))


def _name(dtype: Dtype) -> str:
    return "the stored types" if dtype is None else str(dtype).removeprefix("torch.")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
