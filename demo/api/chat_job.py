"""Jobs of chat completions: convert the messages into a conversation, and the replies into the response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from demo.api import response as api_reply
from demo.api.job import Job, JobHandler, new_name
from demo.api.messages import Message
from demo.api.protocol import ApiError, ChatRequest, as_api_error
from demo.service.conversation import Conversation, Exchange, Piece
from demo.service.errors import UserFacingError, user_errors
from demo.service.request import SubmittedRequest

if TYPE_CHECKING:
    from demo.service.sessions import Session
    from demo.service.uploads import Upload
    from llama.dialogue import Reply
    from llama.media.audio import Waveform

Json = dict[str, Any]
KIND_NAMES = {"audio": "a recording", "image": "a picture", "video": "a clip", "score": "a score"}
UserMessage = tuple[Message, tuple["Upload", ...]]


@dataclass(kw_only=True)
class ChatJob(Job):
    """Submitted chat request. prompt_tokens: their number."""

    chat_request: ChatRequest
    prompt_tokens: int


class ChatHandler(JobHandler):
    """Makes jobs of chat requests."""

    def begin(self, chat_request: ChatRequest, caller: str, client_address: str, unknown: Sequence[str] = ()) -> ChatJob:
        """Submits a request. Raises `ApiError` or `UserFacingError`, and deletes its session then.

        caller, client_address: as in `ChatService.begin`. unknown: fields of the body that were ignored.
        """
        submit = partial(self._submit, chat_request, caller, client_address)
        session, (submitted, prompt_tokens) = self.open_session(submit)
        ignored = (*unknown, *chat_request.ignored_fields)
        return ChatJob(
            caller, session, submitted, int(self._clock()), ignored, new_name("chatcmpl"),
            chat_request=chat_request, prompt_tokens=prompt_tokens,
        )  # fmt: skip

    def _submit(self, chat_request: ChatRequest, caller: str, client_address: str, session: Session) -> tuple[SubmittedRequest, int]:
        """The submitted request and the number of its prompt tokens."""
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
            return submitted, self._service.prompt_tokens(submitted)
        except BaseException:
            submitted.cancel()
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
        data = api_reply.to_base64(api_reply.encode_audio(reply.music, audio_format, job.session.folder, audio_id))
        fields = api_reply.audio_format_fields(reply.music, audio_format)
        return {"id": audio_id, "data": data, **self.audio_fields(job, take, reply, reply.music, audio_id), **fields}

    def audio_fields(self, job: ChatJob, take: int, reply: Reply, music: Waveform, audio_id: str) -> Json:
        """Stores a take's piece under that id; returns the fields of `audio` beside id and data."""
        expires_at = self.keep(job, take, reply, music, audio_id)
        fields: Json = {"expires_at": expires_at, "transcript": reply.text, "seconds": music.seconds}
        return {**fields, "score": api_reply.midi_base64(reply.score, music.seconds)} if job.chat_request.score else fields

    def usage(self, job: ChatJob) -> Json:
        """The `usage` field of the response."""
        return api_reply.usage(job.prompt_tokens, job.answers(), self._service.audio_tokens)
