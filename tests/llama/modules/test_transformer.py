"""The language model: cached == uncached, rows of a batch == rows alone, merged LoRA == unmerged, grouped queries."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from llama.config import LlamaConfig, MuMuConfig
from llama.modules.kv_cache import KVCache
from llama.modules.lora import LoRALinear, merge_lora, unmerge_lora
from llama.modules.transformer import Transformer, apply_rope, build_rope_cache

TINY = MuMuConfig.tiny().llama


def build(config: LlamaConfig = TINY) -> Transformer:
    """A tiny model whose every part speaks: low-rank factors and biases are random, not zero."""
    model = Transformer(config).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, LoRALinear):
                part.l2.normal_(std=0.2)
                if part.bias is not None:
                    part.bias.normal_(std=0.2)
    return model


def prompts_for(config: LlamaConfig, batch: int, positions: int) -> list[Tensor | None]:
    return [None, None, *(torch.randn(batch, positions, config.dim) for _ in range(config.n_layers - 2))]


def relative(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


@pytest.mark.parametrize("positions", [1, 3])
@pytest.mark.parametrize("kv_heads", [None, 2])
def test_cached_equals_uncached(positions: int, kv_heads: int | None) -> None:
    config = dataclasses.replace(TINY, n_kv_heads=kv_heads)
    model, tokens, prompts = build(config), torch.randint(0, 520, (2, 12)), prompts_for(config, 2, positions)
    with torch.no_grad():
        whole = model(tokens, prompts)
        cache = KVCache.empty(config, 2, 12, device=torch.device("cpu"), dtype=torch.float32)
        pieces = [model(part, prompts if index == 0 else None, cache) for index, part in enumerate(tokens.split([5, 1, 4, 2], dim=1))]
    assert relative(torch.cat([piece.logits for piece in pieces], 1), whole.logits) < 1e-5
    assert relative(torch.cat([piece.hidden for piece in pieces], 1), whole.hidden) < 1e-5


def test_left_padded_rows_equal_rows_alone() -> None:
    model, prompts = build(), prompts_for(TINY, 3, 2)
    rows = [torch.randint(0, 520, (1, length)) for length in (9, 4, 1)]
    padded = torch.cat([torch.nn.functional.pad(row, (9 - row.shape[1], 0)) for row in rows])
    start = torch.tensor([9 - row.shape[1] for row in rows])
    cache = KVCache.empty(TINY, 3, 10, device=torch.device("cpu"), dtype=torch.float32, start=start)
    follow = torch.randint(0, 520, (3, 1))
    with torch.no_grad():
        model(padded, prompts, cache)
        together = model(follow, None, cache).logits
        for index, row in enumerate(rows):
            alone = model(torch.cat([row, follow[index : index + 1]], 1), [p if p is None else p[index : index + 1] for p in prompts])
            assert relative(together[index], alone.logits[0, -1:]) < 1e-5


def test_unfilled_cache_is_nan_and_overfull_cache_is_refused() -> None:
    cache = KVCache.empty(TINY, 1, 3, device=torch.device("cpu"), dtype=torch.float32)
    assert cache.keys.isnan().all()
    with torch.no_grad(), pytest.raises(AssertionError, match="3 columns"):
        build()(torch.zeros(1, 4, dtype=torch.long), None, cache)


def test_merged_lora_equals_unmerged() -> None:
    model, tokens, prompts = build(), torch.randint(0, 520, (1, 7)), prompts_for(TINY, 1, 1)
    with torch.no_grad():
        before, weight = model(tokens, prompts).logits, model.layers[0].attention.wv.weight.clone()
        merge_lora(model)
        assert not torch.equal(model.layers[0].attention.wv.weight, weight)
        assert relative(model(tokens, prompts).logits, before) < 1e-5
        unmerge_lora(model)
    assert relative(model.layers[0].attention.wv.weight, weight) < 1e-6


def test_fused_linears_equal_single_ones_and_are_undone_by_a_move() -> None:
    config = dataclasses.replace(TINY, n_kv_heads=2)
    model, tokens, prompts = build(config), torch.randint(0, 520, (2, 1)), prompts_for(config, 2, 3)
    with torch.no_grad():
        before = model(tokens, prompts).logits
        merge_lora(model)
        block = model.layers[0]
        assert block.attention.fused is not None and block.feed_forward.fused is not None
        assert block.attention.fused.weight.data_ptr() == block.attention.wq.weight.data_ptr()  # one copy, not two
        assert relative(model(tokens, prompts).logits, before) < 1e-5
        model.double()
        assert block.attention.fused is None
        assert relative(model(tokens, [p if p is None else p.double() for p in prompts]).logits.float(), before) < 1e-5


def test_grouped_queries_equal_repeated_heads() -> None:
    """A grouped-query model must equal the full one whose key and value heads are repeated."""
    grouped = build(dataclasses.replace(TINY, n_kv_heads=2))
    full, state = build(), grouped.state_dict()
    for name in state:
        if ".wk." in name or ".wv." in name:
            value = state[name]
            if not name.endswith("l1"):
                state[name] = value.unflatten(0, (2, -1)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    tokens, prompts = torch.randint(0, 520, (1, 6)), prompts_for(TINY, 1, 3)
    with torch.no_grad():
        assert relative(grouped(tokens, prompts).logits, full(tokens, prompts).logits) < 1e-5


def test_causality_by_gradient() -> None:
    model, tokens = build(), torch.randint(0, 520, (1, 6))
    x = model.tok_embeddings(tokens).detach().requires_grad_()
    model.tok_embeddings.register_forward_hook(lambda *_: x)
    model(tokens).logits[0, 3].sum().backward()
    assert x.grad is not None
    assert x.grad[0, :4].abs().sum(-1).min() > 0 and x.grad[0, 4:].abs().max() == 0


def test_rotation_keeps_length_and_depends_on_distance() -> None:
    q, k = torch.randn(1, 1, 1, 16).expand(1, 8, 1, 16), torch.randn(1, 1, 1, 16).expand(1, 8, 1, 16)
    turns = build_rope_cache(8, 16, 10000.0, torch.device("cpu"))[None, :, None]
    a, b = apply_rope(q, turns)[0, :, 0], apply_rope(k, turns)[0, :, 0]
    assert torch.allclose(a.norm(dim=-1), q[0, :, 0].norm(dim=-1), atol=1e-5)
    assert torch.allclose(a[5] @ b[3], a[2] @ b[0], atol=1e-4)


def test_prompt_past_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 256"):
        build()(torch.zeros(1, 257, dtype=torch.long))


@pytest.mark.parametrize("bad", [{"n_heads": 5}, {"n_kv_heads": 3}])
def test_impossible_sizes_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not divisible"):
        dataclasses.replace(TINY, **bad)


def test_feed_forward_width_follows_metas_rule() -> None:
    assert LlamaConfig().ffn_dim == 11008
    assert LlamaConfig(dim=8192, ffn_dim_multiplier=1.3, multiple_of=4096, n_heads=64).ffn_dim == 28672
