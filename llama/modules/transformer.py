"""LLaMA-2 (arXiv 2307.09288) with gated adapter prompts in its upper layers (LLaMA-Adapter, arXiv 2303.16199).

Shapes: B rows, T positions, D width, H heads, K key-value heads, E head width, P prompt positions, S columns of the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from llama.config import LlamaConfig
from llama.modules.kv_cache import KVCache
from llama.modules.lora import FusableModule, LoRALinear
from llama.modules.packed_linear import linear

# Initial value of the prompt gates. A closed gate (0) passes no gradient to the adapters until it has opened. Measured by
# benchmarks.gates: answers depended on the recording after 120 steps from 0 (with one seed of three not even then), after 80
# from 0.1, after 70 from 0.3 and from 1.
GATE_START = 0.1
# Positions up to which training in bfloat16 on a CPU is faster with plain matrix products than with torch's fused kernel.
# Measured with six heads of 32: 64 positions in half of the kernel's time, 128 in two thirds, 256 no longer. In float32 the
# kernel is always faster.
SHORT_PROMPT = 128


@dataclass(frozen=True)
class MuMuOutput:
    """Output of the transformer: logits [B, T, V] (T = 1 with `last_only`) and hidden [B, T, D], the last layer before the final norm."""

    logits: Tensor
    hidden: Tensor


class RMSNorm(nn.Module):
    """Root mean square norm (arXiv 1910.07467), computed in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)
        return F.rms_norm(x.float(), (x.shape[-1],), eps=self.eps).to(x.dtype) * self.weight


@lru_cache(maxsize=8)
def build_rope_cache(length: int, head_dim: int, theta: float, device: torch.device) -> Tensor:
    """Rotary embedding table [length, E / 2]: unit complex numbers that rotate pair k at position p by p * theta^(-2k / E).

    RoFormer, arXiv 2104.09864.
    """
    with torch.inference_mode(False):  # a table built in inference mode could not be used in training
        return _build_rope_cache(length, head_dim, theta, device)


def _build_rope_cache(length: int, head_dim: int, theta: float, device: torch.device) -> Tensor:
    rates = 1.0 / theta ** (torch.arange(0, head_dim, 2, device=device).float() / head_dim)
    angles = torch.outer(torch.arange(length, device=device).float(), rates)
    return torch.polar(torch.ones_like(angles), angles)


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate x [B, T, H, E] by rope [B or 1, T, 1, E / 2], in Meta's interleaved pairs (2k, 2k + 1)."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rope).view(x.shape).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, grouped: bool) -> Tensor:
    """Attention of queries [B, H, T, E] to keys and values [B, K, S, E].

    Short bfloat16 training steps on a CPU use plain matrix products, see SHORT_PROMPT.
    """
    short = torch.is_grad_enabled() and max(q.shape[2], k.shape[2]) <= SHORT_PROMPT
    use_math_kernel = short and q.device.type == "cpu" and q.dtype == torch.bfloat16
    with sdpa_kernel(SDPBackend.MATH) if use_math_kernel else nullcontext():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped)


class Attention(FusableModule):
    """Causal self-attention with a gated adapter prompt: tanh(gate) x attention to the prompt is added before wo."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.heads, self.kv_heads, self.head_dim = layer, config.n_heads, config.kv_heads, config.head_dim
        rank, kv_dim = config.lora_rank, config.kv_heads * config.head_dim
        self.wq = LoRALinear(config.dim, config.dim, rank=rank, bias=config.bias)
        self.wk = LoRALinear(config.dim, kv_dim, rank=rank, bias=False)
        self.wv = LoRALinear(config.dim, kv_dim, rank=rank, bias=False)
        self.wo = LoRALinear(config.dim, config.dim, rank=rank, bias=config.bias)
        self.gate = nn.Parameter(torch.full((1, config.n_heads, 1, 1), GATE_START))

    def fusable_linears(self) -> tuple[LoRALinear, ...]:
        return self.wq, self.wk, self.wv

    def project_qkv(self, x: Tensor, rope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, E], keys and values [B, K, T, E] of x [B, T, D]; queries and keys are rotated."""
        if self.fused is not None and not torch.is_grad_enabled():
            heads = self.fused(x).view(*x.shape[:2], -1, self.head_dim)  # [B, T, H + 2 K, E]
            pairs, v = heads.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
            q, k = apply_rope(pairs, rope).transpose(1, 2).split((self.heads, self.kv_heads), dim=1)
            return q, k, v.transpose(1, 2)
        q = apply_rope(self.wq(x).unflatten(-1, (self.heads, -1)), rope).transpose(1, 2)
        k = apply_rope(self.wk(x).unflatten(-1, (self.kv_heads, -1)), rope).transpose(1, 2)
        return q, k, self.wv(x).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)

    def forward(
        self, x: Tensor, rope: Tensor, mask: Tensor | None, prompt: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        q, k, v = self.project_qkv(x, rope)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        causal = mask is None and q.shape[2] > 1
        grouped = self.heads != self.kv_heads
        y = attend(q, k, v, mask, causal, grouped)
        prompt_output = self.prompt_values(q, prompt, cache)
        if prompt_output is not None:
            y = y + torch.tanh(self.gate).to(y.dtype) * prompt_output
        return self.wo(y.transpose(1, 2).flatten(2))

    def prompt_values(self, q: Tensor, prompt: Tensor | None, cache: KVCache | None) -> Tensor | None:
        """Attention to the adapter prompt, [B, H, T or 1, E]; with a single prompt position it equals that position's values."""
        if cache is not None and self.layer in cache.prompts:
            k, v = cache.prompts[self.layer]
        elif prompt is None:
            return None
        else:
            shape = (self.kv_heads, self.head_dim)
            v = self.wv.base(prompt).unflatten(-1, shape).transpose(1, 2)
            k = self.wk.base(prompt).unflatten(-1, shape).transpose(1, 2) if prompt.shape[1] > 1 else v
            if cache is not None:
                cache.prompts[self.layer] = (k, v)
        grouped = self.heads != self.kv_heads
        if v.shape[2] == 1:
            return v.repeat_interleave(self.heads // self.kv_heads, dim=1) if grouped else v
        return attend(q, k, v, None, False, grouped)


class FeedForward(FusableModule):
    """SwiGLU feed-forward layer (arXiv 2002.05202)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        rank, bias = config.lora_rank, config.bias
        self.w1 = LoRALinear(config.dim, config.ffn_dim, rank=rank, bias=bias)
        self.w2 = LoRALinear(config.ffn_dim, config.dim, rank=rank, bias=bias)
        self.w3 = LoRALinear(config.dim, config.ffn_dim, rank=rank, bias=bias)

    def fusable_linears(self) -> tuple[LoRALinear, ...]:
        return self.w1, self.w3

    def forward(self, x: Tensor) -> Tensor:
        if self.fused is not None and not torch.is_grad_enabled():
            gate, value = self.fused(x).chunk(2, dim=-1)
            return self.w2(F.silu(gate) * value)
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    """One transformer layer: pre-norm attention and feed-forward, each with a residual connection."""

    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config, layer)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, rope: Tensor, mask: Tensor | None, prompt: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rope, mask, prompt, cache)
        return x + self.feed_forward(self.ffn_norm(x))


class Transformer(nn.Module):
    """The LLaMA network from token ids to logits."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.output = nn.Linear(config.dim, config.vocab_size, bias=False)

    def forward(
        self,
        tokens: Tensor,
        prompts: Sequence[Tensor | None] | None = None,
        cache: KVCache | None = None,
        *,
        last_only: bool = False,
    ) -> MuMuOutput:
        """Logits and hidden states of tokens [B, T] (int64).

        Args:
            prompts: one [B, P, D] or None for each layer; with a cache, only at the first call.
            cache: keys and values of earlier calls, to which this call appends its own. Positions of a row count from
                `cache.start`, its first column that is not padding.
            last_only: compute the logits of the last position only.

        Raises:
            ValueError: the row is longer than max_seq_len.
        """
        past = cache.length if cache is not None else 0
        rope, mask = self._rope_and_mask(tokens, past, cache)
        x = self.tok_embeddings(tokens)
        for block, prompt in zip(self.layers, prompts or [None] * len(self.layers), strict=True):
            x = block(x, rope, mask, prompt, cache)
        if cache is not None:
            cache.advance(tokens.shape[1])
        return MuMuOutput(linear(self.norm(x[:, -1:] if last_only else x), self.output.weight), x)

    def _rope_and_mask(self, tokens: Tensor, past: int, cache: KVCache | None) -> tuple[Tensor, Tensor | None]:
        """Rotary factors [B or 1, T, 1, E / 2] and the attention mask; None where the kernel's causal flag is enough."""
        count, limit = tokens.shape[1], self.config.max_seq_len
        padding = int(cache.start.max()) if cache is not None and cache.padded else 0
        if past + count - padding > limit:
            raise ValueError(f"{past + count - padding} tokens were given, the model reads at most {limit}; shorten the text.")
        rope_cache = build_rope_cache(limit, self.config.head_dim, self.config.rope_theta, tokens.device)
        if cache is None or not cache.padded:
            rope = rope_cache[past : past + count][None, :, None]
            return rope, None if past == 0 or count == 1 else causal_mask(past, count, tokens.device)
        columns = torch.arange(past, past + count, device=tokens.device)
        # A longer row may have ended at the limit while shorter ones go on; its further positions are never read.
        positions = (columns[None] - cache.start[:, None]).clamp(0, limit - 1)
        return rope_cache[positions][:, :, None], padded_mask(past, count, cache.start)


def causal_mask(past: int, count: int, device: torch.device) -> Tensor:
    """Boolean mask [count, past + count]: the columns that each of the `count` newest positions attends to."""
    return torch.ones(count, past + count, dtype=torch.bool, device=device).tril(past)


def padded_mask(past: int, count: int, start: Tensor) -> Tensor:
    """Boolean mask [B, 1, count, past + count]: causal, without the padding before each row's start.

    A padding position attends to itself, because a softmax over nothing would be NaN.
    """
    columns = torch.arange(past + count, device=start.device)
    not_padding = columns[None, None] >= start[:, None, None]
    is_self = columns[None] == torch.arange(past, past + count, device=start.device)[:, None]
    return (causal_mask(past, count, start.device) & (not_padding | is_self))[:, None]
