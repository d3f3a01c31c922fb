"""Loads a model from a published checkpoint, LLaMA's base weights with components, a native folder or a delta checkpoint."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from llama.checkpoint.builder import (
    EMBEDDINGS,
    ModelT,
    State,
    add_audio_token_rows,
    assemble,
    attach_components,
    check_decoder,
    check_tokenizer,
)
from llama.checkpoint.delta import apply_delta, base_arguments, check_sizes, is_delta, read_delta
from llama.checkpoint.key_mapping import (
    ADAPTER_PREFIXES,
    COMPONENT_PREFIXES,
    infer_config,
    rename_legacy_keys,
    split_components,
    to_internal,
    weight_shape,
)
from llama.checkpoint.llama_weights import LAYOUTS, LlamaFolder, verify_checklist
from llama.checkpoint.memory_plan import WeightSize, folder_sizes, plan_loading, sizes_of
from llama.checkpoint.pretrained import CONFIG, ENCODER_CLASSES, is_native, load_native
from llama.checkpoint.readers import read_safetensors, read_torch, weights_of
from llama.checkpoint.source import ModelSource
from llama.component_config import check_config
from llama.config import DECODERS, AdapterConfig, DecoderSpec, MuMuConfig, ProjectorConfig
from llama.decoders.base import StoredDecoder
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.loading import MELODY_WEIGHT
from llama.decoders.registry import DECODER_CLASSES
from llama.device import Dtype, device_named
from llama.encoders.base import KNOWN, FrozenEncoder
from llama.files import visible_files
from llama.json_yaml import read_table
from llama.modules.retrieval import PrototypeIndex
from llama.modules.tokenizer import Tokenizer

WITHOUT_DECODER = {  # what to say where a trained checkpoint comes without its decoder
    "musicgen": "The checkpoint lacks MusicGen's weights; name its folder with music_decoder_path.",
    "audioldm2": "AudioLDM2 is never in a checkpoint; name it (cvssp/audioldm2) with music_decoder_path.",
}


def load_model(
    source: ModelSource,
    model_class: type[ModelT],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    merge_lora: bool = True,
    verify: bool = False,
    keep_float32: Callable[[str], bool] | None = None,
) -> ModelT:
    """A model of `model_class` in eval mode; `llama.load` explains the arguments, which are the fields of `source`."""
    if source.music_decoder not in (None, *DECODERS):
        raise ValueError(f"music_decoder {source.music_decoder!r} is unknown; choose musicgen or audioldm2.")
    model, merge = _load_unmerged(source, model_class, device_named(device), dtype, merge_lora, verify, keep_float32)
    return model.merge_lora() if merge else model


def _load_unmerged(
    source: ModelSource, model_class: type[ModelT], target_device: torch.device, dtype: torch.dtype | str | None, merge_lora: bool,
    verify: bool, keep_float32: Callable[[str], bool] | None,
) -> tuple[ModelT, bool]:
    """The model, and whether LoRA is to be merged: not where the memory is too small for that."""
    model = source.model
    if model is not None and is_delta(model):
        return _load_delta(model, source, model_class, target_device, dtype, merge_lora, verify, keep_float32)
    if model is not None and is_native(model):
        _refuse_for_native(source, verify)
        return load_native(
            model, target_device, dtype, merge_lora, music_decoder=source.music_decoder, music_decoder_path=source.music_decoder_path,
            knn_dir=source.knn_dir, precise=keep_float32, model_class=model_class,
        )  # fmt: skip
    state, component_states = _read_checkpoint(_checkpoint_file(Path(model))) if model is not None else ({}, {})
    folder = _llama_folder(source)
    tokenizer = _tokenizer(folder)
    _add_base(state, folder, tokenizer, verify)
    plan = plan_loading(
        _all_sizes(state, component_states, source), dtype, state["llama.layers.0.attention.wk.weight"].dtype, target_device, merge_lora,
        fixed=keep_float32 is not None,
    )  # fmt: skip
    weight_dtype = plan.dtype
    encoders: dict[str, Any] = {
        name: _encoder(name, component_states.get(name), path, weight_dtype) for name, path in source.component_paths.items()
    }
    _require_encoders(model, encoders)
    decoder_kind = _trained_decoder(source.music_decoder, component_states.get("decoder"), state)
    decoder = _decoder(decoder_kind, component_states.get("decoder"), source.music_decoder_path, state, weight_dtype)
    config = infer_config(state, folder.params, _base_config(encoders, decoder, decoder_kind, source.music_decoder_path))
    check_decoder(config, decoder, decoder_kind)
    prototypes = PrototypeIndex.read(source.knn_dir) if source.knn_dir else None
    result = assemble(
        model_class, config, to_internal(state), weight_dtype, target_device, init_missing=model is None, keep_float32=keep_float32
    )
    return attach_components(result, tokenizer, encoders, decoder, prototypes, weight_dtype), plan.merge_lora


def _all_sizes(state: State, component_states: dict[str, State], source: ModelSource) -> Iterator[WeightSize]:
    """Sizes of the model's weights and of its components', in the checkpoint or in folders of this machine."""
    yield from sizes_of(state)
    for component in component_states.values():
        yield from sizes_of(component)
    paths = {**source.component_paths, "decoder": source.music_decoder_path}
    for name, path in paths.items():
        if path is not None and name not in component_states and Path(path).is_dir():
            yield from folder_sizes(Path(path))


def _load_delta(
    folder: str | Path, source: ModelSource, model_class: type[ModelT], device: torch.device, dtype: Any, merge_lora: bool, verify: bool,
    keep_float32: Callable[[str], bool] | None,
) -> tuple[ModelT, bool]:
    """Loads the base without merging LoRA, then applies the trained weights."""
    weights, reference = read_delta(folder)
    base = base_arguments(reference, source.non_defaults())
    stored_dtype = base.pop("dtype", None)
    base_source, base_dtype = ModelSource.of(base), dtype if dtype is not None else stored_dtype
    result, merge = _load_unmerged(base_source, model_class, device, base_dtype, merge_lora, verify, keep_float32)
    check_sizes(reference, result.config)
    apply_delta(result, weights)
    return result, merge


def _refuse_for_native(source: ModelSource, verify: bool) -> None:
    """Raises ValueError for arguments that have no effect on a native folder."""
    model, paths = source.model, {f"{name}_path": path for name, path in source.component_paths.items()}
    if unused := [name for name, path in {"llama_dir": source.llama_dir, **paths}.items() if path is not None]:
        raise ValueError(f"{model} is a folder of ours and holds its components, so {unused[0]} has no effect; leave it out.")
    if verify:
        raise ValueError(
            f"{model} is a folder of ours and has no checklist.chk; leave verify out, or run python -m llama.checkpoint verify."
        )


# -- the checkpoint file -----------------------------------------------------------------------------------------


def _checkpoint_file(path: Path) -> Path:
    if path.is_dir():
        files = [path / "checkpoint.pth"] if (path / "checkpoint.pth").is_file() else visible_files(path, "*.pth")
        if len(files) != 1:
            raise FileNotFoundError(f"The folder {path} has no checkpoint.pth and is none of ours; give {LAYOUTS}.")
        return files[0]
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; give a folder of ours, or {LAYOUTS}.")
    return path


def _read_checkpoint(path: Path) -> tuple[State, dict[str, State]]:
    """Published weights under their current names, and the components' weights apart from them."""
    raw = read_safetensors(path) if path.suffix == ".safetensors" else weights_of(read_torch(path), path)
    state = rename_legacy_keys(raw)
    adapter_prefixes = (f"{name}_" for name in ADAPTER_PREFIXES.values())
    prefixes = ("llama.", "prefix_query.", "output_projector.", *COMPONENT_PREFIXES.values(), *adapter_prefixes)
    unknown = [name for name in state if not name.startswith(prefixes)]
    if unknown:
        raise ValueError(
            f"{path} holds the weight {unknown[0]}, which the model does not have; "
            "give a checkpoint of MuMu-LLaMA or M2UGen."
        )
    return state, split_components(state)


def _llama_folder(source: ModelSource) -> LlamaFolder:
    """The LLaMA folder: llama_dir, or else the folder of the checkpoint."""
    if source.llama_dir is not None:
        return LlamaFolder.find(source.llama_dir, source.llama_type)
    if source.model is None:
        raise ValueError(f"Neither a model nor llama_dir was given; give {LAYOUTS}.")
    model = Path(source.model)
    return LlamaFolder.find(model if model.is_dir() else model.parent, source.llama_type)


def _tokenizer(folder: LlamaFolder) -> Tokenizer:
    if folder.tokenizer is None:
        raise FileNotFoundError(f"There is no tokenizer.model in {folder.root}; give llama_dir, laid out as {LAYOUTS}.")
    return Tokenizer(folder.tokenizer)


def _add_base(state: State, folder: LlamaFolder, tokenizer: Tokenizer, verify: bool) -> None:
    """Adds LLaMA's base weights where the checkpoint has only trained ones, and rows for the audio tokens."""
    if "llama.layers.0.attention.wk.weight" not in state or "llama.output.weight" not in state:
        base = {f"llama.{name}": value for name, value in folder.read(verify).items() if name != "rope.freqs"}
        for name, value in base.items():
            state.setdefault(name, value)
        add_audio_token_rows(state, tokenizer.base_vocab)
    elif verify:
        verify_checklist(folder.weights or folder.root)
    check_tokenizer(tokenizer, weight_shape(state, EMBEDDINGS, 2)[0])


# -- components ---------------------------------------------------------------------------------------------------


def _encoder(name: str, state: State | None, path: str | Path | None, dtype: Dtype) -> FrozenEncoder | None:
    """An encoder from the checkpoint's weights, with sizes from `path` or of the published encoder; without weights, from `path`."""
    if state is None:
        return ENCODER_CLASSES[name].from_folder(path, dtype or torch.float32) if path is not None else None
    published = path is None or (str(path) in KNOWN[name] and not Path(path).is_dir())
    config = None if published else _component_json(path, CONFIG, name)
    preprocessor = None if published else _component_json(path, "preprocessor_config.json", name, optional=True)
    return ENCODER_CLASSES[name].from_state(config, state, preprocessor)


def _component_json(path: str | Path | None, file: str, kind: str, optional: bool = False) -> dict[str, Any] | None:
    """A JSON file of a component, from its folder or the hub."""
    from transformers.utils import cached_file

    argument = f"{'music_decoder' if kind == 'decoder' else kind}_path"
    try:
        cached = cached_file(str(path), file, _raise_exceptions_for_missing_entries=not optional)
        values = read_table(Path(cached)) if cached else None
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"There is no readable {file} in {path}; {argument} takes a component's folder or hub name."
        ) from error
    check_config(values or {}, f"{file} in {path}")
    return values


def _require_encoders(model: str | Path | None, encoders: dict[str, Any]) -> None:
    """Raises ValueError where a checkpoint lacks an encoder; training from the base weights may leave encoders out."""
    for name in encoders if model is not None else ():
        if encoders[name] is None:
            raise ValueError(f"The checkpoint lacks the {name} weights; name their folder or hub name with {name}_path.")


def _trained_decoder(requested: str | None, state: State | None, checkpoint: State) -> str:
    """Kind of decoder that the checkpoint was trained for; if it does not show it, the requested one, or musicgen."""
    queries = "output_projector.query_embs"
    if state is None and queries not in checkpoint:
        return requested or "musicgen"
    one_vector = state is None and weight_shape(checkpoint, queries, 3)[1] == 1
    trained = "audioldm2" if one_vector else "musicgen"
    if requested not in (None, trained):
        raise ValueError(f"This checkpoint was trained for {trained}, not {requested}; give music_decoder {trained}.")
    return trained


def _decoder(kind: str, state: State | None, path: str | Path | None, checkpoint: State, dtype: Dtype) -> StoredDecoder | None:
    """The music decoder of this kind, from the checkpoint or `path`; None if neither has one.

    MusicGen Melody reads the same condition as the MusicGen in a checkpoint, so a `path` to it takes the place of that one.
    """
    if state is None:
        if path is None and "output_projector.query_embs" in checkpoint:
            raise ValueError(WITHOUT_DECODER[kind])
        return DECODER_CLASSES[kind].from_folder(path, dtype or torch.float32) if path is not None else None
    released = path is None or not Path(path).is_dir() and re.fullmatch(r"facebook/musicgen-(?!.*melody)\w+(-\w+)?", str(path))
    config = None if path is None or released else _component_json(path, CONFIG, "decoder")
    if path is not None and config and config.get("model_type") == "musicgen_melody" and MELODY_WEIGHT not in state:
        return MusicGenDecoder.from_folder(path, dtype or torch.float32)
    stored = next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32)
    return MusicGenDecoder.from_state(config, state, tokenizer=path, dtype=dtype or stored)


def _base_config(encoders: dict[str, Any], decoder: Any, kind: str, path: str | Path | None) -> MuMuConfig:
    """Configuration for what the checkpoint does not show: the sizes of the components."""
    config = MuMuConfig(decoder=DecoderSpec(kind, str(path) if path and kind == "audioldm2" else None))  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    if encoders["mert"] is not None:
        changes["audio"] = AdapterConfig(encoders["mert"].feature_dim, encoders["mert"].states)
    for name, modality in (("vit", "image"), ("vivit", "video")):
        if encoders[name] is not None:
            changes[modality] = AdapterConfig(encoders[name].feature_dim, encoders[name].tokens, mix="tokens")
    if decoder is not None:
        tokens, width = decoder.condition_shape
        changes["projector"] = ProjectorConfig(tokens, width)
    return dataclasses.replace(config, **changes)
