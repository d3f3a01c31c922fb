"""The gradio controls of the form of an edit (`demo.page.edit_form`), below the other settings."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.page.edit_form import AS_IT_IS, ATTRIBUTES, PARTS, choices
from llama.media.edit import KEEPABLE
from llama.media.score import TEMPO_RANGE

MAX_ORDER = 2000  # characters
BUTTON = "Change the last piece"


def edit_controls(notes: bool) -> tuple[list[Any], Any]:
    """The controls in the order of the fields of `EditForm`, and the button that sends them.

    notes: whether the decoder edits notes; one of sound continues recordings, and changes them more or less.
    """
    with gr.Accordion("Change a piece", open=False, elem_id="edit"):
        with gr.Row():
            tempo = _number("Tempo", "{} to {} bpm".format(*TEMPO_RANGE), notes)
            lists = {name: _list(name, label, notes) for name, label in ATTRIBUTES.items()}
        transpose = gr.Slider(-12, 12, 0, step=1, label="Semitones up or down", visible=notes)
        without = gr.CheckboxGroup(list(PARTS), label="Take out", visible=notes)
        with gr.Accordion("Compose anew", open=False, visible=notes, elem_classes="inner"):
            parts = gr.CheckboxGroup(list(PARTS), label="Compose these anew")
            with gr.Row():
                first, last = _number("From bar", "All if 0"), _number("To bar", "Chords stay")
            keep = gr.CheckboxGroup(list(KEEPABLE), label="Keep only", info="All else is composed anew")
        with gr.Accordion("Longer, shorter, a part of it", open=False, visible=notes, elem_classes="inner"):
            with gr.Row():
                bar_count, seconds = _number("Length in bars"), _number("Length in seconds")
            with gr.Row():
                first_kept, last_kept = _number("Only from bar", "All if 0"), _number("To bar", "And the ending")
            order = gr.Textbox(label="Bars in this order", placeholder="1-4, 1-4, 9-12", info="Repeat, leave out, swap; then the ending",
                               max_lines=1, max_length=MAX_ORDER)  # fmt: skip
            fade_out = _number("Fade out over seconds")
        with gr.Accordion("Louder, softer", open=False, visible=notes, elem_classes="inner"):
            levels = [gr.Slider(-12, 12, 0, step=1, label=f"{name.capitalize()}, dB louder or softer") for name in PARTS]
        continuation = gr.Slider(0, 60, 0, step=1, label="Go on for seconds")
        amount = gr.Slider(0, 1, 0, step=0.05, label="How far from the recording", info="0 leaves it to the model", visible=not notes)
        button = gr.Button(BUTTON, size="sm", variant="secondary", elem_id="change")
    return [tempo, *lists.values(), transpose, without, parts, first, last, keep, bar_count, continuation, amount,
            seconds, first_kept, last_kept, fade_out, order, *levels], button


def _number(label: str, info: str | None = None, visible: bool = True) -> Any:
    """A whole number, 0 where nothing is to change: browsers show it for an empty field."""
    return gr.Number(0, precision=0, minimum=0, label=label, info=info, visible=visible, min_width=120)


def _list(name: str, label: str, visible: bool) -> Any:
    return gr.Dropdown(choices(name), value=AS_IT_IS, label=label, visible=visible, filterable=False, min_width=120)
