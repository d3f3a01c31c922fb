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

from demo.service.conversation import Conversation, request_to_repeat, resolve_turn
from demo.service.errors import UserFacingError, user_errors
from demo.service.media_probe import Limits
from demo.service.quotas import ConcurrencyLimiter
from demo.service.references import repeat_kind
from demo.service.request import MAX_TAKES, MAX_TEXT, STOPPED, MusicProgress, Settings, SubmittedRequest, Update
from demo.service.take_events import TakeEvent, add_listeners, cancel_all
from demo.service.take_progress import TakeProgress
from demo.service.uploads import Upload, check_session_size, receive
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

EventQueue = queue.SimpleQueue  # of what is heard, and of what whoever listens has to say


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
        self._limiter = ConcurrencyLimiter()

    def answer(
        self, session: Session, conversation: Conversation, text: str, files: Sequence[Path | bytes | Upload], settings: Settings,
        *, caller: str = "", client_address: str = "",
    ) -> ResponseStream:
        """The updates of a request, the last one with the new conversation. Closing them stops the work at once.

        caller, payer: as in `begin`. Reading them raises `UserFacingError`, a ValueError of one sentence: first for a bad request or a
        full queue, later for what shows when the files are read or the piece is made.
        """
        event_queue: EventQueue = queue.SimpleQueue()
        requests: list[Request] = []

        def updates() -> Generator[Update, None, None]:
            submitted = self.begin(session, conversation, text, files, settings, caller=caller, client_address=client_address)
            requests.extend(submitted.requests)
            yield from self._updates(session, conversation, submitted, event_queue)

        return ResponseStream(requests, event_queue, updates())

    def begin(
        self, session: Session, conversation: Conversation, text: str, files: Sequence[Path | bytes | Upload],
        settings: Settings, *, system: str = "", caller: str = "", client_address: str = "",
    ) -> SubmittedRequest:
        """Takes the files into the session and hands the request to the engine, once a take. Raises `UserFacingError`.

        system: instructions of whoever runs the client; they stand before what the user said, and "it" is not sought there.
        caller: who asks, of whom only so much is answered at once (empty: whoever has the session).
        payer: the address that they ask from, for which all its callers pay together (empty: none is known).
        """
        with user_errors():
            message_text, system_text = encodable(text), encodable(system)
            check_text_length(len(message_text) + len(system_text))
            check_session_size(session.folder, 0, self.limits)
            settings = _with_repeated_seed(settings, conversation, message_text)
            settings.options()  # refuses what is out of range before a file is taken
            uploads = tuple(self.receive(session, file) for file in files)
            if not message_text.strip() and not uploads:
                raise UserFacingError(EMPTY_REQUEST)
            model_turn, reference = resolve_turn(conversation, message_text, uploads)
            model_turn = replace(model_turn, text="\n".join(filter(None, (system_text, model_turn.text))))
            options = _with_clip_length(settings, conversation, uploads, model_turn).options()
            submissions = [partial(self.engine.submit, model_turn, take_options) for take_options in options]
            requests = self._limiter.acquire(caller or session.token, client_address, submissions)
            return SubmittedRequest(message_text, uploads, model_turn, reference, options, requests)

    def receive(self, session: Session, file: Path | bytes | Upload) -> Upload:
        """A file of the user's in the session's folder; ValueError for one that is not welcome or finds no room there."""
        if isinstance(file, Upload):
            return file
        names = {file: "The file"} if isinstance(file, Path) else {}
        with user_errors(names):
            return receive(session.folder, file, self.limits)

    def prompt_tokens(self, submitted: SubmittedRequest) -> int:
        """Of the text that the model reads, with the form that is put around it."""
        return len(tokenize(self.engine.model, [submitted.turn])[0])

    @property
    def audio_tokens(self) -> tuple[int, ...]:
        """The ids that stand for music among the tokens of an answer."""
        return self.engine.model.tokenizer.audio_tokens

    def _updates(
        self, session: Session, conversation: Conversation, submitted: SubmittedRequest, event_queue: EventQueue
    ) -> Generator[Update, None, None]:
        progress = TakeProgress(submitted, session, self.sessions, self._clock)
        add_listeners(submitted.requests, event_queue.put)
        try:
            with user_errors(submitted.names):
                yield progress.snapshot()
                while progress.running:
                    events = _drain(event_queue)
                    if Signal.close in events:
                        return
                    progress.handle([event for event in events if isinstance(event, TakeEvent)])
                    if Signal.stop in events and not progress.complete:
                        yield progress.stopped_update(conversation)
                        return
                    self.sessions.get(session.token)  # whose work goes on is not away
                    yield progress.snapshot()
                yield progress.final_update(conversation)
        finally:
            cancel_all(submitted.requests)
            progress.close()


def _with_repeated_seed(settings: Settings, conversation: Conversation, text: str) -> Settings:
    """Whoever says "again", and names no seed, wants what they had, as long as it was: "another take" is another wish."""
    repeated = request_to_repeat(conversation, text) if settings.seed is None and repeat_kind(text) == "same" else None
    if repeated is None:
        return settings
    first, *_ = pieces = sorted(repeated.pieces, key=lambda piece: piece.seed)
    takes = pieces[-1].seed - first.seed + 1  # those between that had not sounded when they were stopped come again, too
    return replace(settings, seed=first.seed, seconds=first.requested_seconds or first.seconds, takes=takes)


def _with_clip_length(settings: Settings, conversation: Conversation, uploads: Sequence[Upload], model_turn: Turn) -> Settings:
    """As long as the clip that the request is about, if that is wanted."""
    uploads_so_far = [*uploads, *(upload for exchange in conversation.exchanges for upload in exchange.uploads)]
    seconds = next((upload.seconds for upload in uploads_so_far if str(upload.path) == str(model_turn.video)), None)
    return replace(settings, seconds=max(seconds, MIN_SECONDS)) if settings.fit and seconds else settings


def check_text_length(length: int) -> None:
    """Whoever asks: the page, a program, a client of the API. Raises `UserFacingError`."""
    if length > MAX_TEXT:
        raise UserFacingError(f"The message has {length} characters, at most {MAX_TEXT} are taken; shorten it.")


def encodable(text: str | None) -> str:
    """The text as it can be written down; half a character, which JSON can hold, would stop the tokenizer."""
    return (text or "").encode("utf-8", "replace").decode("utf-8")


def _drain(event_queue: EventQueue) -> list[TakeEvent | Signal]:
    """Everything that is there, or the next thing that comes within a tick."""
    events: list[TakeEvent | Signal] = []
    try:
        events.append(event_queue.get(timeout=QUEUE_POLL_SECONDS))
        while True:
            events.append(event_queue.get_nowait())
    except queue.Empty:
        return events


class ResponseStream(Iterator[Update]):
    """The updates of one request. `stop` and `close` end its work, from any thread, also while another waits for the next one."""

    def __init__(
        self, requests: Sequence[Request], event_queue: EventQueue, updates: Generator[Update, None, None]
    ) -> None:
        self._requests, self._event_queue, self._updates = requests, event_queue, updates
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
        self._event_queue.put(Signal.stop)  # before the tickets tell of their end
        cancel_all(list(self._requests))

    def close(self) -> None:
        self._closed = True
        cancel_all(list(self._requests))
        self._event_queue.put(Signal.close)  # wakes who waits
        if self._reading.acquire(blocking=False):  # else the one who reads closes them
            self._updates.close()
            self._reading.release()

    def __del__(self) -> None:
        self.close()
