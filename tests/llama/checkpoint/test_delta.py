"""Delta checkpoints: they load as the base with the trained weights, and a base that does not fit is reported before use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import component_paths
from safetensors.torch import save_file

import llama
from llama import GenerationOptions, Turn
from llama.checkpoint.delta import (
    AUDIO_TOKEN_ROWS,
    BaseReference,
    apply_delta,
    check_base,
    check_base_reference,
    is_delta,
    read_base_reference,
    read_delta,
    write_delta,
)
from llama.checkpoint.pretrained import trainable_state
from llama.config import MuMuConfig
from llama.mumu_llama import MuMuLLaMA

ROOT = Path(__file__).resolve().parents[3]
NANO = ROOT / "ckpts" / "nano"
WORDS = GenerationOptions(max_tokens=6, music=False)
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def nano() -> MuMuLLaMA:
    return llama.load(NANO, merge_lora=False)


@pytest.fixture
def trained(nano: MuMuLLaMA) -> State:
    """Weights of several kinds, moved away from the base's."""
    own = trainable_state(nano)
    kinds = (".l1", ".l2", "gate", "prefix_query", "norm.weight", ".bias")
    state = {name: value + 0.02 * torch.randn(value.shape) for name, value in own.items() if any(kind in name for kind in kinds)}
    return state | {AUDIO_TOKEN_ROWS: own["llama.output.weight"][-8:] + 0.5}


def origin(nano: MuMuLLaMA, **changes: Any) -> BaseReference:
    return dataclasses.replace(BaseReference({"model": NANO}, nano.config, 1, "ours", 40), **changes)


def laid_over(model: MuMuLLaMA, state: State) -> State:
    result = {name: value.clone() for name, value in trainable_state(model).items()}
    result.update({name: value for name, value in state.items() if name != AUDIO_TOKEN_ROWS})
    if AUDIO_TOKEN_ROWS in state:
        result["llama.output.weight"][-8:] = state[AUDIO_TOKEN_ROWS]
    return result


def equal(ours: State, theirs: State) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "origin.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# -- loading ------------------------------------------------------------------------------------------------------


def test_loading_applies_the_weights_to_the_base(nano: MuMuLLaMA, trained: State, tmp_path: Path) -> None:
    before = hashlib.sha256((NANO / "model.safetensors").read_bytes()).digest()
    write_delta(tmp_path, trained, origin(nano))
    assert is_delta(tmp_path) and not is_delta(NANO)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["origin.json", "weights.safetensors"]
    loaded = llama.load(tmp_path, merge_lora=False)
    expected = laid_over(nano, trained)
    assert equal(trainable_state(loaded), expected)
    assert loaded.mert is not None and loaded.music_decoder is not None and loaded.tokenizer is not None
    assert hashlib.sha256((NANO / "model.safetensors").read_bytes()).digest() == before
    merged = llama.load(tmp_path)
    tokens = torch.randint(0, 2000, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(merged(tokens).logits, loaded(tokens).logits, atol=2e-4, rtol=1e-4)
        assert not torch.allclose(merged(tokens).logits, nano(tokens).logits, atol=1e-2)
    half = llama.load(tmp_path, merge_lora=False, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half.llama.norm.weight, trained["llama.norm.weight"].bfloat16())


def test_saving_a_loaded_delta_gives_a_complete_model(nano: MuMuLLaMA, trained: State, tmp_path: Path) -> None:
    write_delta(tmp_path / "last", trained, origin(nano))
    llama.load(tmp_path / "last", merge_lora=False).save_pretrained(tmp_path / "whole")
    assert not is_delta(tmp_path / "whole")
    assert equal(trainable_state(llama.load(tmp_path / "whole", merge_lora=False)), laid_over(nano, trained))
    with pytest.raises(ValueError, match="is no model folder of ours"):
        nano.save_pretrained(tmp_path / "last")


def test_the_command_loads_a_delta(nano: MuMuLLaMA, tmp_path: Path) -> None:
    """The base's own weights over the base: its answer, word for word."""
    gates = {name: value for name, value in trainable_state(nano).items() if "gate" in name}
    write_delta(tmp_path, gates, origin(nano))
    command = [sys.executable, "-m", "llama", "What is a drum?", "--model", str(tmp_path), "--max_tokens", "6", "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == llama.load(NANO).respond(Turn("What is a drum?"), WORDS).text.strip() != ""


def test_deltas_of_three_stages(nano: MuMuLLaMA, trained: State, tmp_path: Path) -> None:
    names = sorted(trained)
    parts = [{name: trained[name] for name in names[place::3]} for place in range(3)]
    base: str | Path = NANO
    for stage, part in enumerate(parts, 1):
        write_delta(tmp_path / str(stage), part, origin(nano, base={"model": base}, stage=stage))
        base = tmp_path / str(stage)
    assert equal(trainable_state(llama.load(base, merge_lora=False)), laid_over(nano, trained))
    edit(tmp_path / "1", base={"model": str(tmp_path / "3")})
    with pytest.raises(ValueError, match=f"The base of {tmp_path / '3'} leads back to {tmp_path / '3'}"):
        llama.load(base)


def test_over_a_published_checkpoint(published_tree: Path, published: MuMuLLaMA, tmp_path: Path) -> None:
    arguments = {"model": published_tree / "MuMu-LLaMA-MusicGen", "llama_dir": published_tree / "LLaMA-2", **component_paths()}
    gates = {name: torch.full_like(value, 0.25) for name, value in trainable_state(published).items() if name.endswith("attention.gate")}
    write_delta(tmp_path, gates, BaseReference(arguments, published.config, 2, "published"))
    loaded = llama.load(tmp_path)
    assert gates and all(torch.equal(trainable_state(loaded)[name], value) for name, value in gates.items())
    with pytest.raises(ValueError, match="was trained over llama_dir .* so llama_dir .*elsewhere would not fit it; leave it out"):
        llama.load(tmp_path, llama_dir=tmp_path / "elsewhere")
    assert llama.load(tmp_path, llama_dir=published_tree / "LLaMA-2").config == published.config
    edit(tmp_path, base=json.loads((tmp_path / "origin.json").read_text())["base"] | {"llama_dir": "/gone"}, near={})
    with pytest.raises(FileNotFoundError, match="lie over llama_dir /gone, which is not there; put it back, give its new place"):
        llama.load(tmp_path)
    assert llama.load(tmp_path, llama_dir=published_tree / "LLaMA-2").config == published.config


def test_what_the_base_refuses_is_refused(nano: MuMuLLaMA, tmp_path: Path) -> None:
    write_delta(tmp_path, {}, origin(nano))
    with pytest.raises(ValueError, match="holds its components, so mert_path has no effect"):
        llama.load(tmp_path, mert_path="somewhere")
    with pytest.raises(ValueError, match="trained for musicgen, not audioldm2"):
        llama.load(tmp_path, music_decoder="audioldm2")


# -- where the base lies ------------------------------------------------------------------------------------------


def test_a_tree_that_moved(nano: MuMuLLaMA, trained: State, tmp_path: Path) -> None:
    shutil.copytree(NANO, tmp_path / "one/ckpts/nano")
    write_delta(tmp_path / "one/runs/a/last", trained, origin(nano, base={"model": tmp_path / "one/ckpts/nano"}))
    os.rename(tmp_path / "one", tmp_path / "two")
    assert equal(trainable_state(llama.load(tmp_path / "two/runs/a/last", merge_lora=False)), laid_over(nano, trained))
    edit(tmp_path / "two/runs/a/last", base={"model": "../../../ckpts/nano"}, near={})
    assert equal(trainable_state(llama.load(tmp_path / "two/runs/a/last", merge_lora=False)), laid_over(nano, trained))
    os.rename(tmp_path / "two/runs", tmp_path / "runs")
    edit(tmp_path / "runs/a/last", base={"model": str(tmp_path / "one/ckpts/nano")}, near={})
    with pytest.raises(FileNotFoundError, match=r"lie over model .*one/ckpts/nano, which is not there; .*origin\.json\.$"):
        llama.load(tmp_path / "runs/a/last")


def test_a_base_as_it_was_typed(nano: MuMuLLaMA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    write_delta(tmp_path, {}, origin(nano, base={"model": "ckpts/nano", "llama_dir": None}))
    assert read_base_reference(tmp_path).base == {"model": str(NANO)}
    write_delta(tmp_path, {}, origin(nano, base={"model": "some/name", "dtype": torch.float16}))
    assert read_base_reference(tmp_path).base == {"model": "some/name", "dtype": "float16"}, "a name on the hub stays a name"


# -- bad input ----------------------------------------------------------------------------------------------------


def test_a_base_of_another_size(nano: MuMuLLaMA, tmp_path: Path) -> None:
    write_delta(tmp_path, {}, origin(nano, sizes=MuMuConfig.tiny()))
    with pytest.raises(ValueError, match="with llama.dim 64, but its base has 192: a checkpoint of another size"):
        llama.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("llama.layers.99.attention.gate", torch.zeros(1), "hold llama.layers.99.attention.gate, which this model has not"),
        ("mert.encoder.weight", torch.zeros(1), "hold mert.encoder.weight, which this model has not"),
        (AUDIO_TOKEN_ROWS, torch.zeros(7, 192), r"llama.output.rows is \[7, 192\], this model's is \[8, 192\]"),
        ("llama.norm.weight", torch.zeros(64), r"llama.norm.weight is \[64\], this model's is \[192\].*another stage or size"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(nano: MuMuLLaMA, name: str, value: torch.Tensor, message: str) -> None:
    before = {key: one.clone() for key, one in trainable_state(nano).items()}
    with pytest.raises(ValueError, match=message):
        apply_delta(nano, {"llama.tok_embeddings.weight": torch.zeros_like(nano.llama.tok_embeddings.weight), name: value})
    assert equal(before, trainable_state(nano))


def test_a_merged_model_is_merged_again(nano: MuMuLLaMA, trained: State) -> None:
    merged = llama.load(NANO)
    apply_delta(merged, trained)
    tokens = torch.randint(0, 2000, (1, 7))
    parted = llama.load(NANO, merge_lora=False)
    apply_delta(parted, trained)
    with torch.no_grad():
        torch.testing.assert_close(merged(tokens).logits, parted(tokens).logits, atol=2e-4, rtol=1e-4)
        assert merged.llama.layers[0].attention.wq.merged


def test_audio_token_rows_override_the_output_layer(nano: MuMuLLaMA) -> None:
    model = llama.load(NANO, merge_lora=False)
    whole, rows = torch.randn_like(model.llama.output.weight), torch.randn(8, 192)
    apply_delta(model, {AUDIO_TOKEN_ROWS: rows, "llama.output.weight": whole})
    assert torch.equal(model.llama.output.weight, torch.cat([whole[:-8], rows]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "its format is 2, this code reads 1"),
        ({"base": {"modle": "x"}}, "'modle', which is no argument of load"),
        ({"sizes": {"lama": {}}}, "damaged or not ours"),
        ({"base": None}, "base is None, not an object"),
        ({"format": "\x1b[31m"}, r"its format is '\\x1b\[31m', this code"),
    ],
)
def test_a_damaged_origin(nano: MuMuLLaMA, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_delta(tmp_path, {}, origin(nano))
    edit(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        llama.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [("[]", "it is no object"), ("{}", "it lacks format"), ('{"format": 1}', "it lacks stage")]
)
def test_an_origin_without_its_keys(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "origin.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_base_reference(tmp_path)


def test_a_damaged_folder(nano: MuMuLLaMA, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(FileNotFoundError, match="There is no origin.json"):
        read_delta(tmp_path)
    write_delta(tmp_path, {"a": torch.zeros(3)}, origin(nano))
    file = tmp_path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(ValueError, match="truncated or no safetensors"):
        llama.load(tmp_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="has an origin.json but no weights.safetensors"):
        llama.load(tmp_path)


def test_resuming_another_stage_is_refused(nano: MuMuLLaMA, tmp_path: Path) -> None:
    write_delta(tmp_path, {}, origin(nano))
    found = read_base_reference(tmp_path)
    check_base_reference(found, 1, "ours")
    with pytest.raises(ValueError, match=f"a run of stage 1, which stage 2 cannot resume; .*--model {tmp_path}"):
        check_base_reference(found, 2, "ours")
    with pytest.raises(ValueError, match="preset ours, which one with all cannot resume"):
        check_base_reference(found, 1, "all", tmp_path / "last")


def test_a_base_that_was_moved(nano: MuMuLLaMA, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Together with the run it is found; alone it is taken at its new place, which is told; another one beside it is refused."""
    base = tmp_path / "one/base"
    base.mkdir(parents=True)
    write_delta(tmp_path / "one/run", {}, origin(nano, base={"model": base}))
    (tmp_path / "one").rename(tmp_path / "two")
    moved = read_base_reference(tmp_path / "two/run")
    with caplog.at_level(logging.WARNING):
        check_base(moved, origin(nano, base={"model": tmp_path / "two/base"}))
    assert not caplog.messages
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"was trained with model .*one/base, this run has .*other; give"):
        check_base(moved, origin(nano, base={"model": tmp_path / "other"}))
    (tmp_path / "two/base").rename(tmp_path / "three")
    with caplog.at_level(logging.WARNING):
        check_base(moved, origin(nano, base={"model": tmp_path / "three"}))
    assert f"{base}, which is not there; it goes on over {tmp_path / 'three'}" in caplog.text
