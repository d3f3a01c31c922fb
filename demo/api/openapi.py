"""/openapi.json: the document of the HTTP API (OpenAPI 3.1), made from the routes, their operations and the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from demo.api.generation_request import GenerationRequest
from demo.api.operations import CHAT_FIELDS, OPERATIONS
from demo.api.protocol import ChatRequest
from demo.api.schemas import ChatChunk

Json = dict[str, Any]
TITLE = "MuMu-LLaMA"
VERSION = "0.1.0"  # as in pyproject.toml
DESCRIPTION = """Music from words, answers about recordings, pictures, clips and scores, and exact changes of a piece.

Files go in and out as such or in base64; nothing is fetched from elsewhere. Every error is one sentence. `--auth user:password` of the
server is the API key, or HTTP Basic."""
REFERENCE = "#/components/schemas/{model}"


def openapi_document(routes: Sequence[Any], base: str = "", *, model: str = "mumu-llama", needs_login: bool = False) -> Json:
    """The document of these routes. base: address that clients call the server by; model: the only name of a model; needs_login: whether
    it has a login."""
    document = get_openapi(
        title=TITLE, version=VERSION, openapi_version="3.1.0", description=DESCRIPTION,
        routes=[route for route in routes if isinstance(route, APIRoute)], servers=[{"url": base or "/"}],
    )
    _, definitions = models_json_schema(
        [(ChatRequest, "validation"), (GenerationRequest, "validation"), (ChatChunk, "serialization")], ref_template=REFERENCE
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions.get("$defs", {}))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, OPERATIONS.get((method.upper(), path)))
    for name, meaning in CHAT_FIELDS.items():
        schemas["ChatRequest"]["properties"][name]["description"] = meaning
    for request in ("ChatRequest", "GenerationRequest"):
        schemas[request]["properties"]["model"] = {"enum": [model], "description": "The model's name; there is one."}
    for name in ("HTTPValidationError", "ValidationError"):  # of FastAPI's own checks, which no route here has
        schemas.pop(name, None)
    if needs_login:
        document["components"]["securitySchemes"] = {scheme: {"type": "http", "scheme": scheme} for scheme in ("bearer", "basic")}
        document["security"] = [{"bearer": []}, {"basic": []}]
    return document


def _complete(operation: Json, described: Any) -> None:
    """Removes what FastAPI adds for checks of its own, and says what the parameters mean."""
    rejected = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if rejected.get("$ref", "").endswith("HTTPValidationError"):
        del operation["responses"]["422"]
    for parameter in operation.get("parameters", []) if described is not None else []:
        parameter["description"] = described.parameters.get(parameter["name"], "")
