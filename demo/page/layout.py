"""What stands where on the page, and which control starts what: the gradio side of `demo.page.controller`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from demo.page.client_endpoint import respond
from demo.page.controller import Page, settings_of
from demo.page.example_gallery import gallery
from demo.page.state import PageState
from demo.page.theme import ASSETS, DRIVES, EMPTY, LEAD, PLACEHOLDER, TITLE, script
from demo.service.service import EMPTY_REQUEST

LONGEST = 120  # seconds that the page offers
MOST_TAKES = 4
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class About:
    """What answers: the model's name, the device, and whether the words of an answer may drive the music."""

    model: str
    device: str
    captions: bool = False


def build(page: Page, about: About) -> Any:
    """The page as `gr.Blocks`. `demo.server.app` serves it together with the media it shows."""
    import gradio as gr

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(300, 3600)) as blocks:
        state = gr.State(PageState(), delete_callback=page.leave)
        gr.HTML(_header(about), elem_id="header")
        with gr.Row(equal_height=False, elem_id="columns"):
            with gr.Column(scale=3, min_width=300, elem_id="talk"):
                log = gr.HTML([], html_template=_log(), js_on_load=script(), apply_default_css=False, elem_id="log")
                box = gr.MultimodalTextbox(
                    placeholder=PLACEHOLDER, label="Your message", show_label=False, sources=["upload", "microphone"],
                    file_count="multiple", file_types=["audio", "image", "video"], lines=1, max_lines=6, autofocus=True,
                    max_plain_text_length=8000,
                    submit_btn="Send", stop_btn=False, elem_id="box",
                )  # fmt: skip
                with gr.Row(elem_id="below"):
                    gr.HTML(OPEN_SETTINGS, js_on_load=SETTINGS_CLICK, apply_default_css=False, elem_id="opener")
                    clear = gr.Button("Clear: delete the conversation and its files", size="sm", variant="secondary", elem_id="clear")
                examples = gr.HTML(gallery(), js_on_load=EXAMPLE_CLICK, apply_default_css=False, elem_id="examples")
            with gr.Column(scale=1, min_width=280, elem_id="settings"):
                fields = _settings(gr, about)
        _wire(gr, page, state, log, box, clear, examples, fields)
        _public(gr, page)
        blocks.unload(_unload(page, blocks))
    blocks.queue(default_concurrency_limit=None, max_size=None)
    return blocks


def _wire(gr: Any, page: Page, state: Any, log: Any, box: Any, clear: Any, examples: Any, fields: list[Any]) -> None:
    """Every control that asks shares one shape: the state in, log, state and input out, again and again."""
    outputs = [log, state, box]

    def steps(now: PageState, begin: Callable[[], Iterator[PageState]]) -> Iterator[tuple[Any, Any, Any]]:
        if now.busy:
            gr.Info("An answer is under way; stop it first, or wait for its end.")
            yield gr.skip(), gr.skip(), gr.skip()
            return
        ready = gr.skip(), gr.skip(), gr.MultimodalTextbox(submit_btn="Send", stop_btn=False)
        yield gr.skip(), gr.skip(), gr.MultimodalTextbox(value={"text": "", "files": []}, submit_btn=False, stop_btn="Stop")
        try:
            for later in begin():
                yield list(later.views), later, gr.skip()
        except ValueError as error:  # of the settings
            gr.Warning(escape(str(error)))
        except Exception:  # a fault of the program: the page stays usable, the log has its traceback
            yield ready
            raise
        yield ready

    def said(now: PageState, message: dict[str, Any] | None, *values: Any) -> Iterator[Any]:
        text, files = (message or {}).get("text") or "", (message or {}).get("files") or []
        if text.strip() or files:
            yield from steps(now, lambda: page.ask(now, text, page.uploaded(files), settings_of(*values)))
        else:  # a stray click is no part of the conversation
            gr.Info(EMPTY_REQUEST)
            yield gr.skip(), gr.skip(), gr.skip()

    def example(now: PageState, event: gr.EventData, *values: Any) -> Iterator[Any]:
        yield from steps(now, lambda: page.example(now, int(event.number), settings_of(*values)))

    def once_more(now: PageState, event: gr.EventData) -> Iterator[Any]:
        yield from steps(now, lambda: page.again(now, int(event.exchange), int(event.take), fresh=bool(event.fresh)))

    def stop(now: PageState) -> None:
        if now.run is not None:
            now.run.stop()

    def fresh(now: PageState) -> tuple[Any, ...]:
        gone = page.clear(now)
        return [], gone, gr.MultimodalTextbox(value={"text": "", "files": []}, submit_btn="Send", stop_btn=False)

    once_more.__annotations__["event"] = example.__annotations__["event"] = gr.EventData  # asked for by its type
    asking = [
        box.submit(said, [state, box, *fields], outputs, **PRIVATE),
        examples.example(example, [state, *fields], outputs, **PRIVATE),
        log.again(once_more, [state], outputs, **PRIVATE),
    ]
    box.stop(stop, [state], None, queue=False, **PRIVATE)
    clear.click(fresh, [state], outputs, queue=False, cancels=asking, **PRIVATE)


def _settings(gr: Any, about: About) -> list[Any]:
    """In the order of `settings_of`."""
    from llama.generation import GenerationOptions

    usual = GenerationOptions()

    def slider(*arguments: Any, **named: Any) -> Any:
        """One whose cleared field is None; the library's own compares it with the limits."""
        made = gr.Slider(*arguments, **named)
        checked = made.preprocess
        made.preprocess = lambda payload: None if payload is None else checked(payload)
        return made

    with gr.Accordion("The piece", open=True):
        seconds = slider(1, LONGEST, usual.seconds, step=0.5, label="Length in seconds")
        fit = gr.Checkbox(True, label="For a clip: as long as the clip")
        takes = slider(1, MOST_TAKES, 1, step=1, label="Takes", info="Several versions, side by side")
        fresh = gr.Checkbox(True, label="A new seed each time", info="The seed of each piece is shown with it")
        seed = gr.Number(usual.seed, precision=0, minimum=0, label="Seed", info="Used when that is off")
    with gr.Accordion("How it plays and speaks", open=False):
        guidance = slider(0, 10, 0, step=0.25, label="How closely the music follows", info="0 leaves it to the model (guidance)")
        temperature = slider(0, 2, usual.temperature, step=0.05, label="How adventurous", info="0 takes the likeliest word (temperature)")
        top_p = slider(0, 1, usual.top_p, step=0.05, label="How wide the choice of words", info="Only when adventurous (top-p)")
        drives = [(label, name) for name, label in DRIVES.items() if name == "hidden" or about.captions]
        conditioning = gr.Radio(drives, value=usual.conditioning, label="What drives the music", visible=about.captions)
        tokens = slider(1, 1024, usual.max_tokens, step=1, label="Longest answer", info="In tokens, about three quarters of a word each")
    return [seconds, fit, takes, seed, fresh, guidance, temperature, top_p, conditioning, tokens]


def _public(gr: Any, page: Page) -> None:
    """The one function for `gradio_client`: files in, words and files out; no state."""

    def ask(
        text: str = "", audio: str | None = None, image: str | None = None, video: str | None = None, seconds: float = 10, seed: int = 0
    ) -> Iterator[Any]:  # callers name what they give by these names, and leave out what they do not
        yield from respond(page, text, audio, image, video, seconds, seed)

    with gr.Column(visible=False):
        text: Any = gr.Textbox(label="text")
        media = [_as_it_came(gr.File(label=name)) for name in ("audio", "image", "video")]
        seconds, seed = gr.Number(10, label="seconds"), gr.Number(0, precision=0, label="seed")
        answer, wav, midi = gr.Textbox(label="answer"), gr.File(label="wav"), gr.File(label="midi")
        gr.Button().click(ask, [text, *media, seconds, seed], [answer, wav, midi],
                          api_name="respond", api_description="Words, and the music where there is some: (answer, wav file, MIDI file).")


def _as_it_came(file: Any) -> Any:
    """The path alone; the library's own way leaves an empty file behind for each."""
    file.preprocess = lambda payload: payload.path if payload is not None else None
    return file


def _unload(page: Page, blocks: Any) -> Callable[..., None]:
    """A browser page whose connection has ended: its files need not wait until the server forgets its state."""
    import gradio as gr

    def leave(request: gr.Request) -> None:
        held = blocks.state_holder.session_data.get(request.session_hash)
        for value in list(held.state_data.values()) if held is not None else []:
            if isinstance(value, PageState):
                page.lost(value)

    leave.__annotations__["request"] = gr.Request
    return leave


def _header(about: About) -> str:
    logo = (ASSETS / "logo.svg").read_text(encoding="utf-8")
    told = (("The model that answers", about.model), ("What it runs on", about.device))
    runs = "".join(f'<span class="badge" title="{title}">{escape(name)}</span>' for title, name in told)
    return f'<header id="title">{logo}<div><h1>{TITLE}</h1><p>{LEAD}</p></div><div class="runs">{runs}</div></header>'


def _log() -> str:
    """What grows word by word is not read out as it does; when an answer is whole, page.js puts it into .told, once."""
    log = '<div class="log" role="log" aria-live="off" aria-label="Conversation"></div><div class="told sr" role="status"></div>'
    return f'{log}<p class="empty">{escape(EMPTY)}</p><p class="note" role="alert"></p>'


# On a narrow page the settings lie over its lower part, and this opens and closes them; a wide page has room for both.
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
