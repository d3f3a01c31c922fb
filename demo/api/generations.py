"""`POST /v1/audio/generations`: a prompt in, the sound itself out: complete, as JSON, while it is made, or later as a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from demo.api import response as api_reply
from demo.api.event_queue import EventQueue
from demo.api.generation_job import GenerationHandler, GenerationJob, music_of
from demo.api.generation_request import GenerationRequest
from demo.api.jobs import BackgroundJob, JobStore
from demo.api.route import CLIENT_CLOSED_REQUEST, BodyReader, Received, caller_of
from demo.api.sse import ClosingResponse, end_job
from demo.service.audio_files import take_tags
from demo.service.errors import UserFacingError
from demo.service.exports import EXPORT_FORMATS, ExportedFile
from demo.service.request import STOPPED
from llama.dialogue import Reply
from llama.generation import Done, MusicChunk, Progress, TextDelta
from llama.media.audio import Waveform

Json = dict[str, Any]
CONTENT_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "pcm16": "audio/pcm"}
PRIVATE = {"Cache-Control": "private, no-store"}
POLL_SECONDS = 2  # between two looks at a job, in its Retry-After


@dataclass
class Beginning:
    """State of a stream before its first sound. seconds: of the whole music."""

    text: str
    seconds: float
    music: Waveform | None = None  # the first chunk
    reply: Reply | None = None  # of a decoder that sends no chunks


class GenerationEndpoints:
    """Endpoints of generations and jobs. base: address of this server before /v1, where a proxy has a sub-path."""

    def __init__(self, handler: GenerationHandler, reader: BodyReader, jobs: JobStore, base: str) -> None:
        self._handler, self._reader, self._jobs, self._base = handler, reader, jobs, base

    async def generate(self, request: Request) -> Response:
        """Makes a piece of music from a prompt."""
        made = await self._reader.receive(request, GenerationRequest, self._begin)
        if isinstance(made, BackgroundJob):
            return self._accepted(made)
        try:
            events = EventQueue(made.submitted)
            if made.request.stream:
                return await self._stream(made, events, request)
            response = await self._respond(made, events, request)
        except BaseException:
            await end_job(self._handler, made)
            raise
        await end_job(self._handler, made)
        return response

    def _begin(self, received: Received[GenerationRequest]) -> GenerationJob | BackgroundJob:
        if received.request.background:
            return self._submit_job(received)
        return self._handler.begin(received.request, received.caller, received.client_address, received.unknown)

    # -- complete -----------------------------------------------------------------------------------------------------------

    async def _respond(self, job: GenerationJob, events: EventQueue, request: Request) -> Response:
        async with events.cancel_on_disconnect(request):
            while (take_event := await events.next()) is not None:
                if isinstance(take_event.event, Done):
                    job.replies[take_event.take] = take_event.event.reply
        if events.disconnected:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return await run_in_threadpool(self._complete, job)

    def _complete(self, job: GenerationJob) -> Response:
        [reply] = job.answers()
        expires_at = self._handler.finish(job, reply)
        headers = {**PRIVATE, **job.piece_headers(reply.text, music_of(reply).seconds)}
        if job.request.response_format == "json":
            return api_reply.JsonResponse(self._jobs.describe(job, reply, expires_at), headers=headers)
        form = job.request.format
        if form == "wav" or form in EXPORT_FORMATS:
            return file_response(self._handler.export(job.audio_id, job.caller, form), headers)
        headers["Content-Disposition"] = f'attachment; filename="{job.file_stem(reply)}.{form}"'
        return Response(self._handler.encoded(job, reply), headers=headers, media_type=CONTENT_TYPES[form])

    # -- while it is made -----------------------------------------------------------------------------------------------------

    async def _stream(self, job: GenerationJob, events: EventQueue, request: Request) -> Response:
        """The response once the first sound is there, so that an answer without music has its own status."""
        async with events.cancel_on_disconnect(request):
            beginning = await _beginning(job, events)
        if beginning is None:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        form = job.request.format
        headers = job.piece_headers(beginning.text, beginning.seconds)
        headers["Content-Disposition"] = f'attachment; filename="{job.file_stem(beginning.reply)}.{form}"'
        return ClosingResponse(self._sound(job, events, beginning), lambda: end_job(self._handler, job), headers, CONTENT_TYPES[form])

    async def _sound(self, job: GenerationJob, events: EventQueue, beginning: Beginning) -> AsyncIterator[bytes]:
        """The bytes of the file. An error ends them early, without the last chunk of HTTP, which clients notice."""
        tags = take_tags(job.submitted.message, job.seed)
        encoder = api_reply.AudioChunkEncoder(job.request.format, beginning.seconds, tags)
        if beginning.music is not None:
            yield encoder.add(beginning.music)
        reply = beginning.reply
        while reply is None and (take_event := await events.next()) is not None:
            if isinstance(take_event.event, MusicChunk):
                yield encoder.add(take_event.event.music)
            elif isinstance(take_event.event, Done):
                reply = take_event.event.reply
        if reply is None:
            raise UserFacingError(STOPPED, "server")
        if beginning.music is None:
            yield encoder.add(music_of(reply))
        await run_in_threadpool(self._handler.finish, job, reply)
        yield encoder.end()

    # -- jobs -----------------------------------------------------------------------------------------------------------------

    async def submit_job(self, request: Request) -> Response:
        """Begins a generation and answers at once."""
        return self._accepted(await self._reader.receive(request, GenerationRequest, self._submit_job))

    def _submit_job(self, received: Received[GenerationRequest]) -> BackgroundJob:
        return self._jobs.submit(received.request, received.caller, received.client_address, received.unknown)

    def _accepted(self, job: BackgroundJob) -> Response:
        headers = {"Location": f"{self._base}/v1/jobs/{job.name}", "Retry-After": str(POLL_SECONDS), **job.headers}
        return api_reply.JsonResponse(job.status(), 202, headers=headers)

    async def job(self, request: Request, job_id: str, user: str = "") -> Response:
        """State of a job. user: as in the request that began it."""
        job = self._jobs.get(job_id, caller_of(request, user))
        return api_reply.JsonResponse(job.status(), headers={} if job.ended else {"Retry-After": str(POLL_SECONDS)})

    async def delete_job(self, request: Request, job_id: str, user: str = "") -> Response:
        """Cancels a job and deletes what it made."""
        await run_in_threadpool(self._jobs.delete, job_id, caller_of(request, user))
        return api_reply.JsonResponse({"id": job_id, "object": "job.deleted", "deleted": True})


async def _beginning(job: GenerationJob, events: EventQueue) -> Beginning | None:
    """What there is of a stream at its first sound; None if the client left before. Raises `ApiError` for an answer without music."""
    beginning = Beginning("", job.submitted.options[0].seconds)
    while (take_event := await events.next()) is not None:
        event = take_event.event
        if isinstance(event, TextDelta):
            beginning.text += event.text
        elif isinstance(event, Progress):  # an edit is as long as its piece, whatever the options are
            beginning.seconds = event.total_seconds
        elif isinstance(event, MusicChunk):
            beginning.music = event.music
            return beginning
        elif isinstance(event, Done):
            return Beginning(event.reply.text, music_of(event.reply).seconds, reply=event.reply)
    if events.disconnected:
        return None
    raise UserFacingError(STOPPED, "server")


def file_response(file: ExportedFile, headers: dict[str, str]) -> FileResponse:
    """A piece's file under the name that says what is in it."""
    return FileResponse(file.path, headers=headers, media_type=file.content_type, filename=file.name)
