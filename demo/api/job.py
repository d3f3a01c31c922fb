"""Chat completion jobs: convert the messages into a conversation, store the music under ids, delete all other files."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.api import response as api_reply
from demo.api.audio_store import AudioStore
from demo.api.messages import Message
from demo.api.protocol import ApiError, ChatRequest, as_api_error
from demo.service.audio_files import take_bytes, write
from demo.service.conversation import Conversation, Exchange, Piece
from demo.service.errors import UserFacingError, user_errors
from demo.service.request import STOPPED, SubmittedRequest
from demo.service.service import ChatService

if TYPE_CHECKING:
    from demo.service.exports import ExportedFile
    from demo.service.sessions import Session
    from demo.service.uploads import Upload
    from llama.dialogue import Reply
    from llama.media.audio import Waveform

Json = dict[str, Any]
KIND_NAMES = {"audio": "a recording", "image": "a picture", "video": "a clip", "score": "a score"}
UserMessage = tuple[Message, tuple["Upload", ...]]


@dataclass
class ChatJob:
    """Submitted chat request. prompt_tokens: their number; created: seconds since 1970; replies: of finished takes."""

    chat_request: ChatRequest
    caller: str
    session: Session
    submitted: SubmittedRequest
    prompt_tokens: int
    created: int
    name: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_urlsafe(18)}")
    replies: dict[int, Reply] = field(default_factory=dict)

    def answers(self) -> list[Reply]:
        """Replies of all takes in order. Raises `UserFacingError` if one is missing because the server stopped."""
        if len(self.replies) < len(self.submitted.requests):
            raise UserFacingError(STOPPED, "server")
        return [self.replies[take] for take in sorted(self.replies)]


class ChatHandler:
    """Starts and ends jobs. Its methods read and write files, so call them from a worker thread. clock: seconds since 1970."""

    def __init__(self, service: ChatService, clock: Callable[[], float] = time.time) -> None:
        self._service, self._clock = service, clock
        self._store = AudioStore(service.sessions, clock)

    def begin(self, chat_request: ChatRequest, caller: str, client_address: str) -> ChatJob:
        """Submits a request. Raises `ApiError` or `UserFacingError`, and deletes its session then.

        caller, client_address: as in `ChatService.begin`.
        """
        session = self._service.sessions.open()
        self._service.sessions.storage.protect(session.folder)
        try:
            messages = chat_request.messages
            *earlier, (last_message, files) = [
                (message, self._uploads(session, message, f"messages[{index}].content")) for index, message in enumerate(messages)
            ]
            system = "\n".join(message.text for message in messages if message.role == "system")
            conversation = self._conversation(earlier, caller)
            submitted = self._service.begin(
                session, conversation, last_message.text, files, chat_request.settings(),
                system=system, caller=caller, client_address=client_address,
            )
            try:
                return ChatJob(chat_request, caller, session, submitted, self._service.prompt_tokens(submitted), int(self._clock()))
            except BaseException:
                submitted.cancel()
                raise
        except BaseException:
            self._service.sessions.storage.unprotect(session.folder)
            self._service.sessions.close(session.token)
            raise

    def _uploads(self, session: Session, message: Message, field: str) -> tuple[Upload, ...]:
        """Saves the files of a message. field: path of its content, for errors."""
        uploads = []
        for index, part in message.media.items():
            path = f"{field}[{index}]"
            try:
                upload = self._service.receive(session, part.content, part.name)
            except UserFacingError as error:
                raise as_api_error(error, path) from error
            if upload.kind != part.kind:
                sentence = f"{path} holds {KIND_NAMES[upload.kind]}, not {KIND_NAMES[part.kind]}; send it as what it is."
                raise ApiError(sentence, param=path)
            uploads.append(upload)
        return tuple(uploads)

    def _conversation(self, earlier: Sequence[UserMessage], caller: str) -> Conversation:
        """Conversation of the earlier messages: each user message with the assistant message after it."""
        conversation, user_message = Conversation(), None
        for index, (message, uploads) in enumerate(earlier):
            if message.role == "user":
                conversation = conversation if user_message is None else conversation.add_exchange(Exchange(*user_message))
                user_message = message.text, uploads
            elif message.role == "assistant":
                pieces = self._earlier_pieces(message, caller, f"messages[{index}].audio.id")
                conversation, user_message = conversation.add_exchange(Exchange(*(user_message or ("", ())), message.text, pieces)), None
        return conversation if user_message is None else conversation.add_exchange(Exchange(*user_message))

    def _earlier_pieces(self, message: Message, caller: str, field: str) -> tuple[Piece, ...]:
        return () if message.audio is None else (self._store.get(message.audio.id, caller, field),)

    def completion(self, job: ChatJob, envelope: Json) -> Json:
        """Body of the complete response."""
        with user_errors(job.submitted.names):
            choices = [api_reply.choice(take, reply, job.submitted.options[take].seed, self._audio(job, take, reply))
                       for take, reply in enumerate(job.answers())]
        return {**envelope, "choices": choices, "usage": self.usage(job)}

    def _audio(self, job: ChatJob, take: int, reply: Reply) -> Json | None:
        audio_format = job.chat_request.audio_format
        if reply.music is None or audio_format is None:
            return None
        audio_id = self._store.new_id()
        data = api_reply.encode_audio(reply.music, audio_format, job.session.folder, audio_id)
        fields = api_reply.audio_format_fields(reply.music, audio_format)
        return {"id": audio_id, "data": data, **self.keep(job, take, reply, reply.music, audio_id), **fields}

    def new_id(self) -> str:
        """Audio id for a piece that is still being generated."""
        return self._store.new_id()

    def keep(self, job: ChatJob, take: int, reply: Reply, music: Waveform, audio_id: str) -> Json:
        """Stores a take's piece under that id; returns the fields of `audio` beside id and data."""
        seed, folder = job.submitted.options[take].seed, job.session.folder
        with self._service.sessions.storage.room(take_bytes(music, ("wav",)), folder):
            sound = write(music, None, folder, f"{audio_id}-kept", ("wav",), title=job.submitted.message, seed=seed)["wav"]
        piece = Piece(reply.text, seed, music.seconds, sound, reply.score, edit=reply.edit)
        expires_at = self._store.add(audio_id, job.caller, job.session, piece)
        fields: Json = {"expires_at": expires_at, "transcript": reply.text, "seconds": music.seconds}
        return {**fields, "score": api_reply.midi_base64(reply.score, music.seconds)} if job.chat_request.score else fields

    def export(self, audio_id: str, caller: str, form: str, bars: str) -> ExportedFile:
        """A stored piece in another form (`demo.service.exports`). Raises `ApiError` or `UserFacingError`."""
        entry = self._store.entry(audio_id, caller)
        return self._service.exporter.export(entry.session, entry.piece.sound, entry.piece.score, form, bars)

    def usage(self, job: ChatJob) -> Json:
        """The `usage` field of the response."""
        return api_reply.usage(job.prompt_tokens, job.answers(), self._service.audio_tokens)

    def end(self, job: ChatJob) -> None:
        """Deletes the session's files except those of stored pieces, and the session if there are none."""
        self._service.sessions.storage.unprotect(job.session.folder)
        kept_files = self._store.files(job.session)
        if not kept_files:
            self._service.sessions.close(job.session.token)
            return
        stems = tuple(file.stem for file in kept_files)
        for file in job.session.folder.iterdir():
            if not file.name.startswith(stems):  # which a piece's exports begin with, too
                file.unlink(missing_ok=True)
