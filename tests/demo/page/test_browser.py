"""The page in a real browser: words come, music plays while it is made, files stay with their user and go when told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.page.theme import ASSETS
from llama.media.audio import Waveform
from tests.browser_helpers import Site, chromium, players, say, settled, visit

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers",)
pytestmark = pytest.mark.slow

UNNAMED = """[...document.querySelectorAll('button, input, textarea, audio, video, img')]
    .filter(one => one.offsetParent && !one.textContent.trim() && !one.getAttribute('aria-label'))
    .filter(one => !one.hasAttribute('alt') && !one.title && !one.labels?.length).map(one => one.outerHTML.slice(0, 120))"""


def test_music_plays_while_it_is_made_and_goes_on(tab: Any, site: Site) -> None:
    tab.locator("#settings input[type=number]").first.fill("20")
    tab.keyboard.press("Tab")
    say(tab, "play wait")
    tab.wait_for_selector("#log [aria-busy]")
    site.engine.leaves.release(5)  # two words, nothing heard, the beginning, and a stretch of four
    tab.wait_for_selector("#log audio")
    site.engine.leaves.release(3)
    tab.wait_for_function("(document.querySelector('#log audio') || {}).currentTime > 0.5")
    assert tab.locator("#log [aria-busy] progress").count() == 1 and tab.locator("#log .words").inner_text() == "play wait"
    source = players(tab)[0]["src"]
    tab.evaluate("document.querySelector('#log audio').mark = 1")
    site.engine.leaves.release(100)
    tab.wait_for_selector("#log button[data-act=again]")
    assert tab.evaluate("document.querySelector('#log audio').mark") == 1, "the player was not replaced"
    tab.wait_for_function("document.querySelector('#log audio').currentTime > 1.5")
    assert players(tab)[0]["src"] == source
    settled(tab, 1)


def test_stop_stops_the_work(tab: Any, site: Site) -> None:
    while site.engine.leaves.acquire(blocking=False):
        pass
    say(tab, "wait for ever")
    tab.wait_for_selector("#log [aria-busy]")
    tab.locator("#box .stop-button").click()
    tab.wait_for_selector("#log .stopped")
    assert site.engine.requests[-1].finished.wait(30)
    say(tab, "next")
    settled(tab, 2)
    assert tab.locator("#log .words").last.inner_text() == "next"


def test_a_stop_keeps_what_sounded(tab: Any, site: Site) -> None:
    while site.engine.leaves.acquire(blocking=False):
        pass
    say(tab, "play wait")
    tab.wait_for_selector("#log [aria-busy]")
    site.engine.leaves.release(5)  # two words, nothing heard, the beginning, and a stretch of four
    tab.wait_for_selector("#log audio")
    tab.locator("#box .stop-button").click()
    tab.wait_for_selector("#log .stopped")
    assert tab.locator("#log .stopped").inner_text() == "Stopped after 2.5 s of 10.0 s."
    tab.wait_for_function("document.querySelector('#log audio').duration === 2.5")
    assert [one["still"] for one in players(tab)] == [True]
    tab.evaluate("document.querySelector('#log audio').play()")
    tab.wait_for_function("document.querySelector('#log audio').ended")


def test_every_medium_and_clear(tab: Any, site: Site) -> None:
    examples = ASSETS / "examples"
    for turn, name in enumerate(("violin_swing.flac", "dahlia.jpg", "slow_sea.mp4"), 1):
        say(tab, "play this", examples / name)
        settled(tab, turn)
    assert tab.locator("#log .before audio").count() == 1, "the recording before its change"
    assert tab.evaluate("document.querySelector('#log .said img').naturalWidth") > 0
    tab.locator("button[data-act=together]").click()
    tab.wait_for_function("document.querySelector('#log .clip video').currentTime > 0.2")
    assert tab.evaluate("document.querySelector('#log .clip video').muted")
    assert sum(not one["still"] for one in players(tab)) == 1
    here = [folder for folder in site.sessions.root.iterdir() if list(folder.glob("*.mp4"))]
    assert len(here) == 1
    tab.locator("#clear").click()
    tab.wait_for_function("document.querySelectorAll('#log .turn').length === 0")
    assert not here[0].exists() and not list((site.sessions.root / "arrived").rglob("*.*"))


def test_a_stray_click_is_no_part_of_the_conversation(tab: Any) -> None:
    tab.locator("#box .submit-button").click()
    tab.wait_for_selector("text=There is nothing to answer")
    assert tab.locator("#log .turn").count() == 0 and tab.locator("#examples details[open]").count() == 1
    say(tab, "hello")
    settled(tab, 1)


def test_an_example_and_its_takes(tab: Any) -> None:
    tab.locator("#settings input[type=number]").nth(1).fill("2")
    tab.keyboard.press("Tab")
    tab.locator("#examples button", has_text="fast dance").click()
    settled(tab, 1)
    assert "fast dance" in tab.locator("#log .said").inner_text()
    say(tab, "play <b>bold</b>")
    settled(tab, 2)
    assert tab.locator("#log b b, #log .text b").count() == 0 and "<b>bold</b>" in tab.locator("#log .said").last.inner_text()
    tab.wait_for_selector("#log summary")
    assert tab.locator("#log .take").count() == 2
    tab.locator("#log button[data-act=again]").nth(1).click()
    settled(tab, 3)
    seeds = [one.inner_text() for one in tab.locator("#log .seed").all()]
    assert len(seeds) == 3 and seeds[2] == seeds[1] != seeds[0]
    tab.locator("#log summary").first.click()
    tab.wait_for_function("document.querySelector('#log details img.on-light').naturalWidth > 0")
    assert tab.locator("#log details img.on-light").first.get_attribute("alt")


def test_a_missing_microphone_is_told(tab: Any) -> None:
    tab.locator("#box .microphone-button").click()
    tab.wait_for_function("document.querySelector('#log .note').textContent.includes('add a recording as a file')")


def test_a_microphone_is_heard(driver: Any, site: Site, tmp_path: Path) -> None:
    Waveform.read(ASSETS / "examples" / "violin_swing.flac").write(tmp_path / "played.wav")
    played = f"--use-file-for-fake-audio-capture={tmp_path}/played.wav"
    started = chromium(driver, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", played)
    visits = visit(started, site.address)
    tab = next(visits)
    tab.locator("#box .microphone-button").click()
    tab.locator("#box .record-button").click()
    tab.wait_for_function("document.querySelector('#box .timestamp')?.textContent === '0:02'")
    assert tab.locator("#box .recording-overlay .stop-button").get_attribute("aria-label") == "Stop recording"
    tab.locator("#box .recording-overlay .stop-button").click()
    loaded = "/0:0[1-9]/.test(document.querySelector('#box .minimal-audio-player .timestamp')?.textContent)"
    tab.wait_for_function(loaded)  # adding it before, the library's player complains that its own loading was ended
    tab.locator("#box .confirm-button").click()
    tab.wait_for_selector("#box :is(.thumbnail-item, .thumbnail-wrapper)")
    say(tab, "listen")
    settled(tab, 1)
    seconds = float(tab.locator("#log .words").inner_text().removeprefix("listen "))
    token, name = players(tab)[0]["src"].split("/")[-2:]
    assert seconds > 1.5 and Waveform.read(site.sessions.get(token).folder / name).samples.std() > 0.01, "what was played to the microphone"
    assert next(visits, None) is None
    started.close()


def test_two_users_never_meet(browser: Any, site: Site) -> None:
    first, second = visit(browser, site.address), visit(browser, site.address)
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
        if site.sessions.get(token) is None:
            break
        other.wait_for_timeout(200)
    assert site.sessions.get(token) is None, "its files went with it"
    one.context.close()
    assert next(second, None) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it(browser: Any, site: Site, scheme: str) -> None:
    visits = visit(browser, site.address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    tab = next(visits)
    say(tab, "play " + "long" * 60)
    settled(tab, 1)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    unnamed = tab.evaluate(UNNAMED)
    assert unnamed == []
    assert not tab.locator("#settings").is_visible()
    tab.locator("#opener button").click()
    tab.locator("#settings input[type=number]").first.fill("3")
    tab.keyboard.press("Escape")
    assert not tab.locator("#settings").is_visible()
    say(tab, "play")
    settled(tab, 2)
    assert "3.0 s" in tab.locator("#log .take").last.inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert next(visits, None) is None
