"""/metrics and /health: what they tell, that they tell nothing of users, and who may ask."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_server import MODEL, SPEAKS, request
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from scripted_engine import ScriptedEngine

from demo.api.info import build_info_router
from demo.api.router import build_router
from demo.server.access_middleware import AccessMiddleware
from demo.server.metrics import MetricsMiddleware, ServerMetrics, metrics_router
from demo.service.auth import Login
from demo.service.service import ChatService
from demo.service.sessions import Sessions

KEY = "me:secret"


class Site:
    """The API with its metrics around a scripted engine. login: whether it has one."""

    def __init__(self, folder: Path, *, login: bool = False) -> None:
        self.engine, self.sessions = ScriptedEngine(), Sessions(folder)
        service = ChatService(self.engine, self.sessions)  # type: ignore[arg-type]
        metrics = ServerMetrics(self.engine)
        self.app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        api = build_router(service, MODEL, auth=KEY if login else None)
        for router in (api, build_info_router(service, MODEL, api.routes), metrics_router(metrics)):
            self.app.include_router(router)
        self.app.add_middleware(AccessMiddleware, login=Login.parse(KEY) if login else None, api_prefix="/v1/")
        self.app.add_middleware(MetricsMiddleware, metrics=metrics)

    def ask(self, path: str, method: str = "GET", key: str = "", **options: object) -> httpx.Response:
        async def one() -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client:
                return await client.request(method, path, **options)  # type: ignore[arg-type]

        return asyncio.run(one())

    def values(self, key: str = "") -> dict[tuple[str, ...], float]:
        """(name, values of its labels in the order of their names) -> value."""
        response = self.ask("/metrics", key=key)
        assert response.status_code == 200 and response.headers["content-type"].startswith("text/plain; version=")
        families = text_string_to_metric_families(response.text)
        samples = [sample for family in families for sample in family.samples]
        return {(sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value for sample in samples}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.sessions.close_all()


def test_what_was_done_is_counted(site: Site) -> None:
    for text in ("play it", "hello", "play bug"):
        site.ask("/v1/chat/completions", "POST", json=request(text, **SPEAKS))
    site.ask("/v1/nothing/here")
    values = site.values()
    chat = "mumu_http_requests_total", "POST", "/v1/chat/completions"
    assert values[(*chat, "200")] == 2 and values[(*chat, "500")] == 1
    assert values["mumu_http_requests_total", "GET", "/v1/{path:any}", "404"] == 1
    assert values["mumu_answers_total", "completed"] == 2 and values["mumu_answers_total", "failed"] == 1
    assert values["mumu_music_seconds_total",] == 2
    assert values["mumu_first_text_seconds_count",] == 3 and values["mumu_first_sound_seconds_count",] == 1
    assert values["mumu_answers_running",] == values["mumu_answers_waiting",] == 0
    assert values["mumu_memory_bytes", "server"] > 1e7 and ("mumu_memory_bytes", "workers") in values


def test_nothing_of_users_is_told(site: Site) -> None:
    said = site.ask("/v1/audio/generations", "POST", json={"prompt": "play secretword", "user": "alice"}, key="mykey")
    name = said.headers["X-Piece-Id"]
    for path in (f"/v1/audio/{name}/wav", f"/v1/jobs/{name}", f"/v1/secretword-{name}", f"/docs?{name}"):
        site.ask(path, key="mykey")
    site.ask("/v1/models", "SECRETWORD")
    text = site.ask("/metrics").text
    assert name not in text and not re.search("secretword|alice|mykey|127.0.0.1", text, re.IGNORECASE)
    assert 'route="/v1/audio/{audio_id}/{form}"' in text and 'method="other"' in text


def test_two_servers_count_apart(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other")
    site.ask("/v1/models")
    assert ("mumu_http_requests_total", "GET", "/v1/models", "200") not in other.values()
    other.sessions.close_all()


def test_the_login_holds_for_metrics_alone(tmp_path: Path) -> None:
    site = Site(tmp_path, login=True)
    assert site.ask("/metrics").status_code == 401 and site.values(KEY)["mumu_http_requests_total", "GET", "other", "401"] == 1
    assert site.ask("/health").status_code == 200 and site.ask("/v1/models").status_code == 401
    site.sessions.close_all()


def test_health(site: Site) -> None:
    response = site.ask("/health")
    assert response.status_code == 200 and response.headers["cache-control"] == "no-store"
    assert response.json() | {"version": ""} == {"status": "ok", "live": True, "ready": True, "model": MODEL, "version": "", "error": None}
    site.engine.closed = "The engine was closed."
    response = site.ask("/health")
    assert response.status_code == 503 and response.json()["error"] == "The engine was closed."
    assert response.json()["live"] and not response.json()["ready"]
