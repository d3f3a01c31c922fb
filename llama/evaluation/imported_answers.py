"""Answers of another system, {question id: text} in a JSON file, put into the questions of an answers file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llama.errors import quoted, shorten
from llama.evaluation.answer_file import Answer
from llama.json_yaml import read_json

ADVICE = "give an object of texts, {question id: answer}"


def read_texts(path: str | Path) -> dict[str, str]:
    """Texts by the id of their question. Raises FileNotFoundError without the file, ValueError for one of another form."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}; {ADVICE}.")
    values = read_json(file, ADVICE, unique_names=True)
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds no object; {ADVICE}.")
    for name, text in values.items():
        if not isinstance(text, str):
            raise ValueError(f"{file} has {quoted(text)} for the question '{shorten(name)}'; {ADVICE}.")
    return values


def with_texts(answers: Sequence[Answer], texts: dict[str, str]) -> list[Answer]:
    """The questions of the own recordings with these texts for answers; one that has none is answered by nothing and scores 0.

    Errors of recordings are dropped, since the other system may have heard what could not be heard here. Each question is taken as
    it was shown first. Raises ValueError for a text to a question that is not among them.
    """
    questions: dict[str, Answer] = {}
    for answer in answers:
        if answer.control == "own":
            questions.setdefault(answer.id, answer)
    if strange := [name for name in texts if name not in questions]:
        reason = f"The texts answer '{shorten(strange[0])}', one of {len(strange)} that the answers file does not ask"
        raise ValueError(f"{reason}; give the file of the same questions.")
    return [replace(answer, answer=texts.get(name, ""), error="", seconds=0.0) for name, answer in questions.items()]
