"""Model source: the arguments that say where a model's weights come from.

One list for `llama.load`, the command line's flags, the YAML of a training and the base of a delta checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama.config import ENCODERS

DEFAULT_LLAMA_TYPE = "7B"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from; the fields are arguments of `llama.load`, which explains them."""

    model: str | Path | None = None
    llama_dir: str | Path | None = None
    llama_type: str = DEFAULT_LLAMA_TYPE
    mert_path: str | Path | None = None
    vit_path: str | Path | None = None
    vivit_path: str | Path | None = None
    music_decoder: str | None = None
    music_decoder_path: str | Path | None = None
    knn_dir: str | Path | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ModelSource:
        """From a mapping that may hold other names too, such as parsed flags."""
        return cls(**{name: values[name] for name in FIELDS if name in values})

    @property
    def component_paths(self) -> dict[str, str | Path | None]:
        """{encoder: its folder or hub name, or None}."""
        return {name: getattr(self, f"{name}_path") for name in ENCODERS.values()}

    def given(self) -> dict[str, Any]:
        """The fields beside `model` that differ from their defaults."""
        values = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in values.items() if name != "model" and value != default}


FIELDS = tuple(field.name for field in dataclasses.fields(ModelSource))
PATHS = tuple(name for name in FIELDS if name not in ("llama_type", "music_decoder"))
