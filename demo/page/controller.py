"""Controller of the page: turns user actions into page states, without any gradio.

The model is the only thing that users share. A conversation is held in the state of its browser page, and its files in
the folder of its session, which is deleted when the page is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.page import view_model
from demo.page.edit_form import edit_words
from demo.page.gradio_request import event_client_address
from demo.page.state import PageState, RunningAnswer, SubmittedMessage
from demo.page.theme import ASSETS, EXAMPLES
from demo.page.view import ExchangeView, MediaView, Status
from demo.page.view_html import exchange_html
from demo.service.presence import Presence
from demo.service.request import MAX_TEXT, Settings, Update, whole_number
from demo.service.service import EMPTY_REQUEST, ChatService

if TYPE_CHECKING:
    from demo.service.sessions import Session

EVERY_EXAMPLE = tuple(example for row in EXAMPLES.values() for example in row)


class Page:
    """Actions of the page. Each method takes the state of one browser page and returns, or yields, the next states."""

    def __init__(self, service: ChatService) -> None:
        self.service, self.sessions, self.presence = service, service.sessions, Presence()
        self.upload_dir = service.sessions.root / "arrived"  # gradio stores an upload here until a session copies it

    def submit(self, state: PageState, text: str, files: Sequence[str | Path], settings: Settings) -> Iterator[PageState]:
        """Sends a message and yields the state as the answer grows. A user's mistake becomes the error of the exchange."""
        state, session = self._open_session(state)
        message_text = (text or "").strip() or (edit_words(settings.edit) if settings.edit is not None else "")
        try:
            if not message_text and not files:
                raise ValueError(EMPTY_REQUEST)
            if len(message_text) > MAX_TEXT:
                raise ValueError(f"The message has {len(message_text)} characters, the page takes {MAX_TEXT}; shorten it.")
            uploads = tuple(self.service.exporter.play_upload(session, self.service.receive(session, Path(file))) for file in files)
        except ValueError as error:
            exchange = ExchangeView(message_text[:MAX_TEXT], status="failed", error=str(error))
            yield _append_exchange(state, SubmittedMessage(message_text, (), settings, state.conversation), exchange)
            return
        finally:
            self.delete_uploads(files)
        yield from self._answer(state, session, SubmittedMessage(message_text, uploads, settings, state.conversation))

    def repeat(self, state: PageState, exchange_index: int, take_index: int, *, new_seed: bool) -> Iterator[PageState]:
        """Sends the message of an earlier exchange again, with the seed of that take or with a new one."""
        state, session = self._open_session(state)
        if not 0 <= exchange_index < len(state.messages):
            yield state
            return
        message, takes = state.messages[exchange_index], state.exchanges[exchange_index].takes
        seed = None if new_seed or not 0 <= take_index < len(takes) else takes[take_index].seed
        yield from self._answer(state, session, replace(message, settings=replace(message.settings, seed=seed, takes=1)))

    def submit_example(self, state: PageState, number: int, settings: Settings) -> Iterator[PageState]:
        """Sends the example with this index."""
        example = EVERY_EXAMPLE[number % len(EVERY_EXAMPLE)]
        files = [ASSETS / "examples" / example.file] if example.file else []
        yield from self.submit(state, example.text, files, settings)

    def clear(self, state: PageState) -> PageState:
        """Stops a running answer, deletes the files and returns the state of a new conversation."""
        self.close(state)
        return PageState()

    def close(self, state: PageState | None) -> None:
        """Stops a running answer and closes the session of a browser page that was closed."""
        if state is None:
            return
        if state.answer is not None:
            state.answer.discarded = True
            state.answer.close()
        if state.token:
            self.sessions.close(state.token)

    def connection_lost(self, state: PageState) -> None:
        """Closes the page unless it reconnects in time: its connection may have ended because the network failed."""
        if state.token:
            self.presence.connection_lost(state.token, lambda: self.close(state))

    def uploaded_paths(self, files: Sequence[str | Path]) -> list[Path]:
        """Paths of uploaded files. Raises ValueError for a file that was not uploaded.

        A request may name any path on the server, and the page serves the files that it accepts, so this repeats gradio's check.
        """
        paths = [Path(file) for file in files]
        if not all(path.resolve().is_relative_to(self.upload_dir.resolve()) for path in paths):
            raise ValueError("A file was named that was not uploaded; upload it, and name what the upload gave.")
        return paths

    def delete_uploads(self, files: Sequence[str | Path]) -> None:
        """Deletes gradio's copies of uploads once the session has its own, and their folders; files elsewhere stay."""
        for file in map(Path, files):
            if file.resolve().is_relative_to(self.upload_dir.resolve()):
                file.unlink(missing_ok=True)
                self._delete_empty_folders(file.resolve().parent)

    def _delete_empty_folders(self, folder: Path) -> None:
        """Deletes a folder below the upload folder, and those that are empty then."""
        while folder != self.upload_dir.resolve():
            try:
                folder.rmdir()
            except OSError:  # another file of the upload is there, or another thread was faster
                return
            folder = folder.parent

    def _open_session(self, state: PageState) -> tuple[PageState, Session]:
        """The session of the page. Opens one, with an empty state, for the first message and after the session has expired."""
        self.presence.connected(state.token)
        session = self.sessions.get(state.token) if state.token else None
        if session is None:
            session = self.sessions.open()
            state = PageState(token=session.token)
        return state, session

    def _answer(self, state: PageState, session: Session, message: SubmittedMessage) -> Iterator[PageState]:
        try:
            original = view_model.original_audio(session, message, self.service.read_sound)
            media = view_model.media_views(session, message.uploads, self.service.read_sound)
        except ValueError as error:  # damaged behind its beginning, which was all that was checked
            yield _append_exchange(state, message, ExchangeView(message.text, status="failed", error=str(error)))
            return
        updates = self.service.answer(
            session, message.conversation, message.text, message.uploads, message.settings, client_address=event_client_address()
        )
        answer = RunningAnswer(updates.stop, updates.close)
        exchange = ExchangeView(message.text, media, take_count=int(message.settings.takes))
        state = replace(_append_exchange(state, message, exchange), answer=answer)
        yield state
        try:
            for update in updates:
                exchange = _apply_update(exchange, update, session, original)
                if update.conversation is not None:
                    state = replace(state, conversation=state.conversation.add_exchange(update.conversation.exchanges[-1]))
                if update.stopped or update.conversation is not None:
                    status: Status = "stopped" if update.stopped else "done"
                    exchange = replace(exchange, status=status, takes=view_model.complete_takes(exchange.takes))
                yield _replace_last(state, exchange)
        except ValueError as error:
            exchange = replace(exchange, status="failed", error=str(error))
        finally:
            updates.close()  # also when the page is closed: cancels the requests, so that their rows leave the batch
            answer.finished = True
        if answer.discarded:
            return
        exchange = replace(exchange, takes=view_model.complete_takes(exchange.takes))  # the file of an abandoned take is deleted
        yield _replace_last(state, exchange)
        if exchange.status != "failed" and exchange.takes:
            yield _replace_last(state, view_model.with_plots(session, exchange, update.pieces))


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


def _append_exchange(state: PageState, message: SubmittedMessage, exchange: ExchangeView) -> PageState:
    index = len(state.exchanges)
    html = (*state.html, exchange_html(exchange, index, state.token))
    return replace(state, messages=(*state.messages, message), exchanges=(*state.exchanges, exchange), html=html)


def _replace_last(state: PageState, exchange: ExchangeView) -> PageState:
    """The state with `exchange` as its last exchange."""
    last_html = exchange_html(exchange, len(state.exchanges) - 1, state.token)
    return replace(state, exchanges=(*state.exchanges[:-1], exchange), html=(*state.html[:-1], last_html))


def _apply_update(exchange: ExchangeView, update: Update, session: Session, original: MediaView | None) -> ExchangeView:
    """The exchange after an update. A take gets its player as soon as its file has a URL, before the file is complete."""
    takes = view_model.take_views(session, exchange.takes, update)
    return replace(
        exchange, text=update.text, reference=update.reference and update.reference.phrase, progress=update.progress,
        seconds_left=update.seconds_left,
        queue_position=update.queue_position, takes=takes, original=original if takes else None,
        take_count=len(update.seeds) or exchange.take_count,
    )  # fmt: skip
