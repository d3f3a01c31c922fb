"""Low-rank adaptation (LoRA, arXiv 2106.09685) with bias tuning (LLaMA-Adapter V2, arXiv 2304.15010)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama.linear import linear


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
        if self.l1 is None or self.merged:
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


def merge_lora(module: nn.Module) -> None:
    """Merges every LoRALinear inside `module`, in place."""
    for part in module.modules():
        if isinstance(part, LoRALinear):
            part.merge()


def unmerge_lora(module: nn.Module) -> None:
    """Takes the low-rank weights out again (exact up to the rounding of the weight's dtype)."""
    for part in module.modules():
        if isinstance(part, LoRALinear):
            part.unmerge()
