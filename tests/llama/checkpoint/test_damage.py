"""Damaged and hostile checkpoints: whatever their bytes are, one sentence; weights that are not finite are named."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import component_paths
from safetensors.torch import load_file, save_file

import llama
from llama.checkpoint.__main__ import main
from llama.checkpoint.key_mapping import infer_config
from llama.checkpoint.llama_weights import LlamaFolder
from llama.checkpoint.readers import read_safetensors, read_torch, weights_of
from llama.config import MuMuConfig
from llama.mumu_llama import MuMuLLaMA
from llama.weights import is_finite

WEIGHT = "llama.layers.0.attention.wk.weight"


def refused(call: Callable[[], object]) -> str:
    """The sentence that `call` ends with."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


# -- bytes ----------------------------------------------------------------------------------------------------------


def mutations(data: bytes, count: int) -> list[bytes]:
    """The data with bytes changed, left out, doubled or cut off."""
    rng, results = random.Random(0), []
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 3, 20))):
            place = rng.randrange(len(changed))
            changed[place] = rng.choice((0, 255, rng.randrange(256), changed[place] ^ 1 << rng.randrange(8)))
        end = rng.choice((len(changed), len(changed), rng.randrange(len(changed))))
        results.append(bytes(changed[:end]))
    return results


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_any_damage_is_one_sentence(form: str, tmp_path: Path) -> None:
    state, file, whole = {"a": torch.ones(3), "b.weight": torch.zeros(2, 2)}, tmp_path / "file", tmp_path / "whole"
    if form == "safetensors":
        save_file(state, whole)
    else:
        torch.save({"model": state}, whole, _use_new_zipfile_serialization=form == "zip")
    reads = 0
    for data in mutations(whole.read_bytes(), 250):
        file.write_bytes(data)
        try:
            read_safetensors(file) if form == "safetensors" else weights_of(read_torch(file), file)
            reads += 1
        except ValueError as error:
            assert str(error).startswith(str(file)) and str(error).endswith(".")
    assert reads < 250


@pytest.mark.parametrize("data", [b"\x80\x02(", b"\x80\x02cargparse\nNamespace\nq\x00.", b"\x80\x02a.", b"\x80\x04\x95"])
def test_pickles_that_end_too_early(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pth").write_bytes(data)
    assert "is truncated or no torch checkpoint" in refused(lambda: read_torch(tmp_path / "checkpoint.pth"))


def test_a_library_that_does_not_load_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ImportError("No module named 'numpy'", name="numpy")

    torch.save({}, tmp_path / "checkpoint.pth")
    monkeypatch.setattr(torch, "load", broken)
    with pytest.raises(ImportError):
        read_torch(tmp_path / "checkpoint.pth")


def test_tensors_without_plain_data_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    for name, value in {"meta": torch.zeros(2, device="meta"), "sparse": torch.eye(2).to_sparse()}.items():
        assert "holds no table of weights" in refused(lambda value=value, name=name: weights_of({name: value}, file))
    assert "holds no table of weights" in refused(lambda: weights_of({1: torch.zeros(2)}, file))
    assert refused(lambda: weights_of({"mode\0" * 10_000: 1}, file)).isprintable()
    torch.save({"llama.output.weight": torch.zeros(1).expand(10**6, 10**6)}, file)  # 4 TB in 1.5 kB
    assert file.stat().st_size < 3000
    assert "less data than the shape [1000000, 1000000] of llama.output.weight" in refused(lambda: weights_of(read_torch(file), file))


@pytest.mark.parametrize("name", [
    "llama.tok_embeddings.weight", WEIGHT, "llama.layers.0.feed_forward.w1.weight", "llama.layers.0.attention.gate", "prefix_query.weight",
    "llama.layers.0.attention.lora_wq_l1.weight", "mu_mert_agg.weight", "iu_vit_proj.weight", "output_projector.query_embs",
    "output_projector.model.weight", "output_projector.tfm.encoder.layers.0.linear1.weight",
])  # fmt: skip
def test_sizes_are_not_inferred_from_weights_of_another_form(golden: Path, name: str) -> None:
    state = read_safetensors(golden / "m2ugen" / "model.safetensors")
    for shape in ((), (3,), (2, 2, 2, 2, 2), (0, 0)):
        assert name in refused(lambda shape=shape: infer_config({**state, name: torch.zeros(shape)}, {}, MuMuConfig()))


@pytest.mark.parametrize(("name", "value"), [("n_heads", "4"), ("n_heads", 0), ("norm_eps", float("nan")), ("max_seq_len", 10**10)])
def test_values_of_params_json_are_refused_by_name(published_tree: Path, name: str, value: object, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(published_tree / "LLaMA-2", tmp_path / "LLaMA-2"))
    (folder / "7B" / "params.json").write_text(json.dumps({name: value, "vocab_size": -1}))
    message = refused(lambda: LlamaFolder.find(folder))
    assert f"params.json: {name} is" in message


def test_whole_numbers_are_no_weights(own: Path) -> None:
    state = load_file(own / "model.safetensors")
    save_file({**state, WEIGHT: state[WEIGHT].long()}, own / "model.safetensors")
    assert f"{WEIGHT} is of type int64" in refused(lambda: llama.load(own))


# -- weights that are not finite ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_finite(dtype: torch.dtype) -> None:
    weight = torch.randn(37, 5).to(dtype)
    assert is_finite(weight) and is_finite(weight[:0])
    weight[36, 4] = float("nan")
    assert not is_finite(weight)
    for value in (float("inf"), float("-inf")) if dtype.itemsize > 1 else ():
        assert not is_finite(torch.full((3,), value, dtype=dtype))
    assert is_finite(torch.arange(3))


@pytest.fixture(scope="module")
def tiny(published: MuMuLLaMA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden model in our format."""
    folder = tmp_path_factory.mktemp("tiny") / "own"
    published.save_pretrained(folder)
    return folder


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "own"))


def change(file: Path, name: str, value: float) -> None:
    state = load_file(file)
    state[name].view(-1)[-1] = value
    save_file(state, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("", WEIGHT), ("", "adapters.image.mix.bias"), ("", "output_projector.queries"), ("mert", "encoder.layers.0.final_layer_norm.bias"),
        ("vit", "layernorm.weight"), ("vivit", "layernorm.weight"), ("decoder", "decoder.lm_heads.0.weight"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(own: Path, part: str, name: str, value: float) -> None:
    change(own / part / "model.safetensors", name, value)
    message = refused(lambda: llama.load(own))
    assert f"The weight {name}" in message and "is not finite" in message


def test_in_a_published_checkpoint(published_tree: Path, golden: Path, tmp_path: Path) -> None:
    state = read_safetensors(golden / "m2ugen" / "model.safetensors")
    for name, words in ((WEIGHT, WEIGHT), ("vit_model.layernorm.weight", "layernorm.weight of vit"),
                        ("generation_model.decoder.lm_heads.0.weight", "decoder.lm_heads.0.weight of MusicGen")):  # fmt: skip
        changed = state[name].clone()
        changed.view(-1)[0] = float("nan")
        torch.save({"model": {**state, name: changed}}, tmp_path / "checkpoint.pth")
        call = lambda: llama.load(tmp_path / "checkpoint.pth", llama_dir=published_tree / "LLaMA-2", **component_paths())  # noqa: E731
        assert f"The weight {words} is not finite" in refused(call)


def test_in_a_delta_checkpoint(own: Path, tmp_path: Path) -> None:
    from llama.checkpoint.delta import BaseReference, write_delta

    model = llama.load(own, merge_lora=False)
    write_delta(tmp_path / "last", {WEIGHT: torch.full_like(model.get_parameter(WEIGHT), float("nan"))},
                BaseReference({"model": own}, model.config, 1, "ours"))  # fmt: skip
    assert f"The weight {WEIGHT} is not finite" in refused(lambda: llama.load(tmp_path / "last"))


def test_a_weight_that_the_dtype_cannot_hold(own: Path) -> None:
    change(own / "model.safetensors", WEIGHT, 1e6)
    assert llama.load(own).dtype == torch.float32
    assert llama.load(own, dtype=torch.bfloat16).dtype == torch.bfloat16
    message = refused(lambda: llama.load(own, dtype=torch.float16))
    assert f"The weight {WEIGHT} has values that are too large for float16" in message


# -- values of configurations ---------------------------------------------------------------------------------------


def edit(file: Path, path: str, value: object) -> None:
    raw = json.loads(file.read_text())
    *parents, name = path.split(".")
    inner = raw
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    file.write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("config.json", "llama.n_heads", 0), ("config.json", "llama.max_seq_len", 10**10), ("config.json", "llama.norm_eps", "x"),
        ("mert/config.json", "hidden_size", 0), ("mert/config.json", "num_hidden_layers", 10**9), ("mert/config.json", "conv_stride", [0]),
        ("mert/preprocessor_config.json", "sampling_rate", "fast"), ("mert/config.json", "layer_norm_eps", float("nan")),
        ("vit/config.json", "patch_size", 0), ("vit/config.json", "num_attention_heads", -4), ("vit/config.json", "image_size", 10**10),
        ("vit/preprocessor_config.json", "image_std", [0.0, 0.5, 0.5]), ("vit/preprocessor_config.json", "size.height", -1),
        ("vivit/config.json", "tubelet_size", "two"), ("vivit/config.json", "attn_implementation", "someone/kernel"),
        ("decoder/config.json", "decoder.num_codebooks", 0), ("decoder/config.json", "decoder.hidden_size", True),
        ("decoder/config.json", "text_encoder.d_model", -1), ("decoder/config.json", "audio_encoder.sampling_rate", 0),
        ("decoder/generation_config.json", "temperature", -3), ("decoder/generation_config.json", "top_k", "many"),
    ],
)  # fmt: skip
def test_values_are_refused_by_name(own: Path, file: str, path: str, value: object) -> None:
    edit(own / file, path, value)
    message = refused(lambda: llama.load(own))
    assert path.rpartition(".")[2] in message and file in message


def test_an_unknown_key_of_the_spectrum_is_named(own: Path) -> None:
    edit(own / "mert/preprocessor_config.json", "spectrum", {"loudest": 3})
    assert "spectrum has the unknown key 'loudest'; its keys are lowest, octaves" in refused(lambda: llama.load(own))


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("vit/config.json", "hidden_size", 40_000), ("mert/config.json", "intermediate_size", 10**6),
        ("vivit/config.json", "num_hidden_layers", 900),
        ("decoder/config.json", "decoder.ffn_dim", 2**20), ("decoder/config.json", "text_encoder.vocab_size", 2**24),
    ],
)  # fmt: skip
def test_sizes_are_compared_with_the_weights_before_memory_is_taken(own: Path, file: str, path: str, value: int) -> None:
    edit(own / file, path, value)
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "describes" in refused(lambda: llama.load(own))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_sizes_of_the_model_are_compared_first(own: Path) -> None:
    """A pool that the weights lack would be built in full size before it was missed."""
    edit(own / "config.json", "audio.pools", ["mean", "harmony"])
    edit(own / "config.json", "audio.feature_dim", 2**20)
    assert "adapters.audio" in refused(lambda: llama.load(own))


@pytest.mark.parametrize(
    "name",
    ["mert/config.json", "vit/preprocessor_config.json", "decoder/config.json", "decoder/tokenizer.json", "vit/model.safetensors",
     "decoder/model.safetensors", "tokenizer.model", "config.json", "model.safetensors"],
)  # fmt: skip
def test_damage_of_any_file_is_one_sentence(own: Path, name: str) -> None:
    whole = (own / name).read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"\x00" * 64, b"[" * 10_000, *mutations(whole, 3)):
        (own / name).write_bytes(data)
        try:
            MuMuLLaMA.from_pretrained(own)
        except (ValueError, FileNotFoundError) as error:
            assert "\n" not in str(error) and str(error).endswith(".")


# -- the command ----------------------------------------------------------------------------------------------------


def test_convert_and_verify_refuse_what_is_damaged(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def sentence(*arguments: str) -> str:
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1
        return error

    for file in ("model.safetensors", "vit/config.json", "tokenizer.model"):
        whole = (own / file).read_bytes()
        (own / file).write_bytes(whole[: len(whole) // 3])
        before = sorted(tmp_path.rglob("*"))
        assert sentence("verify", str(own)) == sentence("convert", str(own), str(tmp_path / "out.pth")) == sentence(
            "convert", str(own), str(tmp_path / "out"))  # fmt: skip
        assert sorted(tmp_path.rglob("*")) == before
        (own / file).write_bytes(whole)
    change(own / "model.safetensors", WEIGHT, float("nan"))
    assert "is not finite" in sentence("verify", str(own))
    (tmp_path / "checkpoint.pth").write_bytes(pickle.dumps({"model": 3}, 2)[:-3])
    assert "truncated or no torch checkpoint" in sentence("convert", str(tmp_path / "checkpoint.pth"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
