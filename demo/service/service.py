"""Chat service behind the page and the API: checks files, submits requests to the engine, reports progress, saves the music.

    service = ChatService(Engine(model), Sessions(), Limits())
    for update in service.answer(session, conversation, "a slow waltz", [], Settings(takes=2)):
        ...                                      # update.text grows, update.progress advances, update.pieces are added
    conversation = update.conversation           # includes this exchange; closing the iterator earlier cancels the request
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

from demo.service.audio_files import pcm_bytes
from demo.service.conversation import Conversation
from demo.service.errors import UserFacingError, user_errors
from demo.service.exports import Exporter
from demo.service.media_probe import Limits
from demo.service.music_length import longest_seconds
from demo.service.quotas import ConcurrencyLimiter
from demo.service.references import repeat_kind
from demo.service.request import MAX_TAKES, MAX_TEXT, STOPPED, MusicProgress, Settings, SubmittedRequest, Update
from demo.service.take_events import TakeEvent, add_listeners, cancel_all
from demo.service.take_progress import TakeProgress
from demo.service.turn_resolution import request_to_repeat, resolve_turn
from demo.service.uploads import Upload, check_session_size, receive
from llama.generation import tokenize
from llama.media.audio import Waveform
from llama.named_length import with_named_length

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions
    from llama.serving.engine import Engine
    from llama.serving.media_client import MediaWorkerClient
    from llama.serving.request import Request

__all__ = ["STOPPED", "MAX_TAKES", "ResponseStream", "SubmittedRequest", "Settings", "MusicProgress", "Update", "ChatService"]

QUEUE_POLL_SECONDS = 0.5  # without an event for this long, an update reports the queue position again
MIN_SECONDS = 1.0  # shortest music for a clip
EMPTY_REQUEST = "There is nothing to answer; write a message or add a recording, a picture, a clip or a score."

EventQueue = queue.SimpleQueue  # of `TakeEvent` from the engine and `Signal` from the reader


class Signal(Enum):
    """Message of the reader to the generator of updates. stop: end, and keep the music made so far; close: end, keep nothing."""

    stop = 1
    close = 2


class ChatService:
    """Answers requests of the page and the API with one engine. Each request belongs to a session.

    clock: monotonic time in seconds, for the estimate of the time left. media_worker: decodes users' files in a process of its
    own (None: in this one).
    """

    def __init__(
        self, engine: Engine, sessions: Sessions, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic, *,
        media_worker: MediaWorkerClient | None = None,
    ) -> None:
        self.engine, self.sessions, self.limits, self._clock = engine, sessions, limits or Limits(), clock
        self._media_worker = media_worker
        self._limiter = ConcurrencyLimiter()
        self.exporter = Exporter(getattr(engine.model, "music_decoder", None), sessions, self.limits)

    def answer(
        self, session: Session, conversation: Conversation, text: str, files: Sequence[Path | bytes | Upload], settings: Settings,
        *, about: Path | None = None, caller: str = "", client_address: str = "",
    ) -> ResponseStream:
        """Updates of a request; the last one has the new conversation. Closing the stream cancels the request at once.

        about, caller, client_address: as in `begin`. Iteration raises `UserFacingError` (a ValueError of one sentence): at the first
        step for an invalid request or a full queue, later for errors of reading the media or of generation.
        """
        event_queue: EventQueue = queue.SimpleQueue()
        requests: list[Request] = []

        def updates() -> Generator[Update, None, None]:
            submitted = self.begin(
                session, conversation, text, files, settings, about=about, caller=caller, client_address=client_address
            )
            requests.extend(submitted.requests)
            yield from self._updates(session, conversation, submitted, event_queue)

        return ResponseStream(requests, event_queue, updates())

    def begin(
        self, session: Session, conversation: Conversation, text: str, files: Sequence[Path | bytes | Upload],
        settings: Settings, *, system: str = "", about: Path | None = None, caller: str = "", client_address: str = "",
    ) -> SubmittedRequest:
        """Saves the files in the session and submits the request to the engine, once per take. Raises `UserFacingError`.

        system: system prompt, prepended to the message; references ("it") and edits are not searched in it.
        about: sound of the piece of the conversation that the message is about, whatever its words.
        caller: key of the limit on concurrent requests per caller (empty: the session's token).
        client_address: IP address, key of the limit shared by all callers at one address (empty: unknown, no limit).
        """
        with user_errors():
            message_text, system_text = encodable(text), encodable(system)
            check_text_length(len(message_text) + len(system_text))
            check_session_size(session.folder, 0, self.limits)
            edits = settings.edit is not None
            settings = _with_repeated_settings(settings, conversation, message_text, about, has_files=bool(files))
            settings.options()  # raises for values out of range before a file is saved
            uploads = tuple(self.receive(session, file) for file in files)
            if not message_text.strip() and not uploads and not edits:
                raise UserFacingError(EMPTY_REQUEST)
            resolution = resolve_turn(conversation, message_text, uploads, edits=edits, about=about)
            model_turn, reference = replace(resolution.turn, system=system_text), resolution.reference
            options = _with_clip_length(settings, conversation, uploads, model_turn).options()
            if settings.length_in_words:
                model_turn, options = self._with_named_length(model_turn, options)
            with self.sessions.storage.room(self._music_bytes(options, model_turn), session.folder):  # a full disk refuses before the work
                check_files(model_turn)
            submissions = [partial(self.engine.submit, model_turn, take_options) for take_options in options]
            requests = self._limiter.acquire(caller or session.token, client_address, submissions)
            return SubmittedRequest(message_text, uploads, model_turn, reference, options, requests)

    def _with_named_length(self, turn: Turn, options: Sequence[GenerationOptions]) -> tuple[Turn, tuple[GenerationOptions, ...]]:
        """The turn and the options of each take with the length that the words name, if they name one."""
        decoder = getattr(self.engine.model, "music_decoder", None)
        named = [with_named_length(decoder, turn, take) for take in options]
        return named[0][0], tuple(take for _, take in named)

    def _music_bytes(self, options: Sequence[GenerationOptions], turn: Turn) -> int:
        """Bytes of the music of all takes, in one format; 0 for answers of text only."""
        decoder, takes = getattr(self.engine.model, "music_decoder", None), [take for take in options if take.music]
        if decoder is None or not takes:
            return 0
        seconds = longest_seconds(self.engine.model, turn, takes[0])  # takes differ in their seed alone
        return len(takes) * pcm_bytes(seconds, decoder.sample_rate, decoder.channels)

    def receive(self, session: Session, file: Path | bytes | Upload, name: str | None = None) -> Upload:
        """Saves a user's file in the session's folder. name: the user's name for it (None: the file's own).

        Raises `UserFacingError` for an unsupported, damaged or too large one.
        """
        if isinstance(file, Upload):
            return file
        names = {file: "The file"} if isinstance(file, Path) else {}
        with user_errors(names), self.sessions.storage.room(_size(file), session.folder):
            return receive(session.folder, file, self.limits, name=name, media_worker=self._media_worker)

    def read_sound(self, upload: Path) -> Waveform:
        """The samples of a file that a session has received. Raises `UserFacingError`."""
        with user_errors({upload: "The recording"}):
            return Waveform.read(upload) if self._media_worker is None else self._media_worker.read_sound(str(upload))

    def prompt_tokens(self, submitted: SubmittedRequest) -> int:
        """Number of prompt tokens, including the dialogue template."""
        return len(tokenize(self.engine.model, [submitted.turn])[0])

    @property
    def audio_tokens(self) -> tuple[int, ...]:
        """Token ids of the tokenizer that stand for music."""
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
                    self.sessions.get(session.token)  # a running request keeps its session alive
                    yield progress.snapshot()
                yield progress.final_update(conversation)
        finally:
            cancel_all(submitted.requests)
            progress.close()


def _with_repeated_settings(
    settings: Settings, conversation: Conversation, text: str, about: Path | None, *, has_files: bool
) -> Settings:
    """For "again" without a seed: the seed and length of the repeated piece. "Another take" gets a new seed. Both get its edit, and
    its length in bars if that was set."""
    kind = repeat_kind(text)
    repeated = request_to_repeat(conversation, text, about=about) if kind is not None else None
    if repeated is None:
        return settings
    if settings.edit is None and not has_files:
        settings = replace(settings, edit=repeated.edit, bar_count=repeated.bar_count)
    if kind == "another" or settings.seed is not None:
        return settings
    first, *_ = pieces = sorted(repeated.pieces, key=lambda piece: piece.seed)
    takes = pieces[-1].seed - first.seed + 1  # includes takes in between that were stopped before their music began
    return replace(settings, seed=first.seed, seconds=first.requested_seconds or first.seconds, takes=takes)


def _with_clip_length(settings: Settings, conversation: Conversation, uploads: Sequence[Upload], model_turn: Turn) -> Settings:
    """With `settings.fit`: the music as long as the clip in the request."""
    uploads_so_far = [*uploads, *(upload for exchange in conversation.exchanges for upload in exchange.uploads)]
    seconds = next((upload.seconds for upload in uploads_so_far if str(upload.path) == str(model_turn.video)), None)
    return replace(settings, seconds=max(seconds, MIN_SECONDS)) if settings.fit and seconds else settings


def _size(file: Path | bytes) -> int:
    """Bytes of a user's file; 0 for one that is missing, of which `receive` tells."""
    if isinstance(file, bytes):
        return len(file)
    return file.lstat().st_size if file.is_file() else 0


def check_text_length(length: int) -> None:
    """Raises `UserFacingError` for text of more than `MAX_TEXT` characters. The same limit for the page and the API."""
    if length > MAX_TEXT:
        raise UserFacingError(f"The message has {length} characters, at most {MAX_TEXT} are taken; shorten it.")


def check_files(turn: Turn) -> None:
    """Raises `UserFacingError` for a recording, picture or clip of the conversation that was deleted, also to make room for others."""
    for name, file in (("recording", turn.audio), ("picture", turn.image), ("clip", turn.video)):
        if isinstance(file, (str, Path)) and not Path(file).exists():
            raise UserFacingError(f"The {name} is not here any more: it was deleted, or the server needed its room; send it again.")


def encodable(text: str | None) -> str:
    """The text with lone surrogates replaced: JSON may contain them, and the tokenizer fails on them."""
    return (text or "").encode("utf-8", "replace").decode("utf-8")


def _drain(event_queue: EventQueue) -> list[TakeEvent | Signal]:
    """All queued events; if there are none, waits up to `QUEUE_POLL_SECONDS` for the next one."""
    events: list[TakeEvent | Signal] = []
    try:
        events.append(event_queue.get(timeout=QUEUE_POLL_SECONDS))
        while True:
            events.append(event_queue.get_nowait())
    except queue.Empty:
        return events


class ResponseStream(Iterator[Update]):
    """Iterator over the updates of one request. `stop` and `close` may be called from any thread, even during a blocking `next`."""

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
        """Ends the request; one last update has the music made so far."""
        self._event_queue.put(Signal.stop)  # before the requests report their end
        cancel_all(list(self._requests))

    def close(self) -> None:
        """Cancels the request; no further update follows. Safe to call again."""
        self._closed = True
        cancel_all(list(self._requests))
        self._event_queue.put(Signal.close)  # wakes a blocked reader
        if self._reading.acquire(blocking=False):  # otherwise the reading thread closes the generator
            self._updates.close()
            self._reading.release()

    def __del__(self) -> None:
        self.close()
