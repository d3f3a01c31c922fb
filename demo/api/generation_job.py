"""Jobs of generations: a prompt becomes a piece, which is kept for an hour, and facts about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from demo.api import response as api_reply
from demo.api.generation_request import GenerationRequest
from demo.api.job import Job, JobHandler, new_name
from demo.api.protocol import ApiError
from demo.service.conversation import Conversation, Exchange
from demo.service.errors import user_errors
from llama.errors import SENTENCE_LENGTH, shorten
from llama.media.naming import piece_name, text_name

if TYPE_CHECKING:
    from demo.service.request import SubmittedRequest
    from demo.service.sessions import Session
    from llama.dialogue import Reply
    from llama.media.audio import Waveform

Json = dict[str, Any]
INSTRUCTION = "Compose music:"  # before the prompt: of 15 prompts that name no music, such as "rain", 13 make some with it, 7 without
MAX_HEADER_ANSWER = 300  # characters of the answer in a header: proxies take some 4000 bytes of headers


@dataclass(kw_only=True)
class GenerationJob(Job):
    """Submitted generation. audio_id: of the piece that it makes."""

    request: GenerationRequest
    audio_id: str

    @property
    def seed(self) -> int:
        return self.submitted.options[0].seed

    def file_stem(self, reply: Reply | None) -> str:
        """Name of the piece's file, without its ending: what its notes are, or else the first words of the prompt."""
        is_known = reply is not None and reply.score is not None
        return piece_name(reply.score) if is_known else text_name(self.request.prompt)  # type: ignore[union-attr, arg-type]

    def piece_headers(self, text: str, seconds: float | None) -> dict[str, str]:
        """Headers that describe the piece. The answer is percent-encoded UTF-8, since headers are Latin-1."""
        answer = quote(shorten(text, MAX_HEADER_ANSWER), safe=" ,.:;!?'()/-")
        facts = {"X-Seed": str(self.seed), "X-Piece-Id": self.audio_id, "X-Answer": answer}
        return {**facts, **({} if seconds is None else {"X-Seconds": f"{seconds:g}"}), **self.headers}


class GenerationHandler(JobHandler):
    """Makes jobs of generations, and the answers of finished ones."""

    def begin(self, request: GenerationRequest, caller: str, client_address: str, unknown: Sequence[str] = ()) -> GenerationJob:
        """Submits a request. Raises `ApiError` or `UserFacingError`, and deletes its session then.

        caller, client_address: as in `ChatService.begin`. unknown: fields of the body that were ignored.
        """
        try:
            self._service.exporter.check_form(request.format)
        except ValueError as error:
            raise ApiError(str(error), param="format") from error
        session, submitted = self.open_session(partial(self._submit, request, caller, client_address))
        return GenerationJob(
            caller, session, submitted, int(self._clock()), tuple(unknown), new_name("gen"), request=request, audio_id=self.new_id()
        )

    def _submit(self, request: GenerationRequest, caller: str, client_address: str, session: Session) -> SubmittedRequest:
        conversation = Conversation()
        if request.piece:
            conversation = conversation.add_exchange(Exchange("", (), "", (self._store.get(request.piece, caller, "piece"),)))
        return self._service.begin(
            session, conversation, request.prompt, (), request.settings(), system="" if request.piece else INSTRUCTION,
            caller=caller, client_address=client_address,
        )

    def finish(self, job: GenerationJob, reply: Reply) -> int:
        """Keeps the piece; returns its expiry in seconds since 1970. Raises `ApiError` (422) for an answer without music."""
        music = music_of(reply)
        with user_errors(job.submitted.names):
            return self.keep(job, 0, reply, music, job.audio_id)

    def encoded(self, job: GenerationJob, reply: Reply) -> bytes:
        """The piece as flac, mp3 or pcm16."""
        music = music_of(reply)
        with user_errors(job.submitted.names):
            return api_reply.encode_audio(music, job.request.format, job.session.folder, job.audio_id)  # type: ignore[arg-type]

    def description(self, job: GenerationJob, reply: Reply, expires_at: int, model: str, base: str) -> Json:
        """The answer in JSON. base: address of this server, where a proxy has a sub-path."""
        form = job.request.format
        return {
            "id": job.audio_id, "object": "audio.generation", "created": job.created, "model": model, "format": form,
            "url": f"{base}/v1/audio/{job.audio_id}/{form}", "name": job.file_stem(reply), "text": reply.text,
            "seed": job.seed, "seconds": music_of(reply).seconds, "expires_at": expires_at, "facts": api_reply.facts(reply.score),
            **api_reply.edit_fields(reply),
        }  # fmt: skip


def music_of(reply: Reply) -> Waveform:
    """The music of an answer. Raises `ApiError` (422), with the model's words, for one that has none."""
    if reply.music is None:
        said = shorten(" ".join(reply.text.split()), SENTENCE_LENGTH // 2)
        if reply.edit is not None:  # an edit that would leave the piece as it is
            sentence = f"No piece was made: {said.rstrip('.')}; ask for another change."
            raise ApiError(sentence, status=422, param="edit", code="nothing_changed")
        sentence = f"The model answered with words alone, '{said}'; say what the music is to be, such as 'a slow, sad waltz'."
        raise ApiError(sentence, status=422, param="prompt", code="no_music")
    return reply.music
