"""Report of the evaluation: tables in Markdown and the file of all figures."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recipes.nano.evaluation.figures import MUSIC, REMARKS, Figure, Report


def shown(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{100 * value:.1f} %" if unit == "" else f"{value:.3g} {unit}".strip()


def markdown(report: Report) -> str:
    """A table for each kind of figure; a figure that misses its target is marked."""
    parts = []
    for table in dict.fromkeys(one.table for one in report.figures):
        band = "real tunes, middle 90 %" if table == MUSIC else "95 % interval"
        lines = [f"### {table.capitalize()}", "", f"| | | measured | target | {band} | chance | majority | cases |", "|---" * 8 + "|"]
        lines += [_line(one) for one in report.figures if one.table == table]
        parts.append("\n".join(lines + (["", REMARKS[table]] if table in REMARKS else [])))
    if report.missing:
        parts.append("Not measured:\n\n" + "\n".join(f"- {line}" for line in report.missing))
    return "\n\n".join(parts) + "\n"


def _line(one: Figure) -> str:
    unit = "x" if one.table == MUSIC else one.unit
    spread = "" if one.low is None else f"{shown(one.low, unit)} to {shown(one.high, unit)}"
    value = shown(one.value, unit) + (" (missed)" if one.reached is False else "")
    target = "" if one.target is None else ("at most " if one.most else "") + shown(one.target, unit)
    cells = (one.what, one.where, value, target, spread, shown(one.chance, unit), shown(one.majority, unit), str(one.count) if one.distinct is None else f"{one.count} ({one.distinct} distinct)")
    return "| " + " | ".join(cell.replace(" x", "") if unit == "x" else cell for cell in cells) + " |"


def write(report: Report, out: Path) -> None:
    """probes.json, probes.md and probes.png, each moved into place when whole."""
    from recipes.nano.evaluation.probes_plot import draw

    out.mkdir(parents=True, exist_ok=True)
    rows = [{**{name: _plain(value) for name, value in asdict(one).items()}, "reached": one.reached} for one in report.figures]
    text = json.dumps({"figures": rows, "missing": report.missing, "seconds": report.seconds}, indent=1)
    _place(out / "probes.json", lambda draft: draft.write_text(text + "\n", encoding="utf-8"))
    _place(out / "probes.md", lambda draft: draft.write_text(markdown(report), encoding="utf-8"))
    _place(out / "probes.png", lambda draft: draw(report.figures, draft))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _place(path: Path, fill: Callable[[Path], Any]) -> None:
    draft = path.with_name(f".{path.name}.partial")
    fill(draft)
    os.replace(draft, path)
