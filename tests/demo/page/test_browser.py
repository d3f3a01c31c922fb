"""The page in a real browser: messages arrive in order and are never lost, files stay with their user and go when told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.page.theme import ASSETS
from llama.media.audio import Waveform
from tests.browser_helpers import Site, cards, chromium, open_page, say, settled, versions, visit

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers",)
pytestmark = pytest.mark.slow

UNNAMED = """[...document.querySelectorAll('button, input, textarea, audio, video, img')]
    .filter(one => one.offsetParent && !one.textContent.trim() && !one.getAttribute('aria-label'))
    .filter(one => !one.hasAttribute('alt') && !one.title && !one.labels?.length).map(one => one.outerHTML.slice(0, 120))"""
NOTE = "document.querySelector('#note').textContent"
SAID = "[...document.querySelectorAll('#log .said .text')].map(one => one.textContent)"
CONNECTION = "import(performance.getEntriesByType('resource').map(one => one.name).find(name => name.endsWith('/connection.js')))"
TOKEN = "sessionStorage.getItem('mumu-session')"
# Drops a file on an element, as the browser would, and returns whether it is kept from opening the file.
DROP = """(selector) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(window.picture), one => one.charCodeAt(0))], 'moon.jpg', {type: 'image/jpeg'}));
    const target = document.querySelector(selector);
    const send = name => target.dispatchEvent(new DragEvent(name, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    send('dragenter');
    const over = !send('dragover'), shaded = !document.querySelector('#drop-overlay').hidden;
    return [over, shaded, !send('drop'), document.querySelector('#drop-overlay').hidden];
}"""


@pytest.fixture
def leaves(site: Site) -> Any:
    """The steps that scripted answers may take; none at first."""
    while site.engine.leaves.acquire(blocking=False):
        pass
    yield site.engine.leaves
    site.engine.leaves.release(1000)


def test_an_answer_comes_and_its_text_leaves_the_input(tab: Any) -> None:
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    say(tab, "hello <b>there</b>")
    settled(tab, 1)
    assert tab.locator("#log .words").inner_text() == "hello <b>there</b>" and tab.locator("#log .text b").count() == 0
    assert not any("heartbeat" in url for url in requests), "gradio's connection would end the conversation with it"


def test_quick_messages_arrive_in_order(tab: Any, leaves: Any) -> None:
    words = ["one wait", "two", "three", "four", "five"]
    for text in words:
        say(tab, text)
    tab.wait_for_function("document.querySelectorAll('#log .turn').length === 5 && document.querySelector('#box textarea').value === ''")
    assert tab.evaluate(SAID) == words
    tab.wait_for_function("document.querySelectorAll('#waiting li').length === 4")
    assert tab.locator("#log .turn:visible").count() == 1, "what waits is listed above the input, not pushed down by the answer"
    tab.get_by_role("button", name="Cancel: five").click()
    tab.wait_for_function("document.querySelectorAll('#waiting li').length === 3")  # cancelled before it could begin
    leaves.release(100)
    tab.wait_for_function("document.querySelectorAll('#log .words').length === 4 && !document.querySelector('#log .answer[aria-busy]')")
    assert tab.locator("#log .words").last.inner_text() == "four"


def test_what_does_not_fit_the_queue_stays_in_the_input(tab: Any, leaves: Any) -> None:
    say(tab, "wait")
    for number in range(6):
        say(tab, f"number {number}")
    tab.wait_for_selector("text=wait for their answers already")
    assert tab.locator("#box textarea").input_value() == "number 5" and len(tab.evaluate(SAID)) == 6


def test_one_message_sent_twice_in_a_moment_is_one(tab: Any) -> None:
    tab.fill("#box textarea", "hello")
    tab.evaluate("() => { const send = document.querySelector('#box .submit-button'); send.click(); send.click(); }")
    settled(tab, 1)
    say(tab, "hello")
    settled(tab, 2)


def test_stop_stops_the_work(tab: Any, site: Site, leaves: Any) -> None:
    assert not tab.locator("#box .stop-button").is_visible()
    say(tab, "wait for ever")
    tab.wait_for_selector("#log .answer[aria-busy]")
    tab.locator("#box .stop-button").click()
    tab.wait_for_selector("#log .stopped")
    assert site.engine.requests[-1].finished.wait(30)
    tab.wait_for_selector("#box .stop-button", state="hidden")
    say(tab, "next")
    settled(tab, 2)
    assert tab.locator("#log .words").last.inner_text() == "next"


def test_a_stray_click_is_no_part_of_the_conversation(tab: Any) -> None:
    tab.locator("#box .submit-button").click()
    tab.wait_for_selector("text=There is nothing to answer")
    assert tab.locator("#log .turn").count() == 0 and tab.locator("#examples details[open]").count() == 1
    say(tab, "hello")
    settled(tab, 1)


def test_without_a_network_nothing_is_lost(tab: Any) -> None:
    say(tab, "hello")
    settled(tab, 1)
    tab.context.set_offline(True)
    say(tab, "are you there?")
    tab.wait_for_function(f"{NOTE}.includes('cannot reach its server')")
    assert tab.locator("#box textarea").input_value() == "are you there?" and tab.evaluate(SAID) == ["hello"]
    tab.context.set_offline(False)
    tab.wait_for_function(f"{NOTE} === ''")
    tab.locator("#box .submit-button").click()
    settled(tab, 2)
    assert tab.evaluate(SAID) == ["hello", "are you there?"]


def test_reload_and_back_lead_to_the_same_conversation(tab: Any, site: Site, leaves: Any) -> None:
    say(tab, "hello")
    settled(tab, 1)
    say(tab, "wait and see")
    tab.wait_for_selector("#log .answer[aria-busy]")
    tab.fill("#box textarea", "a draft")
    tab.reload()
    tab.wait_for_selector("#log .answer[aria-busy]")
    tab.wait_for_function("document.querySelector('#box textarea').value === 'a draft'")
    assert tab.evaluate(SAID) == ["hello", "wait and see"] and tab.evaluate("document.querySelector('.announcement').textContent") == ""
    tab.goto("about:blank")
    leaves.release(100)
    tab.go_back()
    tab.wait_for_function("document.querySelectorAll('#log .words').length === 2 && !document.querySelector('#log .answer[aria-busy]')")
    assert tab.locator("#log .words").last.inner_text() == "wait and see", "it was answered meanwhile"


def test_two_tabs_of_one_conversation_agree(tab: Any, site: Site) -> None:
    say(tab, "hello")
    settled(tab, 1)
    other = tab.context.new_page()
    other.add_init_script(f"sessionStorage.setItem('mumu-session', '{tab.evaluate(TOKEN)}')")
    open_page(other, site.address)
    settled(other, 1)
    say(other, "again")
    settled(tab, 2)
    tab.locator("[data-act=clear]").click()
    tab.locator("dialog button", has_text="Delete").click()
    other.wait_for_function("document.querySelectorAll('#log .turn').length === 0")
    other.locator(".toast button", has_text="Undo").click()
    settled(tab, 2)


def test_a_conversation_that_is_over_says_so(tab: Any, site: Site) -> None:
    say(tab, "hello")
    settled(tab, 1)
    site.sessions.close(tab.evaluate(TOKEN))
    tab.wait_for_function(f"{NOTE}.includes('has ended')")
    assert tab.evaluate(TOKEN) is None
    say(tab, "a new one")
    tab.wait_for_function(f"{SAID}.length === 1 && {SAID}[0] === 'a new one'")
    settled(tab, 1)
    assert tab.evaluate(NOTE) == ""


def test_every_medium_and_clear_with_its_undo(tab: Any, site: Site) -> None:
    examples = ASSETS / "examples"
    for turn, name in enumerate(("violin_swing.flac", "dahlia.jpg", "slow_sea.mp4"), 1):
        say(tab, "play this", examples / name)
        settled(tab, turn)
        assert tab.locator("#box .thumbnail-wrapper").count() == 0, "the file has left the input"
    assert tab.evaluate("document.querySelector('#log .said img').naturalWidth") > 0
    assert any(card["clip"] for card in cards(tab)), "the clip is beside its music"
    here = [folder for folder in site.sessions.root.iterdir() if list(folder.glob("*.mp4"))]
    assert len(here) == 1
    tab.locator("[data-act=clear]").click()
    assert "its 3 pieces" in tab.locator("dialog").inner_text()
    tab.keyboard.press("Escape")
    assert tab.locator("#log .turn").count() == 3, "it asks first"
    tab.locator("[data-act=clear]").click()
    tab.locator("dialog button", has_text="Delete").click()
    tab.wait_for_function("document.querySelectorAll('#log .turn').length === 0")
    tab.locator(".toast button", has_text="Undo").click()
    settled(tab, 3)
    assert tab.locator(".toast").count() == 0
    for version in versions(tab):
        assert tab.request.get(site.address + version["url"]).status == 200, "with all files"
    assert not list((site.sessions.root / "arrived").rglob("*.*"))


@pytest.mark.parametrize("target", ["#log", "#title", "#box textarea"])
def test_a_file_dropped_anywhere_goes_into_the_message(tab: Any, target: str) -> None:
    import base64

    picture = base64.b64encode((ASSETS / "examples" / "moon.jpg").read_bytes()).decode()
    tab.evaluate("text => { window.picture = text; }", picture)
    assert tab.evaluate(DROP, target) == [True, True, True, True]
    tab.wait_for_selector("#box .thumbnail-wrapper img")
    say(tab, "look")
    settled(tab, 1)
    assert tab.locator("#log .said img").count() == 1 and tab.locator("#box .thumbnail-wrapper").count() == 0


def test_a_pasted_file_goes_into_the_message(tab: Any) -> None:
    tab.evaluate("""() => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(['X:1'], 'tune.mid', {type: 'audio/midi'}));
        document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true, cancelable: true}));
    }""")
    tab.wait_for_selector("#box .thumbnail-wrapper")


def test_an_example_uses_the_settings(tab: Any, site: Site) -> None:
    tab.locator("[data-opens=settings]").click()
    tab.locator("#settings input[type=number]").first.fill("3")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Escape")
    tab.locator("#examples button", has_text="fast dance").click()
    settled(tab, 1)
    assert "fast dance" in tab.locator("#log .said").inner_text() and site.engine.requests[-1].options.seconds == 3.0
    assert not tab.locator("#examples button").first.is_visible(), "the examples give way to the conversation"


def test_the_settings_of_a_piece_are_used_again(tab: Any, site: Site) -> None:
    tab.locator("[data-opens=settings]").click()
    tab.locator("#settings input[type=number]").first.fill("3")
    tab.keyboard.press("Escape")
    say(tab, "play this")
    settled(tab, 1)
    seed = site.engine.requests[-1].options.seed
    tab.locator("[data-opens=settings]").click()
    tab.locator("#settings input[type=number]").first.fill("7")
    tab.keyboard.press("Escape")
    tab.fill("#box textarea", "my own words")
    tab.evaluate(f"{CONNECTION}.then(({{act}}) => act('reuse', {{piece: '{versions(tab)[0]['id']}'}}))")
    tab.wait_for_function("document.querySelector('#settings input[type=number]').value === '3'")
    assert tab.locator("#box textarea").input_value() == "play this"
    tab.locator("#box .submit-button").click()
    settled(tab, 2)
    assert (site.engine.requests[-1].options.seed, site.engine.requests[-1].options.seconds) == (seed, 3.0)
    tab.locator(".toast button", has_text="My words back").click()
    assert tab.locator("#box textarea").input_value() == "my own words"


def test_it_is_a_link_to_the_piece_and_can_be_corrected(tab: Any, site: Site) -> None:
    for turn, text in enumerate(("play notes first", "play notes second", "make it faster"), 1):
        say(tab, text)
        settled(tab, turn)
    first, second = [version["id"] for version in versions(tab)][:2]
    link = tab.locator("#log .referred a")
    assert link.get_attribute("href") == f"#piece-{second}"
    link.click()
    tab.wait_for_selector("music-card.pointed-at")
    assert second in tab.locator("music-card.pointed-at").get_attribute("data-card") and tab.url == site.address
    tab.locator("#log .referred button").click()
    assert tab.locator("dialog li").count() >= 2
    tab.locator(f"dialog li button[data-piece='{first}']").click()
    settled(tab, 4)
    assert tab.locator("#log .referred a").last.get_attribute("href") == f"#piece-{first}"


def test_a_missing_microphone_is_told(tab: Any) -> None:
    tab.locator("#box .microphone-button").click()
    tab.wait_for_function(f"{NOTE}.includes('add a recording as a file')")


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
    token, name = versions(tab)[0]["url"].split("/")[-2:]
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
    mine, theirs = (versions(tab)[0]["url"] for tab in (one, other))
    stranger = "/".join((site.address.rstrip("/"), "media", mine.split("/")[-2], theirs.split("/")[-1]))
    assert mine != theirs and other.request.get(stranger).status == 404, "a token opens its own folder alone"
    assert other.request.get(site.address + mine).status == 200
    one.context.close()
    other.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it(browser: Any, site: Site, scheme: str) -> None:
    visits = visit(browser, site.address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    tab = next(visits)
    say(tab, "play " + "long" * 60)
    settled(tab, 1)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    assert tab.evaluate(UNNAMED) == []
    assert not tab.locator("#settings").is_visible()
    for drawer in ("settings", "library"):
        tab.locator(f"[data-opens={drawer}]").click()
        assert tab.locator(f"#{drawer}").is_visible() and tab.evaluate("document.documentElement.scrollWidth") <= 360
        tab.keyboard.press("Escape")
        assert not tab.locator(f"#{drawer}").is_visible()
    assert next(visits, None) is None


def test_a_new_message_moves_to_the_top_and_the_input_moves_nothing(tab: Any) -> None:
    for turn, text in enumerate(("long " * 40, "short", "short again"), 1):
        say(tab, text)
        settled(tab, turn)
    tab.wait_for_function("Math.abs(document.querySelector('#log .turn:last-child').getBoundingClientRect().top - 64) < 0.5")
    before = tab.evaluate("document.querySelector('#log .turn:last-child').getBoundingClientRect().top")
    tab.fill("#box textarea", "line\n" * 5)
    tab.wait_for_function("document.querySelector('#dock').offsetHeight > 120")
    assert tab.evaluate("document.querySelector('#log .turn:last-child').getBoundingClientRect().top") == before
