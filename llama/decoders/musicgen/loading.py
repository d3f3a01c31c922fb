"""Reading of released MusicGen models, plain and Melody: their configurations, their weights, and the text tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from transformers import (
    AutoConfig,
    AutoTokenizer,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyForConditionalGeneration,
)

from llama.component_config import check_weights_suffice, weight_bytes
from llama.decoders.base import check_folder, reading
from llama.hf import check_report, check_unexpected, suppress_hf_logging
from llama.json_yaml import read_table
from llama.weights import check_component

MusicGen: TypeAlias = MusicgenForConditionalGeneration | MusicgenMelodyForConditionalGeneration

# model_type in config.json -> classes of transformers
CLASSES: Mapping[str, tuple[Any, Any]] = {
    "musicgen": (MusicgenConfig, MusicgenForConditionalGeneration),
    "musicgen_melody": (MusicgenMelodyConfig, MusicgenMelodyForConditionalGeneration),
}

# Tensors that the sound does not depend on and that only some versions of transformers write: computed tables, padding
# as a number, training statistics of codebooks.
UNUSED = r"embed_positions\.weights$|\.(padding_total|stride|kernel_size|position_ids)$|\.codebook\.(cluster_size|embed_avg|inited)$"
QUANTIZER = re.compile(r"audio_encoder\.quantizer\.layers\.(\d+)\.")

MELODY_WEIGHT = "audio_enc_to_dec_proj.weight"  # only MusicGen Melody has it

# hidden size -> layers, heads, feed-forward width of facebook/musicgen-small, -medium and -large
KNOWN = {1024: (24, 16, 4096), 1536: (48, 24, 6144), 2048: (48, 32, 8192)}
T5_BASE = {
    "model_type": "t5", "d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_heads": 12, "vocab_size": 32128,
    "feed_forward_proj": "relu", "relative_attention_num_buckets": 32, "decoder_start_token_id": 0,
}  # fmt: skip
ENCODEC_32KHZ = {
    "model_type": "encodec", "sampling_rate": 32000, "audio_channels": 1, "target_bandwidths": [2.2], "num_filters": 64,
    "upsampling_ratios": [8, 5, 4, 4], "codebook_size": 2048, "codebook_dim": 128, "hidden_size": 128, "num_lstm_layers": 2,
    "kernel_size": 7, "last_kernel_size": 7, "residual_kernel_size": 3, "num_residual_layers": 1, "compress": 2,
    "dilation_growth_rate": 2, "norm_type": "weight_norm", "normalize": False, "pad_mode": "reflect",
    "use_causal_conv": False, "use_conv_shortcut": False, "trim_right_ratio": 1.0, "chunk_length_s": None, "overlap": None,
}  # fmt: skip


def known_config(hidden: int, n_q: int = 4, melody: bool = False) -> dict[str, Any]:
    """Configuration of the released MusicGen whose decoder is `hidden` wide; eight codebooks (`n_q`) for the stereo models."""
    if hidden not in KNOWN:
        sizes = ", ".join(map(str, KNOWN))
        raise ValueError(
            f"No released MusicGen has a decoder of width {hidden} (they have {sizes}); name its folder in music_decoder_path."
        )
    layers, heads, ffn = KNOWN[hidden]
    decoder = {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "ffn_dim": ffn,
        "num_codebooks": n_q, "audio_channels": n_q // 4, "vocab_size": 2048, "pad_token_id": 2048, "bos_token_id": 2048,
    }  # fmt: skip
    model_type = "musicgen_melody" if melody else "musicgen"
    return {"model_type": model_type, "text_encoder": T5_BASE, "audio_encoder": ENCODEC_32KHZ, "decoder": decoder}


def load_folder(path: str | Path, dtype: torch.dtype | Literal["auto"]) -> MusicGen:
    """The model of a save_pretrained folder or a hub name. Raises FileNotFoundError, or ValueError for another kind of model."""
    if check_folder(path, "config.json") is not None:
        config = read_table(Path(path) / "config.json")
        check_kind(path, config.get("model_type"))
        codec = config.get("audio_encoder")
        if isinstance(codec, Mapping) and codec.get("model_type") == "note_codec":
            from llama.decoders.notes import codec as note_codec  # needs scipy and soundfile

            note_codec.register()
    with suppress_hf_logging(), reading("MusicGen", path):
        read_config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
        check_kind(path, read_config.model_type)  # of a hub name
        network = CLASSES[read_config.model_type][1]
        if (held := weight_bytes(path)) is not None:
            check_weights_suffice("MusicGen", lambda: network(read_config), held)
        return load_checked(network, str(path), dtype=dtype)


def check_kind(path: str | Path, model_type: object) -> None:
    """Raises ValueError if the configuration in `path` is of another kind of model."""
    if model_type not in CLASSES:
        raise ValueError(f"{path} holds a {model_type!r} model; music_decoder musicgen takes {' or '.join(map(repr, CLASSES))}.")


def load_checked(network: Any, path: str | None, **options: Any) -> MusicGen:
    """Load by transformers, and raise ValueError where it would only log missing weights and fill them at random."""
    load: Any = network.from_pretrained
    model, report = load(path, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    unexpected = {_inner_name(key) for key in options.get("state_dict") or ()} - model.state_dict().keys()
    report["unexpected_keys"] |= unexpected  # transformers leaves out names that contain "decoder"
    decoder = model.config.decoder
    n_q = decoder.num_codebooks // getattr(decoder, "audio_channels", 1)
    layers = (QUANTIZER.search(key) for key in report["missing_keys"] | report["unexpected_keys"])
    unused_layers = [re.escape(layer[0]) for layer in layers if layer and int(layer[1]) >= n_q]  # codebooks that MusicGen does not use
    unused = re.compile("|".join([UNUSED, *unused_layers]))
    check_report("MusicGen", "music_decoder_path", report, unused)
    check_unexpected("MusicGen", "music_decoder_path", report, unused)
    check_component("MusicGen", model)
    return model


def _inner_name(key: str) -> str:
    """A published weight-norm key in the naming of torch's parametrizations."""
    return key.replace(".weight_g", ".parametrizations.weight.original0").replace(".weight_v", ".parametrizations.weight.original1")


def find_tokenizer(path: str | Path) -> Any:
    """Load the tokenizer of a folder or hub name; None if the folder has none."""
    names = ("tokenizer.json", "spiece.model", "tokenizer_config.json")
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in names):
        return None
    check_folder(path)
    with reading("tokenizer", path):
        return AutoTokenizer.from_pretrained(str(path), trust_remote_code=False, local_files_only=Path(path).is_dir())


def default_chroma_extractor(config: Any) -> Any:
    """What the released MusicGen Melody hears melodies with; None for plain MusicGen."""
    if config.model_type != "musicgen_melody":
        return None
    from transformers import MusicgenMelodyFeatureExtractor  # needs torchaudio, which is heavy to import

    return MusicgenMelodyFeatureExtractor(sampling_rate=config.audio_encoder.sampling_rate, num_chroma=config.num_chroma)


def find_chroma_extractor(path: str | Path, config: Any) -> Any:
    """Load the chroma extractor of a folder or hub name; the default where the folder has none, None for plain MusicGen."""
    folder = Path(path)
    if config.model_type != "musicgen_melody" or folder.is_dir() and not (folder / "preprocessor_config.json").is_file():
        return default_chroma_extractor(config)
    from transformers import MusicgenMelodyFeatureExtractor

    with reading("MusicGen Melody", path):
        return MusicgenMelodyFeatureExtractor.from_pretrained(str(path))
