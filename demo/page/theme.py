"""Texts, examples, style and theme of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo.page.page_assets import page_assets

if TYPE_CHECKING:
    import gradio as gr

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "assets"

TITLE = "MuMu-LLaMA"
LEAD = "It listens to music, looks at pictures and clips, answers, and plays."
PLACEHOLDER = "Your message"
EMPTY = "Ask about music, or ask for music. Add a recording, a score, a picture or a clip, or hum into the microphone."
CONDITIONINGS = {"hidden": "what the model has in mind", "caption": "the words of its answer"}


@dataclass(frozen=True)
class Example:
    """A message that one click sends. file: a name in assets/examples, or None."""

    text: str
    file: str | None = None


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "Ask about a recording": (
        Example("Which instruments do you hear, and how fast is it?", "violin_swing.flac"),
        Example("Is this in a major or a minor key?", "flute_ballad.flac"),
    ),
    "Music from words": (
        Example("Compose a slow, sad piano piece"),
        Example("Play a fast dance with drums, in a major key"),
    ),
    "Music from a picture": (
        Example("Compose music for this picture", "calm_sea.jpg"),
        Example("Compose music for this picture", "night_party.jpg"),
    ),
    "Music from a clip": (
        Example("Compose music for this clip", "slow_sea.mp4"),
        Example("Compose music for this clip", "fast_city.mp4"),
    ),
    "Change a recording": (
        Example("Make it faster", "piano_waltz.flac"),
        Example("Replace the guitar with a flute", "guitar_rock.flac"),
    ),
}


def css() -> str:
    """All style sheets of the page for gradio, which has them in place before anything is drawn.

    gradio adds every rule twice: as it is, and with a prefix that makes it outweigh gradio's own. The prefixed rules match below
    gradio's outermost element only, so that a class that rules begin with cannot be the body's, but for "dark".
    """
    return page_assets().style()


def theme() -> gr.themes.Base:
    """gradio's default theme with system fonts only, so that the page loads nothing from other hosts."""
    import gradio as gr

    return gr.themes.Default(
        primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", radius_size="lg",
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"],
    ).set(  # gradio's own greys have too little contrast for small text (below 4.5:1)
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500", input_placeholder_color_dark="*neutral_400",
    )  # fmt: skip
