"""Plot of the probes: bars with confidence intervals, target, chance and majority baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.nano.evaluation.figures import FOLLOWING, HEARING, NEW_WORDING, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GOOD, SHORT, GUESS = "#222222", "#2a9d6f", "#d1603d", "#b4bcc4"
BARS = {True: GOOD, False: SHORT, None: GUESS}  # reached, missed, no target
ROW = 0.27  # inches


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Writes a PNG of all shares, with a panel for each table and column."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    panels = [(title, rows) for title, rows in _panels(figures) if rows]
    rows = [len(found) + 2.2 for _, found in panels] or [2.0]
    canvas = Canvas(figsize=(9, ROW * sum(rows) + 0.9), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    for axis, (title, found) in zip(axes, panels, strict=False):
        _panel(axis, title, found)
    canvas.suptitle("Held-out probes: bar reached, | target, x chance, o commonest answer, line 95 % interval", fontsize=9, color=INK)
    canvas.savefig(path, dpi=80, format="png")


def _panels(figures: Sequence[Figure]) -> list[tuple[str, list[Figure]]]:
    shares = [one for one in figures if one.unit == "" and one.value == one.value]
    heard = [one for one in shares if one.table == HEARING]
    columns = {where: [one for one in heard if one.where == where] for where in dict.fromkeys(one.where for one in heard)}
    panels = [(f"{HEARING}: {where}", rows) for where, rows in columns.items() if len(rows) > 1]
    single = [dataclasses.replace(one, what=f"{one.what}: {one.where}") for rows in columns.values() if len(rows) == 1 for one in rows]
    return [*panels, (f"{HEARING}: what is no music", single), *((table, [one for one in shares if one.table == table]) for table in (FOLLOWING, NEW_WORDING))]


def _panel(axis: Axes, title: str, figures: Sequence[Figure]) -> None:
    places = list(range(len(figures)))[::-1]
    for place, one in zip(places, figures, strict=True):
        axis.barh(place, one.value, height=0.62, color=BARS[one.reached])
        if one.low is not None and one.high is not None:
            axis.plot((one.low, one.high), (place, place), color=INK, linewidth=1)
        if one.target is not None:
            axis.plot((one.target, one.target), (place - 0.42, place + 0.42), color=INK, linewidth=2)
        for value, mark in ((one.chance, "x"), (one.majority, "o")):
            if value is not None:
                axis.plot(value, place, mark, color=GUESS, markeredgecolor=INK, markersize=4)
        axis.text(1.01, place, f"{100 * one.value:.0f} % of {one.count}", va="center", fontsize=7, color=INK)
    axis.set_yticks(places, [one.what if one.table == HEARING else f"{one.what} ({one.where})" for one in figures], fontsize=7)
    axis.set_xlim(0, 1)
    axis.set_title(title, fontsize=8, loc="left", color=INK)
    axis.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
