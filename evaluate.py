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
from llama.evaluation.commands.edits import add_edits
from llama.evaluation.commands.matching import add_matching
from llama.evaluation.commands.music import add_music
from llama.evaluation.commands.paper import add_paper
from llama.evaluation.commands.probes import add_probes
from llama.evaluation.commands.symbolic import add_symbolic
from llama.evaluation.commands.text import add_text

# Each adds its parser, whose default `run` is its function; in the order in which they are used.
COMMANDS = (
    add_answers, add_choices, add_text, add_music, add_audio, add_matching, add_editing, add_symbolic, add_paper, add_probes, add_edits,
)  # fmt: skip
ORDER = (
    "answers asks a model; choices and text score what it said. music makes its music; audio, matching and editing score that. "
    "symbolic and paper do both; edits, of pieces whose notes are known. docs/evaluation.md explains every table."
)


def parser() -> argparse.ArgumentParser:
    description = "Measure a model on held-out data, beside chance and the commonest answer."
    result = CommandParser(description=description, epilog=ORDER)
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
