"""The table of names and the sizes that weights imply: published lists at full scale, and the inverse of each mapping."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.parity import full_scale, read_keys
from llama.checkpoint.key_mapping import (
    infer_config,
    internal_name,
    published_name,
    rename_legacy_keys,
    split_components,
    to_internal,
    to_published,
)
from llama.checkpoint.readers import read_safetensors
from llama.config import LlamaConfig, MuMuConfig
from llama.mumu_llama import MuMuLLaMA

COMBINATIONS = [f"{variant}_{decoder}" for variant in ("m2ugen", "mumu") for decoder in ("musicgen", "audioldm2")]


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_full_scale_name_is_covered(golden: Path, combination: str) -> None:
    listed = read_keys(golden / f"full_keys_{combination}.tsv.gz")
    ours = {name: tuple(value.shape) for name, value in full_scale(listed).items()}
    assert ours == {name: tuple(value.shape) for name, value in listed.items()}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_full_scale_sizes(golden: Path, combination: str) -> None:
    listed = read_keys(golden / f"full_keys_{combination}.tsv.gz")
    config = infer_config(listed, {}, MuMuConfig())
    assert (config.llama.dim, config.llama.n_layers, config.llama.n_heads, config.llama.ffn_dim) == (4096, 32, 32, 11008)
    assert config.llama.vocab_size == 32008 and config.llama.lora_rank == 16 and config.query_layer == 6
    assert (config.audio.feature_dim, config.audio.channels, config.video.channels) == (1024, 25, 3137)
    mumu = combination.startswith("mumu")
    assert config.variant == ("mumu" if mumu else "m2ugen")
    assert config.audio.pools == (("recurrent",) if mumu else ("mean",))
    assert config.video.idle_recurrent == (1024 if mumu else None)
    condition = (config.projector.tokens, config.projector.width)
    assert condition == ((128, 768) if "musicgen" in combination else (1, 137216))


def test_names_invert(golden: Path) -> None:
    state = read_safetensors(golden / "m2ugen" / "model.safetensors")
    split_components(state)
    names = [name for name in state if name != "prefix_query.weight"]
    assert [published_name(internal_name(name)) for name in names] == names
    assert len({internal_name(name) for name in names}) == len(names)


def test_values_invert(golden: Path) -> None:
    state = read_safetensors(golden / "m2ugen" / "model.safetensors")
    split_components(state)
    back = to_published(to_internal(dict(state)))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_unknown_names_name_themselves() -> None:
    with pytest.raises(ValueError, match="vision_tower.weight"):
        internal_name("vision_tower.weight")
    with pytest.raises(ValueError, match="adapters.audio.pools.rhythm.out.bias"):
        published_name("adapters.audio.pools.rhythm.out.bias")


def test_several_positions_have_no_published_form() -> None:
    state = {f"prefix_query.{name}": torch.zeros(2, 3 if name == "audio" else 1, 8) for name in ("audio", "image", "video")}
    with pytest.raises(ValueError, match="several prompt positions"):
        to_published(state)


def test_old_names() -> None:
    one = torch.zeros(1)
    raw = {
        "module.llama.norm.weight": one,
        "iu_vit_rnn.weight_ih_l0": one,
        "module.iu_vit_attention.bias": one,
        "mert_model.encoder.pos_conv_embed.conv.weight_g": one,
        "generation_model.audio_encoder.encoder.layers.0.conv.parametrizations.weight.original1": one,
        "mert_model.submodule.keep": one,
        "llama.rope.freqs": one,
    }
    assert set(rename_legacy_keys(raw)) == {
        "llama.norm.weight",
        "iu_vivit_rnn.weight_ih_l0",
        "iu_vivit_attention.bias",
        "mert_model.encoder.pos_conv_embed.conv.parametrizations.weight.original0",
        "generation_model.audio_encoder.encoder.layers.0.conv.weight_v",
        "mert_model.submodule.keep",
    }


def test_grouped_query_sizes() -> None:
    sizes = LlamaConfig(dim=32, n_layers=8, n_heads=4, n_kv_heads=2, vocab_size=40, ffn_hidden=48, lora_rank=3)
    with torch.device("meta"):
        model = MuMuLLaMA(MuMuConfig.tiny(llama=sizes))
    config = infer_config(to_published(model.state_dict()), {}, MuMuConfig())
    assert config.llama.kv_heads == 2 and config.llama.ffn_dim == 48 and config.llama.lora_rank == 3


def test_params_that_contradict_the_weights(golden: Path) -> None:
    state = read_safetensors(golden / "m2ugen" / "model.safetensors")
    with pytest.raises(ValueError, match="params.json says dim 4096"):
        infer_config(state, {"dim": 4096}, MuMuConfig())
