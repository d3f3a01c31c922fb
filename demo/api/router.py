"""`/v1/chat/completions` and `/v1/models` in OpenAI's form, so that existing clients work: words and music in and out.

    app.include_router(build_router(work, "mumu-llama", auth="user:password"))

A request is answered by itself: its messages are the conversation. Only the pieces that were given out are kept, for an
hour, so that `{"role": "assistant", "audio": {"id": ...}}` means something.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from demo.api import request_parser as api_request
from demo.api import response as api_reply
from demo.api.access import BodyMemoryBudget, authentication, read_body
from demo.api.event_queue import EventQueue
from demo.api.job import ChatHandler, ChatJob
from demo.api.protocol import SERVER_ERROR_TYPE, ApiError, as_api_error, unknown_model
from demo.api.sse import ChunkStream, ClosingResponse
from demo.service.caller import caller, client_address
from demo.service.errors import SERVER_ERROR, UserFacingError
from demo.service.service import ChatService
from llama.generation import Done

Json = dict[str, Any]
FIRST_EVENT_TIMEOUT = 5.0  # seconds that a stream waits for its first event, so that a refusal has a status of its own
CLIENT_CLOSED_REQUEST = 499  # nobody reads it: the client has left
MAX_JSON_BYTES = 1 << 20  # bytes of a request beside its files
MAX_PENDING_BODIES = 8  # of the largest requests that are held before the engine has said whether it takes them
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def build_router(
    service: ChatService, model: str = "mumu-llama", auth: str | None = None, limit: int | None = None,
    clock: Callable[[], float] = time.time, dependencies: Sequence[Callable[..., Any]] = (),
) -> APIRouter:
    """The routes under /v1.

    model: the name it goes by. auth: "user:password", if it is needed. limit: bytes of a request (None: room for one of
    the largest files in base64). clock: seconds since 1970. dependencies: what each request has to pass as well, such as
    a lock that the page has too. Raises ValueError for an `auth` without a colon.
    """
    api = ApiEndpoints(ChatHandler(service, clock), model, limit or service.limits.bytes * 4 // 3 + MAX_JSON_BYTES, int(clock()))
    access_checks = [Depends(each) for each in (authentication(auth), *dependencies)]
    router = APIRouter(prefix="/v1", route_class=ApiRoute, dependencies=access_checks)
    add = router.add_api_route
    add("/chat/completions", api.chat, methods=["POST"], response_model=None)
    add("/models", api.list_models, methods=["GET", "HEAD"])
    add("/models/{name:path}", api.model_info, methods=["GET", "HEAD"])
    add("/{path:path}", api.unknown_route, methods=METHODS, include_in_schema=False, response_model=None)
    return router


class ApiRoute(APIRoute):
    """Errors in the form that clients read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handler(request)
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except Exception as error:
                api_error = to_api_error(error)
                return JSONResponse(api_error.body(), api_error.status, headers=api_error.headers)

        return handle_errors


def to_api_error(error: Exception) -> ApiError:
    """What a client is told of an error; a fault of the program is logged."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserFacingError):
        return as_api_error(error)
    if isinstance(error, HTTPException):  # of a dependency
        code = "invalid_api_key" if error.status_code == 401 else None
        return ApiError(str(error.detail), status=error.status_code, code=code, headers=dict(error.headers or {}))
    logging.error("a request to the API failed", exc_info=error)
    return ApiError(SERVER_ERROR, status=500, kind=SERVER_ERROR_TYPE)


class ApiEndpoints:
    """What the routes do. limit: bytes of a request; started: seconds since 1970."""

    def __init__(self, handler: ChatHandler, model: str, limit: int, created: int) -> None:
        self._handler, self._model, self._limit, self._body_budget = handler, model, limit, BodyMemoryBudget(MAX_PENDING_BODIES * limit)
        self._model_info = {"id": model, "object": "model", "created": created, "owned_by": "mumu-llama"}

    async def list_models(self) -> Json:
        """The one model."""
        return {"object": "list", "data": [self._model_info]}

    async def model_info(self, name: str) -> Json:
        """The model of that name."""
        if name != self._model:
            raise unknown_model(name, self._model)
        return self._model_info

    async def unknown_route(self, request: Request) -> None:
        """Whatever else a client may look for."""
        route = f"{request.method} {request.url.path[:200]}"
        raise ApiError(f"There is no {route} here; use POST /v1/chat/completions or GET /v1/models.", status=404, code="unknown_url")

    async def chat(self, request: Request) -> Response:
        """The answer to the last message, whole or as a stream."""
        job = await self._begin(request)
        try:
            event_queue = EventQueue(job.submitted)
            if job.chat_request.stream:
                return await self._stream(job, event_queue, request)
            response = await self._respond(job, event_queue, request)
        except BaseException:
            await self._end(job)
            raise
        await self._end(job)
        return response

    async def _begin(self, request: Request) -> ChatJob:
        with self._body_budget.reserve() as acquire:
            content = await read_body(request, self._limit, acquire)
            chat_request = await run_in_threadpool(api_request.parse_request, content, self._model)
            del content  # its files are in `wanted`
            return await run_in_threadpool(self._handler.begin, chat_request, caller(request, chat_request.user), client_address(request))

    async def _respond(self, job: ChatJob, event_queue: EventQueue, request: Request) -> Response:
        async with event_queue.cancel_on_disconnect(request):
            while (take_event := await event_queue.next()) is not None:
                if isinstance(take_event.event, Done):
                    job.replies[take_event.take] = take_event.event.reply
        if event_queue.disconnected:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return JSONResponse(await run_in_threadpool(self._handler.completion, job, self._envelope(job)))

    async def _stream(self, job: ChatJob, event_queue: EventQueue, request: Request) -> Response:
        async with event_queue.cancel_on_disconnect(request):
            await event_queue.wait(FIRST_EVENT_TIMEOUT)  # an error that comes at once is raised here, before a status is sent
        return ClosingResponse(self._lines(job, event_queue), lambda: self._end(job))

    async def _lines(self, job: ChatJob, event_queue: EventQueue) -> AsyncIterator[bytes]:
        try:
            async for line in ChunkStream(self._handler, job, event_queue, self._envelope(job)).lines():
                yield line
        except Exception as error:  # too late for a status: told as the last event
            yield api_reply.sse_event(to_api_error(error).body())

    def _envelope(self, job: ChatJob) -> Json:
        return api_reply.envelope(job.name, job.created, self._model, chunk=job.chat_request.stream)

    async def _end(self, job: ChatJob) -> None:
        """The files are deleted in a thread, for others' streams go on meanwhile, and to their end, should this one be cancelled."""
        job.submitted.cancel()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._handler.end, job))
