"""Command line of the checkpoints: convert and verify.

    python -m llama.checkpoint convert ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth OUT --llama_dir ckpts/LLaMA-2
    python -m llama.checkpoint verify ckpts/LLaMA-2/7B
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from llama.checkpoint.conversion import convert, verify
from llama.checkpoint.source import add_source_flags
from llama.config import DTYPES
from llama.console import CommandParser, run_command


def parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m llama.checkpoint", description="Convert and check model files.")
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="between the published format and our own (native) one")
    convert.add_argument("source", help="a published checkpoint, or a folder of ours")
    convert.add_argument("target", help="a folder to write, or a .pth file for the published format")
    convert.add_argument("--to", choices=("own", "published"), help="default: published if the target ends in .pth")
    convert.add_argument("--dtype", choices=DTYPES, help="default: as stored")
    add_source_flags(convert, leave_out=("model",))  # the model is the argument SOURCE
    convert.add_argument("--verify", action="store_true", help="check LLaMA's shards against checklist.chk")
    check = commands.add_parser("verify", help="LLaMA's shards against checklist.chk, or whether a folder of ours is whole")
    check.add_argument("folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence on what was wrong."""
    return run_command(lambda: _run(vars(parser().parse_args(arguments))))


def _run(values: dict[str, Any]) -> int:
    if values.pop("command") == "verify":
        print(verify(**values))
    else:
        dtype = values.pop("dtype")
        convert(**values, dtype=getattr(torch, dtype) if dtype else None)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
