"""Tables of results: every figure with its number of cases and its interval, as Markdown, JSON and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llama.evaluation.table_plot import Bar, Panel, draw
from llama.files import write_json, write_text


@dataclass(frozen=True)
class Measurement:
    """One figure. n: cases it is of; low, high: its 95 % interval, None where there is none; digits: shown after the point."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    digits: int = 3


@dataclass(frozen=True)
class Row:
    """A line of a table. A cell may be a measurement, words ("not measured"), or None."""

    label: str
    cells: Mapping[str, Measurement | str | None]


@dataclass(frozen=True)
class Table:
    """A table with its columns in order, and sentences below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)


def write_tables(folder: str | Path, name: str, tables: Sequence[Table], meta: Mapping[str, Any]) -> str:
    """Writes NAME.md, NAME.json and NAME.png into `folder`, which is made; returns the Markdown. Raises WriteError.

    meta: what the figures come from, such as versions of libraries, the model and the command; it stands in the JSON file.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(markdown, tables))
    write_text(target / f"{name}.md", text)
    write_json(target / f"{name}.json", {"tables": [table_to_json(table) for table in tables], "meta": dict(meta)})
    draw([panel for table in tables for panel in panels(table)], target / f"{name}.png")
    return text


def library_versions(*packages: str) -> dict[str, str]:
    """The installed version of each package, for `meta`; "not installed" where there is none."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


# -- Markdown ---------------------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """The table in Markdown, its title above and its notes below."""
    lines = [f"### {table.title}", "", _line(["", *table.columns]), "|---" * (len(table.columns) + 1) + "|"]
    lines += [_line([row.label, *(cell_text(row.cells.get(column)) for column in table.columns)]) for row in table.rows]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def cell_text(cell: Measurement | str | None) -> str:
    """A cell as it is read: the value, its interval and its number of cases."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if math.isnan(cell.value):
        return f"not measured (n {cell.n})"
    value, interval = f"{cell.value:.{cell.digits}f}", _interval(cell)
    spread = f"{interval[0]:.{cell.digits}f} to {interval[1]:.{cell.digits}f}, " if interval else ""
    return f"{value} ({spread}n {cell.n})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _interval(cell: Measurement) -> tuple[float, float] | None:
    if cell.low is None or cell.high is None or math.isnan(cell.low) or math.isnan(cell.high):
        return None
    return cell.low, cell.high


# -- JSON -------------------------------------------------------------------------------------------------------


def table_to_json(table: Table) -> dict[str, Any]:
    """The table as values for a JSON file; a value that is not finite becomes null."""
    rows = [{"label": row.label, "cells": {name: _cell_to_json(cell) for name, cell in row.cells.items()}} for row in table.rows]
    return {"title": table.title, "columns": list(table.columns), "rows": rows, "notes": list(table.notes)}


def table_from_json(values: Mapping[str, Any]) -> Table:
    """The table that `table_to_json` made. A value that is null becomes nan."""
    rows = [Row(row["label"], {name: _cell_from_json(cell) for name, cell in row["cells"].items()}) for row in values["rows"]]
    return Table(values["title"], tuple(values["columns"]), tuple(rows), tuple(values["notes"]))


def _cell_to_json(cell: Measurement | str | None) -> Any:
    if not isinstance(cell, Measurement):
        return cell
    return {"value": _finite(cell.value), "n": cell.n, "low": _finite(cell.low), "high": _finite(cell.high), "digits": cell.digits}


def _cell_from_json(cell: Any) -> Measurement | str | None:
    if not isinstance(cell, Mapping):
        return cell
    value = math.nan if cell["value"] is None else cell["value"]
    return Measurement(value, cell["n"], cell["low"], cell["high"], cell["digits"])


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


# -- picture ----------------------------------------------------------------------------------------------------


def panels(table: Table) -> list[Panel]:
    """A bar chart for every column that has a measurement."""
    result = []
    for column in table.columns:
        bars = [_bar(row.label, row.cells.get(column)) for row in table.rows]
        if any(bar.value is not None and not bar.is_quoted for bar in bars):
            result.append(Panel(table.title, column, bars))
    return result


def _bar(label: str, cell: Measurement | str | None) -> Bar:
    if isinstance(cell, str):
        return _bar_of_words(label, cell)
    if cell is None or not math.isfinite(cell.value):
        return Bar(label, None, text="not measured" if cell is not None else "")
    return Bar(label, cell.value, _interval(cell), f"{cell.value:.{cell.digits}f}")


def _bar_of_words(label: str, cell: str) -> Bar:
    """A pale bar of a quoted number; else the words before the colon, such as "not reported"."""
    try:
        value = float(cell)
    except ValueError:
        return Bar(label, None, text=cell.partition(":")[0])
    return Bar(label, value, text=cell, is_quoted=True) if math.isfinite(value) else Bar(label, None, text=cell)
