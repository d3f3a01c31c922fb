"""Configuration: JSON round trip, and invalid sizes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from llama.config import (
    ADAPTER_RANGES,
    LLAMA_RANGES,
    PROJECTOR_RANGES,
    AdapterConfig,
    LlamaConfig,
    MuMuConfig,
    ProjectorConfig,
)


def test_json_keeps_every_size() -> None:
    config = dataclasses.replace(
        MuMuConfig.tiny(), audio=AdapterConfig(32, 4, pools=("mean", "rhythm", "harmony"), frame_rate=37.5), variant="mumu"
    )
    assert MuMuConfig.from_json(config.to_json()) == config


def test_foreign_json_is_refused_by_name() -> None:
    raw = json.loads(MuMuConfig.tiny().to_json())
    raw["llama"]["hidden_size"] = 1
    with pytest.raises(ValueError, match="hidden_size"):
        MuMuConfig.from_json(json.dumps(raw))
    with pytest.raises(ValueError, match="model_type"):
        MuMuConfig.from_json('{"model_type": "bert"}')
    for text, word in (("[1]", "not an object"), ('{"variant": "x"}', "'x'"), ('{"decoder": {"kind": "piano"}}', "'piano'")):
        with pytest.raises(ValueError, match=word):
            MuMuConfig.from_json(text)


def test_bands_must_fit_the_layers() -> None:
    with pytest.raises(ValueError, match="needs 12 layers"):
        MuMuConfig.tiny(query_layer=4)


# Each field of config.json with values that it may not have.
BAD_NUMBERS: list[object] = ["3", None, True, [1], {}, float("nan"), float("inf"), -1, 10**10, 10**200, 1.5]
SIZES = {
    "llama": ("dim", "n_layers", "n_heads", "vocab_size", "multiple_of", "max_seq_len"),
    "audio": ("feature_dim", "channels", "pool_dim"),
    "projector": ("tokens", "width", "hidden", "heads", "layers", "ffn_dim"),
}
OPTIONAL_SIZES = {"llama": ("n_kv_heads", "ffn_hidden"), "video": ("idle_recurrent",)}
NUMBERS = {"llama": ("norm_eps", "rope_theta"), "image": ("frame_rate",)}


def refusal(part: str, name: str, value: object) -> str:
    """The sentence with which a configuration with that value is refused."""
    raw = dataclasses.asdict(MuMuConfig.tiny())
    (raw[part] if part else raw)[name] = value
    with pytest.raises(ValueError) as caught:
        MuMuConfig.from_json(json.dumps(raw))
    message = str(caught.value)
    assert len(message) < 300 and "\n" not in message
    return message


@pytest.mark.parametrize("value", [*BAD_NUMBERS, 0], ids=lambda value: str(value)[:12])
def test_sizes_are_whole_numbers_in_their_range(value: object) -> None:
    for part, names in SIZES.items():
        for name in names:
            assert name in refusal(part, name, value)
    for part, names in OPTIONAL_SIZES.items():
        for name in names if value is not None else ():
            assert name in refusal(part, name, value)
    for name in ("blocks", "query_layer", "lora_rank") if value != 0 else ():
        assert name in refusal({"blocks": "audio", "lora_rank": "llama"}.get(name, ""), name, value)


@pytest.mark.parametrize("value", ["x", None, True, [1.0], float("nan"), float("inf"), -1.0, 1e300], ids=str)
def test_rates_are_numbers_in_their_range(value: object) -> None:
    for part, names in NUMBERS.items():
        for name in names:
            assert f"{part}.{name} is" in refusal(part, name, value)
    if value is not None:
        assert "llama.ffn_dim_multiplier is" in refusal("llama", "ffn_dim_multiplier", value)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("llama", "bias", 1), ("llama", "bias", "yes"), ("audio", "spectrum", None), ("audio", "mix", "sum"), ("audio", "mix", 3),
        ("audio", "pools", "mean"), ("audio", "pools", []), ("audio", "pools", ["median"]), ("audio", "pools", ["mean", "mean"]),
        ("audio", "pools", [["mean"]]), ("decoder", "path", 7), ("decoder", "kind", ["musicgen"]), ("", "variant", {}),
        ("", "llama", 3), ("", "audio", [1]), ("", "decoder", None),
    ],
)  # fmt: skip
def test_other_fields_are_of_their_kind(part: str, name: str, value: object) -> None:
    assert name in refusal(part, name, value) or "kind" in name


def test_heads_divide_the_width() -> None:
    assert "n_heads 3" in refusal("llama", "n_heads", 3)
    assert "n_heads 64" in refusal("llama", "n_heads", 64)  # heads of one number have no rotary pairs
    assert "n_kv_heads 3" in refusal("llama", "n_kv_heads", 3)
    assert "heads 5" in refusal("projector", "heads", 5)


def test_every_number_of_the_configuration_has_a_range() -> None:
    """A field that is added later is checked, too."""
    tables = {LlamaConfig: LLAMA_RANGES, AdapterConfig: ADAPTER_RANGES, ProjectorConfig: PROJECTOR_RANGES}
    for kind, ranges in tables.items():
        numbers = {field.name for field in dataclasses.fields(kind) if "int" in str(field.type) or "float" in str(field.type)}
        assert numbers == ranges.keys()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variant": "m" + "9" * 100_000}, "variant 'm999"),
        ({"wide": 3}, "config.json has the unknown key 'wide'; its keys are llama, audio"),
        ({"audio": {"feature_dim": 3, "channels": 4, "x" * 100_000: 1}}, "audio has the unknown key 'xxx"),
        ({"audio": {"feature_dim": 3}}, "audio lacks the key channels; add it."),
    ],
)
def test_keys_are_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        MuMuConfig.from_json(json.dumps(json.loads(MuMuConfig.tiny().to_json()) | change))
    assert str(caught.value).startswith(words) and str(caught.value).endswith(".") and len(str(caught.value)) < 400
