"""Flags that several commands of evaluate.py share, so that each means the same in all of them, and the values behind them."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING

from llama.config import DTYPES

if TYPE_CHECKING:
    from llama.evaluation.window_embedder import Placement

MAX_SEED = 2**63 - 1  # as GenerationOptions takes it


def positive(text: str) -> int:
    """A whole number from 1 on, as the type of a flag."""
    return _whole(text, 1)


def seed(text: str) -> int:
    """A seed, as the type of a flag."""
    number = _whole(text, 0)
    if number > MAX_SEED:
        raise argparse.ArgumentTypeError(f"{number} is out of range; give {MAX_SEED} or less")
    return number


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; give {least} or more") from error
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is out of range; give {least} or more")
    return number


def add_seed_flag(parser: argparse.ArgumentParser, use: str) -> None:
    """use: what is drawn by it, as the end of "of ..."."""
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help=f"of {use} (default: %(default)s)")


def add_limit_flag(parser: argparse.ArgumentParser, things: str) -> None:
    parser.add_argument("--limit", type=positive, metavar="N", help=f"take N {things}, drawn by the seed; a larger N adds to them")


def add_system_flag(parser: argparse.ArgumentParser, what: str, required: bool = True) -> None:
    """what: the folder holds, as the beginning of the help."""
    parser.add_argument("--system", action="append", required=required, default=None if required else [], metavar="NAME=FOLDER",
        help=f"{what}; repeat it for several systems")  # fmt: skip


def systems_of(texts: list[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Folders by system, from NAME=FOLDER each.

    taken: names that rows of the table have already. Raises ValueError for another form, and for a name that is taken or given twice.
    """
    result: dict[str, str] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        name = name.strip()
        if not name or not folder:
            raise ValueError(f"--system {text} is not NAME=FOLDER; name the system and its folder.")
        if name in result:
            raise ValueError(f"--system names {name} twice; give each system a name of its own.")
        if name in taken:
            raise ValueError(f"--system names {name}, which is another row of the table; give the system another name.")
        result[name] = folder
    return result


def add_placement_flags(parser: argparse.ArgumentParser) -> None:
    """Flags on where and how embedders run."""
    add = parser.add_argument
    add("--batch_size", type=positive, default=16, metavar="N", help="windows at a time (default: %(default)s)")
    add_device_flag(parser)
    add("--dtype", choices=DTYPES, default="float32", help="of the embedder's weights (default: %(default)s)")


def add_device_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... or mps (default: cuda where there is one)")


def placement_of(values: argparse.Namespace) -> Placement:
    """Where and how embedders run, by the flags."""
    import torch

    from llama.device import choose_device
    from llama.evaluation.window_embedder import Placement

    return Placement(choose_device(values.device), getattr(torch, values.dtype), values.batch_size)
