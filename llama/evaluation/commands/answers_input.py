"""Flags that name answers to score, and the answers behind them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama.evaluation.answer_file import Answer


def add_answers_flags(parser: argparse.ArgumentParser, files: str) -> None:
    add = parser.add_argument
    add("--answers", type=Path, required=True, metavar="FOLDER", help="what evaluate.py answers wrote, or an answers.jsonl")
    add("--texts", type=Path, metavar="FILE", help="answers of another system to the same questions: JSON, {question id: text}")
    add("--out", type=Path, metavar="FOLDER", help=f"where {files} go (default: beside the answers)")


def output_folder(values: argparse.Namespace) -> Path:
    """--out, or the folder of the answers."""
    folder = values.answers.parent if values.answers.is_file() else values.answers
    return values.out or folder


def read_input(values: argparse.Namespace) -> list[Answer]:
    """The answers to score. Raises FileNotFoundError or ValueError in a sentence for what is none."""
    from llama.evaluation.answer_file import read_answers
    from llama.evaluation.imported_answers import read_texts, with_texts

    answers = read_answers(values.answers)
    return answers if values.texts is None else with_texts(answers, read_texts(values.texts))
