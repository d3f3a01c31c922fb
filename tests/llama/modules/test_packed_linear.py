"""Quick products and sorts give what torch's own give, whatever the sizes that choose between them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from llama.decoders.musicgen.sampling import topk_cpu
from llama.modules import packed_linear as rooms
from llama.modules.packed_linear import PackedLinear, linear

SIZES = [(1, 8, 5), (3, 192, 576), (16, 192, 192), (7, 192, 2570), (70, 256, 300)]  # rows, inputs, outputs: both sides of LEAST


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_sizes_take_both_ways() -> None:
    assert {rows * inputs * outputs >= rooms.MIN_ONEDNN_SIZE for rows, inputs, outputs in SIZES} == {True, False}


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("bias", [False, True])
def test_linear_is_torchs(rows: int, inputs: int, outputs: int, bias: bool) -> None:
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
@pytest.mark.parametrize("copied", [False, True])
def test_a_matrix_is_its_weight(rows: int, inputs: int, outputs: int, copied: bool) -> None:
    weight = random(outputs, inputs, seed=1)
    made = PackedLinear(weight, copied)
    with torch.no_grad():
        for count in (rows, 1, rows + 2):  # laid out for one number of rows, it serves any
            x = random(count, inputs, seed=count)
            assert torch.allclose(made(x), functional.linear(x, weight), atol=1e-4)


def test_bfloat16_goes_torchs_way() -> None:
    x, weight = random(16, 192).bfloat16(), random(576, 192, seed=1).bfloat16()
    with torch.no_grad():
        assert torch.equal(linear(x, weight), functional.linear(x, weight))
        assert torch.equal(PackedLinear(weight, True)(x), functional.linear(x, weight))


@pytest.mark.parametrize("count", [1, 250, 257])
def test_ranked_is_topk(count: int) -> None:
    logits = random(3, 10, 257) * 10
    logits[0, 0, 5:9] = float("-inf")
    logits[1, 2] -= 100  # all below zero
    best, places = topk_cpu(logits, count)
    expected = logits.topk(count)
    assert torch.equal(best, expected.values)
    known = expected.values.isfinite()  # of equal ones topk says nothing
    assert torch.equal(places[known], expected.indices[known])


def test_of_equal_ones_the_first_is_ranked_first() -> None:
    assert topk_cpu(torch.tensor([[1.0, 3.0, 3.0, -2.0, 1.0]]), 4)[1].tolist() == [[1, 2, 0, 4]]
