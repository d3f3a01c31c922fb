"""LLaMA's base weights in folders that are damaged or put together wrongly: one sentence that names the file or the weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from llama.checkpoint.llama_weights import LlamaFolder, merge_shards, read_hugging_face, verify_checklist

CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "rms_norm_eps": 1e-5}
WEIGHTS = {"model.embed_tokens.weight": (12, 8), "model.layers.0.self_attn.q_proj.weight": (8, 8)}


def folder(path: Path, config: dict[str, Any], weights: dict[str, tuple[int, ...]] = WEIGHTS) -> Path:
    (path / "config.json").write_text(json.dumps(config))
    save_file({name: torch.rand(shape) for name, shape in weights.items()}, path / "model.safetensors")
    return path


def test_a_hugging_face_folder(tmp_path: Path) -> None:
    state = read_hugging_face(folder(tmp_path, CONFIG | {"rope_parameters": []}))
    assert torch.equal(state["output.weight"], state["tok_embeddings.weight"])
    assert LlamaFolder.find(tmp_path).params["rope_theta"] == 10000.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "8"}, r"config.json: dim is '8'; give a whole number"),
        ({"num_attention_heads": 0}, r"config.json: n_heads is 0"),
        ({"rms_norm_eps": None}, r"config.json: norm_eps is None"),
        ({"num_attention_heads": 3}, r"q_proj.weight is \[8, 8\], which does not divide into 3 heads"),
    ],
)
def test_configurations_that_no_llama_has(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_hugging_face(folder(tmp_path, CONFIG | change))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config.json lacks num_hidden_layers"):
        LlamaFolder.find(folder(tmp_path, {name: value for name, value in CONFIG.items() if name != "num_hidden_layers"}))
    with pytest.raises(ValueError, match="lacks model.embed_tokens.weight"):
        read_hugging_face(folder(tmp_path, CONFIG, {"model.norm.weight": (8,)}))


@pytest.mark.parametrize("second", [{}, {"norm.weight": torch.zeros(3)}, {"other": torch.zeros(2)}])
def test_shards_that_do_not_belong_together(second: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="shards do not belong together"):
        merge_shards([{"norm.weight": torch.zeros(2)}, second])


def test_a_checklist_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "checklist.chk").write_bytes(b"\xff\xfe  \x80\n")
    with pytest.raises(ValueError, match="is listed in checklist.chk but is not there"):
        verify_checklist(tmp_path)
