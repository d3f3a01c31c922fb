"""`evaluate.py choices`: accuracy of answers to questions with choices, by our parser and by the benchmark's rule."""

from __future__ import annotations

import argparse
from typing import Any

from llama.evaluation.commands.answers_input import add_answers_flags, output_folder, read_input


def add_choices(commands: Any) -> None:
    choices = commands.add_parser("choices", help="accuracy by our parser and by the benchmark's rule, own minus swapped")
    add_answers_flags(choices, "choices.md, choices.json and choices.png")
    choices.set_defaults(run=run_choices)


def run_choices(values: argparse.Namespace) -> int:
    from llama.evaluation.choice_table import choice_tables
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.files import check_writable

    answers, folder = read_input(values), output_folder(values)
    check_writable(folder / "choices.json", parents=True)
    meta = result_meta({"answers": str(values.answers), "texts": str(values.texts) if values.texts else None})
    print(write_tables(folder, "choices", choice_tables(answers), meta), end="")
    return 0
