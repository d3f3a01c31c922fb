"""The row of chips and the take-home menu in a browser: by mouse and by keyboard, busy while an edit runs, and never silent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from demo.page.suggestions import chips
from llama.media.score import Attributes
from tests.module_page import open_modules

pytest_plugins = ("tests.browser_helpers",)

SCORE = compose(np.random.default_rng(3), Attributes("piano", "strings", "ballad", 120, "minor", 4, True, 4), 20.0)
FACTS = {"tempo": 120, "key": "E minor", "metre": "4/4", "lead": "piano", "style": "ballad", "bars": 8, "drums": True}
VERSION: dict[str, Any] = {
    "id": "a1", "parent": None, "complete": True, "undone": False, "title": "Sad ballad, piano", "facts": FACTS, "chips": chips(SCORE),
}
START = """async version => {
    const {createChips} = await import('/chips.js');
    window.calls = []; window.toasts = []; window.opened = [];
    const act = (name, fields) => {
        calls.push([name, fields]);
        return window.refusal ? Promise.reject(new Error(window.refusal)) : Promise.resolve({});
    };
    const host = document.querySelector('#host');
    host.addEventListener('open-edit-form', event => opened.push(event.detail));
    window.row = createChips(host, version, {act, toast: (text, action) => toasts.push([text, action])});
}"""


@pytest.fixture(scope="module")
def module_tab(browser: Any) -> Iterator[Any]:
    page = open_modules(browser, css=("base.css", "chips.css"))
    yield page
    page.context.close()


@pytest.fixture
def row(module_tab: Any) -> Any:
    module_tab.reload()
    module_tab.evaluate(START, VERSION)
    return module_tab


def texts(page: Any, selector: str) -> list[str]:
    return page.eval_on_selector_all(selector, "found => found.map(one => one.textContent)")


def update(page: Any, **fields: Any) -> None:
    page.evaluate("version => row.update(version)", {**VERSION, **fields})


def test_the_row_says_what_the_piece_is(row: Any) -> None:
    values = texts(row, ".chip-menu")
    assert values == ["120 bpm", "E minor", "piano", "ballad", "4/4", "drums", "8 bars"]
    assert texts(row, ".chip-quick") == ["+10", "To major"]


def test_one_click_makes_the_commonest_change_and_undo_takes_it_back(row: Any) -> None:
    row.click("text='+10'")
    assert row.evaluate("calls") == [["edit", {"piece": "a1", "edit": {"change": {"tempo": 130}}}]]
    assert row.get_attribute(".chips", "aria-busy") == "true"
    row.click("text='To major'", force=True)
    row.click("[data-name=Style]", force=True)
    assert row.query_selector("[role=menu]") is None and len(row.evaluate("calls")) == 1, "busy: no second edit"
    update(row, id="b2", parent="a1", complete=False)
    assert texts(row, ".chip-menu")[0] == "120 bpm" and row.get_attribute(".chips", "aria-busy") == "true"
    update(row, id="b2", parent="a1", facts={**FACTS, "tempo": 130})
    assert row.get_attribute(".chips", "aria-busy") == "false" and texts(row, ".chip-menu")[0] == "130 bpm"
    [[text, action]] = row.evaluate("toasts.map(([text, action]) => [text, action.label])")
    assert (text, action) == ("120 → 130 bpm", "Undo")
    row.evaluate("toasts[0][1].run()")
    assert row.evaluate("calls[1]") == ["undo", {"piece": "b2"}]


def test_a_refusal_is_told_and_the_chips_are_free_again(row: Any) -> None:
    row.evaluate("window.refusal = 'The piece is gone.'")
    row.click("text='+10'")
    row.wait_for_function("toasts.length === 1")
    assert row.evaluate("toasts[0][0]") == "The piece is gone." and row.get_attribute(".chips", "aria-busy") == "false"


def test_an_edit_that_failed_later_frees_the_chips(row: Any) -> None:
    row.click("text='+10'")
    row.evaluate("version => row.update(version, {status: 'failed'})", VERSION)
    assert row.get_attribute(".chips", "aria-busy") == "false" and row.evaluate("toasts") == []


def test_an_edit_that_ends_without_a_version_frees_the_chips(row: Any) -> None:
    row.click("text='+10'")
    for status, busy in (("done", "true"), ("working", "true"), ("done", "false")):
        row.evaluate("([version, status]) => row.update(version, {status, versions: [version]})", [VERSION, status])
        assert row.get_attribute(".chips", "aria-busy") == busy, status


def test_an_edit_that_failed_between_two_states_frees_the_chips(row: Any) -> None:
    row.evaluate("""() => {
        const plain = setTimeout;
        window.later = [];
        window.setTimeout = (run, ms) => (ms > 1000 ? later.push(run) : plain(run, ms));
    }""")
    row.click("text='+10'")
    row.wait_for_function("later.length === 1")
    assert row.get_attribute(".chips", "aria-busy") == "true"
    row.evaluate("later[0]()")
    assert row.get_attribute(".chips", "aria-busy") == "false" and row.evaluate("toasts") == []
    row.click("text='+10'")
    row.evaluate("version => row.update(version, {status: 'working', versions: [version]})", VERSION)
    row.evaluate("later.at(-1)()")
    assert row.get_attribute(".chips", "aria-busy") == "true", "it is made"


def test_the_new_version_is_told_even_if_another_one_is_looked_at(row: Any) -> None:
    earlier = {**VERSION, "id": "e0", "parent": "a1"}
    row.evaluate("([version, earlier]) => row.update(version, {status: 'done', versions: [version, earlier]})", [VERSION, earlier])
    row.click("text='+10'")
    made = {**VERSION, "id": "b2", "parent": "a1", "facts": {**FACTS, "tempo": 130}}
    row.evaluate("([earlier, made]) => row.update(earlier, {status: 'done', versions: [earlier, made]})", [earlier, made])
    assert row.evaluate("toasts.map(([text]) => text)") == ["120 → 130 bpm"]


def test_every_chip_of_the_piece_is_in_a_menu(row: Any) -> None:
    shown = []
    for button in row.query_selector_all(".chip-menu"):
        button.click()
        shown += texts(row, "[role=menuitem] span")
        row.keyboard.press("Escape")
    assert sorted(shown) == sorted(chip["label"] for chip in VERSION["chips"])


def test_a_menu_is_worked_by_keyboard(row: Any) -> None:
    row.focus(".chip-menu[data-name=Melody]")
    row.keyboard.press("Enter")
    focused = "document.activeElement.textContent.trim()"
    leads = [chip["label"] for chip in VERSION["chips"] if chip["group"] == "lead"]
    assert row.get_attribute("[data-name=Melody]", "aria-expanded") == "true" and row.evaluate(focused).startswith(leads[0])
    for key, expected in (("ArrowDown", leads[1]), ("End", leads[-1]), ("ArrowDown", leads[0]), ("ArrowUp", leads[-1]), ("Home", leads[0]),
                          ("v", "Violin")):  # fmt: skip
        row.keyboard.press(key)
        assert row.evaluate(focused).startswith(expected), key
    row.keyboard.press("Escape")
    assert row.query_selector("[role=menu]") is None and row.evaluate("document.activeElement.dataset.name") == "Melody"
    row.keyboard.press("ArrowDown")
    row.keyboard.press("v")
    row.keyboard.press("Enter")
    assert row.evaluate("calls") == [["edit", {"piece": "a1", "edit": {"change": {"lead": "violin"}}}]]
    assert row.evaluate("document.activeElement.dataset.name") == "Melody"


def test_a_click_elsewhere_closes_a_menu(row: Any) -> None:
    row.click("[data-name=Style]")
    assert row.is_visible("[role=menu]")
    row.mouse.click(5, 5)
    assert row.query_selector("[role=menu]") is None


def test_more_opens_the_form(row: Any) -> None:
    row.click("text=More…")
    assert row.evaluate("opened") == [{"piece": "a1"}]


def test_a_piece_of_sound_is_continued_or_varied(row: Any) -> None:
    sound = [{"group": "length", "label": "Go on for 10 s", "hint": "", "edit": {"continuation": 10}}]
    update(row, facts=None, chips=sound)
    assert texts(row, ".chip") == ["Go on"]
    update(row, complete=False)
    assert texts(row, ".chip") == []


def test_labels_are_text(row: Any) -> None:
    hostile = "<img src=x onerror=document.title=1>"
    update(row, facts={**FACTS, "lead": hostile}, chips=[{"group": "lead", "label": hostile, "hint": hostile, "edit": {}}])
    row.click(".chip-menu")
    assert row.query_selector("img") is None and hostile in texts(row, "[role=menuitem] span")


@pytest.mark.parametrize("width", [1280, 360])
def test_menus_stay_inside_the_window(module_tab: Any, row: Any, width: int) -> None:
    module_tab.set_viewport_size({"width": width, "height": 640})
    for button in row.query_selector_all(".chip-menu"):
        button.click()
        box = row.query_selector("[role=menu]").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] >= 0 and box["y"] + box["height"] <= 640
        row.keyboard.press("Escape")
    assert row.evaluate("document.documentElement.scrollWidth") <= width and row.query_selector(".chips").bounding_box()["height"] <= 60
    module_tab.set_viewport_size({"width": 1280, "height": 720})


# -- take home ----------------------------------------------------------------------------------------------------------

DOWNLOADS = [{"form": form, "label": form.upper(), "url": f"media/t/a1.wav/{form}", "name": f"sad.{form}", "hint": f"for {form}"}
             for form in ("midi", "wav", "flac", "all")]  # fmt: skip
REFUSED = "Others wait for stems, loops and MusicXML already; try again in a moment."


# (words, chips outside of their row, height of the row)
LINES = """() => {
    const row = document.querySelector('.chips'), frame = row.getBoundingClientRect();
    const outside = [...row.querySelectorAll('.chip')].filter(chip => {
        const box = chip.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
    });
    return [row.dataset.lines, outside.map(chip => chip.textContent), frame.height];
}"""
LONG = {**FACTS, "tempo": 180, "key": "C sharp minor", "lead": "synthesizer", "style": "ambient", "bars": 120}


@pytest.mark.parametrize(("width", "lines"), [(768, "two"), (1280, "one")])
def test_all_chips_are_in_sight_and_their_height_does_not_depend_on_them(row: Any, width: int, lines: str) -> None:
    row.set_viewport_size({"width": width, "height": 700})
    row.wait_for_function("lines => document.querySelector('.chips').dataset.lines === lines", arg=lines)
    update(row, facts=LONG)
    assert "C sharp minor" in texts(row, ".chip-menu")
    words, outside, height = row.evaluate(LINES)
    assert (words, outside) == (lines, [])
    update(row, complete=False)
    assert texts(row, ".chip") == [] and row.evaluate(LINES)[2] == height


def test_chips_of_a_phone_fade_where_they_go_on(row: Any) -> None:
    row.set_viewport_size({"width": 360, "height": 700})
    row.wait_for_selector(".chips[data-lines=scroll].more-after:not(.more-before)")
    assert row.evaluate("document.documentElement.scrollWidth") <= 360
    row.focus("[data-name=More]")
    row.wait_for_selector(".chips.more-before:not(.more-after)")


def test_a_long_menu_is_whole_in_a_low_window(row: Any) -> None:
    row.set_viewport_size({"width": 360, "height": 420})
    row.click("[data-name=Key]")
    box = row.locator("[role=menu]").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 420 and box["x"] >= 0 and box["x"] + box["width"] <= 360
    assert row.evaluate("[document.querySelector('[role=menu]')].every(menu => menu.scrollHeight <= menu.clientHeight)")


@pytest.fixture
def take_home(browser: Any) -> Iterator[Any]:
    requests: list[tuple[str, str]] = []

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        requests.append((method, path))
        return (429, "application/json", json.dumps({"detail": REFUSED}).encode()) if "flac" in path else (200, "audio/midi", b"notes")

    page = open_modules(browser, css=("chips.css",), answer=answer, accept_downloads=True)
    page.evaluate("""async version => {
        const {createMenu} = await import('/menu.js');
        window.toasts = [];
        window.menu = createMenu(document.querySelector('#host'), version, {toast: text => toasts.push(text)});
    }""", {**VERSION, "downloads": DOWNLOADS})  # fmt: skip
    page.requests = requests
    yield page
    page.context.close()


def test_a_form_is_taken_home_under_its_name(take_home: Any) -> None:
    take_home.click("text=Take home")
    assert texts(take_home, "[role=menuitem] span") == ["WAV", "FLAC", "MIDI", "ALL"]
    assert texts(take_home, ".popup-heading") == ["Sound", "Notes"], "the archive of all needs no heading"
    with take_home.expect_download() as saved:
        take_home.click("[role=menuitem] >> text=MIDI")
    assert saved.value.suggested_filename == "sad.midi" and take_home.requests[0] == ("HEAD", "media/t/a1.wav/midi")
    assert take_home.evaluate("toasts") == []


def test_a_form_that_is_refused_is_told(take_home: Any) -> None:
    take_home.focus(".take-home")
    for key in ("ArrowDown", "f", "Enter"):
        take_home.keyboard.press(key)
    take_home.wait_for_function("toasts.length === 1")
    assert take_home.evaluate("toasts") == [REFUSED] and take_home.inner_text(".take-home-status") == ""


def test_there_is_no_menu_before_the_piece_is_complete(take_home: Any) -> None:
    take_home.evaluate("version => menu.update(version)", {**VERSION, "complete": False, "downloads": DOWNLOADS})
    assert not take_home.is_visible(".take-home")
