"""One request to the API: its messages become a conversation, its music is kept under an id, its end leaves no file."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.api import response as api_reply
from demo.api.audio_store import AudioStore
from demo.api.protocol import ApiError, ChatRequest, Message, as_api_error
from demo.service.audio_files import write
from demo.service.conversation import Conversation, Exchange, Piece
from demo.service.errors import UserFacingError, user_errors
from demo.service.request import STOPPED, SubmittedRequest
from demo.service.service import ChatService

if TYPE_CHECKING:
    from demo.service.sessions import Session
    from demo.service.uploads import Upload
    from llama.dialogue import Reply

Json = dict[str, Any]
KINDS = {"audio": "a recording", "image": "a picture", "video": "a clip"}
Said = tuple[Message, tuple["Upload", ...]]


@dataclass
class ChatJob:
    """A request that the engine has taken. prompt: its tokens; created: seconds since 1970; replies: of finished takes."""

    wanted: ChatRequest
    caller: str
    session: Session
    asked: SubmittedRequest
    prompt: int
    created: int
    name: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_urlsafe(18)}")
    replies: dict[int, Reply] = field(default_factory=dict)

    def answers(self) -> list[Reply]:
        """The replies of all takes, in order. Raises `UserFacingError` where one was never made."""
        if len(self.replies) < len(self.asked.tickets):
            raise UserFacingError(STOPPED, "server")
        return [self.replies[take] for take in sorted(self.replies)]


class ChatHandler:
    """Begins and ends the jobs. Its methods read and write files: call them from a thread that may wait."""

    def __init__(self, work: ChatService, clock: Callable[[], float] = time.time) -> None:
        self._work, self._clock = work, clock
        self._pieces = AudioStore(work.sessions, clock)

    def begin(self, wanted: ChatRequest, caller: str, payer: str) -> ChatJob:
        """Raises `ApiError` or `UserFacingError`, and leaves nothing behind then. caller, payer: as `ChatService.begin` has them."""
        session = self._work.sessions.open()
        try:
            *before, (last, files) = [(message, self._uploads(session, message)) for message in wanted.messages]
            system = "\n".join(message.text for message in wanted.messages if message.role == "system")
            known = self._conversation(before, caller)
            asked = self._work.begin(
                session, known, last.text, files, wanted.settings, system=system, caller=caller, payer=payer
            )
            try:
                return ChatJob(wanted, caller, session, asked, self._work.prompt_tokens(asked), int(self._clock()))
            except BaseException:
                asked.cancel()
                raise
        except BaseException:
            self._work.sessions.close(session.token)
            raise

    def _uploads(self, session: Session, message: Message) -> tuple[Upload, ...]:
        uploads = []
        for medium in message.media:
            try:
                upload = self._work.receive(session, medium.content)
            except UserFacingError as error:
                raise as_api_error(error, medium.where) from error
            if upload.kind != medium.kind:
                sentence = f"{medium.where} holds {KINDS[upload.kind]}, not {KINDS[medium.kind]}; send it as what it is."
                raise ApiError(sentence, param=medium.where)
            uploads.append(upload)
        return tuple(uploads)

    def _conversation(self, before: Sequence[Said], caller: str) -> Conversation:
        """What the earlier messages say: each of the user's with the answer that follows it."""
        conversation, said = Conversation(), None
        for index, (message, uploads) in enumerate(before):
            if message.role == "user":
                conversation = conversation if said is None else conversation.with_(Exchange(*said))
                said = message.text, uploads
            elif message.role == "assistant":
                pieces = self._earlier(message, caller, f"messages[{index}].audio.id")
                conversation, said = conversation.with_(Exchange(*(said or ("", ())), message.text, pieces)), None
        return conversation if said is None else conversation.with_(Exchange(*said))

    def _earlier(self, message: Message, caller: str, where: str) -> tuple[Piece, ...]:
        return () if message.audio is None else (self._pieces.find(message.audio, caller, where),)

    def completion(self, job: ChatJob, envelope: Json) -> Json:
        """The whole answer."""
        with user_errors(job.asked.names):
            choices = [api_reply.choice(take, reply, job.asked.options[take].seed, self._audio(job, take, reply))
                       for take, reply in enumerate(job.answers())]
        return {**envelope, "choices": choices, "usage": self.usage(job)}

    def _audio(self, job: ChatJob, take: int, reply: Reply) -> Json | None:
        kind = job.wanted.sound
        if reply.music is None or kind is None:
            return None
        name = self._pieces.new_id()
        data = api_reply.encoded(reply.music, kind, job.session.folder, name)
        return {"id": name, "data": data, **self.keep(job, take, reply, name), **api_reply.sound_facts(reply.music, kind)}

    def new_id(self) -> str:
        """For a piece that is to be kept when it is whole."""
        return self._pieces.new_id()

    def keep(self, job: ChatJob, take: int, reply: Reply, name: str) -> Json:
        """Keeps the piece under that id; what is told of it beside its sound."""
        seed, music = job.asked.options[take].seed, reply.music
        sound = write(music, None, job.session.folder, f"{name}-kept", ("wav",), title=job.asked.said, seed=seed)["wav"]
        piece = Piece(reply.text, seed, music.seconds, sound, reply.score)
        until = self._pieces.keep(name, job.caller, job.session, piece)
        facts: Json = {"expires_at": until, "transcript": reply.text, "seconds": music.seconds}
        return {**facts, "score": api_reply.notes(reply.score, music.seconds)} if job.wanted.score else facts

    def usage(self, job: ChatJob) -> Json:
        """The tokens that were read and written."""
        return api_reply.usage(job.prompt, job.answers(), self._work.audio_tokens)

    def end(self, job: ChatJob) -> None:
        """Deletes what nobody can ask for any more: all but the pieces that are kept."""
        kept = self._pieces.sounds(job.session)
        if not kept:
            self._work.sessions.close(job.session.token)
            return
        for file in job.session.folder.iterdir():
            if file not in kept:
                file.unlink(missing_ok=True)
