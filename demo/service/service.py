"""What the page and the API do with a request: check its files, ask the engine, tell how it goes, keep what was made.

    work = Work(Engine(model), Sessions(), Limits())
    for update in work.answer(session, conversation, "a slow waltz", [], Settings(takes=2)):
        ...                                      # update.words grow, update.progress moves, update.pieces come
    conversation = update.conversation           # with this exchange; closing the iterator before stops the work
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.conversation import Conversation, repeat, turn
from demo.service.errors import UserFacingError, user_errors
from demo.service.media_probe import Limits
from demo.service.quotas import ConcurrencyLimiter
from demo.service.references import again
from demo.service.request import MAX_TAKES, MAX_TEXT, STOPPED, MusicProgress, Settings, SubmittedRequest, Update
from demo.service.take_events import TakeEvent, cancel, follow
from demo.service.take_progress import TakeProgress
from demo.service.uploads import Upload, check_room, receive
from llama.generation import tokenize

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.dialogue import Turn
    from llama.serving.engine import Engine
    from llama.serving.request import Request

__all__ = ["STOPPED", "MAX_TAKES", "ResponseStream", "SubmittedRequest", "Settings", "MusicProgress", "Update", "ChatService"]

QUEUE_POLL_SECONDS = 0.5  # seconds without an event, after which the place in the queue is looked at again
MIN_SECONDS = 1.0  # seconds of music for a clip, however short it is
EMPTY_REQUEST = "There is nothing to answer; write a message or add a recording, a picture or a clip."

Box = queue.SimpleQueue  # of what is heard, and of what whoever listens has to say


class Signal(Enum):
    """stop: no more, and what was made is kept; close: nobody listens any more."""

    stop = 1
    close = 2


class ChatService:
    """Requests of users, each in the session it came from."""

    def __init__(
        self, engine: Engine, sessions: Sessions, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.engine, self.sessions, self.limits, self._clock = engine, sessions, limits or Limits(), clock
        self._shares = ConcurrencyLimiter()

    def answer(
        self, session: Session, conversation: Conversation, text: str, files: Sequence[Path | bytes | Upload], settings: Settings,
        *, caller: str = "", payer: str = "",
    ) -> ResponseStream:
        """The updates of a request, the last one with the new conversation. Closing them stops the work at once.

        caller, payer: as in `begin`. Reading them raises `UserFacingError`, a ValueError of one sentence: first for a bad request or a
        full queue, later for what shows when the files are read or the piece is made.
        """
        box: Box = queue.SimpleQueue()
        tickets: list[Request] = []

        def updates() -> Generator[Update, None, None]:
            asked = self.begin(session, conversation, text, files, settings, caller=caller, payer=payer)
            tickets.extend(asked.tickets)
            yield from self._updates(session, conversation, asked, box)

        return ResponseStream(tickets, box, updates())

    def begin(
        self, session: Session, conversation: Conversation, text: str, files: Sequence[Path | bytes | Upload],
        settings: Settings, *, system: str = "", caller: str = "", payer: str = "",
    ) -> SubmittedRequest:
        """Takes the files into the session and hands the request to the engine, once a take. Raises `UserFacingError`.

        system: instructions of whoever runs the client; they stand before what the user said, and "it" is not sought there.
        caller: who asks, of whom only so much is answered at once (empty: whoever has the session).
        payer: the address that they ask from, for which all its callers pay together (empty: none is known).
        """
        with user_errors():
            words, above = readable(text), readable(system)
            check_text(len(words) + len(above))
            check_room(session.folder, 0, self.limits)
            settings = _seeded(settings, conversation, words)
            settings.options()  # refuses what is out of range before a file is taken
            uploads = tuple(self.receive(session, file) for file in files)
            if not words.strip() and not uploads:
                raise UserFacingError(EMPTY_REQUEST)
            request, referred = turn(conversation, words, uploads)
            request = replace(request, text="\n".join(filter(None, (above, request.text))))
            options = _fitted(settings, conversation, uploads, request).options()
            wanted = [partial(self.engine.submit, request, one) for one in options]
            return SubmittedRequest(words, uploads, request, referred, options, self._shares.take(caller or session.token, payer, wanted))

    def receive(self, session: Session, file: Path | bytes | Upload) -> Upload:
        """A file of the user's in the session's folder; ValueError for one that is not welcome or finds no room there."""
        if isinstance(file, Upload):
            return file
        named = {file: "The file"} if isinstance(file, Path) else {}
        with user_errors(named):
            return receive(session.folder, file, self.limits)

    def prompt_tokens(self, asked: SubmittedRequest) -> int:
        """Of the text that the model reads, with the form that is put around it."""
        return len(tokenize(self.engine.model, [asked.turn])[0])

    @property
    def audio_tokens(self) -> tuple[int, ...]:
        """The ids that stand for music among the tokens of an answer."""
        return self.engine.model.tokenizer.audio_tokens

    def _updates(
        self, session: Session, conversation: Conversation, asked: SubmittedRequest, box: Box
    ) -> Generator[Update, None, None]:
        run = TakeProgress(asked, session, self.sessions, self._clock)
        follow(asked.tickets, box.put)
        try:
            with user_errors(asked.names):
                yield run.update()
                while run.under_way:
                    heard = _drain(box)
                    if Signal.close in heard:
                        return
                    run.take_in([one for one in heard if isinstance(one, TakeEvent)])
                    if Signal.stop in heard and not run.whole:
                        yield run.stopped(conversation)
                        return
                    self.sessions.get(session.token)  # whose work goes on is not away
                    yield run.update()
                yield run.last(conversation)
        finally:
            cancel(asked.tickets)
            run.close()


def _seeded(settings: Settings, conversation: Conversation, text: str) -> Settings:
    """Whoever says "again", and names no seed, wants what they had, as long as it was: "another take" is another wish."""
    had = repeat(conversation, text) if settings.seed is None and again(text) == "same" else None
    if had is None:
        return settings
    first, *_ = pieces = sorted(had.pieces, key=lambda piece: piece.seed)
    takes = pieces[-1].seed - first.seed + 1  # those between that had not sounded when they were stopped come again, too
    return replace(settings, seed=first.seed, seconds=first.stopped_of or first.seconds, takes=takes)


def _fitted(settings: Settings, conversation: Conversation, uploads: Sequence[Upload], request: Turn) -> Settings:
    """As long as the clip that the request is about, if that is wanted."""
    known = [*uploads, *(upload for exchange in conversation.exchanges for upload in exchange.uploads)]
    seconds = next((one.seconds for one in known if str(one.path) == str(request.video)), None)
    return replace(settings, seconds=max(seconds, MIN_SECONDS)) if settings.fit and seconds else settings


def check_text(length: int) -> None:
    """Whoever asks: the page, a program, a client of the API. Raises `UserFacingError`."""
    if length > MAX_TEXT:
        raise UserFacingError(f"The message has {length} characters, at most {MAX_TEXT} are taken; shorten it.")


def readable(text: str | None) -> str:
    """The text as it can be written down; half a character, which JSON can hold, would stop the tokenizer."""
    return (text or "").encode("utf-8", "replace").decode("utf-8")


def _drain(box: Box) -> list[TakeEvent | Signal]:
    """Everything that is there, or the next thing that comes within a tick."""
    heard: list[TakeEvent | Signal] = []
    try:
        heard.append(box.get(timeout=QUEUE_POLL_SECONDS))
        while True:
            heard.append(box.get_nowait())
    except queue.Empty:
        return heard


class ResponseStream(Iterator[Update]):
    """The updates of one request. `stop` and `close` end its work, from any thread, also while another waits for the next one."""

    def __init__(
        self, tickets: Sequence[Request], box: Box, updates: Generator[Update, None, None]
    ) -> None:
        self._tickets, self._box, self._updates = tickets, box, updates
        self._closed, self._reading = False, threading.Lock()

    def __next__(self) -> Update:
        with self._reading:
            update = next(self._updates)
            if not self._closed:
                return update
            self._updates.close()
            raise StopIteration

    def stop(self) -> None:
        """One more update comes, with what was made until now."""
        self._box.put(Signal.stop)  # before the tickets tell of their end
        cancel(list(self._tickets))

    def close(self) -> None:
        self._closed = True
        cancel(list(self._tickets))
        self._box.put(Signal.close)  # wakes who waits
        if self._reading.acquire(blocking=False):  # else the one who reads closes them
            self._updates.close()
            self._reading.release()

    def __del__(self) -> None:
        self.close()
