"""Loading and saving: all layouts and versions of the published files, the native format, base weights, invalid input."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig as HfConfig
from transformers import LlamaForCausalLM, MusicgenMelodyConfig, MusicgenMelodyForConditionalGeneration

import llama
from llama import cli as flags
from llama.checkpoint.__main__ import main
from llama.checkpoint.conversion import published_state, save_published
from llama.checkpoint.llama_weights import LlamaFolder, merge_shards
from llama.checkpoint.readers import read_safetensors, read_torch
from llama.config import AdapterConfig
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.generation import GenerationOptions
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA

State = dict[str, Tensor]


@pytest.fixture(scope="session")
def weights(golden: Path) -> State:
    return read_safetensors(golden / "m2ugen" / "model.safetensors")


@pytest.fixture(scope="session")
def mumu_weights(golden: Path, weights: State) -> State:
    """The other variant: its audio path over the same rest, and the recurrent video pool that nothing uses."""
    torch.manual_seed(0)
    state = {**weights, **read_safetensors(golden / "mumu" / "audio_weights.safetensors")}
    shapes = {name: value.shape for name, value in state.items() if name.startswith(("mu_mert_rnn", "mu_mert_attention"))}
    return state | {name.replace("mu_mert", "iu_vivit"): torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def tree(golden: Path, weights: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder tree."""
    root = tmp_path_factory.mktemp("published")
    place = root / "ckpts" / "MuMu-LLaMA-MusicGen"
    place.mkdir(parents=True)
    torch.save({"model": weights}, place / "checkpoint.pth")
    shutil.copytree(golden / "components" / "llama", root / "ckpts" / "LLaMA-2")
    return root / "ckpts"


@pytest.fixture
def parts(golden: Path) -> dict[str, Any]:
    folder = golden / "components"
    return {f"{name}_path": folder / name for name in ("mert", "vit", "vivit")} | {"music_decoder_path": folder / "musicgen"}


def load(file: Path, tree: Path, parts: dict[str, Any], **options: Any) -> MuMuLLaMA:
    return llama.load(file, llama_dir=tree / "LLaMA-2", **parts, **options)


def equal(ours: State, theirs: State) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def save(state: Any, folder: Path) -> Path:
    torch.save(state, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


# -- published files ------------------------------------------------------------------------------------------------


def test_published_numbers(golden: Path, tree: Path, parts: dict[str, Any]) -> None:
    expected = read_safetensors(golden / "m2ugen" / "outputs.safetensors")
    tokens = read_safetensors(golden / "inputs.safetensors")["prompt_tokens"][None]
    model = load(tree / "MuMu-LLaMA-MusicGen", tree, parts)
    with torch.no_grad():
        output = model(tokens)
    assert not model.training and model.llama.layers[0].attention.wq.merged
    assert (output.logits[:, -1] - expected["logits_text"]).abs().max() < 1e-5 * expected["logits_text"].abs().max()


def test_every_form_of_the_file(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    old = {"encoder.pos_conv_embed.conv.parametrizations.weight.original0": "encoder.pos_conv_embed.conv.weight_g",
           "encoder.pos_conv_embed.conv.parametrizations.weight.original1": "encoder.pos_conv_embed.conv.weight_v"}  # fmt: skip
    renamed = {f"mert_model.{old.get(name.removeprefix('mert_model.'), name.removeprefix('mert_model.'))}"
               if name.startswith("mert_model.") else name: value for name, value in weights.items()}  # fmt: skip
    forms = {
        "flat": weights,
        "module": {"model": {f"module.{name}": value for name, value in weights.items()}},
        "training": {"model": weights, "epoch": 3, "optimizer": {"state": {}}, "args": argparse.Namespace(lr=1e-3)},
        "old_weight_norm": {"model": renamed},
    }
    for name, form in forms.items():
        (tmp_path / name).mkdir()
        model = load(save(form, tmp_path / name), tree, parts, merge_lora=False)
        assert equal(published_state(model), weights), name


def test_llama_or_llama_2_with_or_without_7b(tree: Path, parts: dict[str, Any], tmp_path: Path) -> None:
    source = tree / "LLaMA-2"
    checkpoint = tree / "MuMu-LLaMA-MusicGen" / "checkpoint.pth"
    for name, inside in (("LLaMA-2", "7B"), ("LLaMA", "7B"), ("LLaMA-2", ""), ("LLaMA", "")):
        root = tmp_path / f"{name}{inside}"
        (root / name / inside).mkdir(parents=True)
        shutil.copy(source / "tokenizer.model", root / name)
        shutil.copy(source / "7B" / "params.json", root / name / inside)
        for asked in ("LLaMA", "LLaMA-2"):
            model = llama.load(checkpoint, llama_dir=root / asked, **parts)
            assert model.tokenizer is not None and model.config.llama.multiple_of == 32
    assert LlamaFolder.find(tmp_path / "LLaMA7B" / "LLaMA" / "7B").tokenizer is not None


def test_variant_is_recognised(tree: Path, mumu_weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    old = {name.replace("iu_vivit_rnn", "iu_vit_rnn").replace("iu_vivit_attention", "iu_vit_attention"): value
           for name, value in mumu_weights.items()}  # fmt: skip
    model = load(save({"model": old}, tmp_path), tree, parts, merge_lora=False)
    assert model.config.variant == "mumu" and model.config.audio.pools == ("recurrent",)
    assert equal(published_state(model), mumu_weights)
    video = torch.randint(0, 255, (5, 40, 50, 3), dtype=torch.uint8).numpy()
    assert model.encode([llama.Turn("What is this?", video=video)]).video.shape == (1, 1, 64)


def test_partial_checkpoint(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    """Only what training changed is in the file: the rest comes from LLaMA's folder, or is asked for by name."""
    base = {name.removeprefix("llama."): value for name, value in weights.items()
            if name.startswith("llama.") and not any(word in name for word in ("lora", "bias", "gate"))}  # fmt: skip
    folder = tmp_path / "LLaMA-2"
    shutil.copytree(tree / "LLaMA-2", folder)
    torch.save(base | {"rope.freqs": torch.ones(8)}, folder / "7B" / "consolidated.00.pth")
    trained = {name: value for name, value in weights.items() if name.removeprefix("llama.") not in base}
    checkpoint = save({"model": trained}, tmp_path)
    model = llama.load(checkpoint, llama_dir=folder, merge_lora=False, **parts)
    assert equal(published_state(model), weights)
    with pytest.raises(FileNotFoundError, match="consolidated"):
        load(checkpoint, tree, parts)
    without_ears = {name: value for name, value in weights.items() if not name.startswith("mert_model.")}
    with pytest.raises(ValueError, match="mert_path"):
        load(save(without_ears, tmp_path), tree, parts | {"mert_path": None})
    without_bridge = {name: value for name, value in weights.items() if not name.startswith("iu_vit_f1_2")}
    with pytest.raises(ValueError, match="adapters.image.blocks.1.f1"):
        load(save(without_bridge, tmp_path), tree, parts)


def test_dtypes(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    base = "llama.layers.0.attention.wk.weight"
    half = {name: value.half() if name.startswith("llama.") and "norm" not in name else value for name, value in weights.items()}
    checkpoint = save({"model": half}, tmp_path)
    model = load(checkpoint, tree, parts)
    assert {value.dtype for value in model.parameters()} == {torch.float32}  # what a CPU computes in
    model = load(checkpoint, tree, parts, dtype=torch.bfloat16)
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    model = load(checkpoint, tree, parts, dtype="stored", merge_lora=False)
    assert equal(published_state(model), half) and published_state(model)[base].dtype == torch.float16
    with pytest.raises(ValueError, match="dtype 'int3'"):
        load(checkpoint, tree, parts, dtype="int3")


# -- our own format ---------------------------------------------------------------------------------------------------


def test_own_format_needs_no_other_file(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    model = load(tree / "MuMu-LLaMA-MusicGen", tree, parts, merge_lora=False)
    model.save_pretrained(tmp_path / "own")
    assert equal(published_state(llama.load(tmp_path / "own", merge_lora=False)), weights)
    again = MuMuLLaMA.from_pretrained(tmp_path / "own")
    turn, options = llama.Turn("Play"), GenerationOptions(max_tokens=8)
    assert again.respond(turn, options) == model.respond(turn, options)
    assert list(tmp_path.iterdir()) == [tmp_path / "own"]  # nothing half-written is left


def test_merged_is_saved_unmerged(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    model = load(tree / "MuMu-LLaMA-MusicGen", tree, parts)
    before = model.llama.layers[0].attention.wq.weight.clone()
    model.save_pretrained(tmp_path / "own")
    assert torch.equal(model.llama.layers[0].attention.wq.weight, before)
    saved = published_state(MuMuLLaMA.from_pretrained(tmp_path / "own", merge_lora=False))
    assert all(torch.allclose(saved[name], weights[name], atol=1e-6) for name in weights)


def test_saving_replaces_only_our_own(tree: Path, parts: dict[str, Any], tmp_path: Path) -> None:
    model = load(tree / "MuMu-LLaMA-MusicGen", tree, parts)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("Not a model")
    with pytest.raises(ValueError, match="not replaced"):
        model.save_pretrained(other)
    assert [item.name for item in other.iterdir()] == ["chapter.txt"]
    model.save_pretrained(tmp_path / "own")
    (tmp_path / "own" / "README.md").write_text("A model card")
    model.save_pretrained(tmp_path / "own", dtype=torch.bfloat16)
    assert (tmp_path / "own" / "README.md").read_text() == "A model card"
    assert MuMuLLaMA.from_pretrained(tmp_path / "own").dtype == torch.bfloat16


def test_computed_buffers_survive(golden: Path, tmp_path: Path) -> None:
    pools = AdapterConfig(32, 4, pools=("mean", "rhythm", "harmony"))
    model = MuMuLLaMA(llama.MuMuConfig.tiny(audio=pools)).eval()
    model.save_pretrained(tmp_path / "own")
    again = MuMuLLaMA.from_pretrained(tmp_path / "own", merge_lora=False)
    states = torch.randn(1, 4, 300, 32)
    with torch.no_grad():
        ours, theirs = again.adapters["audio"](states), model.adapters["audio"](states)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)  # memory that is aligned otherwise sums in another order
    with pytest.raises(ValueError, match="several prompt positions"):
        save_published(again, tmp_path / "checkpoint.pth")
    assert not (tmp_path / "checkpoint.pth").exists()


def test_convert_there_and_back(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    options = [word for name, value in parts.items() for word in (f"--{name}", str(value))]
    source = str(tree / "MuMu-LLaMA-MusicGen" / "checkpoint.pth")
    assert main(["convert", source, str(tmp_path / "own"), "--llama_dir", str(tree / "LLaMA-2"), *options]) == 0
    assert main(["convert", str(tmp_path / "own"), str(tmp_path / "back.pth")]) == 0
    assert equal(torch.load(tmp_path / "back.pth", weights_only=True)["model"], weights)
    assert main(["verify", str(tmp_path / "own")]) == 0


@pytest.fixture
def own(tree: Path, parts: dict[str, Any], tmp_path: Path) -> Path:
    load(tree / "MuMu-LLaMA-MusicGen", tree, parts).save_pretrained(tmp_path / "own")
    return tmp_path / "own"


def test_our_folder_drops_no_argument(own: Path, parts: dict[str, Any], golden: Path, tmp_path: Path) -> None:
    for name in ("llama_dir", "mert_path", "vit_path", "vivit_path", "music_decoder_path"):
        with pytest.raises(ValueError, match=f"{name}.*leave it out"):
            llama.load(own, **{name: golden})
    with pytest.raises(ValueError, match="trained for musicgen, not audioldm2"):
        llama.load(own, music_decoder="audioldm2")
    with pytest.raises(ValueError, match="no checklist.chk"):
        llama.load(own, verify=True)
    with pytest.raises(FileNotFoundError, match="No index at"):
        llama.load(own, knn_dir=tmp_path)
    write_index(tmp_path / "knn", 32)
    model = llama.load(own, knn_dir=tmp_path / "knn", music_decoder="musicgen")
    assert model.prototypes is not None and model.prototypes.width == 32


@pytest.mark.parametrize("words", [[], ["--music_decoder", "musicgen", "--device", "cpu"]])
def test_the_flags_open_our_folder(own: Path, words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    flags.add_model_flags(parser)
    assert flags.load_model(parser.parse_args(["--model", str(own), *words])).music_decoder is not None


def test_a_folder_without_its_decoder_takes_one(own: Path, tmp_path: Path) -> None:
    (own / "decoder").rename(tmp_path / "musicgen")
    assert llama.load(own).music_decoder is None
    assert llama.load(own, music_decoder_path=tmp_path / "musicgen").music_decoder is not None


def test_musicgen_melody_takes_the_place_of_the_musicgen_in_a_checkpoint(
    golden: Path, tree: Path, parts: dict[str, Any], tmp_path: Path
) -> None:
    """Both read the same condition; a checkpoint of the project's own keeps the one that it was saved with."""
    values = json.loads((golden / "components/musicgen/config.json").read_text())
    decoder = {name: value for name, value in values["decoder"].items() if name not in ("model_type", "architectures")}
    config = MusicgenMelodyConfig.from_dict({**values, "decoder": decoder, "model_type": "musicgen_melody", "chroma_length": 4})
    torch.manual_seed(0)
    MusicGenDecoder(MusicgenMelodyForConditionalGeneration(config)).save(tmp_path / "melody")
    model = load(tree / "MuMu-LLaMA-MusicGen", tree, parts | {"music_decoder_path": tmp_path / "melody"})
    assert model.music_decoder.keeps_melody
    model.save_pretrained(tmp_path / "own")
    again = llama.load(tmp_path / "own").music_decoder
    assert again.keeps_melody and equal(again.export_state(), model.music_decoder.export_state())


def write_index(folder: Path, width: int) -> None:
    faiss = pytest.importorskip("faiss")
    folder.mkdir()
    index = faiss.IndexFlatIP(width)
    index.add(torch.nn.functional.normalize(torch.randn(12, width), dim=-1).numpy())
    faiss.write_index(index, str(folder / "knn.index"))


def test_an_index_that_does_not_fit(own: Path, mumu_weights: State, tree: Path, parts: dict[str, Any], tmp_path: Path) -> None:
    write_index(tmp_path / "narrow", 7)
    write_index(tmp_path / "right", 32)
    with pytest.raises(ValueError, match="prototypes of 7 numbers, the audio features have 32"):
        llama.load(own, knn_dir=tmp_path / "narrow")
    assert "hears by recurrent" in refused(save(mumu_weights, tmp_path), tree, parts, knn_dir=tmp_path / "right")


def test_damage_in_our_folder_is_named(own: Path) -> None:
    config = (own / "config.json").read_text()
    for bad in (config[: len(config) // 2] + '"query_layer"', '["query_layer"]', config.replace('"dim"', '"dimension"')):
        (own / "config.json").write_text(bad)
        with pytest.raises(ValueError, match=r"own/config\.json is damaged") as caught:
            MuMuLLaMA.from_pretrained(own)
        assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_size_in_our_folder(golden: Path, tmp_path: Path) -> None:
    tiny = llama.MuMuConfig.tiny()
    config = dataclasses.replace(tiny, llama=dataclasses.replace(tiny.llama, vocab_size=600))
    MuMuLLaMA(config).save_pretrained(tmp_path / "own")
    assert MuMuLLaMA.from_pretrained(tmp_path / "own").tokenizer is None
    shutil.copy(golden / "components" / "llama" / "tokenizer.model", tmp_path / "own")
    with pytest.raises(ValueError, match="The tokenizer has .* the model 600 embeddings"):
        MuMuLLaMA.from_pretrained(tmp_path / "own")


def test_a_replacement_that_fails_leaves_the_old(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rename = MuMuLLaMA.from_pretrained(own), os.rename

    def failing(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(own)
    assert MuMuLLaMA.from_pretrained(own).tokenizer is not None and list(own.parent.iterdir()) == [own]


def test_devices(own: Path) -> None:
    assert llama.load(own, device="cpu").device.type == "cpu"
    for name in ("meta", "xla", "cuda:99", "warp", torch.device("meta")):
        with pytest.raises(ValueError, match="device"):
            llama.load(own, device=name)


# -- base weights -----------------------------------------------------------------------------------------------------


def base_weights(weights: State) -> State:
    names = [name for name in weights if name.startswith("llama.") and not any(part in name for part in ("lora", "bias", "gate"))]
    base = {name.removeprefix("llama."): weights[name] for name in names}
    return {name: value[:-8] if name.startswith(("tok_embeddings", "output")) else value for name, value in base.items()}


def split(name: str, value: Tensor) -> tuple[Tensor, Tensor]:
    if value.dim() == 1:
        return value, value
    columns = name.endswith(("wo.weight", "w2.weight")) or name.startswith("tok_embeddings")
    first, second = value.chunk(2, dim=1 if columns else 0)
    return first.clone(), second.clone()


@pytest.fixture
def shards(golden: Path, weights: State, tmp_path: Path) -> Path:
    """LLaMA's folder as Meta delivers it, in two shards, with its checklist."""
    root = tmp_path / "LLaMA-2"
    shutil.copytree(golden / "components" / "llama", root)
    lines = []
    for index in (0, 1):
        file = root / "7B" / f"consolidated.{index:02d}.pth"
        torch.save({name: split(name, value)[index] for name, value in base_weights(weights).items()}, file)
        lines.append(f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.name}\n")
    (root / "7B" / "checklist.chk").write_text("".join(lines))
    return root


def test_two_shards_are_one(shards: Path, weights: State) -> None:
    assert equal(LlamaFolder.find(shards).read(verify=True), base_weights(weights))


def test_training_starts_from_the_base(shards: Path, weights: State) -> None:
    model = llama.load(None, llama_dir=shards)
    rows = model.llama.tok_embeddings.weight
    assert torch.equal(rows[:-8], weights["llama.tok_embeddings.weight"][:-8])
    assert torch.cdist(rows[-8:], rows[-8:]).fill_diagonal_(1).min() > 1e-3  # each its own
    assert (rows[-8:].mean(0) - rows[:-8].mean(0)).abs().max() < rows[:-8].std()
    assert all((block.attention.gate != 0).all() for block in model.llama.layers)
    assert torch.equal(llama.load(None, llama_dir=shards).output_projector.queries, model.output_projector.queries)
    assert not any(value.is_meta for value in [*model.parameters(), *model.buffers()])


def test_checklist(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(shards)]) == 0
    with (shards / "7B" / "consolidated.01.pth").open("r+b") as file:
        file.seek(500)
        file.write(b"bad")
    assert main(["verify", str(shards / "7B")]) == 2
    assert "consolidated.01.pth is damaged" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is damaged"):
        llama.load(None, llama_dir=shards, verify=True)


def test_verifying_needs_a_checklist(shards: Path, tree: Path, parts: dict[str, Any]) -> None:
    (shards / "7B" / "checklist.chk").unlink()
    with pytest.raises(FileNotFoundError, match="LLaMA-2/7B has no checklist.chk"):
        llama.load(None, llama_dir=shards, verify=True)
    assert "LLaMA-2 has no checklist.chk" in refused(tree / "MuMu-LLaMA-MusicGen", tree, parts, verify=True)


def test_from_inside_the_folders(tree: Path, parts: dict[str, Any], shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shards)
    assert LlamaFolder.find(".").weights == shards / "7B"
    monkeypatch.chdir(shards / "7B")
    assert LlamaFolder.find(".").tokenizer == shards / "tokenizer.model"
    assert LlamaFolder.find("..").weights == shards / "7B"
    shutil.copy(tree / "MuMu-LLaMA-MusicGen" / "checkpoint.pth", shards)
    monkeypatch.chdir(shards)
    assert llama.load("checkpoint.pth", **parts).tokenizer is not None


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_hugging_face_llama(golden: Path, kv_heads: int, tmp_path: Path) -> None:
    config = HfConfig(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=kv_heads,
                      intermediate_size=48, vocab_size=512, max_position_embeddings=64)  # fmt: skip
    reference = LlamaForCausalLM(config).eval()
    reference.save_pretrained(tmp_path / "hf")
    shutil.copy(golden / "components" / "llama" / "tokenizer.model", tmp_path / "hf")
    model = llama.load(None, llama_dir=tmp_path / "hf")
    tokens = torch.randint(0, 512, (2, 12))
    with torch.no_grad():
        ours, theirs = model.llama(tokens).logits[..., :512], reference(tokens).logits
    assert model.config.llama.kv_heads == kv_heads
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_merging_keeps_norms_whole() -> None:
    norm = torch.ones(3)
    pieces = [{"norm.weight": norm, "output.weight": torch.full((2, 3), float(index))} for index in range(2)]
    merged = merge_shards(pieces)
    assert torch.equal(merged["norm.weight"], norm) and merged["output.weight"].shape == (4, 3)


# -- bad input --------------------------------------------------------------------------------------------------------


def refused(file: Path, tree: Path, parts: dict[str, Any], **options: Any) -> str:
    """The sentence that loading ends with."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load(file, tree, parts, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_files(tree: Path, parts: dict[str, Any], tmp_path: Path) -> None:
    assert "checkpoint.pth, and LLaMA or LLaMA-2" in refused(tmp_path / "checkpoint.pth", tree, parts)
    assert "no checkpoint.pth" in refused(tmp_path, tree, parts)
    checkpoint = tree / "MuMu-LLaMA-MusicGen" / "checkpoint.pth"
    with pytest.raises(FileNotFoundError, match="There is no LLaMA folder"):
        llama.load(checkpoint, llama_dir=tmp_path / "nowhere", **parts)
    with pytest.raises(ValueError, match="Neither a model nor llama_dir"):
        llama.load()
    with pytest.raises(FileNotFoundError, match="There is no model folder"):
        MuMuLLaMA.from_pretrained(tmp_path / "nothing")


def test_damaged_and_foreign_files(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    whole = (tree / "MuMu-LLaMA-MusicGen" / "checkpoint.pth").read_bytes()
    bad = tmp_path / "checkpoint.pth"
    bad.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(bad, tree, parts)
    bad.write_bytes(b"")
    assert "truncated" in refused(bad, tree, parts)
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    assert "no torch checkpoint" in refused(bad, tree, parts)
    save({"transformer.h.0.weight": torch.zeros(2)}, tmp_path)
    assert "transformer.h.0.weight" in refused(bad, tree, parts)
    save([1, 2], tmp_path)
    assert "no table of weights" in refused(bad, tree, parts)
    save({"model": weights, "hook": Fraction(1, 2)}, tmp_path)
    assert "fractions.Fraction" in refused(bad, tree, parts)


def test_safetensors_of_others(tree: Path, parts: dict[str, Any], golden: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"bert.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert "bert.weight" in refused(tmp_path / "model.safetensors", tree, parts)
    (tmp_path / "config.json").write_text(llama.MuMuConfig.tiny().to_json())
    with pytest.raises(ValueError, match="no LLaMA of ours"):
        MuMuLLaMA.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="truncated or no safetensors"):
        MuMuLLaMA.from_pretrained(tmp_path)


def test_tokenizer_of_another_size(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    rows = {f"llama.{name}.weight": torch.zeros(600, 64) for name in ("tok_embeddings", "output")}
    message = refused(save(weights | rows, tmp_path), tree, parts)
    assert "600 embeddings" in message and str(Tokenizer(tree / "LLaMA-2" / "tokenizer.model").base_vocab) in message


def test_wrong_decoder(tree: Path, weights: State, parts: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = tree / "MuMu-LLaMA-MusicGen"
    assert "trained for musicgen, not audioldm2" in refused(checkpoint, tree, parts, music_decoder="audioldm2")
    assert "riffusion" in refused(checkpoint, tree, parts, music_decoder="riffusion")
    narrow = {"output_projector.model.weight": torch.zeros(16, 32), "output_projector.model.bias": torch.zeros(16)}
    assert "condition of [128, 16]" in refused(save(weights | narrow, tmp_path), tree, parts)
    single = {name: value for name, value in weights.items() if not name.startswith("generation_model.")}
    single |= {"output_projector.query_embs": torch.zeros(1, 1, 32)}
    assert "trained for audioldm2, not musicgen" in refused(save(single, tmp_path), tree, parts, music_decoder="musicgen")
    for asked in ("audioldm2", None):  # None: what the checkpoint was trained for
        message = refused(tmp_path / "checkpoint.pth", tree, parts | {"music_decoder_path": None}, music_decoder=asked)
        assert "AudioLDM2 is never in a checkpoint" in message


def test_convert_says_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(tmp_path / "none.pth"), str(tmp_path / "own")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "own").exists()


def test_errors_of_the_system_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for error in (PermissionError(13, "Permission denied", "a.pth"), OSError(28, "No space left on device"), IsADirectoryError("x")):
        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr("llama.checkpoint.__main__.convert", fail)
        assert main(["convert", "a.pth", str(tmp_path / "own")]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_only_the_start_of_a_foreign_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint.pth").write_bytes(b"sound" * 100)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read whole"))
    with pytest.raises(ValueError, match="no torch checkpoint"):
        read_torch(tmp_path / "checkpoint.pth")


def test_a_full_disk_while_weights_are_written(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(kind: type[Exception]) -> Any:
        def write(*_: Any, **__: Any) -> None:
            raise kind("I/O error: No space left")

        return write

    model = MuMuLLaMA.from_pretrained(own)
    monkeypatch.setattr("llama.checkpoint.pretrained.save_file", full(SafetensorError))
    with pytest.raises(OSError, match="other could not be written"):
        model.save_pretrained(tmp_path / "other")
    monkeypatch.setattr(torch, "save", full(RuntimeError))
    with pytest.raises(OSError, match="other.pth could not be written"):
        save_published(model, tmp_path / "other.pth")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["own"]
