"""FastAPI router of the HTTP API for programs, all below /v1.

    app.include_router(build_router(service, "mumu-llama", auth="user:password"))

`/v1/chat/completions` and `/v1/models` have OpenAI's format, so that existing clients work; `/v1/audio/generations` answers a prompt
with the sound itself, and `/v1/jobs` does so later. Requests are stateless: the messages are the conversation. Only returned
audio is stored, for an hour, so that a later request can refer to it by its id, and `/v1/audio/{id}/{form}` gives it in other forms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends

from demo.api.access import authentication
from demo.api.audio_store import AudioStore
from demo.api.chat import ChatEndpoint
from demo.api.chat_job import ChatHandler
from demo.api.generation_job import GenerationHandler
from demo.api.generations import GenerationEndpoints
from demo.api.job import JobHandler
from demo.api.jobs import JobStore
from demo.api.operations import OPERATIONS
from demo.api.pieces import PieceEndpoints
from demo.api.route import MAX_JSON_BYTES, ApiRoute, BodyReader
from demo.service.service import ChatService

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def build_router(
    service: ChatService, model: str = "mumu-llama", auth: str | None = None, limit: int | None = None,
    clock: Callable[[], float] = time.time, dependencies: Sequence[Callable[..., Any]] = (), base: str = "",
) -> APIRouter:
    """Routes under /v1.

    model: name of the model. auth: "user:password", None for no login. limit: bytes of a request (None: enough for one of
    the largest files in base64). clock: seconds since 1970. dependencies: further FastAPI dependencies of every route, such
    as the page's login. base: where a proxy serves this server, for addresses in answers: a path as "/mumu" or a whole address.
    Raises ValueError for an `auth` without user or password.
    """
    reader = BodyReader(model, limit or service.limits.bytes * 4 // 3 + MAX_JSON_BYTES)
    store = AudioStore(service.sessions, clock)
    pieces = PieceEndpoints(JobHandler(service, store, clock), model, int(clock()))
    generation_handler = GenerationHandler(service, store, clock)
    chat = ChatEndpoint(ChatHandler(service, store, clock), reader, model)
    generations = GenerationEndpoints(generation_handler, reader, JobStore(generation_handler, model, base, clock), base)
    access_checks = [Depends(each) for each in (authentication(auth), *dependencies)]
    router = APIRouter(prefix="/v1", route_class=ApiRoute, dependencies=access_checks)

    def add(path: str, endpoint: Callable[..., Any], *methods: str) -> None:
        """The route with and without a slash at its end, with its entry in /openapi.json."""
        operation = OPERATIONS[methods[0], f"/v1{path}"]
        router.add_api_route(path, endpoint, methods=list(methods), response_model=None, **operation.route_fields())
        router.add_api_route(f"{path}/", endpoint, methods=list(methods), response_model=None, include_in_schema=False)

    add("/audio/generations", generations.generate, "POST")
    add("/jobs", generations.submit_job, "POST")
    add("/jobs/{job_id}", generations.job, "GET")
    add("/jobs/{job_id}", generations.delete_job, "DELETE")
    add("/chat/completions", chat.complete, "POST")
    add("/audio/{audio_id}/{form}", pieces.export, "GET")
    add("/models", pieces.list_models, "GET")
    router.add_api_route("/models/{name:path}", pieces.model_info, methods=["GET"], **OPERATIONS["GET", "/v1/models/{name}"].route_fields())
    for path in ("/audio/{audio_id}/{form}", "/models", "/models/", "/models/{name:path}"):
        endpoint = pieces.export if path.startswith("/audio") else pieces.list_models if "{" not in path else pieces.model_info
        router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False, response_model=None)
    for path in ("", "/{path:any}"):
        router.add_api_route(path, pieces.unknown_route, methods=METHODS, include_in_schema=False, response_model=None)
    return router
