"""Measures a model: one sub-command per table.

    python evaluate.py probes --model ckpts/nano --count 200 --data build/nano --out build/probes
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from llama.cli import add_model_flags, load_model
from llama.console import CommandParser, run_command


def parser() -> argparse.ArgumentParser:
    result = CommandParser(description="Measure a model on held-out data, beside chance and the commonest answer.")
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    probes = commands.add_parser("probes", help="how the embedded model understands audio, follows prompts and sounds")
    add = probes.add_argument
    add("--count", type=int, default=200, help="cases of each kind (default: %(default)s)")
    add("--data", type=Path, default=Path("build/nano"), metavar="FOLDER", help="the recipe's work folder (default: %(default)s)")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where probes.json, probes.md and probes.png go")
    add_model_flags(probes)
    probes.set_defaults(run=run_probes)
    return result


def run_probes(values: argparse.Namespace) -> int:
    from llama.files import check_writable
    from recipes.nano.evaluation.probes import run
    from recipes.nano.evaluation.report import markdown

    check_writable(values.out / "probes.json", parents=True)
    print(markdown(run(load_model(values), Path(values.model), values.data, values.count, values.out)))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or 2 with an error in one sentence."""

    def command() -> int:
        values = parser().parse_args(arguments)
        return values.run(values)

    return run_command(command)


if __name__ == "__main__":
    raise SystemExit(main())
