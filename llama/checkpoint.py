"""Loading and saving models: published checkpoints, LLaMA's base weights with components, and our own folders (folder.py).

    python -m llama.checkpoint convert ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth OUT --llama_dir ckpts/LLaMA-2
    python -m llama.checkpoint verify ckpts/LLaMA-2/7B
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from llama.assembly import (
    EMBEDDINGS,
    Dtype,
    State,
    add_audio_rows,
    assemble,
    attach,
    check_decoder,
    check_tokenizer,
    device_named,
    resolve_dtype,
)
from llama.audioldm2 import AudioLDM2Decoder
from llama.config import AdapterConfig, DecoderSpec, MuMuConfig, ProjectorConfig
from llama.decoders import MusicGenDecoder
from llama.folder import CONFIG, ENCODERS, from_pretrained, is_own, own_state, save_pretrained, separate
from llama.frozen import KNOWN, FrozenEncoder
from llama.knn import PrototypeIndex
from llama.mumu_llama import MuMuLLaMA
from llama.overlay import apply_overlay, base_arguments, check_sizes, is_overlay, read_overlay
from llama.published import BRIDGES, NEIGHBOURS, infer_config, normalise, take_neighbours, to_own, to_published
from llama.shards import CHECKLIST, LAYOUTS, LlamaFolder, read_safetensors, read_torch, verify_checklist, weights_of
from llama.tokenizer import Tokenizer

__all__ = ["convert", "from_pretrained", "load", "save_pretrained", "save_published", "verify"]

DECODERS = ("musicgen", "audioldm2")


def load(
    model: str | Path | None = None,
    *,
    llama_dir: str | Path | None = None,
    llama_type: str = "7B",
    mert_path: str | Path | None = None,
    vit_path: str | Path | None = None,
    vivit_path: str | Path | None = None,
    music_decoder: str | None = None,
    music_decoder_path: str | Path | None = None,
    knn_dir: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    merge_lora: bool = True,
    verify: bool = False,
    precise: Callable[[str], bool] | None = None,
) -> MuMuLLaMA:
    """A model in eval mode, from whatever holds its weights.

    model: our own folder or hub name, a published checkpoint or a folder with checkpoint.pth, what training wrote
    (OUTPUT_DIR/last; arguments that contradict its base are refused), or None to start training from llama_dir and the
    components. Weights in a checkpoint override those of the folders. Weights of known
    components need no folder; others take their sizes from mert_path, vit_path, vivit_path, music_decoder_path.
    music_decoder: "musicgen" or "audioldm2"; None takes what the model was trained for. Our own folders hold their
    components: of these arguments they take knn_dir, and music_decoder_path if they were saved without a decoder.
    dtype: of all weights; None keeps the LLaMA's own, but computes in float32 where a CPU would get float16; "stored"
    keeps each weight's, for converting only: a model of mixed types cannot run. device: the CPU by default; cuda, cuda:N
    or mps where there is one. verify: check LLaMA's shards against checklist.chk. precise: names of the model's own weights that
    become float32 in any case, for training; such a mixed model runs under autocast alone.
    Raises ValueError or FileNotFoundError with one sentence on what is missing or does not fit.
    """
    if music_decoder not in (None, *DECODERS):
        raise ValueError(f"music_decoder {music_decoder!r} is unknown; choose musicgen or audioldm2.")
    place = device_named(device)
    paths = {"mert": mert_path, "vit": vit_path, "vivit": vivit_path}
    if model is not None and is_overlay(model):
        given = {
            **{f"{name}_path": path for name, path in paths.items()}, "llama_dir": llama_dir, "knn_dir": knn_dir,
            "llama_type": llama_type if llama_type != "7B" else None,
            "music_decoder": music_decoder, "music_decoder_path": music_decoder_path,
        }  # fmt: skip
        return _load_over(model, given, place, dtype, merge_lora, verify, precise)
    if model is not None and is_own(model):
        _refuse_for_own(model, llama_dir, paths, verify)
        return from_pretrained(
            model, place, dtype, merge_lora,
            music_decoder=music_decoder, music_decoder_path=music_decoder_path, knn_dir=knn_dir, precise=precise,
        )  # fmt: skip
    state, families = _read_checkpoint(_checkpoint_file(Path(model))) if model is not None else ({}, {})
    folder = _llama_folder(model, llama_dir, llama_type)
    tokenizer = _tokenizer(folder)
    _add_base(state, folder, tokenizer, verify)
    kind = resolve_dtype(dtype, state["llama.layers.0.attention.wk.weight"].dtype, place)
    parts: dict[str, Any] = {name: _encoder(name, families.get(name), path, kind) for name, path in paths.items()}
    _require(model, parts, state)
    music = _trained_for(music_decoder, families.get("decoder"), state)
    decoder = _decoder(music, families.get("decoder"), music_decoder_path, state, kind)
    config = infer_config(state, folder.params, _base_config(parts, decoder, music, music_decoder_path))
    check_decoder(config, decoder, music)
    neighbours = PrototypeIndex.read(knn_dir) if knn_dir else None
    result = assemble(config, to_own(state), kind, place, start=model is None, precise=precise)
    return attach(result, tokenizer, parts, decoder, neighbours, kind, merge_lora)


def _load_over(
    folder: str | Path, given: Mapping[str, Any], device: torch.device, dtype: Any, merge_lora: bool, verify: bool,
    precise: Callable[[str], bool] | None,
) -> MuMuLLaMA:
    """Trained weights over their base, before its LoRA is merged."""
    weights, origin = read_overlay(folder)
    base = base_arguments(origin, given)
    kind = dtype if dtype is not None else base.get("dtype")
    result = load(**{**base, "dtype": kind}, device=device, merge_lora=False, verify=verify, precise=precise)
    check_sizes(origin, result.config)
    apply_overlay(result, weights)
    return result.merge_lora() if merge_lora else result


def _refuse_for_own(
    model: str | Path, llama_dir: str | Path | None, paths: Mapping[str, str | Path | None], verify: bool
) -> None:
    """What would have no effect is said rather than dropped."""
    given = {"llama_dir": llama_dir, **{f"{name}_path": path for name, path in paths.items()}}
    if useless := [name for name, value in given.items() if value is not None]:
        raise ValueError(f"{model} is a folder of ours and holds its components, so {useless[0]} has no effect; leave it out.")
    if verify:
        raise ValueError(
            f"{model} is a folder of ours and has no checklist.chk; leave verify out, or run python -m llama.checkpoint verify."
        )


# -- what the checkpoint holds ------------------------------------------------------------------------------------


def _checkpoint_file(path: Path) -> Path:
    if path.is_dir():
        files = [path / "checkpoint.pth"] if (path / "checkpoint.pth").is_file() else sorted(path.glob("*.pth"))
        if len(files) != 1:
            raise FileNotFoundError(f"The folder {path} has no checkpoint.pth and is none of ours; give {LAYOUTS}.")
        return files[0]
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; give a folder of ours, or {LAYOUTS}.")
    return path


def _read_checkpoint(path: Path) -> tuple[State, dict[str, State]]:
    """Published weights under their names of today, and the neighbours' apart."""
    raw = read_safetensors(path) if path.suffix == ".safetensors" else weights_of(read_torch(path), path)
    state = normalise(raw)
    bridges = (f"{name}_" for name in BRIDGES.values())
    known = ("llama.", "prefix_query.", "output_projector.", *NEIGHBOURS.values(), *bridges)
    strange = [name for name in state if not name.startswith(known)]
    if strange:
        raise ValueError(
            f"{path} holds the weight {strange[0]}, which the model does not have; "
            "give a checkpoint of MuMu-LLaMA or M2UGen."
        )
    return state, take_neighbours(state)


def _llama_folder(model: str | Path | None, llama_dir: str | Path | None, llama_type: str) -> LlamaFolder:
    """llama_dir, or else what lies beside the checkpoint."""
    if llama_dir is not None:
        return LlamaFolder.find(llama_dir, llama_type)
    if model is None:
        raise ValueError(f"Neither a model nor llama_dir was given; give {LAYOUTS}.")
    beside = Path(model) if Path(model).is_dir() else Path(model).parent
    return LlamaFolder.find(beside, llama_type)


def _tokenizer(folder: LlamaFolder) -> Tokenizer:
    if folder.tokenizer is None:
        raise FileNotFoundError(f"There is no tokenizer.model in {folder.root}; give llama_dir, laid out as {LAYOUTS}.")
    return Tokenizer(folder.tokenizer)


def _add_base(state: State, folder: LlamaFolder, tokenizer: Tokenizer, verify: bool) -> None:
    """LLaMA's base weights where the checkpoint has only the trained ones, with rows for the audio tokens."""
    if "llama.layers.0.attention.wk.weight" not in state or "llama.output.weight" not in state:
        base = {f"llama.{name}": value for name, value in folder.read(verify).items() if name != "rope.freqs"}
        for name, value in base.items():
            state.setdefault(name, value)
        add_audio_rows(state, tokenizer.base_vocab)
    elif verify:
        verify_checklist(folder.weights or folder.root)
    check_tokenizer(tokenizer, state[EMBEDDINGS].shape[0])


# -- neighbours ---------------------------------------------------------------------------------------------------


def _encoder(name: str, state: State | None, path: str | Path | None, dtype: Dtype) -> FrozenEncoder | None:
    """From the checkpoint's weights, with sizes from `path` or the known ones; without weights, all from `path`."""
    if state is None:
        return ENCODERS[name].from_folder(path, dtype or torch.float32) if path is not None else None
    known = path is None or (str(path) in KNOWN[name] and not Path(path).is_dir())
    config = None if known else _component_json(path, CONFIG, name)
    preprocessor = None if known else _component_json(path, "preprocessor_config.json", name, optional=True)
    return ENCODERS[name].from_state(config, state, preprocessor)


def _component_json(path: str | Path | None, file: str, kind: str, optional: bool = False) -> dict[str, Any] | None:
    """A component's json from its folder or from the hub."""
    from transformers.utils import cached_file

    argument = f"{'music_decoder' if kind == 'decoder' else kind}_path"
    try:
        found = cached_file(str(path), file, _raise_exceptions_for_missing_entries=not optional)
        return json.loads(Path(found).read_text()) if found else None
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"There is no readable {file} in {path}; {argument} takes a component's folder or hub name."
        ) from error


def _require(model: str | Path | None, parts: dict[str, Any], state: State) -> None:
    """A checkpoint that has an adapter needs its encoder; training from the base may leave media out."""
    for name in parts if model is not None else ():
        if parts[name] is None:
            raise ValueError(f"The checkpoint lacks the {name} weights; name their folder or hub name with {name}_path.")


def _trained_for(asked: str | None, state: State | None, own: State) -> str:
    """The kind of decoder that the checkpoint was trained for; where it does not say, the one asked for, or musicgen."""
    queries = own.get("output_projector.query_embs")
    if state is None and queries is None:
        return asked or "musicgen"
    trained = "musicgen" if state is not None or queries.shape[1] > 1 else "audioldm2"  # AudioLDM2 takes one vector
    if asked not in (None, trained):
        raise ValueError(f"This checkpoint was trained for {trained}, not {asked}; give music_decoder {trained}.")
    return trained


def _decoder(kind: str, state: State | None, path: str | Path | None, own: State, dtype: Dtype) -> Any:
    """The music decoder of this kind."""
    queries = own.get("output_projector.query_embs")
    if kind == "audioldm2":
        if path is None and queries is not None:
            raise ValueError("AudioLDM2 is never in a checkpoint; name it (cvssp/audioldm2) with music_decoder_path.")
        return AudioLDM2Decoder.from_folder(path, dtype or torch.float32) if path is not None else None
    if state is None:
        if path is None and queries is not None:
            raise ValueError("The checkpoint lacks MusicGen's weights; name its folder with music_decoder_path.")
        return MusicGenDecoder.from_folder(path, dtype or torch.float32) if path is not None else None
    released = path is None or (not Path(path).is_dir() and re.fullmatch(r"facebook/musicgen-\w+(-\w+)?", str(path)))
    config = None if released else _component_json(path, CONFIG, "decoder")
    stored = next(value.dtype for value in state.values() if value.is_floating_point())
    return MusicGenDecoder.from_state(config, state, tokenizer=path, dtype=dtype or stored)


def _base_config(parts: dict[str, Any], decoder: Any, kind: str, path: str | Path | None) -> MuMuConfig:
    """Sizes for what the checkpoint does not say: those of the components."""
    config = MuMuConfig(decoder=DecoderSpec(kind, str(path) if path and kind == "audioldm2" else None))  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    if parts["mert"] is not None:
        changes["audio"] = AdapterConfig(parts["mert"].feature_dim, parts["mert"].states)
    for name, modality in (("vit", "image"), ("vivit", "video")):
        if parts[name] is not None:
            changes[modality] = AdapterConfig(parts[name].feature_dim, parts[name].tokens, mix="tokens")
    if decoder is not None:
        tokens, width = decoder.condition_shape
        changes["projector"] = ProjectorConfig(tokens, width)
    return dataclasses.replace(config, **changes)


# -- the published format -----------------------------------------------------------------------------------------


def published_state(model: MuMuLLaMA) -> State:
    """All weights under the published names; the inverse of loading them with merge_lora=False, dtype 'stored'.

    Raises ValueError for adapters or decoders that the published form cannot hold.
    """
    state = to_published(own_state(model))
    parts = {**{name: getattr(model, name) for name in ENCODERS}, "decoder": model.music_decoder}
    for name, part in parts.items():
        if part is not None and hasattr(part, "export_state"):
            state.update({NEIGHBOURS[name] + key: value for key, value in part.export_state().items()})
    return state


def save_published(model: MuMuLLaMA, file: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes a checkpoint that the published code reads, whole or not at all."""
    path = Path(file)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file to write, for instance {path / 'checkpoint.pth'}.")
    state = separate(published_state(model), dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        torch.save({"model": state}, partial)
        os.replace(partial, path)
    except RuntimeError as error:  # torch's own writer tells a full disk so
        raise OSError(f"{path} could not be written ({str(error).splitlines()[0]}); make room, or give another place.") from error
    finally:
        partial.unlink(missing_ok=True)


# -- command line -------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llama.checkpoint", description="Convert and check model files.")
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="between the published format and our own")
    convert.add_argument("source", help="a published checkpoint, or a folder of ours")
    convert.add_argument("target", help="a folder to write, or a .pth file for the published format")
    convert.add_argument("--to", choices=("own", "published"), help="default: published if the target ends in .pth")
    convert.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="default: as stored")
    for name in ("llama_dir", "mert_path", "vit_path", "vivit_path", "music_decoder_path", "knn_dir"):
        convert.add_argument(f"--{name}")
    convert.add_argument("--llama_type", default="7B")
    convert.add_argument("--music_decoder", choices=DECODERS, help="default: what the checkpoint was trained for")
    convert.add_argument("--verify", action="store_true", help="check LLaMA's shards against checklist.chk")
    check = commands.add_parser("verify", help="LLaMA's shards against checklist.chk, or whether a folder of ours is whole")
    check.add_argument("folder")
    return parser


def convert(source: str, target: str, to: str | None = None, dtype: torch.dtype | None = None, **options: Any) -> None:
    """Reads `source` as `load` does, every weight as it is stored, and writes `target` in the format `to`."""
    model = load(source, dtype="stored", merge_lora=False, **options)
    if (to or ("published" if target.endswith(".pth") else "own")) == "published":
        save_published(model, target, dtype)
    else:
        save_pretrained(model, target, dtype)


def verify(folder: str) -> str:
    """One sentence on what was checked. Raises ValueError or FileNotFoundError for what is damaged or missing."""
    path = Path(folder)
    if path.is_dir() and is_own(path):
        model = from_pretrained(path, dtype="stored", merge_lora=False)
        return f"{path}: all {len(own_state(model))} weights and their neighbours fit config.json."
    places = [place for place in (path, *sorted(path.glob("*"))) if (place / CHECKLIST).is_file()]
    if not places:
        raise FileNotFoundError(f"{path} has no {CHECKLIST} and is no folder of ours; give LLaMA's as Meta delivered it.")
    checked = [name for place in places for name in verify_checklist(place)]
    return f"{path}: {', '.join(checked)} fit {CHECKLIST}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence on what was wrong."""
    from llama.flags import USER_ERRORS, sentence

    values = vars(_parser().parse_args(arguments))
    command = values.pop("command")
    try:
        if command == "verify":
            print(verify(**values))
        else:
            kind = values.pop("dtype")
            convert(**values, dtype=getattr(torch, kind) if kind else None)
    except (*USER_ERRORS, OSError) as error:  # OSError: a full disk
        print(sentence(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
