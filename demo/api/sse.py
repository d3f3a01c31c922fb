"""Server-sent events of a streamed response: text and audio as they are generated, each take as its own choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from demo.api import response as api_reply
from demo.api.chat_job import ChatHandler, ChatJob
from demo.api.event_queue import EventQueue
from demo.api.job import Job, JobHandler
from demo.service.errors import user_errors
from llama.dialogue import Reply
from llama.generation import Done, MusicChunk, Progress, TextDelta
from llama.media.audio import Waveform

Json = dict[str, Any]
KEEPALIVE_SECONDS = 10.0  # without an event for this long, a comment keeps the connection open


async def end_job(handler: JobHandler, job: Job) -> None:
    """Deletes a job's files in a thread, so that other streams continue, and completely even if this task is cancelled."""
    job.submitted.cancel()
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, handler.end, job))


class ClosingResponse(StreamingResponse):
    """Stream that calls `close` at its end, after errors and disconnects, and also if it never began."""

    def __init__(
        self, content: AsyncIterator[bytes], close: Callable[[], Awaitable[None]], headers: Mapping[str, str],
        media_type: str = "text/event-stream",
    ) -> None:
        super().__init__(content, headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", **headers},
                         media_type=media_type)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()


class ChunkStream:
    """Stream of one job's chunks. envelope: fields shared by all of them."""

    def __init__(self, handler: ChatHandler, job: ChatJob, event_queue: EventQueue, envelope: Json) -> None:
        self._handler, self._job, self._event_queue = handler, job, event_queue
        self._envelope = {**envelope, "usage": None} if job.chat_request.include_usage else envelope
        self._audio_ids: dict[int, str] = {}  # take -> audio id, set by its first audio chunk
        self._encoders: dict[int, api_reply.AudioChunkEncoder] = {}
        self._seconds = {take: options.seconds for take, options in enumerate(job.submitted.options)}  # of the whole music

    async def lines(self) -> AsyncIterator[bytes]:
        """Event lines until all takes have ended. Raises `UserFacingError` for a failed take."""
        for take in range(len(self._job.submitted.requests)):
            yield self._line(take, {"role": "assistant", "content": ""})
        while True:
            if not await self._event_queue.wait(KEEPALIVE_SECONDS):
                yield api_reply.KEEPALIVE_COMMENT
                continue
            take_event = await self._event_queue.next()
            if take_event is None:
                break
            if isinstance(take_event.event, TextDelta):
                yield self._line(take_event.take, {"content": take_event.event.text})
            elif isinstance(take_event.event, Progress):  # an edit is as long as its piece, whatever the options are
                self._seconds[take_event.take] = take_event.event.total_seconds
            elif isinstance(take_event.event, MusicChunk):
                yield self._line(take_event.take, {"audio": self._audio_fields(take_event.take, take_event.event.music)})
            elif isinstance(take_event.event, Done):
                for line in await run_in_threadpool(self._finish_take, take_event.take, take_event.event.reply):
                    yield line
        answers = self._job.answers()
        if self._job.chat_request.include_usage and answers:
            yield api_reply.sse_event({**self._envelope, "choices": [], "usage": self._handler.usage(self._job)})
        yield api_reply.DONE_EVENT

    def _line(self, take: int, fields: Json, finish_reason: str | None = None) -> bytes:
        return api_reply.sse_event({**self._envelope, "choices": [api_reply.delta(take, fields, finish_reason)]})

    def _audio_fields(self, take: int, music: Waveform) -> Json:
        """The `audio` field of a chunk; the first one of a take has the id and the sample format too."""
        audio_format = self._job.chat_request.audio_format or "wav"
        if take in self._audio_ids:
            return {"data": api_reply.to_base64(self._encoders[take].add(music))}
        self._audio_ids[take] = self._handler.new_id()
        self._encoders[take] = api_reply.AudioChunkEncoder(audio_format, self._seconds[take])
        data = api_reply.to_base64(self._encoders[take].add(music))
        return {"id": self._audio_ids[take], "data": data, **api_reply.audio_format_fields(music, audio_format)}

    def _finish_take(self, take: int, reply: Reply) -> list[bytes]:
        self._job.replies[take] = reply
        final_lines = [self._line(take, api_reply.edit_fields(reply), api_reply.FINISH_REASONS[reply.finish])]
        if take not in self._audio_ids or reply.music is None:
            return final_lines
        with user_errors(self._job.submitted.names):
            audio_fields = self._handler.audio_fields(self._job, take, reply, reply.music, self._audio_ids[take])
        data = api_reply.to_base64(self._encoders[take].end())
        return [self._line(take, {"audio": {"data": data, **audio_fields}}), *final_lines]
