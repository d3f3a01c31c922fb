"""`evaluate.py probes`: how the embedded model understands audio, follows prompts and sounds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llama.cli import add_model_flags, load_model


def add_probes(commands: Any) -> None:
    probes = commands.add_parser("probes", help="how the embedded model understands audio, follows prompts and sounds")
    add = probes.add_argument
    add("--count", type=int, default=200, help="cases of each kind (default: %(default)s)")
    add("--data", type=Path, default=Path("build/nano"), metavar="FOLDER", help="the recipe's work folder (default: %(default)s)")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where probes.json, probes.md and probes.png go")
    add_model_flags(probes)
    probes.set_defaults(run=run_probes)


def run_probes(values: argparse.Namespace) -> int:
    from llama.files import check_writable
    from recipes.nano.evaluation.probes import run
    from recipes.nano.evaluation.report import markdown

    check_writable(values.out / "probes.json", parents=True)
    print(markdown(run(load_model(values), Path(values.model), values.data, values.count, values.out)))
    return 0
