"""Low-rank adaptation (LoRA, arXiv 2106.09685) with bias tuning (LLaMA-Adapter V2, arXiv 2304.15010)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.modules.packed_linear import linear

# Number of weights up to which linear layers are fused. Above it each product is long enough by itself, and fusing would
# cost memory: weights that are mapped from a file stay mapped beside the fused copy.
FUSE_LIMIT = 2**22


class LoRALinear(nn.Module):
    """Linear layer with a LoRA branch: y = W x + b + L2 L1 x, without a LoRA scale, as in the published model.

    `merge()` adds L2 L1 to W for inference; `unmerge()` subtracts it again. The low-rank factors stay in the state dict
    either way, so a merged model can be saved and trained further.
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
        """Normal weights of variance 1 / inputs; L2 is zero, so the low-rank branch contributes nothing at first."""
        nn.init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)
        if self.l1 is not None:
            nn.init.normal_(self.l1, std=self.l1.shape[1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = linear(x, self.weight, self.bias)
        if self.merged or self.l1 is None:
            return y
        return y + F.linear(F.linear(x, self.l1.to(x.dtype)), self.l2.to(x.dtype))

    def base(self, x: Tensor) -> Tensor:
        """W x without bias and LoRA: the projection of the adapter prompts."""
        y = F.linear(x, self.weight)
        return y - F.linear(F.linear(x, self.l1), self.l2) if self.merged else y

    @torch.no_grad()
    def merge(self) -> None:
        if self.l1 is not None and not self.merged:
            if self.l2.any():  # adding zeros would copy a weight that is mapped from a file
                self.weight += (self.l2.float() @ self.l1.float()).to(self.weight.dtype)
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        if self.merged:
            if self.l2.any():
                self.weight -= (self.l2.float() @ self.l1.float()).to(self.weight.dtype)
            self.merged = False


class FusedLinear:
    """Concatenates linear layers that share an input into one weight; the layers become views of it, so no memory is added.

    One large product is faster than several small ones. Valid while the layers are merged, stay on their device and need
    no gradient.
    """

    def __init__(self, *linears: LoRALinear) -> None:
        sizes = [layer.weight.shape[0] for layer in linears]
        with torch.no_grad():
            self.weight = torch.cat([layer.weight for layer in linears])
            self.bias = torch.cat([_bias(layer) for layer in linears]) if any(layer.bias is not None for layer in linears) else None
        for layer, weight in zip(linears, self.weight.split(sizes), strict=True):
            layer.weight.data = weight
        for layer, bias in zip(linears, self.bias.split(sizes) if self.bias is not None else (), strict=False):
            if layer.bias is not None:
                layer.bias.data = bias

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class FusableModule(nn.Module):
    """Module whose `fusable_linears` can be fused for inference (`fused`). Moving it to another device or dtype undoes the fusion."""

    fused: FusedLinear | None = None

    def fusable_linears(self) -> tuple[LoRALinear, ...]:
        """Linear layers that read the same input, in the order of the fused rows."""
        raise AssertionError(f"{type(self).__name__} does not define fusable_linears")

    def fuse(self) -> None:
        """Fuse the linear layers if they have at most FUSE_LIMIT weights together."""
        linears = self.fusable_linears()
        if sum(layer.weight.numel() for layer in linears) <= FUSE_LIMIT:
            self.fused = FusedLinear(*linears)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FusableModule:
        self.fused = None
        return super()._apply(fn, recurse)


def _bias(layer: LoRALinear) -> Tensor:
    return layer.bias if layer.bias is not None else layer.weight.new_zeros(layer.weight.shape[0])


def merge_lora(module: nn.Module) -> None:
    """Merge every LoRALinear inside `module`, in place, and fuse linear layers that share an input."""
    for submodule in module.modules():
        if isinstance(submodule, LoRALinear):
            submodule.merge()
    for submodule in module.modules():
        if isinstance(submodule, FusableModule):
            submodule.fuse()


def unmerge_lora(module: nn.Module) -> None:
    """Subtract the low-rank weights again (exact up to the rounding of the weight's dtype) and undo the fusion."""
    for submodule in module.modules():
        if isinstance(submodule, LoRALinear):
            submodule.unmerge()
        if isinstance(submodule, FusableModule):
            submodule.fused = None
