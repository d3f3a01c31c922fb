"""FastAPI router of `/v1/chat/completions` and `/v1/models` in OpenAI's format, so that existing clients work, and of `/v1/audio`.

    app.include_router(build_router(service, "mumu-llama", auth="user:password"))

Requests are stateless: the messages are the conversation. Only returned audio is stored, for an hour, so that a later
request can refer to it as `{"role": "assistant", "audio": {"id": ...}}`, and `/v1/audio/{id}/{form}` gives it in other forms.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from demo.api import request_parser as api_request
from demo.api import response as api_reply
from demo.api.access import BodyMemoryBudget, authentication, client_address, read_body
from demo.api.event_queue import EventQueue
from demo.api.job import ChatHandler, ChatJob
from demo.api.protocol import SERVER_ERROR_TYPE, ApiError, as_api_error, unknown_model
from demo.api.sse import ChunkStream, ClosingResponse
from demo.service.caller import caller_key
from demo.service.errors import SERVER_ERROR, UserFacingError
from demo.service.exports import EXPORT_FORMATS
from demo.service.service import ChatService
from llama.errors import shorten
from llama.generation import Done

Json = dict[str, Any]
FIRST_EVENT_TIMEOUT = 5.0  # seconds to wait for the first event before the status is sent, so that early errors have their own
CLIENT_CLOSED_REQUEST = 499  # for the log; the client has disconnected
MAX_JSON_BYTES = 1 << 20  # of a request without its files
MAX_PENDING_BODIES = 8  # largest requests that may be in memory before the engine accepts or rejects them
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def build_router(
    service: ChatService, model: str = "mumu-llama", auth: str | None = None, limit: int | None = None,
    clock: Callable[[], float] = time.time, dependencies: Sequence[Callable[..., Any]] = (),
) -> APIRouter:
    """Routes under /v1.

    model: name of the model. auth: "user:password", None for no login. limit: bytes of a request (None: enough for one of
    the largest files in base64). clock: seconds since 1970. dependencies: further FastAPI dependencies of every route, such
    as the page's login. Raises ValueError for an `auth` without user or password.
    """
    api = ApiEndpoints(ChatHandler(service, clock), model, limit or service.limits.bytes * 4 // 3 + MAX_JSON_BYTES, int(clock()))
    access_checks = [Depends(each) for each in (authentication(auth), *dependencies)]
    router = APIRouter(prefix="/v1", route_class=ApiRoute, dependencies=access_checks)
    add = router.add_api_route
    for slash in ("", "/"):
        add(f"/chat/completions{slash}", api.chat, methods=["POST"], response_model=None, include_in_schema=not slash)
        add(f"/models{slash}", api.list_models, methods=["GET", "HEAD"], include_in_schema=not slash)
    add("/audio/{audio_id}/{form}", api.export, methods=["GET", "HEAD"], response_model=None)
    add("/models/{name:path}", api.model_info, methods=["GET", "HEAD"])
    for path in ("", "/{path:path}"):
        add(path, api.unknown_route, methods=METHODS, include_in_schema=False, response_model=None)
    return router


class ApiRoute(APIRoute):
    """Route that converts exceptions into error responses of OpenAI's format."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handler(request)
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except Exception as error:
                api_error = to_api_error(error)
                return api_reply.JsonResponse(api_error.body(), api_error.status, headers=api_error.headers)

        return handle_errors


def to_api_error(error: Exception) -> ApiError:
    """Error response of an exception; unexpected exceptions are logged."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserFacingError):
        return as_api_error(error)
    if isinstance(error, HTTPException):  # raised by a dependency
        code = "invalid_api_key" if error.status_code == 401 else None
        return ApiError(str(error.detail), status=error.status_code, code=code, headers=dict(error.headers or {}))
    logging.error("a request to the API failed", exc_info=error)
    return ApiError(SERVER_ERROR, status=500, kind=SERVER_ERROR_TYPE)


class ApiEndpoints:
    """Endpoints of the router. limit: bytes of a request; created: seconds since 1970."""

    def __init__(self, handler: ChatHandler, model: str, limit: int, created: int) -> None:
        self._handler, self._model, self._limit, self._body_budget = handler, model, limit, BodyMemoryBudget(MAX_PENDING_BODIES * limit)
        self._model_info = {"id": model, "object": "model", "created": created, "owned_by": "mumu-llama"}

    async def list_models(self) -> Json:
        """List of models, which has one entry."""
        return {"object": "list", "data": [self._model_info]}

    async def model_info(self, name: str) -> Json:
        """Model of that name. Raises `ApiError` (404) for another name."""
        if name.removesuffix("/") != self._model:
            raise unknown_model(name, self._model)
        return self._model_info

    async def unknown_route(self, request: Request) -> None:
        """404 error for every other path."""
        route = f"{request.method} {shorten(request.url.path)}"
        raise ApiError(f"There is no {route} here; use POST /v1/chat/completions or GET /v1/models.", status=404, code="unknown_url")

    async def export(self, request: Request, audio_id: str, form: str, bars: str = "", user: str = "") -> Response:
        """A piece of the last hour in another form. bars: of a loop. user: as in the request that made it."""
        if form not in EXPORT_FORMATS:
            raise ApiError(f"There is no form {shorten(form)} of a piece; use {', '.join(EXPORT_FORMATS)}.", status=404, code="unknown_url")
        caller = caller_key(request.headers.get("authorization", ""), client_address(request), user)
        file = await run_in_threadpool(self._handler.export, audio_id, caller, form, bars)
        return FileResponse(file.path, headers={"Cache-Control": "private, no-store"}, media_type=file.content_type, filename=file.name)

    async def chat(self, request: Request) -> Response:
        """Chat completion, complete or as a stream of server-sent events."""
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
            del content  # the decoded files are in `chat_request`
            address = client_address(request)
            caller = caller_key(request.headers.get("authorization", ""), address, chat_request.user_name)
            return await run_in_threadpool(self._handler.begin, chat_request, caller, address)

    async def _respond(self, job: ChatJob, event_queue: EventQueue, request: Request) -> Response:
        async with event_queue.cancel_on_disconnect(request):
            while (take_event := await event_queue.next()) is not None:
                if isinstance(take_event.event, Done):
                    job.replies[take_event.take] = take_event.event.reply
        if event_queue.disconnected:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return api_reply.JsonResponse(await run_in_threadpool(self._handler.completion, job, self._envelope(job)))

    async def _stream(self, job: ChatJob, event_queue: EventQueue, request: Request) -> Response:
        async with event_queue.cancel_on_disconnect(request):
            await event_queue.wait(FIRST_EVENT_TIMEOUT)  # raises an early error before the status is sent
        return ClosingResponse(self._lines(job, event_queue), lambda: self._end(job))

    async def _lines(self, job: ChatJob, event_queue: EventQueue) -> AsyncIterator[bytes]:
        try:
            async for line in ChunkStream(self._handler, job, event_queue, self._envelope(job)).lines():
                yield line
        except Exception as error:  # the status was sent already: the error becomes the last event
            yield api_reply.sse_event(to_api_error(error).body())

    def _envelope(self, job: ChatJob) -> Json:
        return api_reply.envelope(job.name, job.created, self._model, chunk=job.chat_request.stream)

    async def _end(self, job: ChatJob) -> None:
        """Deletes the job's files in a thread, so that other streams continue, and completely even if this task is cancelled."""
        job.submitted.cancel()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._handler.end, job))
