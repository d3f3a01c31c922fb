"""The page with the keyboard alone, and for who hears it read out or needs contrast; in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from demo.page.theme import ASSETS
from tests.browser_helpers import QUIET, Site, say, settled, visit

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers",)
pytestmark = pytest.mark.slow

WRITING = "document.activeElement.matches('#box textarea')"
SEEN = """(() => {
    const one = document.activeElement, style = getComputedStyle(one);
    if (one.closest('#box') || one.matches('audio:not(:focus)')) return true;  // the whole input does; in a player, the browser
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
})()"""
LISTEN = """() => {
    window.heard = [];
    const live = '[role=status], [role=alert], [role=log]:not([aria-live=off]), [aria-live=polite], [aria-live=assertive]';
    new MutationObserver(changes => {
        const regions = new Set(changes.map(one => one.target.parentElement?.closest(live) || one.target.closest?.(live)));
        for (const region of regions) if (region?.textContent) window.heard.push(region.textContent);
    }).observe(document.querySelector('#log'), {childList: true, subtree: true, characterData: true});
}"""
HEADINGS = "[...document.querySelectorAll('h1, h2, h3, h4')].filter(one => one.offsetParent).map(one => Number(one.tagName[1]))"
MISNAMED = """[...document.querySelectorAll('button[aria-label]')]
    .filter(one => one.offsetParent && /\\w/.test(one.textContent) && !one.ariaLabel.includes(one.textContent.trim()))
    .map(one => one.outerHTML.slice(0, 120))"""
FAINT = """() => {
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, place) => sum + c * [.2126, .7152, .0722][place], 0);
    const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const over = (colour, below) => {
        pen.fillStyle = `rgb(${below})`; pen.fillRect(0, 0, 1, 1);
        pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const ground = one => one ? over(getComputedStyle(one).backgroundColor, ground(one.parentElement)) : [255, 255, 255];
    const ratio = one => {
        const back = ground(one), [low, high] = [light(back), light(over(getComputedStyle(one).color, back))].sort((a, b) => a - b);
        return (high + .05) / (low + .05);
    };
    return [...document.querySelectorAll('#title *, #log *, #examples *, #below *, #settings *, footer *')]
        .filter(one => one.offsetParent && !one.closest('[aria-hidden], svg') && [...one.childNodes].some(node => node.data?.trim()))
        .filter(one => ratio(one) < 4.5).map(one => `${one.className} ${ratio(one).toFixed(2)} ${one.textContent.slice(0, 40)}`);
}"""


def stops(tab: Any, most: int = 80) -> list[str]:
    """Where the tabulator leads, once around; every stop shows that it has the focus."""
    found: list[str] = []
    for _ in range(most):
        tab.keyboard.press("Tab")
        found.append(tab.evaluate("document.activeElement.outerHTML.slice(0, 160)"))
        if found[-1].startswith("<body"):
            return found
        assert tab.evaluate(SEEN), f"does not show the focus: {found[-1]}"
    return found


def test_a_talk_by_keyboard_alone(tab: Any, site: Site) -> None:
    tab.wait_for_function(WRITING)
    tab.keyboard.type("play notes")
    tab.keyboard.press("Enter")
    settled(tab, 1)
    assert tab.evaluate(WRITING)
    around = stops(tab) + stops(tab)  # from the input to the end, and from the beginning
    assert around[-1].startswith("<body") and any("<audio" in one for one in around) and any("data-act" in one for one in around)
    tab.locator("#log button[data-act=again]").focus()
    tab.keyboard.press("Enter")
    settled(tab, 2)
    tab.locator("#clear").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_function(f"document.querySelectorAll('#log .turn').length === 0 && {WRITING}")
    tab.locator("#examples button").nth(2).focus()
    tab.keyboard.press("Space")
    settled(tab, 1)
    assert tab.evaluate(WRITING)


def test_the_music_is_wound_with_the_arrows(tab: Any) -> None:
    say(tab, "play")
    settled(tab, 1)
    tab.wait_for_selector("#log details")
    tab.evaluate("document.querySelector('#log audio').pause()")
    tab.locator("#log audio").focus()
    before = tab.evaluate("document.querySelector('#log audio').currentTime = 1")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"document.querySelector('#log audio').currentTime > {before}")


def test_after_a_stop_one_can_write(tab: Any, site: Site) -> None:
    while site.engine.leaves.acquire(blocking=False):
        pass
    say(tab, "wait for ever")
    tab.wait_for_selector("#box .stop-button")
    tab.locator("#box .stop-button").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#log .stopped")
    tab.wait_for_function(WRITING)


def test_the_settings_of_a_phone_give_the_focus_back(browser: Any, site: Site) -> None:
    visits = visit(browser, site.address, viewport={"width": 360, "height": 740})
    tab = next(visits)
    tab.locator("#opener button").focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "settings"
    tab.keyboard.press("Tab")
    assert tab.evaluate("!!document.activeElement.closest('#settings')")
    tab.keyboard.press("Escape")
    assert not tab.locator("#settings").is_visible() and tab.evaluate("!!document.activeElement.closest('#opener')")
    assert next(visits, None) is None


def test_an_answer_is_read_out_once(tab: Any, site: Site) -> None:
    while site.engine.leaves.acquire(blocking=False):
        pass
    tab.evaluate(LISTEN)
    say(tab, "play wait and see")
    for words in ("play", "play wait", "play wait and"):
        site.engine.leaves.release(1)
        tab.wait_for_function("words => document.querySelector('#log .words')?.textContent.startsWith(words)", arg=words)
    site.engine.leaves.release(100)
    settled(tab, 1)
    tab.wait_for_selector("#log details")
    assert tab.evaluate("window.heard") == ["Answer: play wait and see New music, 10.0 seconds."]
    while site.engine.leaves.acquire(blocking=False):
        pass
    say(tab, "memory")
    settled(tab, 2)
    assert len(tab.evaluate("window.heard")) == 2 and "memory" in tab.evaluate("window.heard[1]")


def test_files_of_a_message_are_no_items_of_nothing(tab: Any) -> None:
    tab.set_input_files("#box input[type=file]", str(ASSETS / "examples" / "dahlia.jpg"))
    tab.wait_for_selector("#box .thumbnail-wrapper")
    assert tab.evaluate("[...document.querySelectorAll('[role=listitem]')].filter(one => !one.closest('[role=list], ul, ol')).length") == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_headings_and_contrast(browser: Any, site: Site, scheme: str, width: int) -> None:
    visits = visit(browser, site.address, viewport={"width": width, "height": 740}, color_scheme=scheme)
    tab = next(visits)
    levels = tab.evaluate(HEADINGS)
    assert levels[0] == 1 and all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:], strict=False))
    assert tab.evaluate(FAINT) == []
    say(tab, "play notes")
    settled(tab, 1)
    tab.locator("#log summary").click()
    if width == 360:
        tab.locator("#opener button").click()
    tab.locator("#settings button", has_text="How it plays").click()
    tab.wait_for_function(QUIET)
    assert tab.evaluate(FAINT) == [] and tab.evaluate(MISNAMED) == []
    assert next(visits, None) is None
