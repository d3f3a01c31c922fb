"""Linear layers for decoding on a CPU, through oneDNN, which is faster there than torch's own matrix product.

This is the only file that uses private functions of torch. It relies on this behaviour of them (torch 2.14):

- `torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")` computes `F.linear(x, weight, bias)` for float32 on
  a CPU, without a gradient, for x [..., inputs] and a weight that is packed or not;
- `torch.ops.mkldnn._reorder_linear_weight(weight, rows)` returns the weight packed for inputs of `rows` rows. The packed
  weight gives the same product for any other number of rows; it can be neither copied, saved nor read.

tests/llama/modules/test_packed_linear.py checks both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_ONEDNN_SIZE = 300_000  # multiplications of a product; below this a call of oneDNN costs more than it saves
HAS_ONEDNN = torch.backends.mkldnn.is_available()
if HAS_ONEDNN:
    _linear_pointwise = torch.ops.mkldnn._linear_pointwise.default
    _reorder_linear_weight = torch.ops.mkldnn._reorder_linear_weight.default


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear of x [..., inputs]; computed by oneDNN for large float32 products on a CPU without gradients.

    Measured against F.linear: one token of 4096 x 4096 in 0.4 of the time on two threads, 16 rows of 2570 x 192 in 0.7 on one.
    """
    return _linear_pointwise(x, weight, bias, "none", [], "") if _use_onednn(x, weight) else F.linear(x, weight, bias)


class PackedLinear:
    """Inference-only linear layer with a constant weight [outputs, inputs].

    Packs the weight for oneDNN at the first call that gains from it, if `allow_copy` permits the memory of a second copy.
    Measured for 16 rows of 2570 x 192 on one thread: 0.4 of the time of F.linear.
    """

    def __init__(self, weight: Tensor, allow_copy: bool) -> None:
        self.weight = weight
        self._packed: Tensor | None = None
        can_pack = allow_copy and HAS_ONEDNN and weight.is_cpu and weight.dtype == torch.float32
        self._min_rows = MIN_ONEDNN_SIZE // weight.numel() + 1 if can_pack else None  # fewest rows that gain

    def __call__(self, x: Tensor) -> Tensor:
        """[n, inputs] -> [n, outputs]."""
        if self._min_rows is None:
            return linear(x, self.weight)
        if x.shape[0] < self._min_rows:
            return F.linear(x, self.weight)
        if self._packed is None:
            self._packed = _reorder_linear_weight(self.weight, x.shape[0])
        return _linear_pointwise(x, self._packed, None, "none", [], "")


def _use_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can compute this product and is faster."""
    if not HAS_ONEDNN or not x.is_cpu or x.dtype != torch.float32 or weight.dtype != torch.float32 or torch.is_grad_enabled():
        return False
    return x.numel() // x.shape[-1] * weight.numel() >= MIN_ONEDNN_SIZE
