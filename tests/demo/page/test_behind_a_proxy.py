"""The page at the sub-path of a reverse proxy, in a browser; and a page whose server cannot be reached."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.page.theme import ASSETS
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.browser_helpers import Site, open_page, say, settled, versions, visit
from tests.page_server import serving
from tests.reverse_proxy import nginx, nginx_program, python_proxy
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers",)
pytestmark = pytest.mark.slow

MANUAL = Path(__file__).resolve().parents[3] / "docs/page.md"
NOTE = "document.querySelector('#note').textContent"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatService]:
    sessions = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        yield ChatService(ScriptedEngine(), sessions, Limits())  # type: ignore[arg-type]
    sessions.close_all()


def location_of_the_manual(upstream: str) -> str:
    """The nginx block that docs/page.md gives, for this server."""
    [block] = re.findall(r"```nginx\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    assert "http://127.0.0.1:7860/" in block
    return block.replace("http://127.0.0.1:7860/", upstream)


@pytest.fixture(scope="module")
def proxied(work: ChatService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a page at /mumu/ behind nginx, or behind a proxy in Python where there is none."""
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(work, root_path="/mumu"))
        if nginx_program() is None:
            yield stack.enter_context(python_proxy(upstream, "/mumu"))
        else:
            yield stack.enter_context(nginx(location_of_the_manual(upstream), tmp_path_factory.mktemp("nginx"))) + "mumu/"


def test_the_page_works_at_a_sub_path(browser: Any, proxied: str) -> None:
    """`visit` fails when the page requests an address outside the sub-path."""
    visits = visit(browser, proxied)
    tab = next(visits)
    say(tab, "play this", ASSETS / "examples" / "piano_waltz.flac")
    settled(tab, 1)
    assert tab.locator("#log .words").inner_text().startswith("play this ") and tab.evaluate(NOTE) == ""
    urls = [version["url"] for version in versions(tab)]
    assert urls and all(url.startswith("media/") for url in urls)
    assert all(tab.request.get(proxied + url).status == 200 for url in urls), "relative to the page's address"
    tab.reload()
    settled(tab, 1)
    for kind in ("dahlia.jpg", "slow_sea.mp4"):
        say(tab, "look", ASSETS / "examples" / kind)
        settled(tab, 2 if kind == "dahlia.jpg" else 3)
    assert tab.evaluate("document.querySelector('#log .said img').naturalWidth") > 0
    assert next(visits, None) is None


def test_the_api_is_at_the_sub_path_too(proxied: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(f"{proxied}v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"] == "hello"


def test_a_page_whose_server_is_elsewhere_says_so(browser: Any, work: ChatService) -> None:
    with serving(work) as upstream, python_proxy(upstream, "/mumu") as address:
        context = browser.new_context()
        tab = context.new_page()
        open_page(tab, address)
        say(tab, "hello")
        tab.wait_for_function(f"{NOTE}.includes('--root_path /mumu')")
        assert tab.locator("#note").is_visible() and tab.locator("#box textarea").input_value() == "hello"
        context.close()


def test_a_server_that_stops_in_the_middle_of_an_answer_is_missed(browser: Any, work: ChatService) -> None:
    with serving(work) as address:
        visits = visit(browser, address)
        tab = next(visits)
        say(tab, "wait for ever")
        tab.wait_for_selector("#log .answer[aria-busy]")
    tab.wait_for_function(f"{NOTE}.includes('cannot reach its server')")
    assert tab.locator("#note").is_visible()
    assert next(visits, None) is None


def test_a_page_without_its_server_says_so_and_recovers(browser: Any, site: Site) -> None:
    visits = visit(browser, site.address)
    tab = next(visits)
    tab.context.set_offline(True)
    say(tab, "hello")
    tab.wait_for_function(f"{NOTE}.includes('cannot reach its server')")
    assert tab.locator("#note").is_visible() and tab.locator("#box textarea").input_value() == "hello"
    tab.context.set_offline(False)
    tab.locator("#box .submit-button").click()
    settled(tab, 1)
    assert tab.evaluate(NOTE) == "" and tab.locator("#log .words").inner_text() == "hello"
    assert next(visits, None) is None
