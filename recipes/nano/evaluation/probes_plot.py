"""Plot of the probes: bars with confidence intervals, target, chance and majority baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.nano.evaluation.figures import FOLLOWING, HEARING, NEW_WORDING, TYPED, Figure

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
    rows = [len(panel_figures) + 2.2 for _, panel_figures in panels] or [2.0]
    canvas = Canvas(figsize=(9, ROW * sum(rows) + 0.9), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    for axis, (title, panel_figures) in zip(axes, panels, strict=False):
        _panel(axis, title, panel_figures)
    canvas.suptitle("Held-out probes: bar reached, | target, x chance, o commonest answer, line 95 % interval", fontsize=9, color=INK)
    canvas.savefig(path, dpi=80, format="png")


def _panels(figures: Sequence[Figure]) -> list[tuple[str, list[Figure]]]:
    shares = [figure for figure in figures if figure.unit == "" and figure.value == figure.value]
    understanding = [figure for figure in shares if figure.table == HEARING]
    columns = {where: [figure for figure in understanding if figure.where == where] for where in dict.fromkeys(figure.where for figure in understanding)}
    panels = [(f"{HEARING}: {where}", rows) for where, rows in columns.items() if len(rows) > 1]
    single = [dataclasses.replace(figure, what=f"{figure.what}: {figure.where}") for rows in columns.values() if len(rows) == 1 for figure in rows]
    return [*panels, (f"{HEARING}: what is no music", single), *((table, [figure for figure in shares if figure.table == table]) for table in (FOLLOWING, NEW_WORDING, TYPED))]


def _panel(axis: Axes, title: str, figures: Sequence[Figure]) -> None:
    positions = list(range(len(figures)))[::-1]
    for y, figure in zip(positions, figures, strict=True):
        axis.barh(y, figure.value, height=0.62, color=BARS[figure.reached])
        if figure.low is not None and figure.high is not None:
            axis.plot((figure.low, figure.high), (y, y), color=INK, linewidth=1)
        if figure.target is not None:
            axis.plot((figure.target, figure.target), (y - 0.42, y + 0.42), color=INK, linewidth=2)
        for value, mark in ((figure.chance, "x"), (figure.majority, "o")):
            if value is not None:
                axis.plot(value, y, mark, color=GUESS, markeredgecolor=INK, markersize=4)
        axis.text(1.01, y, f"{100 * figure.value:.0f} % of {figure.count}", va="center", fontsize=7, color=INK)
    axis.set_yticks(positions, [figure.what if figure.table == HEARING else f"{figure.what} ({figure.where})" for figure in figures], fontsize=7)
    axis.set_xlim(0, 1)
    axis.set_title(title, fontsize=8, loc="left", color=INK)
    axis.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
