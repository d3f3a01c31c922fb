"""The library panel in a browser: play, name, star, find, use again, delete, and take everything home."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.module_page import open_modules

pytest_plugins = ("tests.browser_helpers",)

BODY = """<main id="host"></main><music-card data-ids="a1 b2">Card</music-card>"""
FACTS = {"tempo": 120, "key": "E minor", "metre": "4/4", "lead": "piano", "style": "ballad", "bars": 8, "drums": True}
FULL = "The 9 pieces take 620 MB together, and one archive holds up to 500 MB; take them home one by one, or delete some."
START = """async entries => {
    customElements.define('music-card', class extends HTMLElement {
        has(id) { return this.dataset.ids.split(' ').includes(id); }
        choose(id) { window.chosen = id; }
    });
    const {createLibrary} = await import('/library.js');
    window.calls = []; window.toasts = []; window.left = 0;
    class Transport extends EventTarget {
        piece = null; playing = false;
        load(piece) { this.piece = piece; this.dispatchEvent(new Event('piece')); }
        play() { this.playing = true; this.dispatchEvent(new Event('state')); }
        pause() { this.playing = false; this.dispatchEvent(new Event('state')); }
    }
    window.transport = new Transport();
    window.library = createLibrary(document.querySelector('#host'), {
        act: (name, fields) => {
            calls.push([name, fields]);
            return window.refusal ? Promise.reject(new Error(window.refusal)) : Promise.resolve({});
        },
        transport, toast: (text, action) => toasts.push([text, action]), session: () => 'token', leave: () => { left += 1; },
    });
    library.update(entries);
}"""


def entry(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "title": f"Piece {name}", "name": name, "seconds": 24.4, "facts": FACTS, "kind": "take",
            "label": "New music", "starred": False, "kept": False, "undone": False, "url": f"media/t/{name}.wav",
            "exchange": 0, "when": 1_800_000_000, **fields}  # fmt: skip


ENTRIES = [entry("b2", starred=True), entry("a1", kind="edit", label="New melody", undone=True), entry("c3", facts=None)]


@pytest.fixture(scope="module")
def module_tab(browser: Any) -> Iterator[Any]:
    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        if path == "page/token/all.zip":
            return 200, "application/zip", b"PK"
        return 400, "application/json", json.dumps({"detail": FULL}).encode()

    styles = ("base.css", "library.css", "chips.css")
    page = open_modules(browser, css=styles, body=BODY, answer=answer, accept_downloads=True, locale="en-GB")
    yield page
    page.context.close()


@pytest.fixture
def panel(module_tab: Any) -> Any:
    module_tab.reload()
    module_tab.evaluate(START, ENTRIES)
    return module_tab


def texts(page: Any, selector: str) -> list[str]:
    return page.eval_on_selector_all(selector, "found => found.map(one => one.textContent)")


def more(page: Any, title: str, choice: str) -> None:
    page.click(f"[aria-label='More about {title}']")
    page.click(f"[role=menuitem]:has-text('{choice}')")


def test_pieces_are_listed_with_what_they_are(panel: Any) -> None:
    assert texts(panel, ".piece-name") == ["Piece b2", "Piece a1", "Piece c3"]
    facts = [line.rsplit(" · ", 1)[0] for line in texts(panel, ".library-facts")]
    assert facts == ["0:24 · 120 bpm · E minor", "0:24 · 120 bpm · E minor · New melody · taken back", "0:24"]


def test_a_piece_is_played_and_paused(panel: Any) -> None:
    panel.click("[aria-label='Play Piece c3']")
    assert panel.evaluate("[transport.piece.id, transport.playing]") == ["c3", True]
    panel.click("[aria-label='Pause Piece c3']")
    assert panel.evaluate("transport.playing") is False and panel.is_visible("[aria-label='Play Piece c3']")


def test_a_piece_is_renamed_in_place_by_keyboard(panel: Any) -> None:
    panel.focus("text=Piece b2")
    panel.keyboard.press("F2")
    panel.keyboard.type("My <b>song</b>")
    panel.keyboard.press("Enter")
    assert panel.evaluate("calls") == [["rename", {"piece": "b2", "name": "My <b>song</b>"}]]
    assert panel.evaluate("document.activeElement.textContent") == "My <b>song</b>" and panel.query_selector("#host b") is None
    panel.keyboard.press("F2")
    panel.keyboard.type("Other")
    panel.keyboard.press("Escape")
    assert len(panel.evaluate("calls")) == 1 and "Other" not in texts(panel, ".piece-name")


def test_a_refused_name_is_told_and_taken_back(panel: Any) -> None:
    panel.evaluate("window.refusal = 'The name has 90 characters; give one of 1 to 80.'")
    more(panel, "Piece b2", "Rename")
    panel.keyboard.type("x")
    panel.keyboard.press("Enter")
    panel.wait_for_function("toasts.length === 1")
    assert texts(panel, ".piece-name")[0] == "Piece b2"


def test_a_state_does_not_take_the_field_away(panel: Any) -> None:
    more(panel, "Piece b2", "Rename")
    panel.keyboard.type("Half a na")
    panel.evaluate("entries => library.update(entries)", [entry("d4"), *ENTRIES])
    panel.keyboard.type("me")
    panel.keyboard.press("Enter")
    assert panel.evaluate("calls") == [["rename", {"piece": "b2", "name": "Half a name"}]]


def test_stars_are_set_and_filtered(panel: Any) -> None:
    panel.click("[aria-label='Star Piece c3']")
    assert panel.evaluate("calls") == [["star", {"piece": "c3", "on": True}]]
    assert panel.get_attribute("[aria-label='Star Piece b2']", "aria-pressed") == "true"
    panel.click("text=Starred")
    assert texts(panel, ".piece-name") == ["Piece b2"]
    panel.evaluate("entries => library.update(entries)", [entry("a1")])
    assert panel.inner_text(".library-empty") == "No piece has a star yet."


def test_a_click_goes_to_the_card(panel: Any) -> None:
    panel.click("text=Piece a1")
    assert panel.evaluate("[chosen, left, document.activeElement.localName]") == ["a1", 1, "music-card"]


def test_settings_are_used_again(panel: Any) -> None:
    more(panel, "Piece c3", "Use its settings")
    panel.wait_for_function("left === 1")
    assert panel.evaluate("calls") == [["reuse", {"piece": "c3"}]]


def test_a_delete_is_asked_of_the_server_at_once(panel: Any) -> None:
    more(panel, "Piece a1", "Delete")
    assert panel.evaluate("calls") == [["delete", {"piece": "a1"}]]
    for rest, focus in (([ENTRIES[0], ENTRIES[2]], "Play Piece c3"), ([ENTRIES[0]], "Play Piece b2"), ([], None)):
        panel.evaluate("entries => library.update(entries)", rest)
        assert panel.evaluate("document.activeElement.getAttribute('aria-label')") == focus
    assert panel.evaluate("document.activeElement.className") == "library-empty"


def test_a_delete_that_is_refused_is_told(panel: Any) -> None:
    panel.evaluate("window.refusal = 'There is no such piece in this conversation any more; choose another one.'")
    more(panel, "Piece a1", "Delete")
    panel.wait_for_function("toasts.length === 1")
    assert texts(panel, ".piece-name") == ["Piece b2", "Piece a1", "Piece c3"]


def test_an_empty_library_says_so(panel: Any) -> None:
    panel.evaluate("library.update([])")
    assert panel.inner_text(".library-empty").startswith("Nothing here yet.") and not panel.is_visible("text=Download all")


def test_everything_is_taken_home(panel: Any) -> None:
    with panel.expect_download() as saved:
        panel.click("text=Download all")
    assert saved.value.suggested_filename == "mumu-llama-pieces.zip"
    panel.click("text=Starred")
    panel.click("text=Download starred")
    panel.wait_for_function("toasts.length === 1")
    assert panel.evaluate("toasts[0][0]") == FULL


def test_what_the_archive_lacks_is_told(panel: Any) -> None:
    headers = {"Content-Type": "application/zip", "X-Left-Out": "Left%20out%3A%20MusicXML%20of%20%C3%A9t%C3%A9"}
    panel.route("**/all.zip", lambda route: route.fulfill(status=200, body=b"PK", headers=headers))
    with panel.expect_download():
        panel.click("text=Download all")
    panel.wait_for_function("toasts.length === 1")
    panel.unroute("**/all.zip")
    assert panel.evaluate("toasts[0][0]") == "Left out: MusicXML of été"


def test_long_and_hostile_names_stay_inside(module_tab: Any, panel: Any) -> None:
    panel.set_viewport_size({"width": 360, "height": 640})
    panel.evaluate("entries => library.update(entries)", [entry("a1", title="<img src=x>" + "long" * 40)])
    assert panel.evaluate("document.documentElement.scrollWidth") <= 360 and panel.query_selector("#host img") is None
    for button in panel.query_selector_all("#host button:visible"):
        assert button.bounding_box()["height"] >= 32
    panel.set_viewport_size({"width": 1280, "height": 720})
