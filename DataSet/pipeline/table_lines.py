"""Lines of tables in csv, JSON and JSON lines, each with what is wrong with it: a damaged line does not stop the others."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from llama.errors import PATH_LENGTH, quoted, shorten
from llama.json_yaml import parse_json

LONGEST_CELL = 1 << 20  # characters
Cells = Mapping[str, str]


@dataclass(frozen=True)
class TableLine:
    """A row of a table: its number, and its cells by column; or why it has none."""

    number: int
    cells: Cells
    fault: str = ""


def table_text(path: Path) -> str:
    """The table's text without a byte order mark; bytes that are no UTF-8 become surrogates, which `_row` rejects."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no table {shorten(path, PATH_LENGTH)}; check its name.")
    return path.read_text(encoding="utf-8-sig", errors="surrogateescape")


def csv_lines(path: Path, columns: tuple[str, ...] = ()) -> Iterator[TableLine]:
    """Rows of a csv file. columns: where the file has no row of names; it may then have comment lines, one of which names them.

    Raises ValueError for a file whose columns are not named.
    """
    lines, one_line_each = StringIO(table_text(path), newline="").readlines(), bool(columns)
    comments = 0
    while comments < len(lines) and lines[comments].lstrip().startswith("#"):
        names = _names(lines[comments].lstrip("# "))
        columns = names if columns and columns[0] in names else columns
        comments += 1
    first = _names(lines[comments]) if comments < len(lines) else ()
    if not columns or columns[0] in first:
        columns, comments = first, comments + 1
    if not columns or len(columns) < 2:
        raise ValueError(f"{path.name} names no columns; give a csv file with a first line of names.")
    csv.field_size_limit(LONGEST_CELL)
    if one_line_each:  # a quote that is not closed must not take the lines after it
        for number, line in enumerate(lines[comments:], comments):
            yield from _records([line], number, columns)
    else:
        yield from _records(lines[comments:], comments, columns)


def _names(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), []))


def _records(lines: list[str], start: int, columns: tuple[str, ...]) -> Iterator[TableLine]:
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    while True:
        number = start + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield TableLine(number, {}, f"It is not readable as csv ({error}); mend its quotes.")
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            fault = f"It has {len(cells)} columns instead of {len(columns)}; put text with commas in quotes."
            yield TableLine(number, dict(zip(columns, cells, strict=False)), "" if len(cells) == len(columns) else fault)


def metadata_lines(path: Path) -> Iterator[TableLine]:
    if path.suffix.lower() == ".csv":
        yield from csv_lines(path)
        return
    text = table_text(path)
    if path.suffix.lower() == ".jsonl":
        yield from (json_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
        return
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path.name} is not readable as JSON ({error}); mend it there.") from error
    entries = [{"file": name, **entry} if isinstance(entry, dict) else entry for name, entry in value.items()] if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise ValueError(f"{path.name} holds no list; give a list of loops, or names with their values.")
    yield from (_object_line(number, entry) for number, entry in enumerate(entries, 1))


def json_line(number: int, text: str) -> TableLine:
    try:
        return _object_line(number, parse_json(text))
    except ValueError as error:
        return TableLine(number, {}, f"It is not readable as JSON ({error}); mend it.")


def _object_line(number: int, value: Any) -> TableLine:
    if not isinstance(value, dict):
        return TableLine(number, {}, f"It is {quoted(value)}, no object with names; write it as {{\"id\": ...}}.")
    return TableLine(number, {str(name): _flat(entry) for name, entry in value.items()})


def _flat(value: Any) -> str:
    """A cell of text, as csv has it: lists and objects as JSON."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
