"""The page: text, a recording, a picture or a clip in; words and music out.

    python gradio_app.py
    python gradio_app.py --model ./ckpts/MuMu-LLaMA-MusicGen/checkpoint.pth --llama_dir ./ckpts/LLaMA-2 --music_decoder musicgen

Every user's conversation lives in their own page: nothing is kept between requests but the model.
"""

from __future__ import annotations

import argparse
import html
import logging
import os
import random
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from llama.flags import USER_ERRORS, add_model_flags, load_model, sentence

if TYPE_CHECKING:
    import gradio as gr

    from llama.audio import Waveform
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions
    from llama.mumu_llama import MuMuLLaMA

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

TITLE = "MuMu-LLaMA"
LEAD = "One model that hears music, sees pictures and clips, answers, and plays. Each message is answered by itself."
ASSETS = Path(__file__).resolve().parent / "assets"
EXAMPLES = ASSETS / "examples"
REQUESTS = ("A slow, sad piano piece", "A fast dance with drums, in a major key", "A calm waltz for strings")
# What to ask about an example file, by the slot that its suffix belongs to; several files take the questions in turn.
QUESTIONS = {
    "audio": ("Which instruments do you hear, and how fast is it?", "Is this in a major or a minor key?"),
    "image": ("Compose music for this picture",),
    "video": ("Compose music for this clip",),
}
SUFFIXES = {
    "audio": (".flac", ".wav", ".mp3", ".ogg", ".m4a", ".opus"),
    "image": (".png", ".jpg", ".jpeg", ".webp"),
    "video": (".mp4", ".webm", ".mov"),
}

MAX_FILE = "200mb"
WAITING = 32  # requests in the queue; the next one is told to come back later
KEPT = 24 * 3600  # seconds that uploads and pieces stay on the disk
SEEDS = 2**31
CSS = """
.gradio-container {width: 100% !important; max-width: 1180px !important; margin: 0 auto !important}
#title {display: flex; align-items: center; gap: 14px; padding: 10px 0 4px 0}
#title svg {width: 46px; height: 46px; flex: none}
#title h1 {margin: 0; font-size: 1.6rem; line-height: 1.2; font-weight: 650}
#title p {margin: 2px 0 0 0; opacity: 0.75}
#chat .minimal-audio-player {height: 60px; width: min(400px, 58vw)}
#chat video, #chat .message img {max-height: 200px; width: auto}
#chat button[aria-label="Share"] {display: none}
footer {opacity: 0.6}
"""

Message = dict[str, Any]


def build_app(model: MuMuLLaMA) -> gr.Blocks:
    """The page around a model. Launch it with `launch_options`, which keep it private and free of outside requests."""
    import gradio as gr

    def take(words: str) -> tuple[Any, str]:
        return gr.Textbox("", submit_btn=False, stop_btn="Stop"), words

    def ready() -> Any:
        return gr.Textbox(submit_btn="Send", stop_btn=False)

    def fresh() -> list[Any]:
        return [[], gr.Textbox("", submit_btn="Send", stop_btn=False), None, None, None]

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, KEPT)) as app:
        gr.HTML(_header())
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=360):
                chat = gr.Chatbot(show_label=False, height=480, render_markdown=False, buttons=["copy_all"], elem_id="chat",
                                  feedback_options=None, placeholder="Ask about music, or ask for music.")
                text = gr.Textbox(placeholder="Write a message, or only add a file", show_label=False, lines=1, max_lines=6,
                                  submit_btn="Send", autofocus=True, max_length=8000)
                gr.Examples([[request] for request in REQUESTS], inputs=[text], label="Ask for music", api_visibility="private")
                clear = gr.Button("New conversation", size="sm", variant="secondary")
            with gr.Column(scale=2, min_width=320):
                media = _media(gr, text)
                settings = _settings(gr, reads_captions(model))
        said = gr.Textbox(visible=False)
        taken = text.submit(take, text, [text, said], api_visibility="private", queue=False)
        answered = taken.then(partial(converse, model), [said, chat, *media, *settings], chat, api_name="respond",
                              show_progress="minimal")
        answered.then(ready, None, text, api_visibility="private", queue=False)
        text.stop(ready, None, text, cancels=[answered], api_visibility="private", queue=False)
        clear.click(fresh, None, [chat, text, *media], cancels=[answered], api_visibility="private", queue=False)
    app.queue(default_concurrency_limit=1, max_size=WAITING)
    return app


def _header() -> str:
    """Logo, name and one sentence."""
    return f'<div id="title">{(ASSETS / "logo.svg").read_text()}<div><h1>{TITLE}</h1><p>{LEAD}</p></div></div>'


def _media(gr: Any, text: Any) -> list[Any]:
    """The three slots of a turn, each with its examples."""
    with gr.Tab("Recording") as hear:
        audio = gr.Audio(sources=["upload", "microphone"], type="filepath", label="A recording to listen to", editable=False,
                         buttons=["download"])
    with gr.Tab("Picture") as look:
        image = gr.Image(sources=["upload", "clipboard"], type="filepath", height=230, label="A picture to look at",
                         buttons=["fullscreen"])
        # The file as it came: llama.media reads every mode, and says what is wrong with it. (A subclass would do, but
        # the library writes a stub file beside the source of each.)
        image.preprocess = lambda payload: payload.path if payload is not None else None
    with gr.Tab("Clip") as watch:
        video = gr.Video(sources=["upload"], include_audio=True, height=230, label="A clip to watch", buttons=["download"])
    for slot, tab in (("audio", hear), ("image", look), ("video", watch)):
        with tab:
            _examples(gr, slot, text, {"audio": audio, "image": image, "video": video})
    return [audio, image, video]


def reads_captions(model: MuMuLLaMA) -> bool:
    """Whether the words of an answer can drive the music: a decoder without a text tokenizer cannot read them."""
    decoder = getattr(model, "music_decoder", None)
    return decoder is not None and getattr(decoder, "tokenizer", ...) is not None


def _settings(gr: Any, captions: bool) -> list[Any]:
    """In the order of `converse`'s arguments; `captions`: whether the words may drive the music."""
    from llama.generation import MAX_SECONDS, GenerationOptions

    usual = GenerationOptions()

    def slider(*arguments: Any, **named: Any) -> Any:
        """One whose cleared field is None; the library's own compares it with the limits."""
        made = gr.Slider(*arguments, **named)
        checked = made.preprocess
        made.preprocess = lambda payload: None if payload is None else checked(payload)
        return made

    with gr.Accordion("Music", open=True):
        seconds = slider(1, min(120, MAX_SECONDS), usual.seconds, step=0.5, label="Length in seconds")
        with gr.Row():
            seed = gr.Number(usual.seed, precision=0, minimum=0, label="Seed")
            fresh = gr.Checkbox(True, label="New seed each time", container=True)
    with gr.Accordion("More settings", open=False):
        temperature = slider(0, 2, usual.temperature, step=0.05, label="Temperature of the words",
                             info="0 takes the likeliest word each time")
        top_p = slider(0, 1, usual.top_p, step=0.05, label="Top-p of the words")
        max_tokens = slider(1, 1024, usual.max_tokens, step=1, label="Longest answer, in tokens")
        guidance = slider(0, 10, 0, step=0.25, label="Guidance of the music", info="0 leaves it to the decoder")
        drives = [("hidden states", "hidden"), *([("the words", "caption")] if captions else [])]
        conditioning = gr.Radio(drives, value=usual.conditioning, label="What drives the music", visible=captions)
    return [seconds, seed, fresh, temperature, top_p, max_tokens, guidance, conditioning]


def _examples(gr: Any, slot: str, text: Any, slots: dict[str, Any]) -> None:
    """A button for each example file, which fills its slot, empties the others and writes a question."""
    rows = example_rows(EXAMPLES, slot)
    if rows:
        names = [Path(file).stem.replace("_", " ") for _, file in rows]
        examples = gr.Examples(rows, inputs=[text, slots[slot]], label="Try", example_labels=names, cache_examples=False,
                               api_visibility="private")
        others = [slots[name] for name in slots if name != slot]
        examples.dataset.click(lambda: [None] * len(others), None, others, api_visibility="private", queue=False)


def example_rows(folder: Path, slot: str) -> list[list[str]]:
    """[question, file] for every media file in `folder` that belongs into that slot."""
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES[slot])
    return [[QUESTIONS[slot][index % len(QUESTIONS[slot])], str(file)] for index, file in enumerate(files)]


def converse(
    model: MuMuLLaMA,
    text: str,
    history: list[Message] | None,
    audio: str | None = None,
    image: str | None = None,
    video: str | None = None,
    seconds: float | None = None,
    seed: float | None = None,
    fresh: bool = False,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: float | None = None,
    guidance: float | None = None,
    conditioning: str | None = None,
) -> Iterator[list[Message]]:
    """The conversation with one more message and its growing answer. What a user did wrong is told in the answer.

    A setting that is None, as a cleared field is, has the value of `GenerationOptions`.
    """
    import torch

    from llama.dialogue import Turn

    text, files = text or "", [audio, image, video]
    history = [*(history or []), *_question(text, *files)]
    try:
        if not text.strip() and not any(files):
            raise ValueError("There is nothing to answer; write a message or add a recording, a picture or a clip.")
        options = _options(seconds=seconds, seed=random.randrange(SEEDS) if fresh else seed, temperature=temperature, top_p=top_p,
                           max_tokens=max_tokens, guidance=guidance or None, conditioning=conditioning)
        yield history
        for answer in _answer(model, Turn(text, audio or None, image or None, video or None), options):
            yield [*history, *answer]
    except USER_ERRORS as error:
        yield [*history, _refusal(_without_folders(sentence(error), files))]
    except (torch.OutOfMemoryError, MemoryError):
        logging.exception("out of memory")
        yield [*history, _refusal("There is not enough memory for this; ask for a shorter piece, or give a shorter recording.")]
    except OSError as error:  # of this machine, not of the user's: a full disk, a lost connection
        logging.exception("an error of the system")
        reason = error.strerror or type(error).__name__
        yield [*history, _refusal(f"The server could not read or write what it needs ({reason}); try again later.")]


def _options(**settings: Any) -> GenerationOptions:
    """Those of the settings that are given; ValueError for values out of range."""
    from llama.generation import GenerationOptions

    given = {name: value for name, value in settings.items() if value is not None}
    for name in {"seed", "max_tokens"} & given.keys():
        given[name] = int(given[name])  # sliders give floats
    return GenerationOptions(**given)


def _refusal(words: str) -> Message:
    return {**_say(words), "metadata": {"title": "This did not work"}}


def _without_folders(words: str, files: Sequence[str | None]) -> str:
    """Where uploads lie on the server is nobody's business: a file goes by its name alone."""
    for folder in sorted({str(Path(file).parent) for file in files if file} - {"."}, key=len, reverse=True):
        words = words.replace(folder + os.sep, "")
    return words


def _question(text: str, *files: str | None) -> list[Message]:
    """The user's side: each file, then the words."""
    shown: list[Message] = [{"role": "user", "content": {"path": file}} for file in files if file]
    return [*shown, {"role": "user", "content": html.escape(text)}] if text.strip() else shown


def _answer(model: MuMuLLaMA, turn: Turn, options: Any) -> Iterator[list[Message]]:
    """The model's side, again and again as it grows."""
    from llama.generation import Done, MusicChunk, TextDelta

    words, played = "", 0.0
    for event in model.stream(turn, options):
        if isinstance(event, TextDelta):
            words += event.text
            yield [_say(words)]
        elif isinstance(event, MusicChunk):
            played += event.music.seconds
            yield [_say(words), _say(f"{played:.1f} of {options.seconds:g} s of music ...")] if words else [_say("...")]
        elif isinstance(event, Done):
            yield from _finished(event.reply, options.seed)


def _finished(reply: Any, seed: int) -> Iterator[list[Message]]:
    words = reply.text or ("" if reply.music is not None else "(no words)")
    shown = [_say(words)] if words else []
    if reply.music is None:
        yield shown
        return
    with TemporaryDirectory() as folder:  # the page copies the file into its own cache before it asks for more
        notes = [] if reply.score is None else [{"role": "assistant", "content": _notes(reply, Path(folder), seed)}]
        yield [*shown, {"role": "assistant", "content": _player(reply.music, Path(folder), seed)}, *notes]


def _player(music: Waveform, folder: Path, seed: int) -> Any:
    import gradio as gr

    file = folder / f"mumu-llama-seed-{seed}.wav"
    music.write(file)
    return gr.Audio(str(file), label=f"{music.seconds:.1f} s, seed {seed}", interactive=False, buttons=["download"])


def _notes(reply: Any, folder: Path, seed: int) -> Any:
    """The piece as a MIDI file, to be taken along."""
    import gradio as gr

    from llama.midi import write_midi

    file = folder / f"mumu-llama-seed-{seed}.mid"
    write_midi(reply.score, file, reply.music.seconds)
    return gr.File(str(file), label="The notes (MIDI)", interactive=False)


def _say(words: str) -> Message:
    """Escaped: the chat shows its content as HTML."""
    return {"role": "assistant", "content": html.escape(words)}


def launch_options(host: str = "127.0.0.1", port: int = 7860, share: bool = False) -> dict[str, Any]:
    """For `launch`: only this machine unless told otherwise, system fonts, nothing fetched from elsewhere."""
    import gradio as gr

    theme = gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return {
        "server_name": host, "server_port": port, "share": share, "theme": theme, "css": CSS, "max_file_size": MAX_FILE,
        "footer_links": ["api"], "show_error": False, "ssr_mode": False,
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="The page of MuMu-LLaMA.")
    add_model_flags(result)
    add = result.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=int, default=7860, help="(default: %(default)s)")
    add("--share", action="store_true", help="a public address through gradio's servers")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Loads the model and serves the page until interrupted; 2 with one sentence on what was wrong."""
    values = parser().parse_args(arguments)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app = build_app(load_model(values))
        app.launch(**launch_options(values.host, values.port, values.share))
    except (*USER_ERRORS, OSError) as error:  # OSError: the port is taken
        print(sentence(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
