"""Model source: the arguments that say where a model's weights come from.

One list for `llama.load`, the flags of the commands, the YAML of a training and the base of a delta checkpoint. A field added
here becomes a flag by itself; tests/llama/checkpoint/test_source.py names what else must have it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llama.config import DECODERS, ENCODERS

DEFAULT_LLAMA_TYPE = "7B"


def _flag(help: str, metavar: str | None = None, default: str | None = None, choices: tuple[str, ...] | None = None) -> Any:
    """A field with what argparse needs for the flag of its name."""
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar, "choices": choices})


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from; the fields are arguments of `llama.load`, which explains them."""

    model: str | Path | None = _flag("a folder of ours, a name on the hub, or a published checkpoint.pth (default: ckpts/nano)", "PATH")
    llama_dir: str | Path | None = _flag("folder with LLaMA-2, for a published checkpoint", "DIR")
    llama_type: str = _flag("sub-folder of llama_dir with the weights (default: %(default)s)", "NAME", DEFAULT_LLAMA_TYPE)
    mert_path: str | Path | None = _flag("folder or hub name of MERT, if not the published one", "PATH")
    vit_path: str | Path | None = _flag("folder or hub name of ViT, if not the published one", "PATH")
    vivit_path: str | Path | None = _flag("folder or hub name of ViViT, if not the published one", "PATH")
    music_decoder: str | None = _flag("refuse a model that was trained for another (default: take what it was)", choices=DECODERS)
    music_decoder_path: str | Path | None = _flag("folder or hub name of the decoder, where it is not in the checkpoint", "PATH")
    knn_dir: str | Path | None = _flag("folder with knn.index, the prototypes for retrieval", "DIR")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ModelSource:
        """From a mapping that may hold other names too, such as parsed flags."""
        return cls(**{name: values[name] for name in FIELDS if name in values})

    @property
    def component_paths(self) -> dict[str, str | Path | None]:
        """{encoder: its folder or hub name, or None}."""
        return {name: getattr(self, f"{name}_path") for name in ENCODERS.values()}

    def non_defaults(self) -> dict[str, Any]:
        """The fields beside `model` that differ from their defaults."""
        values = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in values.items() if name != "model" and value != default}


FIELDS = tuple(field.name for field in dataclasses.fields(ModelSource))
PATHS = tuple(name for name in FIELDS if name not in ("llama_type", "music_decoder"))


class ArgumentGroup(Protocol):
    """The part of argparse's parsers and groups that flags are added to."""

    def add_argument(self, *names: str, **options: Any) -> Any: ...


def add_source_flags(group: ArgumentGroup, *, leave_out: Container[str] = ()) -> None:
    """Adds a flag for each field, under its name and with its default."""
    for field in dataclasses.fields(ModelSource):
        if field.name not in leave_out:
            group.add_argument(f"--{field.name}", default=field.default, **field.metadata)
