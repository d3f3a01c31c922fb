"""Canvas for pictures of sound: rectangles, gradients and text on a transparent background, saved as a palette PNG.

Every pixel holds a palette index, so a plot of 960 pixels takes a few kilobytes and a few milliseconds. It is drawn at
twice its usual width, so that it is sharp on high-density screens and its text is legible on a phone.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, LEFT, RIGHT = 960, 104, 14  # points
PLOT = WIDTH - LEFT - RIGHT
AXIS = 40  # points below the plot, for the times
FONT = 25  # points
INK = {False: (51, 65, 85), True: (203, 213, 225)}  # dark: colour of words; the greys of the page
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds between the times of the axis
MOST_TIMES = 7
EDGES = 15  # shades from nothing to ink, for the edges of letters

Colour = tuple[int, int, int]


class Canvas:
    """Image of `height` rows; the plot has PLOT columns from column `LEFT` on, with text in the margins."""

    def __init__(self, height: int, dark: bool) -> None:
        self.points = np.zeros((height, WIDTH), np.uint8)  # 0: nothing
        self._colours: list[tuple[int, ...]] = [(*INK[dark], round(255 * shade / EDGES)) for shade in range(EDGES + 1)]
        self._letters = Image.new("L", (WIDTH, height))
        self._pen = ImageDraw.Draw(self._letters)
        self.line = self.colour(INK[dark], 115)

    def colour(self, colour: Colour, alpha: int = 255) -> int:
        """Adds a colour to the palette and returns its index."""
        self._colours.append((*colour, alpha))
        return len(self._colours) - 1

    def ramp(self, anchors: Sequence[Colour], count: int) -> int:
        """Adds `count` colours interpolated along the anchors and returns the index of the first."""
        first, positions = len(self._colours), np.linspace(0, len(anchors) - 1, count)
        channels = [np.interp(positions, range(len(anchors)), channel) for channel in zip(*anchors, strict=True)]
        self._colours += [(*(round(float(value)) for value in colour), 255) for colour in zip(*channels, strict=True)]
        return first

    def fill(self, left: float, top: float, right: float, bottom: float, colour: int) -> None:
        """Fills a rectangle, at least one pixel wide and high, clipped to the plot."""
        x, y = max(LEFT, round(left)), max(0, round(top))
        self.points[y : max(y + 1, round(bottom)), x : min(max(x + 1, round(right)), WIDTH - RIGHT)] = colour

    def write(self, x: float, y: float, words: str, anchor: str = "mm", size: int = FONT) -> float:
        """Draws text at (x, y) with one of PIL's anchors and returns the column where it ends."""
        self._pen.text((x, y), words, fill=255, font=font(size), anchor=anchor)
        return self._pen.textbbox((x, y), words, font=font(size), anchor=anchor)[2]

    def times(self, seconds: float, bottom: int) -> None:
        """Draws the time axis below a plot that ends at row `bottom`."""
        step = next((step for step in STEPS if seconds / step <= MOST_TIMES), STEPS[-1])
        for index in range(int(seconds / step + 1e-6) + 1):
            x = LEFT + index * step / seconds * PLOT
            self.fill(x - 1, bottom, x + 1, bottom + 7, self.line)
            words = f"{index * step:g} s"
            half = font(FONT).getlength(words) / 2
            self.write(min(x, WIDTH - half - 1), bottom + 24, words)

    def png(self) -> bytes:
        edges = np.asarray(self._letters).astype(np.uint16) * EDGES // 255
        points = np.where((self.points == 0) & (edges > 0), edges, self.points).astype(np.uint8)
        picture = Image.fromarray(points, "P")
        picture.putpalette([part for colour in self._colours for part in colour[:3]])
        out = io.BytesIO()
        picture.save(out, "PNG", transparency=bytes(colour[3] for colour in self._colours), compress_level=9)
        return out.getvalue()


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans from matplotlib, which has the signs for sharp and flat."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)
