"""Configuration: JSON round trip, and invalid sizes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from llama.config import AdapterConfig, MuMuConfig


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
