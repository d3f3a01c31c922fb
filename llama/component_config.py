"""Checks of a pretrained component's configuration before a library builds the component from it.

The libraries take zeros, negative sizes and any length of text, fail later with other errors, and take memory for the
configuration's sizes before they compare them with the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llama.errors import quoted
from llama.json_yaml import check_json_files, read_table
from llama.ranges import Range
from llama.weights import ComponentError

MAX_ITEMS = 1024  # of a list of sizes
SIZE, VOCABULARY, SIDE = Range(int, 1, 2**20, optional=True), Range(int, 1, 2**24, optional=True), Range(int, 1, 2**14, optional=True)
LAYERS, SOME, SHARE = Range(int, 1, 1024, optional=True), Range(int, 1, 64, optional=True), Range(float, 0, 1, optional=True)
ANY, POSITIVE, RATE = Range(float, -1e9, 1e9, optional=True), Range(float, 1e-9, 1e9, optional=True), Range(int, 1, 10**6, optional=True)
# What these keys may be, wherever they are in a configuration; in a list, each item. Other keys are the libraries' own matter.
RANGES: dict[str, Range] = {
    **dict.fromkeys(
        ("hidden_size", "intermediate_size", "d_model", "d_ff", "d_kv", "ffn_dim", "num_attention_heads", "num_heads",
         "num_key_value_heads", "max_position_embeddings", "n_positions", "n_embd", "n_head", "n_inner",
         "num_channels", "in_channels", "out_channels",
         "sample_size", "conv_dim", "conv_kernel", "conv_stride", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups",
         "tubelet_size", "codebook_size", "codebook_dim", "num_filters", "kernel_size", "last_kernel_size", "residual_kernel_size",
         "upsampling_ratios", "upsample_rates", "upsample_kernel_sizes", "upsample_initial_channel", "model_in_dim", "block_out_channels",
         "norm_num_groups", "latent_channels", "projection_dim", "relative_attention_num_buckets", "compress", "dilation_growth_rate",
         "condition_tokens", "num_frames", "patch_size"), SIZE),
    **dict.fromkeys(("vocab_size", "type_vocab_size"), VOCABULARY),
    **dict.fromkeys(("image_size", "height", "width", "shortest_edge", "longest_edge"), SIDE),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "layers_per_block", "depths"), LAYERS),
    **dict.fromkeys(("num_decoder_layers", "num_residual_layers", "num_lstm_layers"), Range(int, 0, 1024, optional=True)),
    **dict.fromkeys(("num_codebooks", "audio_channels"), SOME),
    **dict.fromkeys(("layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "rms_norm_eps", "hidden_dropout"), SHARE),
    **dict.fromkeys(("sampling_rate", "sample_rate"), RATE),
    **dict.fromkeys(("image_mean", "guidance_scale"), ANY),
    **dict.fromkeys(("image_std", "rescale_factor", "frame_rate"), POSITIVE),
    "window_seconds": Range(float, 0.1, 600, optional=True), "temperature": Range(float, 0, 10, optional=True),
    "top_k": Range(int, 0, 2**20, optional=True), "resample": Range(int, 0, 5, optional=True),
    "bank_bytes": Range(int, 0, 2**31),
}  # fmt: skip


def check_config(values: Mapping[str, Any], file: str | Path) -> None:
    """Raises ValueError naming the first key of a configuration, at any depth, whose value is outside its range."""
    for key, value in _entries(values):
        name = key.rpartition(".")[2]
        items = value if isinstance(value, list | tuple) else [value]
        if name.endswith("attn_implementation") and value not in (None, "eager", "sdpa") and not isinstance(value, Mapping):
            raise ValueError(f"{file}: {key} is {quoted(value)}; give eager or sdpa: other code is not run.")  # transformers fetches it
        if name in RANGES and not isinstance(value, Mapping):
            if not items or len(items) > MAX_ITEMS:
                raise ValueError(f"{file}: {key} has {len(items)} items; give 1 to {MAX_ITEMS}.")
            for item in items:
                try:
                    RANGES[name].check(key, item)
                except ValueError as error:
                    raise ValueError(f"{file}: {error}") from error


def _entries(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        yield prefix + key, value
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{key}.")


def check_component_folder(folder: str | Path) -> None:
    """Checks the JSON files of a local folder, and the sizes in its configurations and those one level below. A hub name passes."""
    check_json_files(folder)
    for pattern in ("*config.json", "*/config.json", "*/*config.json"):
        for file in sorted(Path(folder).glob(pattern)):
            if file.name != "tokenizer_config.json":
                check_config(read_table(file), file)


def weight_bytes(folder: str | Path) -> int | None:
    """Bytes of the weight files of a local folder and those below; None for a hub name, and where there are none."""
    files = [file for suffix in ("safetensors", "bin") for file in Path(folder).rglob(f"*.{suffix}")]
    return sum(file.stat().st_size for file in files) if files else None


def check_weights_suffice(kind: str, build: Callable[[], nn.Module], held: int | None) -> None:
    """Raises ValueError where a configuration describes more values than `held` bytes of weights can hold.

    build: makes the module; it is called on the meta device, which takes no memory. The libraries would fill what is missing at
    random, in full size, before they report it.
    """
    if held is None:
        return
    with torch.device("meta"):
        module = build()
    distinct = {id(value): value.numel() for value in module.state_dict(keep_vars=True).values()}
    if (count := sum(distinct.values())) > held:
        raise ComponentError(
            f"The configuration of {kind} describes {count:,} values, its weight files have {held:,} bytes; "
            "copy the folder again, or give the configuration and weights that belong together."
        )
