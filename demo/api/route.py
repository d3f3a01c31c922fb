"""What every route of the API does: errors become responses of OpenAI's form, and the body of a request is read within limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect

from demo.api.access import BodyMemoryBudget, client_address, read_body
from demo.api.protocol import SERVER_ERROR_TYPE, ApiError, as_api_error
from demo.api.request_parser import parse_request
from demo.api.response import JsonResponse
from demo.service.caller import caller_key
from demo.service.errors import SERVER_ERROR, UserFacingError

CLIENT_CLOSED_REQUEST = 499  # for the log; the client has disconnected
MAX_JSON_BYTES = 1 << 20  # of a request without its files
MAX_PENDING_BODIES = 8  # largest requests that may be in memory before the engine accepts or rejects them

RequestT = TypeVar("RequestT", bound=BaseModel)


class AnyPath(PathConvertor):
    """Convertor of a path that may have line breaks, which `path` leaves out: they would reach another application's errors."""

    regex = "(?s:.*)"


register_url_convertor("any", AnyPath())


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
                return error_response(to_api_error(error))

        return handle_errors


def error_response(error: ApiError) -> JsonResponse:
    """The response of an error."""
    return JsonResponse(error.body(), error.status, headers=error.headers)


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


@dataclass(frozen=True)
class Received(Generic[RequestT]):
    """Request as it was read. unknown: its fields that no request has; caller, client_address: as in `ChatService.begin`."""

    request: RequestT
    unknown: tuple[str, ...]
    caller: str
    client_address: str


class BodyReader:
    """Reads the bodies of requests, with a limit on each and on all that are being received. model: the only model name."""

    def __init__(self, model: str, limit: int) -> None:
        self._model, self._limit, self._budget = model, limit, BodyMemoryBudget(MAX_PENDING_BODIES * limit)

    async def receive(self, request: Request, request_type: type[RequestT], submit: Callable[[Received[RequestT]], ResultT]) -> ResultT:
        """Reads a request and hands it to `submit` in a worker thread; the body counts until that has returned. Raises `ApiError`."""
        with self._budget.reserve() as acquire:
            content = await read_body(request, self._limit, acquire)
            parsed, unknown = await run_in_threadpool(parse_request, content, self._model, request_type)
            del content  # the decoded files are in `parsed`
            address = client_address(request)
            received = Received(parsed, unknown, caller_of(request, getattr(parsed, "user_name", "")), address)
            return await run_in_threadpool(submit, received)


ResultT = TypeVar("ResultT")


def caller_of(request: Request, user: str = "") -> str:
    """Key of the caller. user: the name that it gives for its user."""
    return caller_key(request.headers.get("authorization", ""), client_address(request), user)
