"""LLaMA's base weights from Meta's shards or a Hugging Face folder.

Nothing is un-pickled beyond tensors and plain values, and files are memory-mapped.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llama.checkpoint.memory_plan import require_memory
from llama.checkpoint.readers import read_safetensors, read_torch, weights_of
from llama.config import LLAMA_RANGES
from llama.json_yaml import read_table
from llama.ranges import check_ranges

LAYOUTS = "checkpoint.pth, and LLaMA or LLaMA-2 with tokenizer.model and params.json in it or in 7B inside it"
CHECKLIST = "checklist.chk"
COPY_AGAIN = "copy it again from where the weights came from"
BY_COLUMNS = ("tok_embeddings.weight", "attention.wo.weight", "feed_forward.w2.weight")  # other matrices: by rows


# -- the LLaMA folder -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LlamaFolder:
    """Files of a LLaMA folder. weights: the folder with the shards, or None. params: params.json, with Meta's names."""

    root: Path
    params: dict[str, Any]
    weights: Path | None
    tokenizer: Path | None

    @classmethod
    def find(cls, path: str | Path, llama_type: str = "7B") -> LlamaFolder:
        """Finds the files. `path` may be LLaMA or LLaMA-2 (the existing one is taken), with or without the type's sub-folder."""
        root = _existing_folder(Path(path))
        folders = [root / llama_type, root / f"llama-2-{llama_type.lower()}", root, root.parent]
        params = next((folder / "params.json" for folder in folders if (folder / "params.json").is_file()), None)
        weights = next((folder for folder in folders[:3] if _has_weights(folder)), None)
        tokenizer = next((folder / "tokenizer.model" for folder in (folders[2], *folders[:2], folders[3])
                          if (folder / "tokenizer.model").is_file()), None)  # fmt: skip
        values = _read_params(params) if params else {}
        if not values and weights is not None and (weights / "config.json").is_file():
            values = read_meta_params(weights / "config.json")
        return cls(root, values, weights, tokenizer)

    def read(self, verify: bool = False) -> dict[str, Tensor]:
        """The base weights under Meta's names. Raises FileNotFoundError or ValueError in one sentence."""
        if self.weights is None:
            raise FileNotFoundError(
                f"{self.root} has no LLaMA weights (consolidated.*.pth, or a Hugging Face folder), and the checkpoint "
                "does not hold them; put them there or give another llama_dir."
            )
        if verify:
            verify_checklist(self.weights)
        shards = sorted(self.weights.glob("consolidated.*.pth"))
        if shards:
            return merge_shards([weights_of(read_torch(shard), shard) for shard in shards])
        return read_hugging_face(self.weights)


def _read_params(file: Path) -> dict[str, Any]:
    """Meta's params.json. Raises ValueError naming a value that no LLaMA has; vocab_size -1 stands for the tokenizer's."""
    params = read_table(file, COPY_AGAIN)
    try:
        check_ranges({name: value for name, value in params.items() if name != "vocab_size"}, LLAMA_RANGES)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return params


def _existing_folder(path: Path) -> Path:
    absolute = Path(os.path.abspath(path))  # "." has neither a name nor a parent
    for folder in (absolute, absolute.parent / "LLaMA-2", absolute.parent / "LLaMA"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"There is no LLaMA folder {path}; give llama_dir, laid out as {LAYOUTS}.")


def _has_weights(folder: Path) -> bool:
    if any(folder.glob("consolidated.*.pth")):
        return True
    config = folder / "config.json"
    return config.is_file() and b"LlamaForCausalLM" in config.read_bytes() and bool(_weight_files(folder))


def merge_shards(shards: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Joins model-parallel shards; frees each shard's tensors as it goes. Raises ValueError for shards that do not belong together."""
    if len(shards) == 1:
        return shards[0]
    for name in set().union(*shards):
        parts = [shard[name] for shard in shards if name in shard]
        if len(parts) < len(shards) or len({part.shape for part in parts}) > 1:
            raise ValueError(f"LLaMA's shards do not belong together: {name} is missing in one or has other shapes; {COPY_AGAIN}.")
    require_memory(sum(value.nbytes for shard in shards for value in shard.values()), "Joining the shards of LLaMA's weights")
    return {name: _join(name, [shard.pop(name) for shard in shards]) for name in list(shards[0])}


def _join(name: str, parts: list[Tensor]) -> Tensor:
    if parts[0].dim() < 2:  # norms and rotary factors are the same in every shard
        return parts[0]
    return torch.cat(parts, dim=-1 if name.endswith(BY_COLUMNS) else 0)


def verify_checklist(folder: Path) -> list[str]:
    """Names of the files whose MD5 equals that in checklist.chk. Raises ValueError naming one that is missing or differs,
    FileNotFoundError if there is no list."""
    if not (folder / CHECKLIST).is_file():
        raise FileNotFoundError(f"{folder} has no {CHECKLIST} to verify LLaMA's weights by; put it there, or leave verify out.")
    checked = []
    for line in (folder / CHECKLIST).read_text(encoding="utf-8", errors="replace").splitlines():
        expected, _, name = line.partition("  ")
        file = folder / name.strip().lstrip("*")
        if not name.strip():
            continue
        if not file.is_file():
            raise ValueError(f"{file} is listed in {CHECKLIST} but is not there; download it again.")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "md5").hexdigest()
        if digest != expected.strip():
            raise ValueError(f"{file} is damaged: its md5 is {digest}, not {expected.strip()}; download it again.")
        checked.append(file.name)
    return checked


# -- Hugging Face -----------------------------------------------------------------------------------------------

HF_LAYER = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
HF_PARAMS = {  # Meta's name -> Hugging Face's
    "dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads", "norm_eps": "rms_norm_eps",
}  # fmt: skip
HF_TOP = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}


def read_meta_params(file: Path) -> dict[str, Any]:
    """A Hugging Face config.json of LLaMA under Meta's params.json names. Raises ValueError for a value that no LLaMA has."""
    config = read_table(file, COPY_AGAIN)
    if missing := [name for name in HF_PARAMS.values() if name not in config]:
        raise ValueError(f"{file} lacks {missing[0]}; {COPY_AGAIN}.")
    rope = config.get("rope_parameters")
    values = {ours: config[theirs] for ours, theirs in HF_PARAMS.items()} | {
        "n_kv_heads": config.get("num_key_value_heads") or config["num_attention_heads"],
        "rope_theta": (rope.get("rope_theta") if isinstance(rope, dict) else None) or config.get("rope_theta") or 10000.0,
    }
    try:
        check_ranges(values, LLAMA_RANGES)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return values


def read_hugging_face(folder: Path) -> dict[str, Tensor]:
    """LlamaForCausalLM's weights under Meta's names, queries and keys reordered to interleaved rotary pairs."""
    params = read_meta_params(folder / "config.json")
    state: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        part = read_safetensors(file) if file.suffix == ".safetensors" else weights_of(read_torch(file), file)
        for name in list(part):
            value = part.pop(name)
            if "rotary_emb" not in name:
                state[_meta_name(name, folder)] = _interleaved(name, value, params)
    if "tok_embeddings.weight" not in state:
        raise ValueError(f"{folder} lacks model.embed_tokens.weight; {COPY_AGAIN}.")
    state.setdefault("output.weight", state["tok_embeddings.weight"])  # tied embeddings
    return state


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _meta_name(name: str, folder: Path) -> str:
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    if layer and layer[2] in HF_LAYER and kind == "weight":
        return f"layers.{layer[1]}.{HF_LAYER[layer[2]]}.weight"
    if stem in HF_TOP and kind == "weight":
        return f"{HF_TOP[stem]}.weight"
    raise ValueError(f"{folder} holds the weight {name}, which LLaMA does not have; give a folder of LlamaForCausalLM.")


def _interleaved(name: str, value: Tensor, params: Mapping[str, Any]) -> Tensor:
    """Hugging Face keeps each head's rotary pairs as (k, k + E/2), Meta as (2k, 2k + 1)."""
    heads = {"q_proj": params["n_heads"], "k_proj": params["n_kv_heads"]}.get(name.split(".")[-2])
    if heads is None:
        return value
    if value.dim() != 2 or value.shape[0] % (2 * heads):
        shape = list(value.shape)
        raise ValueError(f"{name} is {shape}, which does not divide into {heads} heads; give the config.json that belongs to it.")
    return value.view(heads, 2, -1, value.shape[1]).transpose(1, 2).reshape(value.shape)
