"""The score of a card in a browser: its notes, its cursor, its parts, its bars and its sheet music."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llama.media.score import TRACKS
from llama.media.score_edits import score_line
from tests.browser_helpers import chromium, driver  # noqa: F401
from tests.roll_server import RollSite, long_song, roll_site, song

SONG = song()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RollSite]:
    with roll_site(tmp_path_factory.mktemp("roll")) as running:
        yield running


@pytest.fixture(scope="module")
def piece(site: RollSite) -> dict[str, Any]:
    return site.version("song", SONG)


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:  # noqa: F811
    started = chromium(driver, "--autoplay-policy=no-user-gesture-required")
    yield started
    started.close()


@pytest.fixture(scope="module")
def tab(browser: Any, site: RollSite) -> Iterator[Any]:
    """One tab for all tests; they fail for an error in it and for what it asks from elsewhere."""
    opened, troubles = browser.new_page(viewport={"width": 1000, "height": 800}), []
    opened.set_default_timeout(20_000)
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda request: troubles.append(request.url) if not request.url.startswith(site.address) else None)
    opened.goto(site.address)
    opened.wait_for_function("window.ready")
    yield opened
    opened.close()
    assert troubles == []


@pytest.fixture
def page(tab: Any, piece: dict[str, Any]) -> Any:
    """With the song's roll, and nothing that plays."""
    tab.set_viewport_size({"width": 1000, "height": 800})
    tab.wait_for_function("innerWidth === 1000")
    tab.evaluate("acts.length = 0; refusal = ''; transport.close()")
    show(tab, piece)
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it has taken the width
    return tab


def show(page: Any, version: dict[str, Any]) -> None:
    page.evaluate("version => show(version)", version)
    page.wait_for_selector(".roll-lane path", state="attached")


def drag(page: Any, selector: str, start: float, end: float) -> None:
    """Drags from one place of an element's width to another, at its middle height."""
    box = page.locator(selector).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], middle, steps=5)
    page.mouse.up()


def place(number: float) -> float:
    """Share of the song's time at which a bar, from 1, begins."""
    line = score_line(SONG)
    return (number - 1) * line.beat * line.metre / SONG.seconds


def selected(page: Any) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.roll-bar[aria-selected=true]')].map(bar => bar.getAttribute('aria-label'))")


def toolbar(page: Any) -> Any:
    return page.locator(".bars-toolbar")


def acts(page: Any) -> list[dict[str, Any]]:
    return page.evaluate("acts")


def cursor(page: Any) -> float:
    """Where the cursor stands, as a share of the drawing's width."""
    return page.evaluate("""() => {
        const [box, line] = ['plot', 'cursor'].map(name => document.querySelector(`.roll-${name}`).getBoundingClientRect());
        return (line.left + line.width / 2 - box.left) / box.width;
    }""")


def test_every_note_is_drawn_in_the_row_of_its_part(page: Any) -> None:
    counts = page.evaluate("""Object.fromEntries([...document.querySelectorAll('.roll-lane')].map(lane =>
        [lane.dataset.part, lane.querySelector('path').getAttribute('d').split('M').length - 1]))""")
    assert list(counts.values()) == [len(SONG.track(name)) for name in TRACKS]
    assert page.locator(".roll-part").all_inner_texts()[0].split()[:2] == ["Melody", "flute"]
    label = page.get_attribute(".roll-lanes", "aria-label")
    assert "E flat minor" in label and f"{len(SONG.lead)} notes" in label
    assert page.locator(".roll-chord:visible").first.inner_text() == "E♭m7"


def test_notes_lie_where_they_sound(page: Any) -> None:
    start = page.evaluate("""() => {
        const places = ['.roll-lane[data-part=melody] path', '.roll-plot'];
        const [box, plot] = places.map(name => document.querySelector(name).getBoundingClientRect());
        return [(box.left - plot.left) / plot.width, (box.right - plot.left) / plot.width];
    }""")
    assert start[0] == pytest.approx(SONG.lead[0].start / SONG.seconds, abs=0.002)
    assert start[1] == pytest.approx((SONG.lead[-1].start + SONG.lead[-1].duration) / SONG.seconds, abs=0.002)


def test_the_cursor_follows_the_transport(page: Any, piece: dict[str, Any]) -> None:
    page.evaluate("piece => { transport.load(piece); transport.seek(5); }", piece)
    assert cursor(page) == pytest.approx(5 / SONG.seconds, abs=0.003)
    page.evaluate("transport.play()")
    page.wait_for_function("transport.position > 5.3")
    page.evaluate("transport.pause()")
    assert cursor(page) == pytest.approx(page.evaluate("transport.position") / SONG.seconds, abs=0.003)
    assert cursor(page) > 5.2 / SONG.seconds


def test_a_click_seeks_and_a_click_on_a_note_goes_to_its_begin(page: Any) -> None:
    box = page.locator(".roll-lane[data-part=melody]").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 2)
    assert page.evaluate("transport.position") == pytest.approx(0.5 * SONG.seconds, abs=0.1)
    note = SONG.lead[0]
    row = page.evaluate("""async () => {
        const {rowsOf} = await import('./js/roll_notes.js'), {loadScore} = await import('./js/score_data.js');
        const [part] = (await loadScore(transport.piece.score)).parts, rows = rowsOf(part);
        return (rows.rowOf(part.notes[0][2]) + 0.5) / rows.count;
    }""")
    x, y = box["x"] + (note.start + note.duration / 2) / SONG.seconds * box["width"], box["y"] + 4 + row * (box["height"] - 8)
    page.mouse.move(x, y)
    assert page.locator(".roll-hover.shown").inner_text().endswith("0:00.0")
    page.mouse.click(x, y)
    assert page.evaluate("transport.position") == pytest.approx(note.start, abs=0.01)


def test_mute_and_solo_reach_the_transport(page: Any) -> None:
    page.get_by_role("button", name="Mute melody").click()
    assert page.evaluate("[...transport.parts.muted]") == ["melody"] and page.evaluate("transport.piece.id") == "song"
    page.get_by_role("button", name="Solo bass").press("Enter")
    assert page.evaluate("[...transport.parts.solo]") == ["bass"]
    silent = page.evaluate("[...document.querySelectorAll('.roll-lane.silent')].map(lane => lane.dataset.part)")
    assert silent == ["melody", "accompaniment", "drums"]
    assert page.get_attribute("[aria-label='Mute melody']", "aria-pressed") == "true"
    page.evaluate("transport.setParts({muted: new Set(), solo: new Set()})")
    assert page.get_attribute("[aria-label='Mute melody']", "aria-pressed") == "false" and page.locator(".roll-lane.silent").count() == 0


def test_dragging_over_bars_selects_them_and_composes_them_anew(page: Any) -> None:
    drag(page, ".roll-ruler", place(3.3), place(5.6))
    assert selected(page) == ["Bar 3", "Bar 4", "Bar 5"]
    toolbar(page).get_by_role("button", name="Compose these anew").click()
    page.wait_for_function("acts.length")
    assert acts(page) == [{"name": "edit", "piece": "song", "edit": {"bars": [3, 5]}}]
    page.wait_for_selector(".bars-toolbar", state="hidden")
    assert selected(page) == []


def test_dragging_over_the_notes_selects_too(page: Any) -> None:
    drag(page, ".roll-lane[data-part=bass]", place(4.5), place(2.5))
    assert selected(page) == ["Bar 2", "Bar 3", "Bar 4"]
    toolbar(page).get_by_role("button", name="only the melody").click()
    toolbar(page).wait_for(state="hidden")
    drag(page, ".roll-ruler", place(2.5), place(4.5))
    toolbar(page).get_by_role("button", name="Keep only these").click()
    toolbar(page).wait_for(state="hidden")
    assert [act["edit"] for act in acts(page)] == [{"bars": [2, 4], "parts": ["lead"]}, {"excerpt": [2, 4]}]


def test_bars_are_selected_by_keys(page: Any) -> None:
    page.focus(".roll-ruler")
    for key in ("Home", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert selected(page) == ["Bar 2", "Bar 3", "Bar 4"]
    active = page.get_attribute(".roll-ruler", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-label") == "Bar 4"
    page.keyboard.press("Escape")
    assert selected(page) == [] and toolbar(page).is_hidden()
    page.keyboard.press("Control+a")
    assert len(selected(page)) == score_line(SONG).bar_count
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.bars-toolbar') !== null"), "the toolbar comes next"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "roll-ruler"


def test_selected_bars_loop_and_go_home_as_wav(page: Any, site: RollSite) -> None:
    drag(page, ".roll-ruler", place(3.3), place(4.6))
    toolbar(page).get_by_role("button", name="Loop these").click()
    loop = page.evaluate("[transport.loop.start, transport.loop.end]")
    assert loop == pytest.approx([place(3) * SONG.seconds, place(5) * SONG.seconds], abs=1e-3)
    assert page.evaluate("transport.playing")
    with page.expect_download() as download:
        toolbar(page).get_by_role("link", name="Loop as WAV").click()
    assert download.value.suggested_filename.endswith("-bars-3-4.wav")


def test_a_refused_edit_leaves_the_selection_and_says_why(page: Any) -> None:
    page.evaluate("refusal = 'Five changes wait already.'")
    drag(page, ".roll-ruler", place(3.3), place(4.6))
    toolbar(page).get_by_role("button", name="Compose these anew").click()
    page.wait_for_function("document.querySelector('.bars-trouble').textContent")
    assert page.inner_text(".bars-trouble") == "Five changes wait already." and selected(page) == ["Bar 3", "Bar 4"]


def test_sheet_music_opens_page_by_page(page: Any) -> None:
    assert page.locator(".sheet img").count() == 0, "nothing is loaded before"
    page.get_by_role("button", name="Sheet music").click()
    page.wait_for_function("document.querySelector('.sheet-page')?.naturalWidth > 100")
    assert page.inner_text(".sheet-number") == "Page 1 of 2" and page.get_by_role("button", name="Previous page").is_disabled()
    page.get_by_role("button", name="Next page").press("Enter")
    page.wait_for_function("document.querySelector('.sheet-page[alt$=\"page 2 of 2\"]')?.naturalWidth > 100")
    assert page.evaluate("document.activeElement.textContent") == "Previous page"
    page.get_by_role("button", name="Sheet music").click()
    assert page.locator(".sheet").is_hidden()


def test_the_sound_can_be_seen(page: Any) -> None:
    page.get_by_role("button", name="See the sound").click()
    page.wait_for_function("document.querySelector('.sheet-sound')?.naturalWidth > 100")


def test_a_long_piece_scrolls_and_keeps_the_cursor_in_view(page: Any, site: RollSite) -> None:
    score = long_song()
    show(page, piece := site.version("long", score, silent=True))
    width, room = page.evaluate("[document.querySelector('.roll-plot').offsetWidth, document.querySelector('.roll-view').clientWidth]")
    assert width >= 12 * score_line(score).bar_count > room
    page.evaluate("piece => { transport.load(piece); transport.seek(300); transport.play(); }", piece)
    page.wait_for_function("document.querySelector('.roll-view').scrollLeft > 0")
    assert page.evaluate("""() => {
        const [view, line] = ['view', 'cursor'].map(name => document.querySelector(`.roll-${name}`).getBoundingClientRect());
        return line.left >= view.left && line.right <= view.right;
    }""")


def test_the_roll_of_a_phone_has_names_above_the_rows_and_large_switches(page: Any, piece: dict[str, Any]) -> None:
    page.set_viewport_size({"width": 360, "height": 760})
    show(page, piece)
    sizes = page.evaluate("""[...document.querySelectorAll('.roll *')].filter(one => one.childNodes.length && one.firstChild.nodeType === 3
        && getComputedStyle(one).display !== 'none').map(one => parseFloat(getComputedStyle(one).fontSize))""")
    assert min(sizes) >= 12
    assert all(box["width"] >= 32 and box["height"] >= 32 for box in (one.bounding_box() for one in page.locator(".roll-switch").all()))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


OVERLAPS = """([ones, others]) => {
    const boxes = selector => [...document.querySelectorAll(selector)].filter(one => one.checkVisibility())
        .map(one => [one.textContent, one.getBoundingClientRect()]);
    return boxes(ones).flatMap(([name, a]) => boxes(others).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5,
    ).map(([other, b]) => `${name} (${a.left}, ${a.top}) covers ${other} (${b.left}, ${b.top})`));
}"""


@pytest.mark.parametrize("width", [360, 640, 1000])
def test_names_and_switches_cover_no_notes(page: Any, piece: dict[str, Any], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 760})
    show(page, piece)
    page.wait_for_function("beside => document.querySelector('.roll').classList.contains('beside') === beside", arg=width == 1000)
    assert page.evaluate(OVERLAPS, [".roll-switch, .roll-names", ".roll-lane, .roll-chord, .roll-bar"]) == []
    assert page.evaluate(OVERLAPS, [".roll-switch", ".roll-names"]) == []


@pytest.mark.parametrize("width", [360, 1000])
def test_the_toolbar_of_selected_bars_covers_nothing(page: Any, piece: dict[str, Any], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 760})
    show(page, piece)
    page.focus(".roll-ruler")
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    toolbar(page).wait_for()
    assert page.evaluate(OVERLAPS, [".bars-toolbar", ".roll-lane, .roll-bar, .roll-switch, .roll-extra, .sheet"]) == []
    box = toolbar(page).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    actions = [one.bounding_box()["height"] for one in toolbar(page).locator("button, a").all()]
    assert min(actions) >= 32


def test_the_strokes_of_a_long_piece_stay_apart(page: Any, site: RollSite) -> None:
    score = song(120, tempo=160)
    show(page, site.version("fast", score, silent=True))
    stroke, width = page.evaluate("""[
        parseFloat(getComputedStyle(document.querySelector('.roll-lane[data-part=drums] path')).strokeWidth),
        document.querySelector('.roll-plot').offsetWidth,
    ]""")
    assert 1 <= stroke <= width * score_line(score).beat / score.seconds / 2, "half an eighth at most"


def test_words_of_the_sheet_music_touch_neither_notes_nor_each_other(page: Any, site: RollSite, piece: dict[str, Any]) -> None:
    for size in ("wide", "narrow"):
        sheet = page.context.browser.new_page()
        sheet.goto(f"{site.address}{piece['sheet']}?page=1&size={size}")
        words = "g.tempo tspan, g.harm tspan, g.reh tspan, g.pgHead tspan"
        found = sheet.evaluate("""words => {
            const own = one => [...one.childNodes].find(node => node.data)?.data ?? '';
            const texts = [...document.querySelectorAll(words)].filter(one => /[A-Za-z]/.test(own(one)));
            const boxes = [...texts, ...document.querySelectorAll('.notehead')].map(one => [one.textContent, one.getBoundingClientRect()]);
            const inset = 0.2;  // of a line's height, which is more than that of its letters
            const clear = boxes.map(([text, {left, right, top, bottom, height}]) =>
                [text, left, right, top + inset * height, bottom - inset * height]);
            return clear.slice(0, texts.length).flatMap(([text, left, right, top, bottom], index) => clear.slice(index + 1)
                .filter(([, l, r, t, b]) => Math.min(right, r) > Math.max(left, l) && Math.min(bottom, b) > Math.max(top, t))
                .map(([other]) => `${text} touches ${other || 'a note'}`));
        }""", words)
        assert sheet.locator("g.tempo").count() == 1 and sheet.locator("g.harm").count() > 1
        sheet.close()
        assert found == []


def test_a_recording_has_no_roll_and_a_coming_piece_keeps_its_place(page: Any, site: RollSite, piece: dict[str, Any]) -> None:
    recording = site.version("recording", None)
    page.evaluate("version => show(version)", recording)
    assert page.locator(".roll").is_hidden() and page.get_by_role("button", name="See the sound").is_visible()
    coming = {**piece, "complete": False, "score": None, "stems": None, "sheet": None}
    page.evaluate("version => { show(version); roll.update(version, {status: 'working'}); }", coming)
    before = page.locator("#stage").bounding_box()["height"]
    page.evaluate("version => roll.update(version, {status: 'done'})", piece)
    page.wait_for_selector(".roll-lane path", state="attached")
    assert page.locator("#stage").bounding_box()["height"] == pytest.approx(before, abs=1)
    page.evaluate("version => roll.update(version, {status: 'stopped'})", coming)
    assert page.locator(".roll").is_hidden()


def test_a_score_that_is_gone_is_a_sentence(page: Any, piece: dict[str, Any]) -> None:
    page.evaluate("version => show(version)", {**piece, "score": piece["score"].replace("song.wav", "gone.wav")})
    page.wait_for_function("document.querySelector('.roll-note').textContent.includes('may have been deleted')")


def test_reduced_motion_moves_the_cursor_by_beats(page: Any, piece: dict[str, Any]) -> None:
    page.emulate_media(reduced_motion="reduce")
    try:
        show(page, piece)
        page.evaluate("piece => { transport.load(piece); transport.seek(5.1); transport.play(); }", piece)
        page.wait_for_function("transport.position > 5.2")
        page.evaluate("transport.seek(5.3)")
        assert cursor(page) == pytest.approx(5.0 / SONG.seconds, abs=0.002), "the beat of half a second that sounds"
    finally:
        page.emulate_media(reduced_motion="no-preference")


def test_another_version_takes_the_place_of_the_first(page: Any, site: RollSite, piece: dict[str, Any]) -> None:
    plain = song(drums=False, seed=4)
    other = site.version("plain", plain)
    page.evaluate("piece => { transport.load(piece); transport.seek(5); }", piece)
    drag(page, ".roll-ruler", place(2.2), place(3.2))
    height = page.locator("#stage").bounding_box()["height"]
    page.evaluate("version => { transport.switchTo(version); roll.update(version); }", other)
    page.wait_for_function("document.querySelectorAll('.roll-lane').length === 3")
    assert page.locator("#stage").bounding_box()["height"] == height and cursor(page) == pytest.approx(5 / plain.seconds, abs=0.003)
    toolbar(page).get_by_role("button", name="Compose these anew").click()
    page.wait_for_function("acts.length")
    assert acts(page)[0]["piece"] == "plain", "an edit is about the version that is shown"
