"""Native format: one folder with everything that a model needs.

It holds config.json and model.safetensors (the model without components), tokenizer.model, the components as
Hugging Face folders mert/, vit/, vivit/ and decoder/, transcriber/ if the model writes down recordings, and knn.index if it
has prototypes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from llama.checkpoint.builder import ModelT, State, assemble, attach_components, check_decoder, check_tokenizer
from llama.checkpoint.hub import recorded_folder
from llama.checkpoint.memory_plan import folder_sizes, plan_loading, sizes_of
from llama.checkpoint.readers import read_safetensors
from llama.config import COMPONENTS, DecoderSpec, MuMuConfig
from llama.decoders.base import StoredDecoder
from llama.decoders.registry import DECODER_CLASSES
from llama.device import Dtype, device_named
from llama.encoders.base import FrozenEncoder
from llama.encoders.mert import MERTEncoder
from llama.encoders.transcriber import Transcriber
from llama.encoders.vit import ViTEncoder
from llama.encoders.vivit import ViViTEncoder
from llama.files import atomic_folder, check_writable
from llama.modules.lora import LoRALinear
from llama.modules.retrieval import PrototypeIndex
from llama.modules.tokenizer import Tokenizer
from llama.mumu_model import MuMuModel

CONFIG, WEIGHTS, TOKENIZER, INDEX = "config.json", "model.safetensors", "tokenizer.model", "knn.index"
TRANSCRIBER = "transcriber"
ENCODER_CLASSES: dict[str, type[FrozenEncoder]] = {"mert": MERTEncoder, "vit": ViTEncoder, "vivit": ViViTEncoder}
NATIVE_FILES = (CONFIG, WEIGHTS, TOKENIZER, INDEX, *ENCODER_CLASSES, "decoder", TRANSCRIBER)


def is_native(folder: str | Path) -> bool:
    """Whether `folder` was written by `save_pretrained`, or is a hub name (only this format is loaded from the hub)."""
    path = Path(folder)
    if (path / CONFIG).is_file() and (path / WEIGHTS).is_file():
        return b'"query_layer"' in (path / CONFIG).read_bytes()
    hub = re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(folder)) and path.suffix not in (".pth", ".pt", ".safetensors")
    return bool(hub) and not path.exists() and not path.parent.exists()


def from_pretrained(
    folder: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    merge_lora: bool = True,
    *,
    music_decoder: str | None = None,
    music_decoder_path: str | Path | None = None,
    knn_dir: str | Path | None = None,
    precise: Callable[[str], bool] | None = None,
    model_class: type[ModelT],
) -> ModelT:
    """A model in eval mode from a native folder or its hub name; arguments as in `llama.load`.

    music_decoder_path: for a folder that was saved without its decoder. knn_dir: replaces the folder's own index.
    """
    model, merge = load_native(
        folder, device_named(device), dtype, merge_lora, music_decoder=music_decoder, music_decoder_path=music_decoder_path,
        knn_dir=knn_dir, precise=precise, model_class=model_class,
    )  # fmt: skip
    return model.merge_lora() if merge else model


def load_native(
    folder: str | Path, target_device: torch.device, dtype: torch.dtype | str | None, merge_lora: bool, *, music_decoder: str | None,
    music_decoder_path: str | Path | None, knn_dir: str | Path | None, precise: Callable[[str], bool] | None, model_class: type[ModelT],
) -> tuple[ModelT, bool]:
    """The model before LoRA is merged, and whether it is to be; not where the memory is too small for that."""
    path = _native_folder(folder)
    config = _read_config(path / CONFIG)
    if music_decoder not in (None, config.decoder.kind):
        raise ValueError(f"{folder} was trained for {config.decoder.kind}, not {music_decoder}; give music_decoder {config.decoder.kind}.")
    if music_decoder_path is not None and (path / "decoder").is_dir():
        raise ValueError(f"{folder} holds its music decoder, so music_decoder_path cannot name another; leave it out.")
    state = read_safetensors(path / WEIGHTS)
    if "llama.layers.0.attention.wk.weight" not in state:
        raise ValueError(f"{path / WEIGHTS} holds no LLaMA of ours; give a folder that save_pretrained wrote.")
    sizes = chain(sizes_of(state), *(folder_sizes(path / name) for name in (*ENCODER_CLASSES, "decoder")))
    stored_dtype = state["llama.layers.0.attention.wk.weight"].dtype
    plan = plan_loading(sizes, dtype, stored_dtype, target_device, merge_lora, fixed=precise is not None)
    weight_dtype = plan.dtype
    model = assemble(model_class, config, state, weight_dtype, target_device, keep_float32=precise)
    encoders = {name: _load_encoder(encoder, path / name, weight_dtype) for name, encoder in ENCODER_CLASSES.items()}
    decoder = _native_decoder(config.decoder, path / "decoder", music_decoder_path, weight_dtype)
    check_decoder(config, decoder, config.decoder.kind)
    tokenizer = Tokenizer(path / TOKENIZER) if (path / TOKENIZER).is_file() else None
    if tokenizer is not None:
        check_tokenizer(tokenizer, config.llama.vocab_size)
    index = knn_dir or (path if (path / INDEX).is_file() else None)
    prototypes = PrototypeIndex.read(index) if index else None
    if (path / TRANSCRIBER).is_dir():
        model.transcriber = Transcriber.from_folder(path / TRANSCRIBER)
    return attach_components(model, tokenizer, encoders, decoder, prototypes, weight_dtype), plan.merge_lora


def _load_encoder(encoder: type[FrozenEncoder], folder: Path, dtype: Dtype) -> Any:
    return encoder.from_folder(folder, dtype or "auto") if folder.is_dir() else None


def _read_config(file: Path) -> MuMuConfig:
    try:
        return MuMuConfig.from_json(file.read_bytes())
    except (ValueError, AttributeError) as error:  # AttributeError: JSON, but no object
        raise ValueError(f"{file} is damaged or not ours ({error}); copy or download it again.") from error


def _native_decoder(spec: DecoderSpec, folder: Path, path: str | Path | None, dtype: Dtype) -> Any:
    """The decoder in `folder`; otherwise from `path`, or from the path recorded when the model was saved."""
    if folder.is_dir():
        source: str | Path | None = folder
    elif path is None and spec.kind == "audioldm2" and spec.path is not None:
        source = recorded_folder(spec.path, folder.parent / CONFIG, "music_decoder_path")
    else:
        source = path
    if source is None:
        return None
    return DECODER_CLASSES[spec.kind].from_folder(source, dtype or "auto")


def _native_folder(folder: str | Path) -> Path:
    path = Path(folder)
    if path.is_dir():
        if not is_native(path):
            raise ValueError(f"{path} is not a folder that save_pretrained wrote; llama.load reads published checkpoints.")
        return path
    if not is_native(folder):
        raise FileNotFoundError(f"There is no model folder {path}; give one that save_pretrained wrote, or a hub name.")
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.safetensors", "*.model", "*.txt", INDEX]
        return Path(snapshot_download(str(folder), allow_patterns=patterns))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{folder} is no folder, and the hub gave no such model; check name and network.") from error


def trainable_state(model: MuMuModel) -> State:
    """The model's weights without its components; LoRA weights stay separate even if they are merged."""
    components = tuple(f"{name}." for name in COMPONENTS)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith(components)}
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear) and module.merged and module.l1 is not None and module.l2 is not None:
            low_rank = (module.l2.float() @ module.l1.float()).to(module.weight.dtype)
            state[f"{name}.weight"] = (module.weight - low_rank).detach()
    return state


def save_pretrained(model: MuMuModel, folder: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes the native format atomically.

    A native folder is replaced, and its other files are kept; any other folder that is not empty is a ValueError.
    dtype: type of the stored weights; None stores them as they are.
    """
    target = check_native_target(folder)
    with atomic_folder(target) as draft:
        _write(model, draft, dtype)
        if target.exists():
            _copy_other_files(target, draft)


def check_native_target(folder: str | Path) -> Path:
    """The absolute path of a folder that `save_pretrained` may write. Raises ValueError or WriteError if it may not."""
    target = Path(os.path.abspath(folder))
    check_writable(target, parents=True)
    if target.exists() and not (target.is_dir() and (is_native(target) or not any(target.iterdir()))):
        raise ValueError(f"{target} exists and is no model folder of ours, so it is not replaced; give another place.")
    return target


def _copy_other_files(target: Path, draft: Path) -> None:
    """Copies the files that saving does not write, such as a model card."""
    for item in target.iterdir():
        if item.name not in NATIVE_FILES:
            (shutil.copytree if item.is_dir() else shutil.copy2)(item, draft / item.name)


def _write(model: MuMuModel, folder: Path, dtype: torch.dtype | None) -> None:
    (folder / CONFIG).write_text(model.config.to_json() + "\n")
    save_file(unshare_tensors(trainable_state(model), dtype), folder / WEIGHTS)
    if model.tokenizer is not None:
        model.tokenizer.save(folder / TOKENIZER)
    for name in ENCODER_CLASSES:
        if (encoder := getattr(model, name)) is not None:
            encoder.save(folder / name, dtype)
    if isinstance(model.music_decoder, StoredDecoder):
        model.music_decoder.save(folder / "decoder", dtype)
    if model.transcriber is not None:
        model.transcriber.save(folder / TRANSCRIBER)
    if model.prototypes is not None:
        import faiss

        faiss.write_index(model.prototypes.index, str(folder / INDEX))


def unshare_tensors(state: State, dtype: torch.dtype | None) -> State:
    """Tensors as safetensors requires: contiguous, in `dtype`, none sharing memory with another."""
    seen: set[int] = set()
    result = {}
    for name, value in state.items():
        value = value.detach().to(dtype=dtype if dtype and value.is_floating_point() else value.dtype).contiguous()
        if value.untyped_storage().data_ptr() in seen:
            value = value.clone()
        seen.add(value.untyped_storage().data_ptr())
        result[name] = value
    return result
