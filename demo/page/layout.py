"""Layout of the page and wiring of its controls: the gradio side of `demo.page.controller`.

gradio has the input, the settings and the examples. Its handlers hand a message over and return at once; the conversation comes
over `demo.server.page_events` and is drawn by the modules in js/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr  # here, not in the functions: gradio finds the types of a handler's parameters by this name

from demo.page.client_endpoint import respond
from demo.page.controller import Page, settings_of
from demo.page.edit_controls import edit_controls
from demo.page.edit_form import EMPTY_FORM, EditForm
from demo.page.page_html import (
    call_script,
    dock_html,
    examples_html,
    foot_html,
    header_html,
    log_html,
    settings_head,
    start_script,
)
from demo.page.theme import CONDITIONINGS, PLACEHOLDER, TITLE
from demo.service.request import MAX_PAGE_TAKES, MAX_TEXT
from demo.service.service import EMPTY_REQUEST
from llama.media.edit import Edit
from llama.media.score_file import SCORE_SUFFIXES

SLIDER_SECONDS = 120  # on the slider; the API accepts more
FIELD_NAMES = (  # of the settings, in the order of the parameters of `settings_of`
    "seconds", "fit", "takes", "seed", "new_seed", "guidance", "temperature", "top_p", "conditioning", "max_tokens", "bar_count",
)  # fmt: skip
UNSET = {"guidance": 0, "bar_count": 0}  # fields that show None as 0

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class About:
    """What the foot and the settings show of the model. captions: whether its decoder can be conditioned on the answer's text.

    notes: whether its decoder edits notes; another one changes recordings, more or less.
    """

    model: str
    device: str
    captions: bool = False
    notes: bool = True


def build(page: Page, about: About, read_edit: Callable[[object], Edit] | None = None) -> gr.Blocks:
    """The page as `gr.Blocks`. `demo.server.app` serves it together with its routes.

    read_edit: reads the edit that a program gives to the client endpoint; raises ValueError (None: it takes none).

    It has no `gr.State` and no handler for its end: gradio would hold a connection open for them, and end the conversation with it.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(300, 3600)) as blocks:
        gr.HTML(header_html(), apply_default_css=False, js_on_load=None, elem_id="header")
        with gr.Column(elem_id="talk"):
            log = gr.HTML("", html_template=log_html(), js_on_load=start_script(), apply_default_css=False, elem_id="log")
            examples = gr.HTML(examples_html(about.notes), js_on_load=EXAMPLE_CLICK, apply_default_css=False, elem_id="examples")
            gr.HTML(foot_html(about.model, about.device), apply_default_css=False, js_on_load=None, elem_id="foot")
        with gr.Column(elem_id="dock"):
            gr.HTML(dock_html(), apply_default_css=False, js_on_load=None, elem_id="dock-top")
            box = gr.MultimodalTextbox(
                placeholder=PLACEHOLDER, label="Your message", show_label=False, sources=["upload", "microphone"],
                file_count="multiple", file_types=["audio", "image", "video", *SCORE_SUFFIXES], lines=1, max_lines=6,
                max_plain_text_length=MAX_TEXT, submit_btn="Send", stop_btn="Stop", elem_id="box",
            )  # fmt: skip
        with gr.Column(elem_id="settings"):
            gr.HTML(settings_head(), apply_default_css=False, js_on_load=None, elem_id="settings-head")
            fields = _settings(about)
            form, change = edit_controls(about.notes)
        _connect_events(page, log, box, examples, fields, form, change)
        _client_endpoint(page, read_edit)
    blocks.queue(default_concurrency_limit=None, max_size=None)
    return blocks


@contextmanager
def _refusals() -> Iterator[None]:
    """A mistake of the user's becomes a note and fails the call: the message stays in the input, since only a success empties it."""
    try:
        yield
    except ValueError as error:
        gr.Warning(escape(str(error)))
        raise gr.Error(str(error), visible=False, print_exception=False) from error


def _connect_events(page: Page, log: Any, box: Any, examples: Any, fields: list[Any], form: list[Any], change: Any) -> None:
    """Connects the controls to the controller. The conversation's value is the token of its session.

    outbox.js sends one message at a time and empties the input once the server has taken what was in it.
    """

    def submit(token: str, message: dict[str, Any] | None, *values: Any) -> str:
        text, files = _content(message)
        with _refusals():
            if not text.strip() and not files:  # an empty message is not added to the conversation
                raise ValueError(EMPTY_REQUEST)
            return page.submit(token, text, page.uploaded_paths(files), settings_of(*values))

    def submit_change(token: str, message: dict[str, Any] | None, *values: Any) -> str:
        text, files = _content(message)
        *entries, piece = values  # the piece whose card opened the form; empty for the last one
        with _refusals():
            settings, edit = settings_of(*entries[: len(fields)]), EditForm.of(entries[len(fields) :]).edit()
            if piece:
                page.edit(token, piece, edit)
                return token
            return page.submit(token, text, page.uploaded_paths(files), replace(settings, edit=edit, bar_count=None))

    def submit_example(token: str, event: gr.EventData, *values: Any) -> str:
        with _refusals():
            return page.submit_example(token, int(event.number), settings_of(*values))

    def reuse(event: gr.EventData) -> list[Any]:
        """The fields with the settings of an earlier piece, as `PieceActions.reuse` gives them."""
        values = {name: getattr(event, name, None) for name in FIELD_NAMES}
        return [UNSET.get(name, gr.skip()) if values[name] is None else gr.update(value=values[name]) for name in FIELD_NAMES]

    def connect(listen: Callable[..., Any], handler: Callable[..., str], inputs: list[Any], *, message: bool, outgoing: str = "") -> Any:
        outgoing = outgoing or call_script("outbox.js", f"outgoing(values, {str(message).lower()})")
        event = listen(handler, inputs, log, js=outgoing, trigger_mode="multiple", **PRIVATE)
        emptied = [box] if message else []
        event.success(None, [log, *emptied], emptied, js=call_script("outbox.js", "taken(...values)"), **PRIVATE)
        event.failure(None, None, None, js=call_script("outbox.js", "refused()"), **PRIVATE)
        return event

    connect(box.submit, submit, [log, box, *fields], message=True)
    target = gr.Textbox(visible=False)
    aimed = call_script("edit_target.js", "outgoingChange(values)")
    changed = connect(change.click, submit_change, [log, box, *fields, *form, target], message=True, outgoing=aimed)
    changed.success(None, None, form, js=call_script("edit_target.js", f"emptied({json.dumps(EMPTY_FORM)})"), **PRIVATE)
    connect(examples.example, submit_example, [log, *fields], message=False)
    box.stop(None, None, None, js=call_script("connection.js", "act('stop')"), **PRIVATE)
    log.reuse(reuse, None, fields, **PRIVATE)


def _content(message: dict[str, Any] | None) -> tuple[str, list[Any]]:
    return (message or {}).get("text") or "", (message or {}).get("files") or []


def _settings(about: About) -> list[Any]:
    """The fields of the settings, in the order of the parameters of `settings_of`."""
    from llama.generation import GenerationOptions

    defaults = GenerationOptions()

    with gr.Accordion("The piece", open=True):
        seconds = gr.Slider(1, SLIDER_SECONDS, defaults.seconds, step=0.5, label="Length in seconds")
        bars = gr.Number(0, precision=0, minimum=0, label="Length in bars", info="0 takes the seconds", visible=about.notes)
        fit = gr.Checkbox(True, label="For a clip: as long as the clip")
        takes = gr.Slider(1, MAX_PAGE_TAKES, 1, step=1, label="Takes", info="Several versions, side by side")
        new_seed = gr.Checkbox(True, label="A new seed each time", info="The seed of each piece is shown with it")
        seed = gr.Number(defaults.seed, precision=0, minimum=0, label="Seed", info="Used when that is off")
    with gr.Accordion("How it plays and speaks", open=False):
        guidance = gr.Slider(0, 10, 0, step=0.25, label="How closely the music follows", info="0 leaves it to the model (guidance)")
        temperature = gr.Slider(
            0, 2, defaults.temperature, step=0.05, label="How adventurous", info="0 takes the likeliest word (temperature)"
        )
        top_p = gr.Slider(0, 1, defaults.top_p, step=0.05, label="How wide the choice of words", info="Only when adventurous (top-p)")
        choices = [(label, name) for name, label in CONDITIONINGS.items() if name == "hidden" or about.captions]
        conditioning = gr.Radio(choices, value=defaults.conditioning, label="What drives the music", visible=about.captions)
        tokens = gr.Slider(
            1, 1024, defaults.max_tokens, step=1, label="Longest answer", info="In tokens, about three quarters of a word each"
        )
    return [seconds, fit, takes, seed, new_seed, guidance, temperature, top_p, conditioning, tokens, bars]


def _client_endpoint(page: Page, read_edit: Callable[[object], Edit] | None) -> None:
    """The stateless endpoint for `gradio_client`, on hidden controls: files in, text and files out."""

    def ask(
        text: str = "", audio: str | None = None, image: str | None = None, video: str | None = None, seconds: float = 10, seed: int = 0,
        score: str | None = None, edit: Any = None,
    ) -> Iterator[Any]:  # the names and defaults are part of the public API: clients pass keyword arguments
        yield from respond(page, text, audio, image, video, seconds, seed, score, edit, read_edit=read_edit)

    with gr.Column(visible=False):
        text: Any = gr.Textbox(label="text")
        media = [gr.File(label=name) for name in ("audio", "image", "video")]
        seconds, seed = gr.Number(10, label="seconds"), gr.Number(0, precision=0, label="seed")
        notes = [gr.File(label="score"), gr.JSON(label="edit")]
        answer, wav, midi = gr.Textbox(label="answer"), gr.File(label="wav"), gr.File(label="midi")
        gr.Button().click(ask, [text, *media, seconds, seed, *notes], [answer, wav, midi],
                          api_name="respond", api_description="Words, and the music where there is some: (answer, wav file, MIDI file).")


EXAMPLE_CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-number]');
  if (button) trigger('example', {number: Number(button.dataset.number)});
});
"""
