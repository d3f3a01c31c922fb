"""What it can play, told before one asks: every chip is of the decoder's vocabulary, and chips make one request in the box."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from demo.page.capabilities import capabilities_html, wish_groups
from llama.media.score import ACCOMPANIMENTS, LEADS, METRES, STYLES, TEMPI
from tests.module_page import open_modules

pytest_plugins = ("tests.browser_helpers",)

START = """async () => {
    const {createCapabilities} = await import('/capabilities.js');
    window.text = '';
    window.chips = createCapabilities(document.querySelector('#capabilities'), {read: () => text, write: value => { text = value; }});
}"""


def test_the_chips_are_the_vocabulary_of_the_decoder() -> None:
    words = {group.slot: group.words for group in wish_groups()}
    assert tuple(words["style"]) == STYLES and tuple(words["lead"]) == tuple(LEADS) and len(words["accompaniment"]) == len(ACCOMPANIMENTS)
    assert [int(name.split()[0]) for name in words["tempo"]] == [tempo for tempo in TEMPI if f"{tempo} bpm" in words["tempo"]]
    assert [name[0] for name in words["metre"]] == [str(metre) for metre in METRES] and len(words["key"]) == 12


def test_what_it_cannot_do_is_said_of_either_decoder() -> None:
    for notes in (True, False):
        html = capabilities_html(notes)
        HTMLParser().feed(html)
        assert "sing" in html and ("data-slot" in html) == notes


@pytest.fixture(scope="module")
def module_tab(browser: Any) -> Iterator[Any]:
    body = f'<main><div id="capabilities">{capabilities_html(True)}</div></main>'
    page = open_modules(browser, css=("base.css", "capabilities.css"), body=body)
    yield page
    page.context.close()


@pytest.fixture
def chips(module_tab: Any) -> Any:
    module_tab.reload()
    module_tab.evaluate(START)
    return module_tab


def press(page: Any, *labels: str) -> str:
    for label in labels:
        page.click(f"#capabilities button:text-is('{label}')")
    return page.evaluate("text")


def pressed(page: Any) -> list[str]:
    return page.eval_on_selector_all("[aria-pressed=true]", "found => found.map(one => one.textContent)")


def test_chips_make_one_request_in_any_order(chips: Any) -> None:
    assert press(chips, "90 bpm") == "A piece at 90 bpm"
    assert press(chips, "violin", "E minor", "swing") == "A swing tune on the violin in E minor at 90 bpm"
    assert press(chips, "ambient") == "An ambient piece on the violin in E minor at 90 bpm", "one of a group"
    assert press(chips, "violin", "90 bpm", "E minor", "ambient") == "" and pressed(chips) == []


def test_words_that_were_typed_stay(chips: Any) -> None:
    chips.evaluate("text = 'For a rainy day.'")
    assert press(chips, "piano", "waltz") == "For a rainy day. A waltz on the piano"


def test_the_choice_ends_with_the_message(chips: Any) -> None:
    press(chips, "flute")
    chips.evaluate("text = ''; chips.update()")
    assert pressed(chips) == [] and press(chips, "rock") == "A rock song"


@pytest.mark.parametrize("width", [1280, 360])
def test_chips_are_worked_by_keyboard_at_any_width(chips: Any, width: int) -> None:
    chips.set_viewport_size({"width": width, "height": 700})
    assert chips.evaluate("document.documentElement.scrollWidth") <= width
    chips.focus("button:text-is('cello')")
    chips.keyboard.press("Space")
    assert pressed(chips) == ["cello"] and chips.evaluate("text") == "A piece on the cello"
    assert min(box["height"] for button in chips.query_selector_all("button") if (box := button.bounding_box())) >= 32
