"""Controller of the page: sends messages and carries out the actions of a session, without any gradio.

The model is the only thing that users share. Each method takes the token of a session and returns at once: answers are made in the
session's own thread, and the pages that show it follow its state (`demo.page.page_session`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.page.answer_queue import Runnable
from demo.page.answering import Answer
from demo.page.edit_form import edit_words
from demo.page.gradio_request import event_client_address
from demo.page.page_registry import PageRegistry
from demo.page.piece_actions import PieceActions, select_in_words, undo_in_words
from demo.page.state import PageExchange, SubmittedMessage
from demo.page.theme import ASSETS, EXAMPLES
from demo.page.uploads_folder import UploadsFolder
from demo.page.versions import VersionBuilder
from demo.page.view import ExchangeView
from demo.page.worded_answer import WordedAnswer
from demo.service.references import names_piece_alone, undo_request
from demo.service.request import MAX_TEXT, Settings, whole_number
from demo.service.service import EMPTY_REQUEST, ChatService
from llama.decoders.base import ScoreEditor

if TYPE_CHECKING:
    from demo.page.page_session import PageSession
    from demo.service.uploads import Upload

EVERY_EXAMPLE = tuple(example for row in EXAMPLES.values() for example in row)
HAS_BEGUN = "The answer to this message has begun already; stop it instead."


class Page(PieceActions, UploadsFolder):
    """The page of one server. ValueErrors are of one sentence for the user: what was refused, and what to do."""

    def __init__(self, service: ChatService) -> None:
        UploadsFolder.__init__(self, service.sessions.root / "arrived")
        self.service, self.sessions = service, service.sessions
        self.pages = PageRegistry(service.sessions)
        decoder = getattr(service.engine.model, "music_decoder", None)
        self._edits_notes = isinstance(decoder, ScoreEditor) and decoder.edits_scores
        self._sound_decoder = None if self._edits_notes else decoder

    # -- messages -------------------------------------------------------------------------------------------------------

    def submit(self, token: str, text: str, files: Sequence[str | Path], settings: Settings) -> str:
        """Sends a message; returns the token of its session, a new one for the first message and after the session is over.

        Raises ValueError for a message that is refused: it is not on the page then, and its files stay for another try.
        """
        message_text = (text or "").strip() or (edit_words(settings.edit) if settings.edit is not None else "")
        if not message_text and not files:
            raise ValueError(EMPTY_REQUEST)
        if len(message_text) > MAX_TEXT:
            raise ValueError(f"The message has {len(message_text)} characters, the page takes {MAX_TEXT}; shorten it.")
        settings.options()  # raises for values out of range
        found = self.pages.find(token)
        page = found or self.pages.open()
        try:
            with page.receiving():
                message = SubmittedMessage(message_text, self._receive(page, files), settings, client_address=event_client_address())
                with page.lock:
                    act = self._act_in_words(page, message)
                    if act is None:
                        self._send(page, message)
                    else:
                        self._answer_in_words(page, message, act)
        except ValueError:
            if found is None:
                self.sessions.close(page.session.token)
            raise
        self.delete_uploads(files)
        return page.session.token

    def submit_example(self, token: str, number: int, settings: Settings) -> str:
        """Sends the example with this index."""
        example = EVERY_EXAMPLE[number % len(EVERY_EXAMPLE)]
        files = [ASSETS / "examples" / example.file] if example.file else []
        return self.submit(token, example.text, files, settings)

    def repeat(self, token: str, index: int, take: int, *, new_seed: bool) -> None:
        """Sends the message of an earlier exchange again, with the seed of that take or with a new one."""
        page = self.pages.get(token)
        exchange = page.exchange(index)
        takes = exchange.view.takes
        seed = None if new_seed or not 0 <= take < len(takes) else takes[take].seed
        settings = replace(exchange.message.settings, seed=seed, takes=1)
        self._send(page, replace(exchange.message, settings=settings))

    def redirect(self, token: str, index: int, piece_id: str) -> None:
        """Sends the message of an earlier exchange again, about another piece than the one that it was taken to mean."""
        page = self.pages.get(token)
        message, sound = page.exchange(index).message, page.piece(piece_id).piece.sound
        self._send(page, replace(message, about=sound, conversation=None))

    def _receive(self, page: PageSession, files: Sequence[str | Path]) -> tuple[Upload, ...]:
        session, service = page.session, self.service
        return tuple(service.exporter.play_upload(session, service.receive(session, Path(file))) for file in files)

    def _send(self, page: PageSession, message: SubmittedMessage) -> None:
        builder = self.builder(page)
        view = ExchangeView(
            message.text, builder.media(message.uploads), builder.received(message.uploads), take_count=int(message.settings.takes),
            expects_music=message.settings.edit is not None,
        )
        exchange = PageExchange(message, view)
        with page.changing():
            page.check_room()
            waits = page.messages.add(Answer(self.service, page, exchange, message, builder))
            exchange.view = replace(view, status="waiting") if waits else view
            page.add_exchange(exchange)

    def _act_in_words(self, page: PageSession, message: SubmittedMessage) -> Callable[[], str] | None:
        """What a message asks for that needs no model: taking a change back, or another piece as "it"; None for every other message."""
        if message.uploads or message.settings.edit is not None:
            return None
        if undo_request(message.text):
            return partial(undo_in_words, page)
        has_pieces = bool(page.contents.conversation.pieces) or not page.is_idle
        return partial(select_in_words, page, message.text) if has_pieces and names_piece_alone(message.text) else None

    def _answer_in_words(self, page: PageSession, message: SubmittedMessage, act: Callable[[], str]) -> None:
        """Acts at once, or after the messages and changes before: "undo that" is about the last of them. Raises ValueError."""
        with page.changing():
            page.check_room()
            if page.is_idle:
                exchange = PageExchange(message, ExchangeView(message.text, text=act(), status="done"), finished=page.clock())
            else:
                exchange = PageExchange(message, ExchangeView(message.text, status="waiting"))
                page.messages.add(WordedAnswer(page, exchange, act))
            page.add_exchange(exchange)

    def builder(self, page: PageSession) -> VersionBuilder:
        """Builds the versions of a session's cards."""
        return VersionBuilder(page.session, self.service.read_sound, edits_notes=self._edits_notes, decoder=self._sound_decoder)

    # -- what runs ------------------------------------------------------------------------------------------------------

    def stop(self, token: str) -> None:
        """Stops what is being made; the music so far stays, and the next message that waits begins."""
        page = self.pages.get(token)
        page.messages.stop()
        page.changes.stop()

    def cancel(self, token: str, index: int) -> None:
        """Cancels a message that waits. It stays on the page with its words."""
        page = self.pages.get(token)
        with page.changing():
            exchange = page.exchange(index)

            def is_meant(answer: Runnable) -> bool:
                return isinstance(answer, (Answer, WordedAnswer)) and answer.exchange is exchange

            if not page.messages.remove(is_meant):
                raise ValueError(HAS_BEGUN)
            page.set_view(exchange, replace(exchange.view, status="stopped", error="Cancelled before it began."))

    def clear(self, token: str) -> None:
        """Empties the page and stops its answers; `restore` brings it back within ten seconds."""
        self.pages.get(token).clear()

    def restore(self, token: str) -> None:
        """Takes the last clear back."""
        self.pages.get(token).restore()


def settings_of(
    seconds: float | None, fit: bool, takes: float | None, seed: float | None, new_seed: bool, guidance: float | None,
    temperature: float | None, top_p: float | None, conditioning: str | None, max_tokens: float | None, bar_count: float | None = None,
) -> Settings:
    """Settings from the fields of the page. A cleared field is None and means the default. ValueError for values out of range."""
    values: dict[str, Any] = {
        "seconds": seconds, "fit": bool(fit), "takes": takes, "guidance": guidance or None, "temperature": temperature, "top_p": top_p,
        "conditioning": conditioning, "max_tokens": max_tokens, "seed": None if new_seed else seed, "bar_count": bar_count or None,
    }  # fmt: skip
    whole = ("takes", "seed", "max_tokens", "bar_count")
    integers = {name: whole_number(name, values[name]) for name in whole if values[name] is not None}
    return Settings(**{name: value for name, value in {**values, **integers}.items() if value is not None})
