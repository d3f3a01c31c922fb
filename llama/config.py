"""Configuration of the model: all its sizes, as frozen dataclasses, and constants that several packages share."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from llama.errors import quoted
from llama.json_yaml import parse_json
from llama.ranges import Range, check_choice, check_flag, check_keys, check_ranges

AUDIO_TOKENS = 8  # [AUD0] .. [AUD7]: their hidden states condition the music decoder
ENCODERS = {"audio": "mert", "image": "vit", "video": "vivit"}  # modality -> its encoder, an attribute of the model
COMPONENTS = (*ENCODERS.values(), "music_decoder")  # pretrained and frozen parts, each an attribute of the model
MODALITIES = ("audio", "image", "video")  # in the order of their bands of LLaMA layers, from the lowest

MAX_MUSIC_SECONDS = 600.0  # longest piece in one request; a context window of 30 s has then lost the beginning many times over
VARIANTS = ("m2ugen", "mumu")
DECODERS = ("musicgen", "audioldm2")  # kinds of music decoder
DTYPES = ("float32", "float16", "bfloat16")  # names of the types that weights may have

Modality = Literal["audio", "image", "video"]
Pool = Literal["mean", "recurrent", "rhythm", "harmony", "timbre"]


# -- sizes ----------------------------------------------------------------------------------------------------------

WIDTH, COUNT, OPTIONAL = Range(int, 1, 2**20), Range(int, 1, 1024), Range(int, 1, 2**22, optional=True)
LLAMA_RANGES = {
    "dim": WIDTH, "n_layers": COUNT, "n_heads": WIDTH, "n_kv_heads": OPTIONAL,
    "vocab_size": Range(int, AUDIO_TOKENS + 1, 2**24),
    "multiple_of": WIDTH, "ffn_dim_multiplier": Range(float, 0.01, 100, optional=True),
    "ffn_hidden": OPTIONAL, "norm_eps": Range(float, 0, 1), "rope_theta": Range(float, 1, 1e12),
    "max_seq_len": Range(int, 1, 2**20), "lora_rank": Range(int, 0, 2**16),
}  # fmt: skip
ADAPTER_RANGES = {
    "feature_dim": WIDTH, "channels": WIDTH, "frame_rate": Range(float, 1, 10_000), "pool_dim": WIDTH,
    "idle_recurrent": OPTIONAL, "blocks": Range(int, 0, 64),
}  # fmt: skip
PROJECTOR_RANGES = {"tokens": WIDTH, "width": WIDTH, "hidden": WIDTH, "heads": COUNT, "layers": Range(int, 1, 64), "ffn_dim": WIDTH}


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of the language model, in Meta's field names (LLaMA-2, arXiv 2307.09288)."""

    dim: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: int | None = None  # None: as many as n_heads
    vocab_size: int = 32000 + AUDIO_TOKENS  # the tokenizer's pieces and the eight audio tokens
    multiple_of: int = 256
    ffn_dim_multiplier: float | None = None
    ffn_hidden: int | None = None  # feed-forward width, for checkpoints that do not follow Meta's rule
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    max_seq_len: int = 1024
    lora_rank: int = 16
    bias: bool = True  # bias tuning on wq, wo, w1, w2, w3

    def __post_init__(self) -> None:
        check_ranges(vars(self), LLAMA_RANGES)
        check_flag("bias", self.bias)
        if self.dim % self.n_heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} is not divisible by n_heads {self.n_heads} into even heads; fix params.json.")
        if self.n_heads % self.kv_heads:
            raise ValueError(f"n_heads {self.n_heads} is not divisible by n_kv_heads {self.kv_heads}; fix params.json.")

    @property
    def kv_heads(self) -> int:
        return self.n_kv_heads or self.n_heads

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def ffn_dim(self) -> int:
        """Feed-forward width by Meta's rule: two thirds of 4 x dim, rounded up to `multiple_of`."""
        if self.ffn_hidden:
            return self.ffn_hidden
        hidden = int(2 * 4 * self.dim / 3)
        if self.ffn_dim_multiplier is not None:
            hidden = int(self.ffn_dim_multiplier * hidden)
        return self.multiple_of * -(-hidden // self.multiple_of)


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes of one understanding adapter: mix -> pool -> project -> three gated blocks."""

    feature_dim: int  # F, the encoder's width
    channels: int  # inputs of the 1x1 convolution: layer states, or tokens
    mix: Literal["layers", "tokens"] = "layers"
    pools: tuple[Pool, ...] = ("mean",)  # one prompt position each; the published model has one
    frame_rate: float = 75.0  # of the encoder states, Hz; the rhythm pool measures lags in seconds
    pool_dim: int = 128  # output width of the rhythm, harmony and timbre pools
    spectrum: bool = False  # the last state is a spectrum; the rhythm, harmony and timbre pools read it alone
    idle_recurrent: int | None = None  # width of a published recurrent pool that is unused; kept for saving
    blocks: int = 3

    def __post_init__(self) -> None:
        check_ranges(vars(self), ADAPTER_RANGES)
        check_flag("spectrum", self.spectrum)
        check_choice("mix", self.mix, ("layers", "tokens"))
        kinds = get_args(Pool)
        if not isinstance(self.pools, tuple) or not all(pool in kinds and self.pools.count(pool) == 1 for pool in self.pools):
            raise ValueError(f"pools is {quoted(self.pools)}; give a list of {', '.join(kinds)}, each once at most.")
        if not self.pools or (self.mix == "tokens" and self.pools != ("mean",)):
            raise ValueError(f"pools {self.pools} with mix {self.mix!r}: tokens have no time axis, so only ('mean',) fits.")
        if "timbre" in self.pools and not self.spectrum:
            raise ValueError("A timbre pool reads a spectrum: set spectrum, for an encoder whose last state is one.")

    @property
    def positions(self) -> int:
        return len(self.pools)


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the output projector: eight hidden states -> the decoder's condition [tokens, width]."""

    tokens: int = 128
    width: int = 768
    hidden: int = 512
    heads: int = 4
    layers: int = 4
    ffn_dim: int = 2048

    def __post_init__(self) -> None:
        check_ranges(vars(self), PROJECTOR_RANGES)
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not divisible by heads {self.heads}; give the projector's own sizes.")


@dataclass(frozen=True)
class DecoderSpec:
    """The music decoder that the checkpoint was trained for."""

    kind: Literal["musicgen", "audioldm2"] = "musicgen"
    path: str | None = None  # folder or hub name, where the weights are not in the checkpoint

    def __post_init__(self) -> None:
        if self.path is not None and not isinstance(self.path, str):
            raise ValueError(f"path is {quoted(self.path)}; give a folder, a hub name or null.")


@dataclass(frozen=True)
class MuMuConfig:
    """Configuration of the whole model. `variant` is the published family of its weights."""

    llama: LlamaConfig = field(default_factory=LlamaConfig)
    audio: AdapterConfig = field(default_factory=lambda: AdapterConfig(1024, 25))
    image: AdapterConfig = field(default_factory=lambda: AdapterConfig(768, 197, mix="tokens"))
    video: AdapterConfig = field(default_factory=lambda: AdapterConfig(768, 3137, mix="tokens"))
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    decoder: DecoderSpec = field(default_factory=DecoderSpec)
    query_layer: int = 6  # Q: layers in a band, so the last 3 Q layers carry prompts
    variant: Literal["m2ugen", "mumu"] = "m2ugen"

    def __post_init__(self) -> None:
        Range(int, 0, 1024).check("query_layer", self.query_layer)
        if self.variant not in VARIANTS or self.decoder.kind not in DECODERS:
            raise ValueError(
                f"variant {quoted(self.variant)} with decoder {quoted(self.decoder.kind)} is unknown; "
                f"use {' or '.join(VARIANTS)} with {' or '.join(DECODERS)}."
            )
        if 3 * self.query_layer > self.llama.n_layers:
            raise ValueError(
                f"query_layer {self.query_layer} needs {3 * self.query_layer} layers, the LLaMA has {self.llama.n_layers}."
            )

    def adapter(self, modality: str) -> AdapterConfig:
        """The adapter's sizes for "audio", "image" or "video"."""
        return {"audio": self.audio, "image": self.image, "video": self.video}[modality]

    @classmethod
    def tiny(cls, **changes: Any) -> MuMuConfig:
        """A configuration with all parts, small enough for tests."""
        base = cls(
            llama=LlamaConfig(dim=64, n_layers=8, n_heads=4, vocab_size=520, multiple_of=32, lora_rank=4, max_seq_len=256),
            audio=AdapterConfig(32, 4),
            image=AdapterConfig(24, 17, mix="tokens"),
            video=AdapterConfig(24, 65, mix="tokens"),
            projector=ProjectorConfig(tokens=16, width=32, hidden=32, ffn_dim=128),
            query_layer=2,
        )
        return dataclasses.replace(base, **changes)

    def to_json(self) -> str:
        """The content of config.json."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> MuMuConfig:
        """Inverse of `to_json`. Raises ValueError naming a key that is unknown or missing, or a value that is out of range."""
        raw = parse_json(text)
        if not isinstance(raw, dict):
            raise ValueError("config.json does not describe a MuMu-LLaMA model: it is not an object.")
        parts = {"llama": LlamaConfig, "audio": AdapterConfig, "image": AdapterConfig, "video": AdapterConfig,
                 "projector": ProjectorConfig, "decoder": DecoderSpec}
        check_keys("config.json", cls, raw)
        return cls(**{key: _build(key, parts[key], value) if key in parts else value for key, value in raw.items()})


def _build(part: str, kind: type, raw: object) -> Any:
    if not isinstance(raw, dict):
        raise ValueError(f"{part} is {quoted(raw)}; give an object with its sizes.")
    check_keys(part, kind, raw)
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})
    except ValueError as error:
        names = {field.name for field in dataclasses.fields(kind)}
        raise ValueError(f"{part}{'.' if str(error).split()[0] in names else ': '}{error}") from error
