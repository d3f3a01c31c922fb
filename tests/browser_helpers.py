"""What the tests of the page in a browser share: a Chromium, a site whose engine is scripted, and a tab that looks at it.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.page_server import serving
from tests.scripted_engine import ScriptedEngine

PATIENCE = 60_000  # milliseconds
QUIET = "!document.querySelector('#log .answer[aria-busy]')"
EMPTY = "document.querySelector('#box textarea').value === ''"  # the server has taken what was sent


@dataclass(frozen=True)
class Site:
    address: str
    engine: ScriptedEngine
    sessions: Sessions


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Playwright's control of browsers."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with playwright.sync_playwright() as control:
        yield control


def chromium(driver: Any, *flags: str) -> Any:
    """A new Chromium with these flags; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and not Path(driver.chromium.executable_path).exists():
        pytest.skip("No Chromium here: apt-get install chromium, or playwright install chromium.")
    return driver.chromium.launch(executable_path=found, args=["--no-sandbox", *flags])


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    started = chromium(driver)
    yield started
    started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    engine, sessions = ScriptedEngine(), Sessions(tmp_path_factory.mktemp("sessions") / "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        with serving(ChatService(engine, sessions, Limits())) as address:  # type: ignore[arg-type]
            yield Site(address, engine, sessions)
    sessions.close_all()


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Any]:
    yield from visit(browser, site.address)


def visit(browser: Any, address: str, **named: Any) -> Iterator[Any]:
    """A page of a user of its own; the test fails for what it asks from elsewhere or complains of."""
    context = browser.new_context(**named)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith((address, "data:", "blob:")) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    open_page(page, address)
    yield page
    context.close()
    assert troubles == [], troubles


def open_page(page: Any, address: str) -> None:
    """Loads the page and waits until its modules have started."""
    page.goto(address)
    page.wait_for_selector("body.ready #box textarea")


def say(page: Any, text: str, *files: Path) -> None:
    if files:
        page.set_input_files("#box input[type=file]", [str(file) for file in files])
        page.wait_for_function(f"document.querySelectorAll('#box .thumbnail-item, #box .thumbnail-wrapper').length >= {len(files)}")
    page.fill("#box textarea", text)
    page.locator("#box .submit-button").click()


def settled(page: Any, turns: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('#log .turn').length === {turns} && {QUIET} && {EMPTY}")


def cards(page: Any) -> list[dict[str, Any]]:
    """What the server says of each card of the conversation, uploads included."""
    return page.evaluate("[...document.querySelectorAll('#log music-card')].map(card => JSON.parse(card.dataset.card))")


def versions(page: Any) -> list[dict[str, Any]]:
    """All versions on all cards, in their order on the page."""
    return [version for card in cards(page) for version in card["versions"]]
