"""The page's one function for programs (`gradio_client`): a question with media in, words and files out, no conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demo.service.caller import _caller, page_client_address
from demo.service.conversation import Conversation
from demo.service.request import Settings, Update
from demo.service.service import EMPTY_REQUEST

if TYPE_CHECKING:
    from demo.page.controller import Page

Answer = tuple[str, str | None, str | None]


def respond(
    page: Page, text: str | None, audio: str | None, image: str | None, video: str | None, seconds: float | None, seed: float | None
) -> Iterator[Answer]:
    """(words, wav, midi) as they grow; the files come last. A mistake of the caller's is one sentence (`gradio.Error`)."""
    import gradio as gr

    session = page.sessions.open()
    given = [one for one in (audio, image, video) if one]
    try:
        if not (text or "").strip() and not given:
            raise ValueError(EMPTY_REQUEST)
        settings = Settings(seconds=seconds, seed=int(seed or 0))
        updates = page.work.answer(
            session, Conversation(), (text or "").strip(), page.uploaded(given), settings,
            caller=_caller(), client_address=page_client_address(),
        )
        try:
            for update in updates:
                yield _files(update) if update.conversation is not None else (update.text, None, None)
        finally:
            updates.close()
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error
    finally:
        page.forget(given)
        page.sessions.close(session.token)  # the answer's files have been copied for the caller by now


def _files(update: Update) -> Answer:
    if not update.pieces:
        return update.text, None, None
    piece = update.pieces[0]
    midi = piece.sound.with_suffix(".mid")
    return update.text, str(piece.sound), str(midi) if midi.is_file() else None
