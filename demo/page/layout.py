"""Layout of the page and wiring of its controls: the gradio side of `demo.page.controller`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr  # here, not in the functions: gradio finds the types of a handler's parameters by this name

from demo.page.client_endpoint import respond
from demo.page.controller import Page, settings_of
from demo.page.edit_controls import edit_controls
from demo.page.edit_form import EditForm
from demo.page.example_gallery import gallery
from demo.page.state import PageState
from demo.page.theme import ASSETS, CONDITIONINGS, EMPTY, LEAD, PLACEHOLDER, TITLE, script
from demo.service.request import MAX_PAGE_TAKES, MAX_TEXT
from demo.service.service import EMPTY_REQUEST
from llama.media.score_file import SCORE_SUFFIXES

SLIDER_SECONDS = 120  # on the slider; the API accepts more

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

SessionStates = Callable[[gr.Blocks, str], Iterable[object]]  # (blocks, session hash) -> values of that page's gr.State


@dataclass(frozen=True)
class About:
    """What the header and the settings show of the model. captions: whether its decoder can be conditioned on the answer's text.

    notes: whether its decoder edits notes; another one changes recordings, more or less.
    """

    model: str
    device: str
    captions: bool = False
    notes: bool = True


def build(page: Page, about: About, session_states: SessionStates) -> gr.Blocks:
    """The page as `gr.Blocks`. `demo.server.app` serves it together with its media routes.

    session_states, and the changed `preprocess` of sliders and files, come from `demo.server.gradio_patches`: this package
    uses gradio's public interface only.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(300, 3600)) as blocks:
        state = gr.State(PageState(), delete_callback=page.close)
        gr.HTML(_header(about), elem_id="header")
        with gr.Row(equal_height=False, elem_id="columns"):
            with gr.Column(scale=3, min_width=300, elem_id="talk"):
                log = gr.HTML([], html_template=_log(), js_on_load=script(), apply_default_css=False, elem_id="log")
                box = gr.MultimodalTextbox(
                    placeholder=PLACEHOLDER, label="Your message", show_label=False, sources=["upload", "microphone"],
                    file_count="multiple", file_types=["audio", "image", "video", *SCORE_SUFFIXES], lines=1, max_lines=6, autofocus=True,
                    max_plain_text_length=MAX_TEXT,
                    submit_btn="Send", stop_btn=False, elem_id="box",
                )  # fmt: skip
                with gr.Row(elem_id="below"):
                    gr.HTML(OPEN_SETTINGS, js_on_load=SETTINGS_CLICK, apply_default_css=False, elem_id="opener")
                    clear = gr.Button("Clear: delete the conversation and its files", size="sm", variant="secondary", elem_id="clear")
                examples = gr.HTML(gallery(), js_on_load=EXAMPLE_CLICK, apply_default_css=False, elem_id="examples")
            with gr.Column(scale=1, min_width=280, elem_id="settings"):
                fields = _settings(about)
                form, change = edit_controls(about.notes)
        _connect_events(page, state, log, box, clear, examples, fields, form, change)
        _client_endpoint(page)
        blocks.unload(_unload_handler(page, blocks, session_states))
    blocks.queue(default_concurrency_limit=None, max_size=None)
    return blocks


def _connect_events(
    page: Page, state: Any, log: Any, box: Any, clear: Any, examples: Any, fields: list[Any], form: list[Any], change: Any
) -> None:
    """Connects the controls to the controller. Every handler that starts an answer yields (log, state, input) repeatedly."""
    outputs = [log, state, box]

    def stream(current: PageState, start: Callable[[], Iterator[PageState]]) -> Iterator[tuple[Any, Any, Any]]:
        if current.busy:
            gr.Info("An answer is under way; stop it first, or wait for its end.")
            yield gr.skip(), gr.skip(), gr.skip()
            return
        ready = gr.skip(), gr.skip(), gr.MultimodalTextbox(submit_btn="Send", stop_btn=False)
        yield gr.skip(), gr.skip(), gr.MultimodalTextbox(value={"text": "", "files": []}, submit_btn=False, stop_btn="Stop")
        try:
            for new_state in start():
                yield list(new_state.html), new_state, gr.skip()
        except ValueError as error:  # settings out of range
            gr.Warning(escape(str(error)))
        except Exception:  # a bug: the page stays usable, and gradio logs the traceback
            yield ready
            raise
        yield ready

    def submit(current: PageState, message: dict[str, Any] | None, *values: Any) -> Iterator[Any]:
        text, files = (message or {}).get("text") or "", (message or {}).get("files") or []
        if text.strip() or files:
            yield from stream(current, lambda: page.submit(current, text, page.uploaded_paths(files), settings_of(*values)))
        else:  # an empty message is not added to the conversation
            gr.Info(EMPTY_REQUEST)
            yield gr.skip(), gr.skip(), gr.skip()

    def submit_change(current: PageState, message: dict[str, Any] | None, *values: Any) -> Iterator[Any]:
        text, files = (message or {}).get("text") or "", (message or {}).get("files") or []

        def start() -> Iterator[PageState]:
            settings, edit = settings_of(*values[: len(fields)]), EditForm.of(values[len(fields) :]).edit()
            return page.submit(current, text, page.uploaded_paths(files), replace(settings, edit=edit, bar_count=None))

        yield from stream(current, start)

    def submit_example(current: PageState, event: gr.EventData, *values: Any) -> Iterator[Any]:
        yield from stream(current, lambda: page.submit_example(current, int(event.number), settings_of(*values)))

    def repeat(current: PageState, event: gr.EventData) -> Iterator[Any]:
        yield from stream(current, lambda: page.repeat(current, int(event.exchange), int(event.take), new_seed=bool(event.fresh)))

    def stop(current: PageState) -> None:
        if current.answer is not None:
            current.answer.stop()

    def clear_page(current: PageState) -> tuple[Any, ...]:
        return [], page.clear(current), gr.MultimodalTextbox(value={"text": "", "files": []}, submit_btn="Send", stop_btn=False)

    answers = [
        box.submit(submit, [state, box, *fields], outputs, **PRIVATE),
        examples.example(submit_example, [state, *fields], outputs, **PRIVATE),
        log.again(repeat, [state], outputs, **PRIVATE),
        change.click(submit_change, [state, box, *fields, *form], outputs, **PRIVATE),
    ]
    box.stop(stop, [state], None, queue=False, **PRIVATE)
    clear.click(clear_page, [state], outputs, queue=False, cancels=answers, **PRIVATE)


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


def _client_endpoint(page: Page) -> None:
    """The stateless endpoint for `gradio_client`, on hidden controls: files in, text and files out."""

    def ask(
        text: str = "", audio: str | None = None, image: str | None = None, video: str | None = None, seconds: float = 10, seed: int = 0
    ) -> Iterator[Any]:  # the names and defaults are part of the public API: clients pass keyword arguments
        yield from respond(page, text, audio, image, video, seconds, seed)

    with gr.Column(visible=False):
        text: Any = gr.Textbox(label="text")
        media = [gr.File(label=name) for name in ("audio", "image", "video")]
        seconds, seed = gr.Number(10, label="seconds"), gr.Number(0, precision=0, label="seed")
        answer, wav, midi = gr.Textbox(label="answer"), gr.File(label="wav"), gr.File(label="midi")
        gr.Button().click(ask, [text, *media, seconds, seed], [answer, wav, midi],
                          api_name="respond", api_description="Words, and the music where there is some: (answer, wav file, MIDI file).")


def _unload_handler(page: Page, blocks: gr.Blocks, session_states: SessionStates) -> Callable[[gr.Request], None]:
    """Handler for the end of a page's connection: deletes its files earlier than gradio's own cleanup of the state would."""

    def unload(request: gr.Request) -> None:
        for value in session_states(blocks, request.session_hash or ""):
            if isinstance(value, PageState):
                page.connection_lost(value)

    return unload


def _header(about: About) -> str:
    logo = (ASSETS / "logo.svg").read_text(encoding="utf-8")
    facts = (("The model that answers", about.model), ("What it runs on", about.device))
    badges = "".join(f'<span class="badge" title="{title}">{escape(name)}</span>' for title, name in facts)
    return f'<header id="title">{logo}<div><h1>{TITLE}</h1><p>{LEAD}</p></div><div class="runs">{badges}</div></header>'


def _log() -> str:
    """The conversation. Screen readers skip the growing text; page.js copies a finished answer into .announcement, once."""
    log = '<div class="log" role="log" aria-live="off" aria-label="Conversation"></div>'
    status = '<div class="announcement sr" role="status"></div>'
    return f'{log}{status}<p class="empty">{escape(EMPTY)}</p><p class="note" role="alert"></p>'


# Opens and closes the settings on a narrow page, where they cover its lower part.
OPEN_SETTINGS = '<button type="button" class="small" aria-expanded="false" aria-controls="settings">Settings</button>'
SETTINGS_CLICK = """
const opener = element.querySelector('button');
function isOpen() { return opener.getAttribute('aria-expanded') === 'true'; }
function show(open) {
  const settings = document.querySelector('#settings');
  opener.setAttribute('aria-expanded', open);
  opener.textContent = open ? 'Close the settings' : 'Settings';
  settings.classList.toggle('open', open);
  settings.tabIndex = -1;  // takes the focus itself: a field that did would open a phone's keyboard over it
  if (open) settings.focus();
}
opener.addEventListener('click', () => show(!isOpen()));
document.addEventListener('keydown', event => {
  if (event.key !== 'Escape' || !isOpen()) return;
  show(false);
  opener.focus();
});
document.addEventListener('click', event => {
  if (isOpen() && !event.target.closest('#settings, #opener') && document.contains(event.target)) show(false);
});
"""
EXAMPLE_CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-number]');
  if (button) trigger('example', {number: Number(button.dataset.number)});
});
"""
