"""Report of the evaluation: tables in Markdown and the file of all figures."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llama.files import atomic_path, write_json, write_text
from recipes.nano.evaluation.figures import MUSICALITY, REMARKS, Figure, Report


def format_value(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{100 * value:.1f} %" if unit == "" else f"{value:.3g} {unit}".strip()


def markdown(report: Report) -> str:
    """A table for each kind of figure; a figure that misses its target is marked."""
    parts = []
    for table in dict.fromkeys(figure.table for figure in report.figures):
        band = "real tunes, middle 90 %" if table == MUSICALITY else "95 % interval"
        lines = [f"### {table.capitalize()}", "", f"| | | measured | target | {band} | chance | majority | cases |", "|---" * 8 + "|"]
        lines += [_line(figure) for figure in report.figures if figure.table == table]
        parts.append("\n".join(lines + (["", REMARKS[table]] if table in REMARKS else [])))
    if report.missing:
        parts.append("Not measured:\n\n" + "\n".join(f"- {line}" for line in report.missing))
    return "\n\n".join(parts) + "\n"


def _line(figure: Figure) -> str:
    unit = "x" if figure.table == MUSICALITY else figure.unit
    spread = "" if figure.low is None else f"{format_value(figure.low, unit)} to {format_value(figure.high, unit)}"
    value = format_value(figure.value, unit) + (" (missed)" if figure.reached is False else "")
    target = "" if figure.target is None else ("at most " if figure.most else "") + format_value(figure.target, unit)
    cells = (figure.what, figure.where, value, target, spread, format_value(figure.chance, unit), format_value(figure.majority, unit), str(figure.count) if figure.distinct is None else f"{figure.count} ({figure.distinct} distinct)")
    return "| " + " | ".join(cell.replace(" x", "") if unit == "x" else cell for cell in cells) + " |"


def write(report: Report, out: Path) -> None:
    """probes.json, probes.md and probes.png, each moved into place when whole."""
    from recipes.nano.evaluation.probes_plot import draw

    out.mkdir(parents=True, exist_ok=True)
    rows = [{**{name: _json_value(value) for name, value in asdict(figure).items()}, "reached": figure.reached} for figure in report.figures]
    write_json(out / "probes.json", {"figures": rows, "missing": report.missing, "seconds": report.seconds})
    write_text(out / "probes.md", markdown(report))
    with atomic_path(out / "probes.png") as draft:
        draw(report.figures, draft)


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
