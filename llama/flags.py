"""What both shells share: the flags that name a model and its parts, and how an error is told to a user."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from llama.mumu_llama import MuMuLLaMA

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "ckpts" / "nano"
DECODERS = ("musicgen", "audioldm2")
DTYPES = ("float32", "float16", "bfloat16")

# What a user can cause and mend. Anything else is a fault of the program and keeps its traceback.
USER_ERRORS = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def add_model_flags(parser: ArgumentParser) -> None:
    """The published names, word for word, then what is new."""
    add = parser.add_argument_group("model").add_argument
    add("--model", default=str(DEFAULT_MODEL), metavar="PATH",
        help="a folder of ours, a name on the hub, or a published checkpoint.pth (default: ckpts/nano)")
    add("--llama_dir", metavar="DIR", help="folder with LLaMA-2, for a published checkpoint")
    add("--llama_type", default="7B", metavar="NAME", help="sub-folder of llama_dir with the weights (default: %(default)s)")
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

    from llama.checkpoint import load

    return load(
        values.model,
        llama_dir=values.llama_dir,
        llama_type=values.llama_type,
        mert_path=values.mert_path,
        vit_path=values.vit_path,
        vivit_path=values.vivit_path,
        music_decoder=values.music_decoder,
        music_decoder_path=values.music_decoder_path,
        knn_dir=values.knn_dir,
        device=choose_device(values.device),
        dtype=getattr(torch, values.dtype) if values.dtype else None,
        verify=values.verify,
    )


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or the GPU where there is one. Raises ValueError for one that is not there."""
    import torch

    from llama.assembly import device_named

    return device_named(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def sentence(error: BaseException) -> str:
    """The error in one line for a user."""
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:  # while writing: a full disk, a connection that ended
            return f"{error.strerror}; make room, or give another place."
        return f"{error.strerror}: {error.filename}; check the name, its permissions and the room on its disk."
    return " ".join(str(error).split()) or type(error).__name__
