"""Tables of benchmarks: CSV, JSON, JSON lines and parquet, each row with its number, and one sentence for what is none."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from llama.errors import InstallationError, comma_list, quoted, shorten
from llama.json_yaml import parse_json, read_json

Row = Mapping[str, Any]
CELL_LIMIT = 1 << 24  # characters of a cell; Python's own limit is shorter than some lists of tags


class RowError(ValueError):
    """A row cannot be used; the message is a phrase for "FILE, row N: ...; it is left out."."""


class Problems(list[str]):
    """Sentences on rows that were left out."""

    def add(self, file: Path, number: int, reason: object) -> None:
        self.append(f"{file.name}, row {number}: {reason}; it is left out.")


def find_table(folder: Path, *names: str) -> Path:
    """The first of the names in the folder, or in the one folder below that has it. Raises FileNotFoundError without it."""
    for name in names:
        for file in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if file.is_file():
                return file
    raise FileNotFoundError(f"There is no {' or '.join(names)} in {folder}; give the folder with the benchmark's files.")


def csv_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """(number, row) of a table with these columns among others; the first row after the names is number 1."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8, at byte {error.start}; get the file again.") from error
    csv.field_size_limit(CELL_LIMIT)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        check_columns(file, reader.fieldnames or (), columns)
        for number, row in enumerate(reader, 1):
            yield number, {name: value or "" for name, value in row.items() if isinstance(name, str)}
    except csv.Error as error:
        raise ValueError(f"{file} is not readable as CSV at line {reader.line_num} ({error}); get the file again.") from error


def check_columns(file: Path, names: Sequence[str], required: Sequence[str]) -> None:
    if missing := [name for name in required if name not in names]:
        has = shorten(comma_list(names)) or "nothing"
        raise ValueError(f"{file} lacks the column(s) {comma_list(missing)}; it has {has}; give the published file.")


def json_rows(file: Path) -> Iterator[tuple[int, Row]]:
    """(number, object) of a JSON list, or of a file with an object in each line, whatever its suffix."""
    if file.suffix.lower() != ".jsonl":
        yield from _objects(file, read_json(file, "get the file again"))
        return
    text = file.read_bytes()
    if text.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"["):  # some lists have the suffix of lines
        yield from _objects(file, read_json(file, "get the file again"))
        return
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.strip():
            try:
                value = parse_json(line)
            except ValueError as error:
                raise ValueError(f"{file}, line {number}, is not readable as JSON ({error}); get the file again.") from error
            yield number, _object(file, number, value)


def _objects(file: Path, values: Any) -> Iterator[tuple[int, Row]]:
    if not isinstance(values, list):
        raise ValueError(f"{file} is no list of questions; give the published file.")
    for number, value in enumerate(values, 1):
        yield number, _object(file, number, value)


def _object(file: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise ValueError(f"{file}, entry {number}, is no object; give the published file.")
    return value


def parquet_rows(file: Path, columns: Sequence[str], heavy: str | None = None) -> Iterator[tuple[int, Row]]:
    """(number, row) of a table. heavy: a column with files, which stays on the disk; `parquet_cell` reads one of its cells."""
    table = _open_parquet(file)
    names = table.schema_arrow.names
    check_columns(file, names, columns)
    rows = (row for batch in table.iter_batches(columns=[name for name in names if name != heavy]) for row in batch.to_pylist())
    yield from enumerate(rows, 1)


def parquet_cell(file: Path, column: str, number: int) -> Any:
    """The cell of row `number`, from 1. Its group of rows is read, and kept until another is asked for."""
    table = _open_parquet(file)
    first = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        if number - 1 < first + count:
            return _row_group(file, column, group)[number - 1 - first].as_py()
        first += count
    raise ValueError(f"{file} has no row {number}; the file has changed while it was read.")


@lru_cache(maxsize=1)
def _row_group(file: Path, column: str, group: int) -> Any:
    return _open_parquet(file).read_row_group(group, columns=[column]).column(0)


def _open_parquet(file: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise InstallationError('Parquet tables are read by pyarrow, which is not installed; run: pip install ".[train]"') from error
    try:
        return parquet.ParquetFile(file)
    except ArrowInvalid as error:
        raise ValueError(f"{file} is not readable as parquet ({shorten(error)}); get the file again.") from error


# -- cells --------------------------------------------------------------------------------------------------------------


def text_cell(row: Row, name: str) -> str:
    """A cell's text without blanks around it. Raises RowError where it is empty or no text."""
    value = row.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or value.strip().lower() == "nan":
        raise RowError(f"{name} is {quoted(value)}, where a text is due")
    return value.strip()


def optional_text(row: Row, name: str) -> str:
    """A cell's text; empty where there is none."""
    try:
        return text_cell(row, name)
    except RowError:
        return ""


def text_list(value: Any, name: str) -> list[str]:
    """A list of texts, which a table of text holds as Python writes it. Raises RowError for anything else."""
    if isinstance(value, str):
        if not value.strip() or value.strip().lower() == "nan":
            return []
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise RowError(f"{name} is {quoted(value)}, where a list is due") from error
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(text, str | int | float) for text in value):
        raise RowError(f"{name} is {quoted(value)}, where a list of texts is due")
    return [str(text).strip() for text in value]


def seconds_cell(row: Row, name: str) -> float | None:
    """A time in seconds, also written 1:05; None where the cell is empty. Raises RowError for anything else."""
    value = row.get(name)
    if value is None or value == "" or value != value:
        return None
    try:
        parts = [float(part) for part in str(value).split(":")]
    except ValueError as error:
        raise RowError(f"{name} is {quoted(value)}, where seconds are due") from error
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def choices_and_correct(choices: Sequence[str], answer: str) -> tuple[tuple[str, ...], int | None]:
    """The choices without letters before them, and the index of the right one, None for an empty answer.

    The answer may differ in case and blanks, and may be a letter alone. Raises RowError where it is no choice, or there are none.
    """
    if len(choices) < 2 or not all(choices):
        raise RowError(f"choices are {quoted(list(choices))}, where two or more texts are due")
    letters = [chr(ord("A") + index) for index in range(len(choices))]
    if all(choice.startswith((f"({letter}) ", f"{letter}. ", f"{letter}) ")) for letter, choice in zip(letters, choices, strict=True)):
        choices, answer = [choice.split(" ", 1)[1].strip() for choice in choices], re.sub(r"^\(?[A-Z][).] ", "", answer)
    plain, wanted = [_plain(choice) for choice in choices], _plain(answer)
    if wanted in plain:
        return tuple(choices), plain.index(wanted)
    if (letter := wanted.strip("(). ").upper()) in letters:
        return tuple(choices), letters.index(letter)
    if wanted:
        raise RowError(f"the answer {quoted(answer)} is none of its {len(choices)} choices")
    return tuple(choices), None


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
