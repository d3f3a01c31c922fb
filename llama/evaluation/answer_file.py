"""Answers of a model to a benchmark's questions, one JSON line each: what `evaluate.py answers` writes and the metrics read.

Generating and scoring are apart, so that the answers of any system can be scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, get_args

from llama.errors import comma_list, quoted
from llama.evaluation.run_record import only_run
from llama.files import write_text
from llama.json_yaml import parse_json

# own: the item's recording; swapped: another item's; silence: as long; none: no recording; constant: one fixed answer, not the model's.
Control = Literal["own", "swapped", "silence", "none", "constant"]
CONTROLS: tuple[Control, ...] = get_args(Control)
ANSWERS = "answers.jsonl"
Key = tuple[str, str, int]  # id, control and rotation: what a run asks once


@dataclass(frozen=True)
class Answer:
    """One answer. id: of the question in its benchmark; recording: intervals are taken over these, since several questions share one.

    references: accepted answers or captions. choices: as they were shown, in that order; correct: index of the right one, None for
    open questions. rotation: of the choices. seconds: of the batch
    that it was answered in, shared equally. error: why the recording could not be heard; such answers are counted, not scored.
    """

    id: str
    recording: str
    form: str
    control: Control
    question: str
    answer: str
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    correct: int | None = None
    rotation: int = 0
    categories: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    @property
    def key(self) -> Key:
        return self.id, self.control, self.rotation

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The answer of one line. Raises ValueError with a phrase for a larger sentence; what has a default may be left out."""
        _check(values)
        lists = {name: tuple(values.get(name, ())) for name in ("references", "choices")}
        return cls(**{**values, **lists})


def read_answers(path: str | Path) -> list[Answer]:
    """The answers in a file, or in the answers.jsonl of a folder, in their order.

    A last line that was cut while it was written is left out. Raises FileNotFoundError without the file, ValueError with the line for
    what is no answer, and for two answers to one question under the same control and rotation.
    """
    file = _answers_file(Path(path))
    return _parsed(file, file.read_bytes())[0]


class AnswerWriter:
    """Appends answers to FOLDER/answers.jsonl, each whole at once, and knows those that are there: an interrupted run goes on.

    A cut last line is removed when the file is opened. A second run in the same folder gets a ValueError instead of mixed lines.
    """

    def __init__(self, folder: str | Path) -> None:
        self.file = Path(folder) / ANSWERS
        with ExitStack() as stack:
            stack.enter_context(only_run(self.file.parent))
            self.answers, self._stream = self._open()
            self._lock = stack.pop_all()
        self.keys: set[Key] = {answer.key for answer in self.answers}

    def _open(self) -> tuple[list[Answer], BinaryIO]:
        content = self.file.read_bytes() if self.file.exists() else b""
        answers, length = _parsed(self.file, content)
        stream = self.file.open("ab")
        stream.truncate(length)
        if length and not content[:length].endswith(b"\n"):
            stream.write(b"\n")
        return answers, stream

    def write(self, answer: Answer) -> None:
        """Adds an answer. Raises ValueError if its question was answered already."""
        if answer.key in self.keys:
            raise ValueError(f"{self.file} has {_name(answer.key)} already; each question is answered once.")
        self._stream.write(json.dumps(answer.as_json()).encode() + b"\n")
        self._stream.flush()
        self.keys.add(answer.key)
        self.answers.append(answer)

    def drop_errors(self) -> int:
        """Removes the answers whose recording could not be heard, so that they are asked again; returns how many."""
        kept = [answer for answer in self.answers if not answer.error]
        dropped = len(self.answers) - len(kept)
        if dropped:
            self._stream.close()
            write_text(self.file, "".join(json.dumps(answer.as_json()) + "\n" for answer in kept))
            self._stream = self.file.open("ab")
            self.answers, self.keys = kept, {answer.key for answer in kept}
        return dropped

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _answers_file(path: Path) -> Path:
    file = path / ANSWERS if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; give a file of answers, or the folder that `evaluate.py answers --out` wrote.")
    return file


def _parsed(file: Path, content: bytes) -> tuple[list[Answer], int]:
    """The answers in a file's bytes, and how many of these are of whole lines."""
    length = content.rfind(b"\n") + 1
    lines = content[:length].splitlines()
    if _is_json(content[length:]):  # a file made elsewhere may lack its last line break; a line that was cut is none
        lines, length = content.splitlines(), len(content)
    answers: dict[Key, Answer] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            answer = _parsed_line(file, number, line)
            if answer.key in answers:
                raise ValueError(f"{file}, line {number}, has {_name(answer.key)} a second time; keep one of the two lines.")
            answers[answer.key] = answer
    return list(answers.values()), length


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except ValueError:
        return False
    return True


def _parsed_line(file: Path, number: int, line: bytes) -> Answer:
    try:
        return Answer.from_json(parse_json(line))
    except ValueError as error:
        raise ValueError(f"{file}, line {number}, is no answer ({error}); mend or remove it.") from error


def _name(key: Key) -> str:
    return f"the answer to {quoted(key[0])} under {key[1]}, rotation {key[2]},"


def _check(values: Any) -> None:
    if not isinstance(values, dict):
        raise ValueError("it is no object")
    table = {part.name: part for part in fields(Answer)}
    required = [name for name, part in table.items() if part.default is MISSING and part.default_factory is MISSING]
    if missing := [name for name in required if name not in values]:
        raise ValueError(f"it lacks {comma_list(missing)}")
    if unknown := [name for name in values if name not in table]:
        raise ValueError(f"it has {quoted(unknown[0])}; the names are {comma_list(table)}")
    for name, value in values.items():
        if not _is_allowed(name, value):
            raise ValueError(f"{name} is {quoted(value)}; give {WORDS[name]}")
    correct, choices = values.get("correct"), values.get("choices", ())
    if correct is not None and not 0 <= correct < len(choices):
        raise ValueError(f"correct is {quoted(correct)} of {len(choices)} choices, counted from 0")


TEXTS, TABLE = "a list of texts", "an object of texts"
WORDS = {**dict.fromkeys(("id", "recording", "form", "question", "answer", "error"), "a text"), "references": TEXTS, "choices": TEXTS,
         "categories": TABLE, "control": f"one of {comma_list(CONTROLS)}", "correct": "a whole number or null",
         "rotation": "a whole number", "seconds": "a number from 0"}  # fmt: skip


def _is_allowed(name: str, value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    match WORDS[name]:
        case "a text":
            return isinstance(value, str)
        case "a list of texts":
            return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
        case "an object of texts":
            return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        case "a whole number":
            return is_whole
        case "a whole number or null":
            return is_whole or value is None
        case "a number from 0":
            return (is_whole or isinstance(value, float)) and math.isfinite(value) and value >= 0
    return value in CONTROLS
