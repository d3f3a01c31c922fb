"""An answer as server-sent events: words and sound as they are made, each take a choice of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from demo.api import response as api_reply
from demo.api.event_queue import EventQueue
from demo.api.job import ChatHandler, ChatJob
from demo.service.errors import user_errors
from llama.dialogue import Reply
from llama.generation import Done, MusicChunk, TextDelta
from llama.media.audio import Waveform

Json = dict[str, Any]
KEEPALIVE_SECONDS = 10.0  # seconds without an event, after which a comment says that the server is still there


class ClosingResponse(StreamingResponse):
    """A stream of events that closes what it came from, however it ends, and also if it never began."""

    def __init__(self, lines: AsyncIterator[bytes], close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(lines, headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
                         media_type="text/event-stream")
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()


class ChunkStream:
    """The events of one job. head: what every chunk says of the answer."""

    def __init__(self, desk: ChatHandler, job: ChatJob, hearing: EventQueue, head: Json) -> None:
        self._desk, self._job, self._hearing = desk, job, hearing
        self._head = {**head, "usage": None} if job.wanted.usage else head
        self._names: dict[int, str] = {}  # take -> the id of its piece, once its sound has begun
        self._parts: dict[int, api_reply.Parts] = {}

    async def lines(self) -> AsyncIterator[bytes]:
        """Until all takes are done. Raises `Refused`."""
        for take in range(len(self._job.asked.tickets)):
            yield self._line(take, {"role": "assistant", "content": ""})
        while True:
            if not await self._hearing.wait(KEEPALIVE_SECONDS):
                yield api_reply.ALIVE
                continue
            heard = await self._hearing.next()
            if heard is None:
                break
            if isinstance(heard.event, TextDelta):
                yield self._line(heard.take, {"content": heard.event.text})
            elif isinstance(heard.event, MusicChunk):
                yield self._line(heard.take, {"audio": self._sound(heard.take, heard.event.music)})
            elif isinstance(heard.event, Done):
                for line in await run_in_threadpool(self._done, heard.take, heard.event.reply):
                    yield line
        answers = self._job.answers()
        if self._job.wanted.usage and answers:
            yield api_reply.event({**self._head, "choices": [], "usage": self._desk.usage(self._job)})
        yield api_reply.END

    def _line(self, take: int, part: Json, finish: str | None = None) -> bytes:
        return api_reply.event({**self._head, "choices": [api_reply.delta(take, part, finish)]})

    def _sound(self, take: int, music: Waveform) -> Json:
        """The next samples; with the first of them what a player must know."""
        kind = self._job.wanted.sound or "wav"
        if take in self._names:
            return {"data": self._parts[take].add(music)}
        self._names[take] = self._desk.new_id()
        self._parts[take] = api_reply.Parts(kind, self._job.asked.options[take].seconds)
        return {"id": self._names[take], "data": self._parts[take].add(music), **api_reply.sound_facts(music, kind)}

    def _done(self, take: int, reply: Reply) -> list[bytes]:
        self._job.replies[take] = reply
        last = [self._line(take, {}, api_reply.FINISH[reply.finish])]
        if take not in self._names:
            return last
        with user_errors(self._job.asked.names):
            facts = self._desk.keep(self._job, take, reply, self._names[take])
        return [self._line(take, {"audio": {"data": self._parts[take].end(), **facts}}), *last]
