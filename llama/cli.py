"""Command-line flags that choose a model, shared by all commands and the server."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from llama.checkpoint.source import FIELDS, add_source_flags
from llama.config import DTYPES

if TYPE_CHECKING:
    from llama.mumu_llama import MuMuLLaMA

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "ckpts" / "nano"


def add_model_flags(parser: ArgumentParser) -> None:
    """Adds the flags of `ModelSource`, with the published names, then device, dtype and verify."""
    group = parser.add_argument_group("model")
    add_source_flags(group)
    parser.set_defaults(model=str(DEFAULT_MODEL))
    add = group.add_argument
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... or mps (default: cuda where there is one)")
    add("--dtype", choices=DTYPES, help="of all weights (default: the checkpoint's own)")
    add("--verify", action="store_true", help="check LLaMA's shards against their checklist.chk first")


def model_name(values: Namespace) -> str:
    """The name of the model that the flags name: of its folder or file, or the last part of a hub name."""
    path = Path(values.model)
    return (path.resolve() if path.exists() else path).name


def load_model(values: Namespace) -> MuMuLLaMA:
    """Loads the model that the flags name, in eval mode. Raises one of `llama.errors.COMMAND_ERRORS`."""
    import torch

    from llama.device import choose_device
    from llama.mumu_llama import load

    return load(
        **{name: getattr(values, name) for name in FIELDS},
        device=choose_device(values.device),
        dtype=getattr(torch, values.dtype) if values.dtype else None,
        verify=values.verify,
    )
