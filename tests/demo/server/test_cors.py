"""Which pages of other sites may use the API from a browser, and that nothing else is shared."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from demo.server.access_middleware import AccessMiddleware
from demo.server.cors import CorsPolicy, parse_origins
from demo.service.auth import Login

GOOD, EVIL = "https://good.example", "https://evil.example"
PATHS = ("/v1/models", "/", "/page/token/actions", "/media/token/a.wav", "/health", "/metrics", "/docs")


def site(*origins: str, login: Login | None = None) -> AccessMiddleware:
    app = FastAPI()

    async def answer() -> JSONResponse:
        return JSONResponse({"a": 1}, headers={"X-Seed": "5"})

    app.add_api_route("/{path:path}", answer, methods=["GET", "POST", "OPTIONS"])
    return AccessMiddleware(app, login=login, api_prefix="/v1/", cors=CorsPolicy(parse_origins(origins)))


def ask(app: AccessMiddleware, path: str = "/v1/models", origin: str | None = GOOD, method: str = "GET", **headers: str) -> httpx.Response:
    async def one() -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | ({"Origin": origin} if origin else {})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            return await client.request(method, path, headers=sent)

    return asyncio.run(one())


def test_an_allowed_origin_may_read_the_answer() -> None:
    response = ask(site(GOOD))
    assert response.status_code == 200 and response.headers["access-control-allow-origin"] == GOOD
    assert "X-Seed" in response.headers["access-control-expose-headers"] and response.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origins", [(), (GOOD,), (GOOD, "http://localhost:3000")])
def test_other_origins_may_not(origins: tuple[str, ...]) -> None:
    for origin in (EVIL, f"{GOOD}.evil.example", "null", f"{GOOD}:8443", "http://good.example"):
        response = ask(site(*origins), origin=origin)
        assert response.status_code == 403 and "access-control-allow-origin" not in response.headers
        assert ask(site(*origins), origin=origin, method="OPTIONS", access_control_request_method="POST").status_code == 403


@pytest.mark.parametrize("origin", [EVIL, "null", GOOD])
def test_any_origin(origin: str) -> None:
    response = ask(site("*"), origin=origin)
    assert response.status_code == 200 and response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("/v1/")])
def test_only_the_api_is_shared(path: str) -> None:
    for origins in ((GOOD,), ("*",)):
        response = ask(site(*origins), path)
        assert response.status_code == 403 and "access-control-allow-origin" not in response.headers


def test_requests_without_an_origin_are_as_before() -> None:
    response = ask(site(GOOD), origin=None)
    assert response.status_code == 200 and "access-control-allow-origin" not in response.headers


def test_a_preflight_needs_no_login() -> None:
    app = site(GOOD, login=Login("me", "secret"))
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization, content-type"}
    response = ask(app, method="OPTIONS", **asked)
    assert response.status_code == 204 and "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-headers" not in ask(app, method="OPTIONS", **{**asked, "access_control_request_headers": "a\tb;"}).headers


def test_an_error_may_be_read_too() -> None:
    response = ask(site(GOOD, login=Login("me", "secret")))
    assert response.status_code == 401 and response.headers["access-control-allow-origin"] == GOOD
    assert ask(site(GOOD, login=Login("me", "secret")), authorization="Bearer me:secret").status_code == 200


@pytest.mark.parametrize("value", ["example.com", "https://example.com/path", "ftp://a", "https://", "https://a b", "", "https://*.example.com"])
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="give one such as"):
        parse_origins([value])


def test_origins_are_read() -> None:
    assert parse_origins(["HTTPS://Good.Example/", "*", "http://[::1]:80"]) == ("https://good.example", "*", "http://[::1]:80")
