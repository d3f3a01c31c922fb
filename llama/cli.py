"""Command-line flags that choose a model, shared by the commands and the server."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from llama.checkpoint.source import DEFAULT_LLAMA_TYPE, FIELDS
from llama.config import DECODERS, DTYPES

if TYPE_CHECKING:
    from llama.mumu_llama import MuMuLLaMA

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "ckpts" / "nano"


def add_model_flags(parser: ArgumentParser) -> None:
    """The published names, word for word, then what is new."""
    add = parser.add_argument_group("model").add_argument
    add("--model", default=str(DEFAULT_MODEL), metavar="PATH",
        help="a folder of ours, a name on the hub, or a published checkpoint.pth (default: ckpts/nano)")
    add("--llama_dir", metavar="DIR", help="folder with LLaMA-2, for a published checkpoint")
    add("--llama_type", default=DEFAULT_LLAMA_TYPE, metavar="NAME", help="sub-folder of llama_dir with the weights (default: %(default)s)")
    for name, what in (("mert", "MERT"), ("vit", "ViT"), ("vivit", "ViViT")):
        add(f"--{name}_path", metavar="PATH", help=f"folder or hub name of {what}, if not the published one")
    add("--music_decoder", choices=DECODERS, help="refuse a model that was trained for another (default: take what it was)")
    add("--music_decoder_path", metavar="PATH", help="folder or hub name of the decoder, where it is not in the checkpoint")
    add("--knn_dir", metavar="DIR", help="folder with knn.index, to draw features towards known ones")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... or mps (default: cuda where there is one)")
    add("--dtype", choices=DTYPES, help="of all weights (default: the checkpoint's own)")
    add("--verify", action="store_true", help="check LLaMA's shards against their checklist.chk first")


def load_model(values: Namespace) -> MuMuLLaMA:
    """The model that the flags name, in eval mode. Raises one of USER_ERRORS in one sentence."""
    import torch

    from llama.device import choose_device
    from llama.mumu_llama import load

    return load(
        **{name: getattr(values, name) for name in FIELDS},
        device=choose_device(values.device),
        dtype=getattr(torch, values.dtype) if values.dtype else None,
        verify=values.verify,
    )
