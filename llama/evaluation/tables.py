"""Tables of results: every figure with its number of cases and its interval, as Markdown, JSON and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


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
