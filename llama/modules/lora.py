"""Low-rank adaptation (LoRA, arXiv 2106.09685) with bias tuning (LLaMA-Adapter V2, arXiv 2304.15010)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.modules.packed_linear import linear

# Weights of all maps together up to which they are laid side by side. Beyond it each product is long enough by itself,
# and the copy would cost memory: weights mapped from a file stay mapped beside it.
FUSE_LIMIT = 2**22


class LoRALinear(nn.Module):
    """y = W x + b + L2 L1 x. The published model has no LoRA scale, so neither has this.

    `merge()` folds L2 L1 into W for inference; `unmerge()` takes it out again. The low-rank factors stay
    in the state dict either way, so a merged model can be saved and trained on.
    """

    def __init__(self, inputs: int, outputs: int, *, rank: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.l1 = nn.Parameter(torch.empty(rank, inputs)) if rank else None
        self.l2 = nn.Parameter(torch.zeros(outputs, rank)) if rank else None
        self.merged = False
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal weights of variance 1 / inputs; L2 zero, so the low-rank branch starts silent."""
        nn.init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)
        if self.l1 is not None:
            nn.init.normal_(self.l1, std=self.l1.shape[1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = linear(x, self.weight, self.bias)
        if self.merged or self.l1 is None:
            return y
        return y + F.linear(F.linear(x, self.l1.to(x.dtype)), self.l2.to(x.dtype))

    def base(self, x: Tensor) -> Tensor:
        """W x alone: what the adapter prompts go through, with neither bias nor LoRA."""
        y = F.linear(x, self.weight)
        return y - F.linear(F.linear(x, self.l1), self.l2) if self.merged else y

    @torch.no_grad()
    def merge(self) -> None:
        if self.l1 is not None and not self.merged:
            self.weight += (self.l2.float() @ self.l1.float()).to(self.weight.dtype)
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        if self.merged:
            self.weight -= (self.l2.float() @ self.l1.float()).to(self.weight.dtype)
            self.merged = False


class FusedLinear:
    """Maps of one input side by side in one matrix, whose rows they become: fewer, larger products, and no second copy.

    Holds while the maps are merged, stay on their device and need no gradient.
    """

    def __init__(self, *parts: LoRALinear) -> None:
        sizes = [part.weight.shape[0] for part in parts]
        with torch.no_grad():
            self.weight = torch.cat([part.weight for part in parts])
            self.bias = torch.cat([_bias(part) for part in parts]) if any(part.bias is not None for part in parts) else None
        for part, weight in zip(parts, self.weight.split(sizes), strict=True):
            part.weight.data = weight
        for part, bias in zip(parts, self.bias.split(sizes) if self.bias is not None else (), strict=False):
            if part.bias is not None:
                part.bias.data = bias

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class FusableModule(nn.Module):
    """A part whose maps `fusible` may lie side by side in `fused`; a move to another device or dtype parts them again."""

    fused: FusedLinear | None = None

    def fusible(self) -> tuple[LoRALinear, ...]:
        raise AssertionError(f"{type(self).__name__} does not say which maps it fuses")

    def fuse(self) -> None:
        parts = self.fusible()
        if sum(part.weight.numel() for part in parts) <= FUSE_LIMIT:
            self.fused = FusedLinear(*parts)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FusableModule:
        self.fused = None
        return super()._apply(fn, recurse)


def _bias(part: LoRALinear) -> Tensor:
    return part.bias if part.bias is not None else part.weight.new_zeros(part.weight.shape[0])


def merge_lora(module: nn.Module) -> None:
    """Merges every LoRALinear inside `module`, in place, and lays maps of one input side by side."""
    for part in module.modules():
        if isinstance(part, LoRALinear):
            part.merge()
    for part in module.modules():
        if isinstance(part, FusableModule):
            part.fuse()


def unmerge_lora(module: nn.Module) -> None:
    """Takes the low-rank weights out again (exact up to the rounding of the weight's dtype)."""
    for part in module.modules():
        if isinstance(part, LoRALinear):
            part.unmerge()
        if isinstance(part, FusableModule):
            part.fused = None
