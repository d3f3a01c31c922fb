"""Key mapping between published and internal weight names, in both directions, and the sizes that weights imply.

The published file is flat: `llama.*`, `mu_mert_*` (audio), `iu_vit_*` (image), `iu_vivit_*` (video), `prefix_query`,
`output_projector.*`, and the components `mert_model.*`, `vit_model.*`, `vivit_model.*`, `generation_model.*`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from llama.config import MODALITIES, AdapterConfig, LlamaConfig, MuMuConfig, ProjectorConfig

State = dict[str, Tensor]

COMPONENT_PREFIXES = {"mert": "mert_model.", "vit": "vit_model.", "vivit": "vivit_model.", "decoder": "generation_model."}
ADAPTER_PREFIXES = {"audio": "mu_mert", "image": "iu_vit", "video": "iu_vivit"}
PREFIX_QUERY = "prefix_query.weight"  # [3 Q, D]: one row a layer; internally [Q, 1, D] for each modality
BLOCKS = 3


def _table() -> Iterator[tuple[str, str]]:
    """Pairs (published name, internal name). {} stands for the same text on both sides; the first match decides."""
    for part, weights in {"attention": ("wq", "wk", "wv", "wo"), "feed_forward": ("w1", "w2", "w3")}.items():
        for weight in weights:
            for low in ("l1", "l2"):
                yield f"llama.layers.{{}}.{part}.lora_{weight}_{low}.weight", f"llama.layers.{{}}.{part}.{weight}.{low}"
    yield "llama.{}", "llama.{}"
    for modality, prefix in ADAPTER_PREFIXES.items():
        ours = f"adapters.{modality}"
        yield f"{prefix}_agg.{{}}", f"{ours}.mix.{{}}"
        yield f"{prefix}_proj.{{}}", f"{ours}.project.0.{{}}"
        for block in range(BLOCKS):
            yield f"{prefix}_norm_{block + 1}.weight", f"{ours}.blocks.{block}.norm.weight"
            for weight in ("f1", "f2", "f3"):
                yield f"{prefix}_{weight}_{block + 1}.weight", f"{ours}.blocks.{block}.{weight}.weight"
        pool = "pools.recurrent" if modality == "audio" else "idle"
        yield f"{prefix}_rnn.{{}}", f"{ours}.{pool}.rnn.{{}}"
        yield f"{prefix}_attention.{{}}", f"{ours}.{pool}.attention.{{}}"
    yield "output_projector.fc.{}", "output_projector.inputs.{}"
    yield "output_projector.query_embs", "output_projector.queries"
    yield "output_projector.tfm.{}", "output_projector.transformer.{}"
    yield "output_projector.model.{}", "output_projector.outputs.{}"


TABLE = tuple(_table())


def _rules(pairs: Iterator[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(re.escape(source).replace(r"\{\}", "(.+)")), target) for source, target in pairs]


TO_INTERNAL = _rules((published, ours) for published, ours in TABLE)
TO_PUBLISHED = _rules((ours, published) for published, ours in TABLE)


def _translate(name: str, rules: list[tuple[re.Pattern[str], str]], kind: str) -> str:
    for pattern, target in rules:
        if match := pattern.fullmatch(name):
            return target.format(*match.groups())
    raise ValueError(f"The weight {name} is not part of {kind}; give a checkpoint of MuMu-LLaMA or M2UGen.")


def internal_name(name: str) -> str:
    """The internal name of a published one. Raises ValueError naming it if it is unknown."""
    return _translate(name, TO_INTERNAL, "the published model")


def published_name(name: str) -> str:
    """The published name of an internal one. Raises ValueError naming it if the published model has no such part."""
    return _translate(name, TO_PUBLISHED, "this model's published form")


LEGACY_KEYS = (
    (re.compile(r"^module\."), ""),  # left by data-parallel training, at the front only
    (re.compile(r"^iu_vit_(rnn|attention)\."), r"iu_vivit_\1."),
    (re.compile(r"^(mert_model\..*)\.weight_g$"), r"\1.parametrizations.weight.original0"),
    (re.compile(r"^(mert_model\..*)\.weight_v$"), r"\1.parametrizations.weight.original1"),
    (re.compile(r"^(generation_model\..*)\.parametrizations\.weight\.original0$"), r"\1.weight_g"),
    (re.compile(r"^(generation_model\..*)\.parametrizations\.weight\.original1$"), r"\1.weight_v"),
)
UNUSED = re.compile(r"^llama\.rope\.freqs$|\.rotary_emb\.inv_freq$")  # recomputed, never read


def rename_legacy_keys(raw: Mapping[str, Any]) -> State:
    """Renames the keys of older releases and of wrapped models to the published names."""
    state: State = {}
    for name, value in raw.items():
        for old, new in LEGACY_KEYS:
            name = old.sub(new, name)
        if not UNUSED.search(name):
            state[name] = value
    return state


def split_components(state: State) -> dict[str, State]:
    """Moves the components' weights out of `state`: {component: weights under the component's own names}."""
    component_states: dict[str, State] = {}
    for kind, prefix in COMPONENT_PREFIXES.items():
        names = [name for name in state if name.startswith(prefix)]
        if names:
            component_states[kind] = {name.removeprefix(prefix): state.pop(name) for name in names}
    return component_states


def to_internal(state: State) -> State:
    """Published weights (without components) under the internal names; `state` is emptied to save memory."""
    internal: State = {}
    for name in list(state):
        value = state.pop(name)
        if name == PREFIX_QUERY:
            internal.update(_split_queries(value))
        else:
            internal[internal_name(name)] = value
    return internal


def to_published(state: Mapping[str, Tensor]) -> State:
    """Inverse of `to_internal`. Raises ValueError for what the published form cannot hold."""
    queries = [state[f"prefix_query.{modality}"] for modality in MODALITIES]
    if any(query.shape[1] != 1 for query in queries):
        raise ValueError("An adapter with several prompt positions has no published form; save the model in its own format.")
    published = {PREFIX_QUERY: torch.cat([query[:, 0] for query in queries])}
    for name, value in state.items():
        if not name.startswith("prefix_query."):
            published[published_name(name)] = value
    return published


def _split_queries(value: Tensor) -> State:
    if value.dim() != 2 or value.shape[0] % len(MODALITIES):
        raise ValueError(f"{PREFIX_QUERY} is {list(value.shape)}, whose rows three media cannot share; get the file again.")
    parts = value.chunk(len(MODALITIES))
    return {f"prefix_query.{name}": part[:, None].clone() for name, part in zip(MODALITIES, parts, strict=True)}


# -- sizes ------------------------------------------------------------------------------------------------------


def infer_config(state: Mapping[str, Tensor], params: Mapping[str, Any], base: MuMuConfig) -> MuMuConfig:
    """The configuration that published weights imply; `params` is LLaMA's params.json, `base` fills what neither says."""
    mumu, llama = "mu_mert_rnn.weight_ih_l0" in state, infer_llama(state, params)
    adapters: dict[str, Any] = {name: infer_adapter(state, name, base.adapter(name)) for name in MODALITIES}
    queries = min(base.query_layer, llama.n_layers // (len(MODALITIES) + 1))  # plain layers stay below the bands
    if PREFIX_QUERY in state:
        queries = weight_shape(state, PREFIX_QUERY, 2)[0] // len(MODALITIES)
    return dataclasses.replace(
        base,
        llama=llama,
        projector=infer_projector(state, base.projector),
        query_layer=queries,
        variant="mumu" if mumu else base.variant,
        **adapters,
    )


def weight_shape(state: Mapping[str, Tensor], name: str, dimensions: int) -> torch.Size:
    """The shape of a weight. Raises ValueError if it is missing, empty, or has another number of dimensions."""
    if name not in state:
        raise ValueError(f"The weight {name} is in none of the files; give a complete checkpoint, or name LLaMA's folder in llama_dir.")
    shape = state[name].shape
    if len(shape) != dimensions or not all(shape):
        raise ValueError(f"The weight {name} is {list(shape)}, not of {dimensions} dimensions; copy or download the checkpoint again.")
    return shape


def infer_llama(state: Mapping[str, Tensor], params: Mapping[str, Any]) -> LlamaConfig:
    """Sizes from the weights; what they cannot say (norm_eps, rope_theta, heads without a gate) from params.json."""
    vocab_size, dim = weight_shape(state, "llama.tok_embeddings.weight", 2)
    key_rows = weight_shape(state, "llama.layers.0.attention.wk.weight", 2)[0]
    ffn_hidden = weight_shape(state, "llama.layers.0.feed_forward.w1.weight", 2)[0]
    gate, low = "llama.layers.0.attention.gate", "llama.layers.0.attention.lora_wq_l1.weight"
    heads = weight_shape(state, gate, 4)[1] if gate in state else params.get("n_heads")
    if not heads:
        raise ValueError("The number of attention heads is not in the weights; put LLaMA's params.json into llama_dir.")
    _check_params(params, {"dim": dim, "n_heads": heads, "n_layers": _count(state, r"llama\.layers\.(\d+)\.attention\.wk\.")})
    optional = ("norm_eps", "rope_theta", "max_seq_len", "multiple_of")
    extra = {name: params[name] for name in optional if params.get(name)}
    rank = weight_shape(state, low, 2)[0] if low in state else params.get("lora_rank", LlamaConfig.lora_rank)
    kv_heads = key_rows * heads // dim
    return LlamaConfig(
        dim=dim, n_layers=_count(state, r"llama\.layers\.(\d+)\."), n_heads=heads, vocab_size=vocab_size,
        n_kv_heads=None if kv_heads == heads else kv_heads, ffn_hidden=ffn_hidden, lora_rank=rank, **extra,
    )  # fmt: skip


def _check_params(params: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    for name, value in sizes.items():
        if params.get(name) not in (None, value):
            raise ValueError(
                f"params.json says {name} {params[name]}, the weights have {value}; "
                "give the llama_dir and llama_type that this checkpoint was trained from."
            )


def infer_adapter(state: Mapping[str, Tensor], modality: str, base: AdapterConfig) -> AdapterConfig:
    """One adapter's sizes; `base` if the checkpoint does not hold the adapter."""
    prefix = ADAPTER_PREFIXES[modality]
    if f"{prefix}_proj.weight" not in state or f"{prefix}_agg.weight" not in state:
        return base
    recurrent = f"{prefix}_rnn.weight_ih_l0"
    recurrent_pool = modality == "audio" and recurrent in state
    return dataclasses.replace(
        base,
        feature_dim=weight_shape(state, f"{prefix}_proj.weight", 2)[1],
        channels=weight_shape(state, f"{prefix}_agg.weight", 3)[1],
        pools=("recurrent",) if recurrent_pool else ("mean",),
        idle_recurrent=None if recurrent not in state or recurrent_pool else weight_shape(state, recurrent, 2)[0],
    )


def infer_projector(state: Mapping[str, Tensor], base: ProjectorConfig) -> ProjectorConfig:
    """The output projector's sizes. The weights do not show the number of heads; the published projector has four."""
    if "output_projector.query_embs" not in state:
        return base
    _, tokens, hidden = weight_shape(state, "output_projector.query_embs", 3)
    return dataclasses.replace(
        base,
        tokens=tokens,
        hidden=hidden,
        width=weight_shape(state, "output_projector.model.weight", 2)[0],
        layers=_count(state, r"output_projector\.tfm\.encoder\.layers\.(\d+)\."),
        ffn_dim=weight_shape(state, "output_projector.tfm.encoder.layers.0.linear1.weight", 2)[0],
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    rule = re.compile(pattern)
    return 1 + max((int(match[1]) for match in map(rule.match, state) if match), default=-1)
