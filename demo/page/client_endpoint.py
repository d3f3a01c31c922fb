"""The public endpoint of the page for `gradio_client`: text, media, notes and an edit in, text and files out, no conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from demo.page.gradio_request import event_caller, event_client_address
from demo.service.conversation import Conversation
from demo.service.request import Settings, Update, whole_number
from demo.service.service import EMPTY_REQUEST

if TYPE_CHECKING:
    from demo.page.controller import Page
    from llama.media.edit import Edit

Answer = tuple[str, str | None, str | None]


def respond(
    page: Page, text: str | None, audio: str | None, image: str | None, video: str | None, seconds: float | None, seed: float | None,
    score: str | None = None, edit: object = None, *, read_edit: Callable[[object], Edit] | None = None,
) -> Iterator[Answer]:
    """Yields (text, wav path, midi path) as the answer grows; the paths come last. A caller's mistake raises `gradio.Error`.

    score: a file of notes; edit: of it or of the recording, as JSON of the HTTP API, which `read_edit` reads. seconds is the length of
    new music: an edit has its own.
    """
    import gradio as gr

    session = page.sessions.open()
    files = [path for path in (audio, image, video, score) if path]
    try:
        if not (text or "").strip() and not files:
            raise ValueError(EMPTY_REQUEST)
        if edit is not None and read_edit is None:
            raise ValueError("This server takes no edits here; say the change in words.")
        asked = read_edit(edit) if edit is not None and read_edit is not None else None
        settings = Settings(seconds=seconds, seed=whole_number("seed", seed or 0), edit=asked)
        updates = page.service.answer(
            session, Conversation(), (text or "").strip(), page.uploaded_paths(files), settings,
            caller=event_caller(), client_address=event_client_address(),
        )
        try:
            for update in updates:
                yield _final_answer(update) if update.conversation is not None else (update.text, None, None)
        finally:
            updates.close()
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error
    finally:
        page.delete_uploads(files)
        page.sessions.close(session.token)  # gradio has copied the files of the answer by now


def _final_answer(update: Update) -> Answer:
    if not update.pieces:
        return update.text, None, None
    piece = update.pieces[0]
    midi = piece.sound.with_suffix(".mid")
    return update.text, str(piece.sound), str(midi) if midi.is_file() else None
