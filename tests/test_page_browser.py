"""The page in a real browser: words come, music plays while it is made, files stay with their user and go when told to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sessions import Sessions
from demo.style import ASSETS
from demo.uploads import Limits
from demo.work import Work
from tests.page_server import serving
from tests.scripted_engine import Scripted

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = pytest.mark.slow

PATIENCE = 60_000  # milliseconds
QUIET = "!document.querySelector('#log [aria-busy]')"
UNNAMED = """[...document.querySelectorAll('button, input, textarea, audio, video, img')]
    .filter(one => one.offsetParent && !one.textContent.trim() && !one.getAttribute('aria-label'))
    .filter(one => !one.alt && !one.title && !one.labels?.length).map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with playwright.sync_playwright() as control:
        if found is None and not Path(control.chromium.executable_path).exists():
            pytest.skip("No Chromium here: apt-get install chromium, or playwright install chromium.")
        started = control.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def engine() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    made = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    yield made
    made.close_all()


@pytest.fixture(scope="module")
def address(engine: Scripted, sessions: Sessions) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        with serving(Work(engine, sessions, Limits())) as found:  # type: ignore[arg-type]
            yield found


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from visit(browser, address)


def visit(browser: Any, address: str, **named: Any) -> Iterator[Any]:
    """A page of a user of its own; the test fails for what it asks from elsewhere or complains of."""
    context = browser.new_context(**named)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith((address, "data:", "blob:")) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#box textarea")
    yield page
    context.close()
    assert troubles == []


def say(page: Any, text: str, *files: Path) -> None:
    if files:
        page.set_input_files("#box input[type=file]", [str(file) for file in files])
        page.wait_for_function(f"document.querySelectorAll('#box .thumbnail-item, #box .thumbnail-wrapper').length >= {len(files)}")
    page.fill("#box textarea", text)
    page.locator("#box .submit-button").click()


def settled(page: Any, turns: int) -> None:
    there = f"document.querySelectorAll('#log .turn').length === {turns}"
    page.wait_for_function(f"{there} && {QUIET} && document.querySelector('#box .submit-button')")


def players(page: Any) -> list[dict[str, Any]]:
    return page.evaluate("[...document.querySelectorAll('#log audio')].map(one => ({src: one.src, still: one.paused}))")


def test_music_plays_while_it_is_made_and_goes_on(page: Any, engine: Scripted) -> None:
    page.locator("#settings input[type=number]").first.fill("20")
    page.keyboard.press("Tab")
    say(page, "play wait")
    page.wait_for_selector("#log [aria-busy]")
    engine.leaves.release(5)  # two words, nothing heard, the beginning, and a stretch of four
    page.wait_for_selector("#log audio")
    engine.leaves.release(3)
    page.wait_for_function("(document.querySelector('#log audio') || {}).currentTime > 0.5")
    assert page.locator("#log [aria-busy] progress").count() == 1 and page.locator("#log .words").inner_text() == "play wait"
    source = players(page)[0]["src"]
    page.evaluate("document.querySelector('#log audio').mark = 1")
    engine.leaves.release(100)
    page.wait_for_selector("#log button[data-act=again]")
    assert page.evaluate("document.querySelector('#log audio').mark") == 1, "the player was not replaced"
    page.wait_for_function("document.querySelector('#log audio').currentTime > 1.5")
    assert players(page)[0]["src"] == source
    settled(page, 1)


def test_stop_stops_the_work(page: Any, engine: Scripted) -> None:
    while engine.leaves.acquire(blocking=False):
        pass
    say(page, "wait for ever")
    page.wait_for_selector("#log [aria-busy]")
    page.locator("#box .stop-button").click()
    page.wait_for_selector("#log .stopped")
    assert engine.tickets[-1].over.wait(30)
    say(page, "next")
    settled(page, 2)
    assert page.locator("#log .words").last.inner_text() == "next"


def test_every_medium_and_clear(page: Any, sessions: Sessions) -> None:
    examples = ASSETS / "examples"
    for turn, name in enumerate(("violin_swing.flac", "dahlia.jpg", "slow_sea.mp4"), 1):
        say(page, "play this", examples / name)
        settled(page, turn)
    assert page.locator("#log .before audio").count() == 1, "the recording before its change"
    assert page.evaluate("document.querySelector('#log .said img').naturalWidth") > 0
    page.locator("button[data-act=together]").click()
    page.wait_for_function("document.querySelector('#log .clip video').currentTime > 0.2")
    assert page.evaluate("document.querySelector('#log .clip video').muted")
    assert sum(not one["still"] for one in players(page)) == 1
    here = [folder for folder in sessions.root.iterdir() if list(folder.glob("*.mp4"))]
    assert len(here) == 1
    page.locator("#clear").click()
    page.wait_for_function("document.querySelectorAll('#log .turn').length === 0")
    assert not here[0].exists() and not list((sessions.root / "arrived").rglob("*.*"))


def test_an_example_and_its_takes(page: Any) -> None:
    page.locator("#settings input[type=number]").nth(1).fill("2")
    page.keyboard.press("Tab")
    page.locator("#examples button", has_text="fast dance").click()
    settled(page, 1)
    assert "fast dance" in page.locator("#log .said").inner_text()
    say(page, "play <b>bold</b>")
    settled(page, 2)
    assert page.locator("#log b b, #log .text b").count() == 0 and "<b>bold</b>" in page.locator("#log .said").last.inner_text()
    page.wait_for_selector("#log summary")
    assert page.locator("#log .take").count() == 2
    page.locator("#log button[data-act=again]").nth(1).click()
    settled(page, 3)
    seeds = [one.inner_text() for one in page.locator("#log .seed").all()]
    assert len(seeds) == 3 and seeds[2] == seeds[1] != seeds[0]
    page.locator("#log summary").first.click()
    page.wait_for_function("document.querySelector('#log details img.on-light').naturalWidth > 0")
    assert page.locator("#log details img.on-light").first.get_attribute("alt")


def test_a_missing_microphone_is_told(page: Any) -> None:
    page.locator("#box .microphone-button").click()
    page.wait_for_function("document.querySelector('#log .note').textContent.includes('add a recording as a file')")


def test_two_users_never_meet(browser: Any, address: str, sessions: Sessions) -> None:
    first, second = visit(browser, address), visit(browser, address)
    one, other = next(first), next(second)
    say(one, "play quagga", ASSETS / "examples" / "moon.jpg")
    say(other, "play zebra")
    settled(one, 1)
    settled(other, 1)
    assert "zebra" not in one.locator("#log").inner_text() and "quagga" not in other.locator("#log").inner_text()
    assert not {player["src"] for player in players(one)} & {player["src"] for player in players(other)}
    token = players(one)[0]["src"].split("/")[-2]
    stranger = players(other)[0]["src"].replace(players(other)[0]["src"].split("/")[-2], token)
    assert other.request.get(stranger).status == 404, "a token opens its own folder alone"
    assert other.request.get(players(one)[0]["src"]).status == 200
    one.goto("about:blank")  # which says goodbye, as closing does
    for _ in range(100):
        if sessions.get(token) is None:
            break
        other.wait_for_timeout(200)
    assert sessions.get(token) is None, "its files went with it"
    one.context.close()
    assert next(second, None) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it(browser: Any, address: str, scheme: str) -> None:
    visits = visit(browser, address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = next(visits)
    say(page, "play " + "long" * 60)
    settled(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    unnamed = page.evaluate(UNNAMED)
    assert unnamed == []
    assert not page.locator("#settings").is_visible()
    page.locator("#opener button").click()
    page.locator("#settings input[type=number]").first.fill("3")
    page.keyboard.press("Escape")
    assert not page.locator("#settings").is_visible()
    say(page, "play")
    settled(page, 2)
    assert "3.0 s" in page.locator("#log .take").last.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert next(visits, None) is None
