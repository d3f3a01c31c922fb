"""Bar charts of tables: one panel for a column, a bar with its interval for every row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llama.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3  # panels beside one another
COLOUR = "#5b2a86"
LABEL_WIDTH, TITLE_WIDTH = 28, 44  # characters of a line
MAX_INCHES = 200  # of height, so that hundreds of panels cannot exceed what a picture may have


@dataclass(frozen=True)
class Bar:
    """value: None where nothing was measured; text: at the end of the bar; is_quoted: of a value that was not measured here, drawn pale."""

    label: str
    value: float | None
    interval: tuple[float, float] | None = None
    text: str = ""
    is_quoted: bool = False


@dataclass(frozen=True)
class Panel:
    """The bars of one column of a table."""

    title: str
    column: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel], path: str | Path) -> None:
    """Writes a PNG file of the panels atomically; without any it says that nothing was measured."""
    with atomic_path(path) as partial:
        figure_of(panels).savefig(partial, format="png", dpi=100)


def figure_of(panels: Sequence[Panel]) -> Figure:
    """The figure of the panels. Does not use pyplot, so it works in any thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(ACROSS, max(1, len(panels)))
    lines = [panels[start : start + across] for start in range(0, len(panels), across)]
    heights = [1.1 + 0.36 * max(len(panel.bars) for panel in line) for line in lines]
    figure = Figure(figsize=(5.2 * across, min(MAX_INCHES, sum(heights) or 1.5)), layout="constrained")
    FigureCanvasAgg(figure)
    if not panels:
        figure.text(0.5, 0.5, "Nothing was measured.", ha="center", va="center")
        return figure
    grid = figure.subplots(len(lines), across, squeeze=False, height_ratios=heights)
    for index, axes in enumerate(grid.flat):
        if index < len(panels):
            _draw_panel(axes, panels[index])
        else:
            axes.set_visible(False)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    places = range(len(panel.bars))
    for place, bar in zip(places, panel.bars, strict=True):
        _draw_bar(axes, place, bar)
    labels = [textwrap.fill(_plain(bar.label), LABEL_WIDTH, max_lines=2, placeholder="...") for bar in panel.bars]
    axes.set_yticks(list(places), labels, fontsize=8)
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.25)
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="x", labelsize=8)
    title = textwrap.fill(_plain(panel.title), TITLE_WIDTH, max_lines=2, placeholder="...")
    axes.set_title(f"{title}\n{textwrap.fill(_plain(panel.column), TITLE_WIDTH)}", fontsize=9)


def _draw_bar(axes: Axes, place: int, bar: Bar) -> None:
    value = 0.0 if bar.value is None else bar.value
    low, high = bar.interval or (value, value)
    axes.barh(place, value, height=0.6, color=COLOUR, alpha=0.3 if bar.is_quoted else 0.75)
    if bar.interval:
        axes.hlines(place, low, high, color="black", linewidth=1.2)
        axes.vlines((low, high), place - 0.15, place + 0.15, color="black", linewidth=1.2)
    end = min(value, low) if value < 0 else max(value, high)
    offset, side = ((-4, "right") if value < 0 else (4, "left"))
    axes.annotate(_plain(bar.text), (end, place), (offset, 0), textcoords="offset points", va="center", ha=side, fontsize=8)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar would begin a formula
