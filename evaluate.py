"""Measures a model: one sub-command per table.

    python evaluate.py answers --form muchomusic --folder DATA --model ckpts/nano --out build/answers
    python evaluate.py paper --folder DATA --model ckpts/nano --out build/paper
    python evaluate.py probes --model ckpts/nano --count 200 --data build/nano --out build/probes
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from llama.console import CommandParser, run_command
from llama.evaluation.commands.answers import add_answers
from llama.evaluation.commands.audio import add_audio
from llama.evaluation.commands.choices import add_choices
from llama.evaluation.commands.editing import add_editing
from llama.evaluation.commands.matching import add_matching
from llama.evaluation.commands.music import add_music
from llama.evaluation.commands.paper import add_paper
from llama.evaluation.commands.probes import add_probes
from llama.evaluation.commands.symbolic import add_symbolic
from llama.evaluation.commands.text import add_text

# Each adds its parser, whose default `run` is its function.
COMMANDS = (add_answers, add_audio, add_choices, add_editing, add_matching, add_music, add_paper, add_probes, add_symbolic, add_text)


def parser() -> argparse.ArgumentParser:
    result = CommandParser(description="Measure a model on held-out data, beside chance and the commonest answer.")
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or 2 with an error in one sentence."""

    def command() -> int:
        values = parser().parse_args(arguments)
        return values.run(values)

    return run_command(command)


if __name__ == "__main__":
    raise SystemExit(main())
