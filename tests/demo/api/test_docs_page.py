"""/docs: our own page about the API. It loads nothing, shows no text as markup, and its examples have the address of the reader."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_server import Server

from demo.api.docs_page import docs_page
from demo.api.openapi import openapi_document
from demo.api.operations import OPERATIONS
from tests.browser_helpers import chromium

pytest_plugins = ("tests.browser_helpers",)
SITE = "http://music.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("docs"))
    yield made
    made.sessions.close_all()


def page_of(server: Server, **headers: str) -> str:
    response = asyncio.run(server.send("/docs", headers=headers))
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/html")
    return response.text


def test_every_route_has_its_part(server: Server) -> None:
    html = page_of(server)
    for (method, path), operation in OPERATIONS.items():
        assert f"<b>{method}</b> {path}</code>" in html and f">{operation.summary}</h2>" in html
    assert html.count('<h1') == 1 and "server:x" not in html
    assert len(labels := re.findall(r'aria-label="([^"]+)"', html)) == len(set(labels))
    assert len(set(re.findall(r' id="([^"]+)"', html))) == len(re.findall(r' id="([^"]+)"', html))


def test_nothing_is_loaded(server: Server) -> None:
    html = page_of(server)
    assert not re.search(r"<link|<img|<iframe|<script src|@import|url\(|fetch\(|import\(", html)


def test_a_strange_host_is_text(server: Server) -> None:
    html = page_of(server, host='x"><script>alert(1)</script>')
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html
    assert "<script>alert" not in page_of(server, **{"x-forwarded-host": "<script>alert(1)</script>"})


def test_texts_of_the_document_are_escaped(server: Server) -> None:
    document = openapi_document(server.routes)
    document["info"]["description"] = document["paths"]["/v1/models"]["get"]["summary"] = "<b>`<i>`"
    html = docs_page(document)
    assert "<b>`" not in html and "&lt;b&gt;<code>&lt;i&gt;</code>" in html


def test_the_commands_can_be_copied(server: Server) -> None:
    """Each is one command, and each program compiles."""
    examples = re.findall(r'aria-label="(curl|Python) example of [^"]+"><code>(.*?)</code>', page_of(server), re.DOTALL)
    assert len(examples) == 2 * len(OPERATIONS)
    for kind, text in examples:
        plain = text.replace("&#x27;", "'").replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        if kind == "Python":
            compile(plain, "example", "exec")
        else:
            assert shlex.split(plain.replace("\\\n", ""))[0] == "curl" and "http://server/" in plain


def test_a_login_is_in_the_examples(tmp_path: Path) -> None:
    server = Server(tmp_path, auth="me:secret")
    html = page_of(server)
    assert "curl -u user:password" in html and "secret" not in html
    server.sessions.close_all()


def test_a_slash_at_the_end_leads_here(server: Server) -> None:
    response = asyncio.run(server.send("/docs/"))
    assert response.status_code == 307 and response.headers["location"] == "../docs"


# -- in a browser ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    started = chromium(driver)
    yield started
    started.close()


@pytest.fixture(scope="module")
def html(server: Server, driver: Any) -> str:
    """Read on a thread of its own: playwright's loop runs on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(page_of, server).result()


@pytest.mark.slow
@pytest.mark.parametrize("width, scheme", [(1280, "light"), (360, "dark")])
def test_the_page_in_a_browser(html: str, browser: Any, width: int, scheme: str) -> None:
    """Below a sub-path that the server does not know of; readable at every width, without mistakes, and with a button that copies."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    mistakes: list[str] = []
    tab.on("pageerror", lambda error: mistakes.append(str(error)))
    tab.on("request", lambda request: mistakes.append(request.url) if request.url != f"{SITE}/mumu/docs" else None)
    tab.route("**/docs", lambda route: route.fulfill(body=html, content_type="text/html"))
    tab.goto(f"{SITE}/mumu/docs")
    assert f"{SITE}/mumu/v1/audio/generations" in tab.inner_text("section pre >> nth=0")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.querySelectorAll('button, nav a')].every(one => one.getBoundingClientRect().height >= 32)")
    levels = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(one => +one.tagName[1])")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    tab.focus("button >> nth=0")
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.getElementById('copied').textContent.length > 0")
    assert not mistakes and re.match("Copied|Selected", tab.inner_text("#copied"))  # without https browsers only select
    context.close()
