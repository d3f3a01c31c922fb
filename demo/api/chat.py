"""Endpoint of `/v1/chat/completions`: complete responses, and streams of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from demo.api import response as api_reply
from demo.api.chat_job import ChatHandler, ChatJob
from demo.api.event_queue import EventQueue
from demo.api.protocol import ChatRequest
from demo.api.route import CLIENT_CLOSED_REQUEST, BodyReader, Received, to_api_error
from demo.api.sse import ChunkStream, ClosingResponse, end_job
from llama.generation import Done

Json = dict[str, Any]
FIRST_EVENT_TIMEOUT = 5.0  # seconds to wait for the first event before the status is sent, so that early errors have their own


class ChatEndpoint:
    """Endpoint of chat completions. model: its name."""

    def __init__(self, handler: ChatHandler, reader: BodyReader, model: str) -> None:
        self._handler, self._reader, self._model = handler, reader, model

    async def complete(self, request: Request) -> Response:
        """Chat completion, complete or as a stream of server-sent events."""
        job = await self._reader.receive(request, ChatRequest, self._begin)
        try:
            event_queue = EventQueue(job.submitted)
            if job.chat_request.stream:
                return await self._stream(job, event_queue, request)
            response = await self._respond(job, event_queue, request)
        except BaseException:
            await end_job(self._handler, job)
            raise
        await end_job(self._handler, job)
        return response

    def _begin(self, received: Received[ChatRequest]) -> ChatJob:
        return self._handler.begin(received.request, received.caller, received.client_address, received.unknown)

    async def _respond(self, job: ChatJob, event_queue: EventQueue, request: Request) -> Response:
        async with event_queue.cancel_on_disconnect(request):
            while (take_event := await event_queue.next()) is not None:
                if isinstance(take_event.event, Done):
                    job.replies[take_event.take] = take_event.event.reply
        if event_queue.disconnected:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        body = await run_in_threadpool(self._handler.completion, job, self._envelope(job))
        return api_reply.JsonResponse(body, headers=job.headers)

    async def _stream(self, job: ChatJob, event_queue: EventQueue, request: Request) -> Response:
        async with event_queue.cancel_on_disconnect(request):
            await event_queue.wait(FIRST_EVENT_TIMEOUT)  # raises an early error before the status is sent
        return ClosingResponse(self._lines(job, event_queue), lambda: end_job(self._handler, job), job.headers)

    async def _lines(self, job: ChatJob, event_queue: EventQueue) -> AsyncIterator[bytes]:
        try:
            async for line in ChunkStream(self._handler, job, event_queue, self._envelope(job)).lines():
                yield line
        except Exception as error:  # the status was sent already: the error becomes the last event
            yield api_reply.sse_event(to_api_error(error).body())

    def _envelope(self, job: ChatJob) -> Json:
        return api_reply.envelope(job.name, job.created, self._model, chunk=job.chat_request.stream)
