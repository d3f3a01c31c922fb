"""A proxy's sub-path: how it may be given, and that paths with and without it lead to the same place."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from demo.server.page_routes import RequestError, check_path
from demo.server.root_path import RootPathMiddleware, parse_root_path, public_hosts


@pytest.mark.parametrize(("given", "taken"), [
    ("", ""), ("/", ""), ("mumu", "/mumu"), ("/mumu/", "/mumu"), ("/a/b-c", "/a/b-c"), ("https://example.com/mumu/", "https://example.com/mumu"),
    ("http://[::1]:80/m", "http://[::1]:80/m"), ("https://example.com", "https://example.com"),
])  # fmt: skip
def test_paths_and_addresses(given: str, taken: str) -> None:
    assert parse_root_path(given) == taken


@pytest.mark.parametrize("given", ["//evil", "/a b", "/a?b", "/a#b", "http://", "https://[::1/x", "javascript:alert(1)", "ftp://x/a"])
def test_what_is_no_path(given: str) -> None:
    with pytest.raises(ValueError, match=r"--root_path .* give one such as /mumu"):
        parse_root_path(given)


def test_the_host_of_an_address_is_the_servers_name() -> None:
    assert public_hosts("https://example.com/mumu") == ["example.com"] and public_hosts("/mumu") == []


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.scope['path']} {request.scope['raw_path'].decode()}")


@pytest.mark.parametrize(("root_path", "path", "answer"), [
    ("/mumu", "/mumu/v1/models", "/v1/models /v1/models"), ("/mumu", "/v1/models", "/v1/models /v1/models"), ("/mumu", "/mumu/", "/ /"),
    ("/mumu", "/mumu/a%20b", "/a b /a%20b"), ("/mumu", "/mumux", "/mumux /mumux"), ("", "/mumu/", "/mumu/ /mumu/"),
    ("https://example.com/mumu", "/mumu/x", "/x /x"), ("https://example.com", "/x", "/x /x"),
])  # fmt: skip
def test_the_sub_path_may_be_removed_or_not(root_path: str, path: str, answer: str) -> None:
    app = RootPathMiddleware(Starlette(routes=[Route("/{path:path}", _answer)]), root_path)
    assert _get(app, path).text == answer


def test_the_sub_path_alone_leads_to_the_page() -> None:
    response = _get(RootPathMiddleware(Starlette(), "/mumu"), "/mumu")
    assert response.status_code == 307 and response.headers["location"] == "/mumu/"


@pytest.mark.parametrize(("root_path", "sent", "seen"), [
    ("https://example.com:8443/mumu", "", "example.com:8443"), ("https://example.com", "", "example.com"), ("/mumu", "", "none"),
    ("https://example.com", "other.example.com", "other.example.com"),
])  # fmt: skip
def test_the_address_stands_for_the_host_that_a_proxy_does_not_send(root_path: str, sent: str, seen: str) -> None:
    """Without it the pages of that address would count as those of another site."""
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.headers.get("x-forwarded-host", "none"))

    app = RootPathMiddleware(Starlette(routes=[Route("/", answer)]), root_path)
    assert _get(app, "/", {"X-Forwarded-Host": sent} if sent else {}).text == seen


def _get(app: RootPathMiddleware, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:  # type: ignore[arg-type]
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("path, told", [
    ("/mumu/v1/chat/completions", "/mumu"), ("/a/b/gradio_api/queue/join", "/a/b"), ("/mumu/health", "/mumu"), ("/mumu/docs", "/mumu"),
    ("/mumu/page/token/actions", "/mumu"), ("/gradio_api/v1/x", None), ("/mumu", None), ("/wp-login.php", None), ("/docsx", None),
])  # fmt: skip
def test_a_missing_root_path_is_told(path: str, told: str | None) -> None:
    """A proxy that keeps its sub-path asks for paths that this server does not have."""
    with pytest.raises(RequestError) as refused:
        check_path("POST" if "queue" in path else "GET", path)
    sentence = str(refused.value)
    assert refused.value.status == 404 and f"There is no {'POST' if 'queue' in path else 'GET'} {path} here." in sentence
    assert ("--root_path" in sentence) == (told is not None) and (told is None or sentence.endswith(f"start it with --root_path {told}."))
