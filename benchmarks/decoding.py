"""Decoding speed of the language model, compared with transformers on the same weights and with the memory bandwidth.

    python -m benchmarks.decoding        one line a figure, every ratio from this one run

dim 512, 12 layers, 8 heads, vocabulary 8,200, batch 1, 2 threads, float32. Exit code 1 if the tokens differ; a missed
target is only reported, because timings vary.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM

from llama.config import LlamaConfig
from llama.modules.kv_cache import KVCache
from llama.modules.lora import merge_lora
from llama.modules.transformer import Transformer

THREADS = 2
SIZES = LlamaConfig(dim=512, n_layers=12, n_heads=8, vocab_size=8200, lora_rank=0, bias=False, max_seq_len=1024)
PROMPT, NEW = 32, 96  # tokens
ROUNDS = 7


def peer(ours: Transformer) -> LlamaForCausalLM:
    """transformers' LLaMA with our weights; its rotary halves are Meta's pairs, reordered."""
    model = LlamaForCausalLM(
        PeerConfig(
            vocab_size=SIZES.vocab_size, hidden_size=SIZES.dim, intermediate_size=SIZES.ffn_dim, num_hidden_layers=SIZES.n_layers,
            num_attention_heads=SIZES.n_heads, rms_norm_eps=SIZES.norm_eps, max_position_embeddings=SIZES.max_seq_len,
            bos_token_id=1, eos_token_id=None, pad_token_id=0, tie_word_embeddings=False,
        )
    ).eval()
    names = {"wq": "q_proj", "wk": "k_proj", "wv": "v_proj", "wo": "o_proj", "w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(ours.tok_embeddings.weight)
        model.lm_head.weight.copy_(ours.output.weight)
        model.model.norm.weight.copy_(ours.norm.weight)
        for source, target in zip(ours.layers, model.model.layers, strict=True):
            for mine, theirs in names.items():
                attends = mine[1] in "qkvo"
                part = source.attention if attends else source.feed_forward
                other = target.self_attn if attends else target.mlp
                weight = getattr(part, mine).weight
                getattr(other, theirs).weight.copy_(halves(weight) if mine in ("wq", "wk") else weight)
    return model


def halves(weight: Tensor) -> Tensor:
    """Rows in Meta's interleaved pairs -> rows in two halves."""
    return weight.unflatten(0, (SIZES.n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


@torch.inference_mode()
def our_tokens(model: Transformer, prompt: Tensor, count: int, times: list[float] | None = None) -> list[int]:
    cache = KVCache.empty(SIZES, 1, prompt.shape[1] + count, device=prompt.device, dtype=torch.float32)
    generated, tokens = [], prompt
    for _ in range(count):
        started = time.perf_counter()
        tokens = model(tokens, None, cache, last_only=True).logits[:, -1].argmax(-1, keepdim=True)
        generated.append(int(tokens))
        if times is not None:
            times.append(time.perf_counter() - started)
    return generated


@torch.inference_mode()
def their_tokens(model: LlamaForCausalLM, prompt: Tensor, count: int) -> list[int]:
    mask = torch.ones_like(prompt)
    generated = model.generate(prompt, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, do_sample=False)
    return generated[0, prompt.shape[1] :].tolist()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bandwidth() -> float:
    """Bytes a second that this many threads read from memory: the best of several sums over 256 MB."""
    block = torch.randn(64 * 2**20)
    return block.numel() * 4 / min(seconds(block.sum) for _ in range(10))


def token_time(model: Transformer, context: int) -> float:
    """Median seconds a token around a context of that many tokens."""
    times: list[float] = []
    our_tokens(model, torch.full((1, context - 12), 5), 24, times)
    return statistics.median(times[1:])


def one_round(ours: Transformer, theirs: LlamaForCausalLM, prompt: Tensor) -> dict[str, float]:
    """Measures every figure once, next to its reference, so that load on the machine affects both."""
    bytes_read = sum(p.numel() * 4 for name, p in ours.named_parameters() if not name.startswith("tok_embeddings"))
    our_seconds = seconds(lambda: our_tokens(ours, prompt, NEW))
    their_seconds = seconds(lambda: their_tokens(theirs, prompt, NEW))
    early, late = token_time(ours, 64), token_time(ours, 512)
    share = bytes_read / early / bandwidth()
    return {"speed": NEW / our_seconds, "ratio": their_seconds / our_seconds, "growth": late / early, "share": share}


def target(name: str, value: float, bound: float, at_least: bool = True) -> None:
    """One line: the figure, its target, and whether it is missed."""
    met = value >= bound if at_least else value <= bound
    print(f"decoding.{name} {value:.2f} (at {'least' if at_least else 'most'} {bound}{'' if met else ': missed'})")


def main() -> int:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    ours = Transformer(SIZES).eval()
    merge_lora(ours)  # as every model is that `llama.load` gives
    theirs = peer(ours)
    prompt = torch.randint(3, SIZES.vocab_size, (1, PROMPT))
    same = our_tokens(ours, prompt, 16) == their_tokens(theirs, prompt, 16)
    print(f"decoding.same_tokens_as_transformers {same}")
    rounds = [one_round(ours, theirs, prompt) for _ in range(ROUNDS)]
    middle = {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}
    print(f"decoding.tokens_per_second {middle['speed']:.1f}")
    target("ratio_to_transformers", middle["ratio"], 1.2)
    target("time_a_token_at_512_over_64", middle["growth"], 1.3, at_least=False)
    target("share_of_bandwidth", middle["share"], 0.5)
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
