"""/openapi.json describes what the server does: schemathesis finds no 5xx and no answer that the document does not declare."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from api_server import SPEAKS, Json, Server, events
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from demo.api.openapi import VERSION
from demo.api.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = 10  # a route and mode
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("shared"))
    yield made
    made.sessions.close_all()


@pytest.fixture(scope="module")
def document(shared: Server) -> Json:
    return fetch(shared, "/openapi.json")


def fetch(server: Server, path: str, **options: Any) -> Json:
    response = asyncio.run(server.send(path, **options))
    assert response.status_code in (200, 202), response.text
    body: Json = response.json()
    return body


@pytest.fixture(scope="module")
def schema(shared: Server) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", shared.app)


@pytest.mark.parametrize("method, path", list(OPERATIONS), ids=lambda part: part.strip("/").replace("/", "-"))
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_declared(schema: Any, mode: GenerationMode, method: str, path: str) -> None:
    """Requests that the document allows and such that it does not, drawn from it."""
    if mode == GenerationMode.NEGATIVE and "requestBody" not in schema.raw_schema["paths"][path][method.lower()]:
        return  # paths and queries take any text

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("seconds"), float | int):
            case.body["seconds"] = min(case.body["seconds"], 1)  # the engine would make ten minutes of noise
        case.call_and_validate(checks=CHECKS)

    check()


def test_the_document_is_titled_and_has_the_projects_version(document: Json) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert document["openapi"].startswith("3.1") and document["info"]["title"] == "MuMu-LLaMA"
    assert document["info"]["version"] == VERSION == project["version"]


def test_every_route_is_described(shared: Server, document: Json) -> None:
    routes = {(method, route.path.replace(":path", "")) for route in shared.routes if isinstance(route, APIRoute)
              and route.include_in_schema for method in route.methods}  # fmt: skip
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert routes == described == set(OPERATIONS)
    assert all(operation["summary"] and "422" not in operation["responses"] or path.startswith("/v1/audio/gen")
               for path, methods in document["paths"].items() for operation in methods.values())  # fmt: skip


def test_every_reference_and_parameter_is_explained(document: Json) -> None:
    names = set(document["components"]["schemas"])
    text = json.dumps(document)
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= names and "HTTPValidationError" not in names
    parameters = [parameter for methods in document["paths"].values() for operation in methods.values()
                  for parameter in operation.get("parameters", [])]  # fmt: skip
    assert parameters and all(parameter["description"] for parameter in parameters)


def valid(document: Json, name: str, value: Json) -> None:
    Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]}).validate(value)


def test_answers_fit_their_models(shared: Server, document: Json) -> None:
    chat = {"n": 2, "score": True, **SPEAKS}
    valid(document, "ChatCompletion", shared.ask("play notes", **chat).json())
    valid(document, "ErrorBody", shared.ask("hi", temperature=3).json())
    for chunk in events(shared.ask("play notes", stream=True, stream_options={"include_usage": True}, **SPEAKS)):
        valid(document, "ChatChunk", chunk)
    body = {"prompt": "play notes", "seconds": 1, "response_format": "json"}
    piece = fetch(shared, "/v1/audio/generations", method="POST", json=body)
    valid(document, "Generation", piece)
    edit = {"piece": piece["id"], "prompt": "please play it", "edit": {"change": {"tempo": 90}}, "response_format": "json"}
    valid(document, "Generation", fetch(shared, "/v1/audio/generations", method="POST", json=edit))
    valid(document, "JobState", fetch(shared, "/v1/jobs", method="POST", json=body))
    valid(document, "ModelList", fetch(shared, "/v1/models"))
    valid(document, "Health", fetch(shared, "/health"))


@pytest.mark.parametrize("name, value", [
    ("GenerationRequest", {"prompt": 3}), ("GenerationRequest", {"prompt": "x", "format": "opus"}), ("ChatRequest", {}),
    ("ChatRequest", {"messages": [{"content": "hi"}]}), ("Generation", {"id": "x"}),
])  # fmt: skip
def test_the_models_refuse_what_is_wrong(document: Json, name: str, value: Json) -> None:
    with pytest.raises(Exception, match="(?s)."):
        valid(document, name, value)


def test_examples_are_answered(shared: Server, document: Json) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
            for name, example in examples.items():
                if name != "edit":  # of a piece that is not there
                    response = asyncio.run(shared.send(path, method="POST", json=example["value"]))
                    assert response.status_code in (200, 202) or response.json()["error"]["code"] == "no_music", response.text


@pytest.mark.parametrize("base, headers, address", [
    ("", {}, "http://server"), ("/mumu", {}, "http://server/mumu"), ("https://music.example/mumu", {}, "https://music.example/mumu"),
    ("", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "music.example"}, "https://music.example"),
])  # fmt: skip
def test_the_address_is_the_one_that_clients_use(tmp_path: Path, base: str, headers: dict[str, str], address: str) -> None:
    server = Server(tmp_path, base=base)
    assert fetch(server, "/openapi.json", headers=headers)["servers"] == [{"url": address}]
    server.sessions.close_all()


def test_a_login_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path, auth="me:secret")
    assert fetch(server, "/openapi.json")["security"] == [{"bearer": []}, {"basic": []}]
    server.sessions.close_all()
