"""Draws assets/architecture.png, the diagram in README.md:  python assets/draw_architecture.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, PALE, FROZEN, EDGE = "#1e293b", "#f8fafc", "#e2e8f0", "#94a3b8"
AUDIO, IMAGE, VIDEO, WORDS, MUSIC = "#4f46e5", "#059669", "#d97706", "#475569", "#be185d"
ROWS = (("video", "a clip", "ViViT", VIDEO, 4.4), ("image", "a picture", "ViT", IMAGE, 2.9), ("audio", "a recording", "MERT", AUDIO, 1.4))
BOX, GAP = 0.92, 0.08


def box(axes: Axes, x: float, y: float, width: float, height: float, text: str, fill: str, ink: str = INK, size: float = 11) -> None:
    """A rounded box centred on (x, y)."""
    shape = FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.12",
                           facecolor=fill, edgecolor=EDGE if fill in (PALE, FROZEN) else fill, linewidth=1.1)
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=size, linespacing=1.35)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = EDGE, bend: float = 0.0) -> None:
    style = f"arc3,rad={bend}"
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=colour, linewidth=1.6, connectionstyle=style))


def modality(axes: Axes, label: str, encoder: str, colour: str, y: float) -> None:
    """One modality: input -> frozen encoder -> trained adapter -> its layers of LLaMA."""
    box(axes, 1.0, y, 1.6, BOX, label, PALE)
    box(axes, 3.15, y, 1.5, BOX, encoder, FROZEN)
    box(axes, 5.35, y, 1.7, BOX, "adapter", colour, "white")
    arrow(axes, (1.8 + GAP, y), (2.4 - GAP, y))
    arrow(axes, (3.9 + GAP, y), (4.5 - GAP, y))
    arrow(axes, (6.2 + GAP, y), (7.2 - GAP, y), colour)


def llama(axes: Axes) -> None:
    """LLaMA: plain layers below, a group of layers for each modality above."""
    axes.add_patch(FancyBboxPatch((7.05, -1.05), 3.0, 6.5, boxstyle="round,pad=0,rounding_size=0.15", facecolor=PALE, edgecolor=EDGE))
    for name, _, _, colour, y in ROWS:
        for layer in (-0.36, 0.0, 0.36):
            box(axes, 8.55, y + layer, 2.6, 0.28, "", colour)
        axes.text(8.55, y, f"{name} band", ha="center", va="center", color="white", fontsize=9.5)
    for y in (-0.36, 0.0, 0.36):
        box(axes, 8.55, y, 2.6, 0.28, "", FROZEN)
    axes.text(8.55, 0.0, "plain layers", ha="center", va="center", color=INK, fontsize=9.5)
    trained = "frozen; LoRA, biases\nand gates are trained"
    axes.text(8.55, -0.77, trained, ha="center", va="center", color=WORDS, fontsize=8.5, linespacing=1.3)
    axes.text(8.55, 5.18, "LLaMA", ha="center", va="center", color=INK, fontsize=12.5, fontweight="bold")


def outputs(axes: Axes) -> None:
    """The outputs: text, and eight audio tokens that condition the music decoder."""
    box(axes, 11.75, 4.4, 1.9, BOX, "words", WORDS, "white")
    box(axes, 11.75, 2.9, 1.9, BOX, "hidden states of\n8 audio tokens", MUSIC, "white", 9.5)
    box(axes, 11.75, 1.4, 1.9, BOX, "projector", MUSIC, "white")
    box(axes, 14.2, 1.4, 1.9, 1.15, "MusicGen or\nAudioLDM2", FROZEN)
    box(axes, 14.2, 2.9, 1.9, BOX, "music", PALE)
    arrow(axes, (10.05 + GAP, 4.4), (10.8 - GAP, 4.4), WORDS)
    arrow(axes, (10.05 + GAP, 2.9), (10.8 - GAP, 2.9), MUSIC)
    arrow(axes, (11.75, 2.44 - GAP), (11.75, 1.86 + GAP), MUSIC)
    arrow(axes, (12.7 + GAP, 1.4), (13.25 - GAP, 1.4), MUSIC)
    arrow(axes, (14.2, 1.98 + GAP), (14.2, 2.44 - GAP))


def legend(axes: Axes) -> None:
    for x, fill, text in ((10.95, FROZEN, "frozen"), (12.35, AUDIO, "trained"), (13.85, PALE, "in and out")):
        box(axes, x, -0.2, 0.36, 0.28, "", fill)
        axes.text(x + 0.28, -0.2, text, ha="left", va="center", color=INK, fontsize=9.5)


def draw(path: Path) -> None:
    figure, axes = plt.subplots(figsize=(15.4, 6.6), dpi=110)
    axes.set(xlim=(0, 15.4), ylim=(-1.2, 5.6), aspect="equal")
    axes.axis("off")
    for _, label, encoder, colour, y in ROWS:
        modality(axes, label, encoder, colour, y)
    box(axes, 1.0, 0.0, 1.6, BOX, "a request", PALE)
    arrow(axes, (1.8 + GAP, 0.0), (7.2 - GAP, 0.0), WORDS)
    axes.text(4.5, 0.16, "tokens", ha="center", va="bottom", color=WORDS, fontsize=9.5)
    llama(axes)
    outputs(axes)
    legend(axes)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15, facecolor="white", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).with_name("architecture.png"))
