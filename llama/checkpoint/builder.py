"""Builds a model from weights with one copy in memory: the module is made on the meta device, then its tensors are set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from llama.config import AUDIO_TOKENS, MODALITIES, MuMuConfig
from llama.device import Dtype
from llama.modules.adapters import UnderstandingAdapter
from llama.modules.lora import LoRALinear
from llama.modules.output_projector import OutputProjector
from llama.modules.retrieval import PrototypeIndex
from llama.modules.tokenizer import Tokenizer
from llama.modules.transformer import GATE_START
from llama.mumu_model import MuMuModel
from llama.weights import check_finite

EMBEDDINGS, OUTPUT = "llama.tok_embeddings.weight", "llama.output.weight"
AUDIO_TOKEN_ROW_STD = 0.1  # share of the rows' own spread: new tokens start near the mean row and differ from each other

State = dict[str, Tensor]
ModelT = TypeVar("ModelT", bound=MuMuModel)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch's random numbers inside the block and restores them after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def assemble(
    model_class: type[ModelT],
    config: MuMuConfig,
    state: State,
    dtype: Dtype,
    device: torch.device,
    *,
    init_missing: bool = False,
    keep_float32: Callable[[str], bool] | None = None,
) -> ModelT:
    """The model without its pretrained components, from `state` (internal names; emptied to save memory).

    init_missing: initialise the parts that training starts from nothing (adapters, projector, queries, LoRA, biases) where
    `state` lacks them. keep_float32: names of weights that become float32 whatever `dtype` is, because rounding would
    change where their training starts. Raises ValueError naming a weight that is missing, left over, of another shape or not finite.
    """
    with torch.device("meta"):
        model = model_class(config)
    _fill_parameters(model, state, lambda name: torch.float32 if keep_float32 and keep_float32(name) else dtype, device)
    with seeded(0):
        _init_gates(model)
        if init_missing:
            _init_missing(model, config)
    missing = [name for name, value in model.named_parameters() if value.is_meta]
    if missing:
        raise ValueError(
            f"The checkpoint lacks {missing[0]}{_more(missing)} of its configuration; give a complete checkpoint, "
            "or llama_dir with LLaMA's base weights if that is what it lacks."
        )
    _restore_buffers(model, config)  # after the checks: it takes memory for the sizes of the configuration
    return model.to(device=device)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more weights" if len(names) > 1 else ""


def cast(value: Tensor, dtype: Dtype, device: torch.device) -> Tensor:
    """`value` in `dtype` on `device`; the same tensor if it is so already. Integers keep their type."""
    return value.to(device=device, dtype=dtype if dtype and value.is_floating_point() else value.dtype)


def set_parameter(model: nn.Module, name: str, value: Tensor) -> None:
    """Sets the parameter or buffer `name` to `value`."""
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in module._buffers:
        module._buffers[leaf] = value
    else:
        module._parameters[leaf] = nn.Parameter(value, requires_grad=value.is_floating_point())


def _fill_parameters(model: nn.Module, state: State, dtype: Callable[[str], Dtype], device: torch.device) -> None:
    expected = model.state_dict()
    shapes = {name: value.shape for name, value in expected.items()}
    for name in list(state):
        value = state.pop(name)
        if name not in shapes:
            raise ValueError(
                f"The checkpoint holds {name}, which its configuration has no place for; give a checkpoint of this model."
            )
        if value.shape != shapes[name]:
            raise ValueError(
                f"The checkpoint's {name} is {list(value.shape)}, its configuration wants {list(shapes[name])}; "
                "give the params.json and component folders that belong to it."
            )
        if value.is_floating_point() != expected[name].is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(f"The checkpoint's {name} is of type {kind}; give a checkpoint whose weights are of a floating-point type.")
        loaded = cast(value, dtype(name), device)
        check_finite(name, value, loaded)
        set_parameter(model, name, loaded)


def attach_components(
    model: ModelT,
    tokenizer: Tokenizer | None,
    encoders: Mapping[str, Any],
    decoder: Any,
    prototypes: PrototypeIndex | None,
    dtype: Dtype,
) -> ModelT:
    """Attaches the pretrained components to the model, on its device. Raises ValueError for an index that does not fit."""
    check_prototypes(model.config, prototypes)
    for component in (*encoders.values(), decoder):
        if component is not None:
            component.to(device=model.device, dtype=dtype)
    model.tokenizer, model.prototypes, model.music_decoder = tokenizer, prototypes, decoder
    model.mert, model.vit, model.vivit = (encoders[name] for name in ("mert", "vit", "vivit"))
    return model.eval()


def check_decoder(config: MuMuConfig, decoder: Any, kind: str) -> None:
    """Raises ValueError if the projector's output does not have the decoder's condition shape."""
    projected = (config.projector.tokens, config.projector.width)
    if decoder is not None and tuple(decoder.condition_shape) != projected:
        raise ValueError(
            f"The checkpoint makes a condition of {list(projected)}, this {kind} takes {list(decoder.condition_shape)}; "
            "give the music_decoder and music_decoder_path that it was trained with."
        )


def check_tokenizer(tokenizer: Tokenizer, rows: int) -> None:
    """Raises ValueError if the model has another number of embeddings than the tokenizer has tokens."""
    if rows != tokenizer.vocab_size:
        raise ValueError(
            f"The tokenizer has {tokenizer.base_vocab} pieces and 8 audio tokens, the model {rows} embeddings; "
            "give the tokenizer.model that it was trained with (beside it, or in llama_dir)."
        )


def check_prototypes(config: MuMuConfig, prototypes: PrototypeIndex | None) -> None:
    """Raises ValueError if the prototypes do not have the width of the audio features, or the model has no mean pool."""
    if prototypes is None:
        return
    if "mean" not in config.audio.pools:
        pools = " and ".join(config.audio.pools)
        raise ValueError(f"A knn.index draws the mean of a recording, but this model hears by {pools}; leave knn_dir out.")
    if prototypes.width != config.audio.feature_dim:
        raise ValueError(
            f"The knn.index holds prototypes of {prototypes.width} numbers, the audio features have {config.audio.feature_dim}; "
            "give the index that was made with this model's MERT."
        )


# -- initial values of new parts ------------------------------------------------------------------------------------


def _init_gates(model: MuMuModel) -> None:
    for block in model.llama.layers:
        gate = block.attention.gate
        if gate.is_meta:
            set_parameter(block.attention, "gate", torch.full(gate.shape, GATE_START, dtype=model.dtype))


def _init_missing(model: MuMuModel, config: MuMuConfig) -> None:
    dim = config.llama.dim
    for modality in MODALITIES:
        sizes = config.adapter(modality)
        _fill(model.adapters[modality], partial(UnderstandingAdapter, sizes, dim), model.dtype)
        query = model.prefix_query[modality]
        if query.is_meta:
            set_parameter(model, f"prefix_query.{modality}", (torch.randn(query.shape) * 0.02).to(model.dtype))
    _fill(model.output_projector, partial(OutputProjector, config.projector, dim), model.dtype)
    for module in model.llama.modules():
        if isinstance(module, LoRALinear):
            _init_lora(module, model.dtype)


def _fill(module: nn.Module, build: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    """Copies the parameters that are still on the meta device from a newly built module."""
    missing = [name for name, value in module.named_parameters() if value.is_meta]
    if missing:
        fresh = dict(build().named_parameters())
        for name in missing:
            set_parameter(module, name, fresh[name].detach().to(dtype))


def _init_lora(linear: LoRALinear, dtype: torch.dtype) -> None:
    if linear.l1 is not None and linear.l1.is_meta:
        linear.l1 = nn.Parameter((torch.randn(linear.l1.shape) * linear.l1.shape[1] ** -0.5).to(dtype))
    for name in ("l2", "bias"):
        value = getattr(linear, name)
        if value is not None and value.is_meta:
            setattr(linear, name, nn.Parameter(torch.zeros(value.shape, dtype=dtype)))


def _restore_buffers(model: MuMuModel, config: MuMuConfig) -> None:
    """Computed constants are in no file: they are copied from a newly built small module; they do not depend on its width."""
    for modality in MODALITIES:
        missing = [name for name, value in model.adapters[modality].named_buffers() if value.is_meta]
        if missing:
            fresh = dict(UnderstandingAdapter(config.adapter(modality), 1).named_buffers())
            for name in missing:
                set_parameter(model.adapters[modality], name, fresh[name])


def add_audio_token_rows(state: State, base_vocab: int) -> None:
    """Adds eight rows for the audio tokens to a base LLaMA's embeddings and output; `state` has the published names."""
    with seeded(0):
        for name in (EMBEDDINGS, OUTPUT):
            rows = state.get(name)
            if rows is None or rows.dim() != 2 or not len(rows):
                raise ValueError(f"LLaMA's {name} is missing or no table of rows; give its complete weights in llama_dir.")
            if rows.shape[0] == base_vocab:
                embeddings = rows.float()
                new = embeddings.mean(dim=0) + AUDIO_TOKEN_ROW_STD * embeddings.std(dim=0) * torch.randn(AUDIO_TOKENS, rows.shape[1])
                state[name] = torch.cat([rows, new.to(rows.dtype)])
