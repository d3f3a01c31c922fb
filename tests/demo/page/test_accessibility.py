"""The page with the keyboard alone, and for people who hear it read out or need contrast; in a real browser."""

from __future__ import annotations

import re
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
    if (one.closest('#box')) return true;  // the whole input does
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
SMALL = """[...document.querySelectorAll('#header button, #log button, #dock button, .drawer.open button, #examples button')]
    .filter(one => one.offsetParent && !one.closest('music-card, #player-bar, #library-list'))
    .map(one => [one.getBoundingClientRect(), one]).filter(([box]) => box.width < 24 || box.height < 24)
    .map(([box, one]) => `${box.width}x${box.height} ${one.outerHTML.slice(0, 100)}`)"""
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
    return [...document.querySelectorAll('#title *, #log *, #examples *, #dock *, .drawer.open *, #foot *, .toast *, dialog *')]
        .filter(one => one.offsetParent && !one.closest('[aria-hidden], svg') && [...one.childNodes].some(node => node.data?.trim()))
        .filter(one => ratio(one) < 4.5).map(one => `${one.className} ${ratio(one).toFixed(2)} ${one.textContent.slice(0, 40)}`);
}"""


@pytest.fixture
def leaves(site: Site) -> Any:
    """The steps that scripted answers may take; none at first."""
    while site.engine.leaves.acquire(blocking=False):
        pass
    yield site.engine.leaves
    site.engine.leaves.release(1000)


def stops(tab: Any, most: int = 90) -> list[str]:
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
    assert around[-1].startswith("<body"), "the focus gets out of everything"
    for name in ("data-act=.clear", "data-opens=.library", "data-opens=.settings", "aria-label=.(Play|Pause)", "href=.docs"):
        assert any(re.search(name, one) for one in around), f"not reached: {name}"
    tab.locator("[data-act=clear]").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Delete", "the safe answer has the focus at first"
    tab.keyboard.press("Enter")
    tab.wait_for_function(f"document.querySelectorAll('#log .turn').length === 0 && {WRITING}")
    tab.locator(".toast button").focus()
    tab.keyboard.press("Enter")
    settled(tab, 1)


def test_an_example_by_keyboard(tab: Any) -> None:
    tab.locator("#examples button").nth(2).focus()
    tab.keyboard.press("Space")
    settled(tab, 1)
    assert tab.evaluate(WRITING)


def test_after_a_stop_one_can_write(tab: Any, leaves: Any) -> None:
    say(tab, "wait for ever")
    tab.wait_for_selector("#box .stop-button")
    tab.locator("#box .stop-button").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#log .stopped")
    tab.wait_for_function(WRITING)


@pytest.mark.parametrize("width", [360, 1280])
def test_drawers_take_the_focus_and_give_it_back(browser: Any, site: Site, width: int) -> None:
    visits = visit(browser, site.address, viewport={"width": width, "height": 740})
    tab = next(visits)
    for drawer in ("settings", "library"):
        tab.locator(f"[data-opens={drawer}]").focus()
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == drawer
        tab.keyboard.press("Tab")
        assert tab.evaluate(f"!!document.activeElement.closest('#{drawer}')")
        tab.keyboard.press("Escape")
        assert not tab.locator(f"#{drawer}").is_visible() and tab.evaluate(f"document.activeElement.dataset.opens === '{drawer}'")
    assert next(visits, None) is None


def test_an_answer_is_read_out_once(tab: Any, site: Site, leaves: Any) -> None:
    tab.evaluate(LISTEN)
    say(tab, "wait and see")
    for words in ("wait", "wait and", "wait and see"):
        leaves.release(1)
        tab.wait_for_function("words => document.querySelector('#log .words')?.textContent.startsWith(words)", arg=words)
    leaves.release(100)
    settled(tab, 1)
    tab.wait_for_function("window.heard.length > 0")
    assert tab.evaluate("window.heard") == ["Answer: wait and see"]
    say(tab, "memory")
    settled(tab, 2)
    assert len(tab.evaluate("window.heard")) == 2 and "memory" in tab.evaluate("window.heard[1]")


def test_files_of_a_message_are_no_items_of_nothing(tab: Any) -> None:
    tab.set_input_files("#box input[type=file]", str(ASSETS / "examples" / "dahlia.jpg"))
    tab.wait_for_selector("#box .thumbnail-wrapper")
    assert tab.evaluate("[...document.querySelectorAll('[role=listitem]')].filter(one => !one.closest('[role=list], ul, ol')).length") == 0


CUT_OFF = """[...document.querySelectorAll('#settings input, #settings button')].filter(one => one.checkVisibility()).flatMap(one => {
    const box = one.getBoundingClientRect(), frames = [];
    for (let frame = one.parentElement; frame.id !== 'settings'; frame = frame.parentElement) {
        if (getComputedStyle(frame).overflowY !== 'visible') frames.push(frame.getBoundingClientRect());
    }
    return frames.filter(frame => box.top < frame.top - 1 || box.bottom > frame.bottom + 1).map(() => one.outerHTML.slice(0, 120));
})"""
LABELS = """[...document.querySelectorAll('#settings *')].filter(one => one.checkVisibility())
    .filter(one => [...one.childNodes].some(node => node.data?.trim()))
    .filter(one => parseFloat(getComputedStyle(one).fontSize) < 13).map(one => one.textContent)"""


@pytest.mark.parametrize("width", [360, 1280])
def test_settings_and_questions_are_whole(browser: Any, site: Site, width: int) -> None:
    visits = visit(browser, site.address, viewport={"width": width, "height": 740})
    tab = next(visits)
    tab.locator("[data-opens=settings]").click()
    tab.locator("#settings .label-wrap", has_text="How it plays").click()
    tab.get_by_label("How adventurous").first.wait_for()
    assert tab.evaluate(CUT_OFF) == [] and tab.evaluate(LABELS) == []
    tab.keyboard.press("Escape")
    say(tab, "hello")
    settled(tab, 1)
    tab.locator("[data-act=clear]").click()
    box = tab.locator("dialog").bounding_box()
    assert box["x"] >= 8 and box["x"] + box["width"] <= width - 8
    assert next(visits, None) is None


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark"), (640, "light")])  # 640: 1280 at 200 %
def test_names_headings_and_contrast(browser: Any, site: Site, scheme: str, width: int) -> None:
    visits = visit(browser, site.address, viewport={"width": width, "height": 740}, color_scheme=scheme)
    tab = next(visits)

    def check() -> None:
        levels = tab.evaluate(HEADINGS)
        assert levels[0] == 1 and all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:], strict=False))
        assert tab.evaluate(FAINT) == [] and tab.evaluate(MISNAMED) == [] and tab.evaluate(SMALL) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width

    check()
    say(tab, "play notes")
    settled(tab, 1)
    check()
    tab.locator("[data-opens=library]").click()
    check()
    tab.locator("[data-closes=library]").click()
    tab.locator("[data-opens=settings]").click()
    tab.locator("#settings button", has_text="How it plays").click()
    check()
    tab.keyboard.press("Escape")
    tab.locator("[data-act=clear]").click()
    check()
    tab.locator("dialog button", has_text="Delete").click()
    tab.wait_for_selector(".toast")
    tab.wait_for_function(QUIET)
    check()
    assert next(visits, None) is None
