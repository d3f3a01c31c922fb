"""oneDNN products and the CPU top-k equal torch's own, on both sides of the size from which they are used."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from llama.decoders.musicgen.sampling import topk_cpu
from llama.modules.packed_linear import HAS_ONEDNN, MIN_ONEDNN_SIZE, PackedLinear, linear

SIZES = [(1, 8, 5), (3, 192, 576), (16, 192, 192), (7, 192, 2570), (70, 256, 300)]  # rows, inputs, outputs: both sides of MIN_ONEDNN_SIZE


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_sizes_lie_on_both_sides() -> None:
    assert {rows * inputs * outputs >= MIN_ONEDNN_SIZE for rows, inputs, outputs in SIZES} == {True, False}


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("bias", [False, True])
def test_linear_equals_torch(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    weight, added = random(outputs, inputs, seed=1), random(outputs, seed=2) if bias else None
    for x in (random(rows, inputs), random(1, rows, inputs)):
        with torch.no_grad():
            assert torch.allclose(linear(x, weight, added), functional.linear(x, weight, added), atol=1e-4)


def test_gradients_pass_through() -> None:
    x, weight = random(16, 192), random(300, 192, seed=1).requires_grad_()
    linear(x, weight).square().sum().backward()
    expected = 2 * (x @ weight.detach().T).T @ x
    assert weight.grad is not None and torch.allclose(weight.grad, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("allow_copy", [False, True])
def test_packed_linear_equals_torch(rows: int, inputs: int, outputs: int, allow_copy: bool) -> None:
    weight = random(outputs, inputs, seed=1)
    layer = PackedLinear(weight, allow_copy)
    with torch.no_grad():
        for count in (rows, 1, rows + 2):  # packed for one number of rows, it serves any
            x = random(count, inputs, seed=count)
            assert torch.allclose(layer(x), functional.linear(x, weight), atol=1e-4)


def test_bfloat16_uses_torch() -> None:
    x, weight = random(16, 192).bfloat16(), random(576, 192, seed=1).bfloat16()
    with torch.no_grad():
        assert torch.equal(linear(x, weight), functional.linear(x, weight))
        assert torch.equal(PackedLinear(weight, True)(x), functional.linear(x, weight))


@pytest.mark.skipif(not HAS_ONEDNN, reason="this torch has no oneDNN")
def test_private_functions_of_torch_behave_as_documented() -> None:
    """packed_linear.py is the only file that uses them; it was written for torch 2.14.1."""
    where = f"torch {torch.__version__}: llama/modules/packed_linear.py was written for 2.14.1 and"
    for name in ("_linear_pointwise", "_reorder_linear_weight"):
        assert hasattr(torch.ops.mkldnn, name), f"{where} uses torch.ops.mkldnn.{name}, which is gone; use F.linear instead."
    weight, bias = random(300, 192, seed=1), random(300, seed=2)
    multiply, pack = torch.ops.mkldnn._linear_pointwise.default, torch.ops.mkldnn._reorder_linear_weight.default
    with torch.no_grad():
        packed = pack(weight, 16)
        for rows in (16, 1, 40):
            for x in (random(rows, 192), random(1, rows, 192)):
                for matrix in (weight, packed):
                    for added in (None, bias):
                        product = multiply(x, matrix, added, "none", [], "")
                        assert torch.allclose(product, functional.linear(x, weight, added), atol=1e-4), (
                            f"{where} expects mkldnn._linear_pointwise to equal F.linear, also with a packed weight; it no longer does."
                        )


@pytest.mark.parametrize("count", [1, 250, 257])
def test_topk_cpu_equals_topk(count: int) -> None:
    logits = random(3, 10, 257) * 10
    logits[0, 0, 5:9] = float("-inf")
    logits[1, 2] -= 100  # all below zero
    best, indices = topk_cpu(logits, count)
    expected = logits.topk(count)
    assert torch.equal(best, expected.values)
    distinct = expected.values.isfinite()  # topk leaves the order of equal values open
    assert torch.equal(indices[distinct], expected.indices[distinct])


def test_topk_cpu_ranks_the_first_of_equal_values_first() -> None:
    assert topk_cpu(torch.tensor([[1.0, 3.0, 3.0, -2.0, 1.0]]), 4)[1].tolist() == [[1, 2, 0, 4]]
