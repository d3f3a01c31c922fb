"""The cards, the wave, the bar at the foot and the keys of the player, as a user meets them in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser_helpers import chromium, driver  # noqa: F401
from tests.player_server import SoundServer, noise, sound_server, wav

SECONDS = 20.0
LEVELS = "80" * 240
TAKES = ("before", "first", "second", "growing", "other")


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:  # noqa: F811
    started = chromium(driver, "--autoplay-policy=no-user-gesture-required")
    yield started
    started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[SoundServer]:
    with sound_server() as running:
        for number, name in enumerate(TAKES):
            running.add(f"{name}.wav", wav(noise(SECONDS, seed=number, rate=8000, level=0.02), 8000))
        yield running


@pytest.fixture(scope="module")
def tab(browser: Any, server: SoundServer) -> Iterator[Any]:
    """A page with the player started; the tests fail for an error in it.

    `sent` has the actions that went to the server, `shown` the pieces that the bar led to.
    """
    opened, errors = browser.new_page(viewport={"width": 1280, "height": 900}), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(20_000)
    opened.goto(server.address)
    opened.wait_for_function("window.ready")
    opened.evaluate("""async () => {
        const {connection} = await import('./js/connection.js'), {startPlayer} = await import('./js/player.js');
        connection.act = async (name, fields) => { sent.push([name, fields]); return {}; };
        startPlayer(document.querySelector('#player-bar'), id => shown.push(id));
    }""")
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture
def page(tab: Any) -> Any:
    """The page without cards, as wide as a desk's."""
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.evaluate("""() => {
        document.querySelector('#stage').replaceWith(Object.assign(document.createElement('main'), {id: 'stage'}));
        transport.close();
        transport.volume = 0.8;
        sessionStorage.clear();
        Object.assign(window, {sent: [], shown: []});
    }""")
    return tab


def version(name: str, label: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": name, "label": label, "kind": "take", "name": name, "title": f"The {name}", "url": f"media/{name}.wav", "seconds": SECONDS,
        "made": SECONDS, "complete": True, "pcm": True, "levels": LEVELS, "seed": 7, "report": "", "starred": False, "kept": False,
        "undone": False, "parent": None, "facts": None, "score": None, "stems": None, "sheet": None, "chips": [], "downloads": [],
        "actions": ["again", "another", "delete"], **facts,
    }  # fmt: skip


def card(*versions: dict[str, Any], selected: str | None = None, **facts: Any) -> dict[str, Any]:
    chosen = selected or (versions[-1]["id"] if versions else None)
    return {"exchange": 0, "status": "done", "selected": chosen, "autoplay": False, "expected": None, "progress": None, "clip": None,
            "versions": list(versions), **facts}  # fmt: skip


def put(page: Any, content: dict[str, Any], key: str = "card") -> Any:
    """Shows a card, or updates the one with this key; its element."""
    page.evaluate("""([key, content]) => {
        let card = document.getElementById(key);
        if (!card) {
            card = document.createElement('music-card');
            card.id = key;
            document.querySelector('#stage').append(card);
        }
        card.dataset.card = JSON.stringify(content);
    }""", [key, content])
    return page.locator(f"#{key}")


def until(page: Any, condition: str) -> None:
    page.wait_for_function(f"() => {condition}")


def position(page: Any) -> float:
    return float(page.evaluate("transport.position"))


def test_a_card_plays_and_the_bar_follows(page: Any) -> None:
    shown = put(page, card(version("first", "New music", facts={"tempo": 120, "key": "E minor", "metre": "4/4", "bars": 10, "lead": "piano",
                                                                 "style": "ballad", "drums": False})))  # fmt: skip
    assert shown.locator(".card-facts").inner_text() == "120 bpm · E minor · 4/4 · 10 bars · 0:20"
    bar = page.locator(".player-bar")
    assert bar.is_hidden()
    shown.get_by_role("button", name="Play The first").click()
    until(page, "transport.position > 0.2")
    assert bar.is_visible() and bar.locator(".bar-title").inner_text() == "The first"
    bar.get_by_role("button", name="Pause").click()
    until(page, "transport.state === 'paused'")
    assert shown.get_by_role("button", name="Play The first").is_visible()
    bar.locator(".bar-title").click()
    assert page.evaluate("shown") == ["first"]
    bar.get_by_role("button", name="Close the player").click()
    assert bar.is_hidden() and not page.evaluate("transport.playing")


def test_a_browser_that_wants_a_click_first_is_said(page: Any) -> None:
    """Playwright's own scripts count as clicks, so the refusal is simulated: a clock that starts after a click alone."""
    shown = put(page, card(version("first", "New music")))
    page.evaluate("""async version => {
        transport.load(version);
        await transport.context.suspend();
        Object.defineProperty(navigator, 'userActivation', {value: {hasBeenActive: false}, configurable: true});
        const resume = transport.context.resume;
        transport.context.resume = () => new Promise(() => {});
        addEventListener('click', () => { transport.context.resume = resume; }, {capture: true, once: true});
        transport.play();
    }""", version("first", "New music"))
    until(page, "transport.state === 'blocked'")
    assert shown.locator(".player-status").inner_text() == "Press play to hear it" and not page.evaluate("transport.playing")
    shown.get_by_role("button", name="Play The first").click()
    until(page, "transport.position > 0.1 && transport.state === 'playing'")
    assert not shown.locator(".player-status").inner_text()


def test_the_wave_is_a_slider(page: Any) -> None:
    wave = put(page, card(version("first", "New music"))).locator(".wave")
    page.evaluate("version => transport.load(version)", version("first", "New music"))
    wave.focus()
    for key, seconds in (("ArrowRight", 5), ("ArrowUp", 10), ("ArrowLeft", 5), ("PageUp", 20), ("PageDown", 5), ("Home", 0), ("End", 20)):
        page.keyboard.press(key)
        assert position(page) == pytest.approx(seconds), key
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert wave.get_attribute("aria-valuetext") == "0:05 of 0:20" and wave.get_attribute("aria-valuenow") == "5.0"
    box = wave.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    assert wave.locator("..").locator(".wave-hover-time").inner_text() == "0:10.0"
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert position(page) == pytest.approx(15, abs=0.1)
    labels = page.eval_on_selector_all(".wave-axis span", "marks => marks.map(mark => mark.textContent)")
    assert labels[:3] == ["0:00", "0:02", "0:04"]


def test_a_drag_with_shift_or_along_the_axis_repeats(page: Any) -> None:
    shown = put(page, card(version("first", "New music")))
    page.evaluate("version => transport.load(version)", version("first", "New music"))
    wave, axis = shown.locator(".wave").bounding_box(), shown.locator(".wave-axis").bounding_box()

    def drag(box: dict[str, float], begin: float, end: float) -> None:
        page.mouse.move(box["x"] + begin * box["width"], box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"], box["y"] + 10)
        page.mouse.up()

    drag(axis, 0.25, 0.5)
    assert page.evaluate("[transport.loop.start, transport.loop.end]") == pytest.approx([5, 10], abs=0.1)
    start = shown.get_by_role("slider", name="Start of the repeated passage")
    start.focus()
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("transport.loop.start") == pytest.approx(6, abs=0.1)
    page.keyboard.down("Shift")
    drag(wave, 0.8, 0.6)
    page.keyboard.up("Shift")
    assert page.evaluate("[transport.loop.start, transport.loop.end]") == pytest.approx([12, 16], abs=0.1)
    shown.locator(".wave").focus()
    page.keyboard.press("Escape")
    assert page.evaluate("[transport.loop, transport.region]") == [None, None] and start.is_hidden()


def test_versions_switch_at_the_same_place(page: Any) -> None:
    shown = put(page, card(version("before", "Before", kind="before"), version("first", "New music")))
    shown.get_by_role("button", name="Play The first").click()
    until(page, "transport.position > 0.2")
    for press, name in ((lambda: shown.get_by_role("button", name="Before").click(), "before"), (lambda: page.keyboard.press("b"), "first"),
                        (lambda: page.keyboard.press("b"), "before")):  # fmt: skip
        before = page.evaluate("transport.position - transport.context.currentTime")
        press()
        until(page, f"transport.piece.id === '{name}' && transport.state === 'playing'")
        assert page.evaluate("transport.position - transport.context.currentTime") == pytest.approx(before, abs=0.05)
        assert shown.locator("[aria-pressed=true].card-tab").get_attribute("data-id") == name


def test_a_piece_on_two_cards_belongs_to_the_one_in_use(page: Any) -> None:
    first, second = version("first", "New music"), version("second", "Faster")
    put(page, card(version("before", "Before"), first), key="earlier")
    later = put(page, card(first, second), key="later")
    later.get_by_role("button", name="Play The second").click()
    until(page, "transport.position > 0.1")
    for name in ("first", "second", "first"):
        page.keyboard.press("b")
        until(page, f"transport.piece.id === '{name}'")


def test_a_new_version_takes_over_and_updates_leave_the_choice_alone(page: Any) -> None:
    first, second = version("first", "New music"), version("second", "130 bpm", kind="edit", parent="first", report="Faster by 10 bpm.")
    shown = put(page, card(first))
    shown.get_by_role("button", name="Play The first").click()
    until(page, "transport.position > 0.2")
    put(page, card(first, second))
    until(page, "transport.piece.id === 'second' && transport.state === 'playing' && transport.position > 0.2")
    assert shown.locator(".card-report").inner_text() == "Faster by 10 bpm."
    shown.get_by_role("button", name="New music").click()
    shown.locator("summary", has_text="Details").click()
    put(page, card(first, {**second, "starred": True}))
    assert page.evaluate("transport.piece.id") == "first" and shown.locator("details").get_attribute("open") is not None
    page.evaluate("transport.pause()")
    assert page.locator("music-card").count() == 1


def test_a_stopped_take_goes_on_in_its_new_file(page: Any) -> None:
    growing = version("growing", "New music", complete=False, made=4.0, levels="")
    put(page, card(growing, status="working"))
    page.evaluate("transport.play()")
    until(page, "transport.position > 0.3")
    page.evaluate("transport.pause()")
    place = position(page)
    put(page, card(version("other", "New music", seconds=4.0), status="stopped"))
    until(page, "transport.piece.id === 'other'")
    assert position(page) == pytest.approx(place, abs=0.05)


def test_music_begins_once(page: Any) -> None:
    first = card(version("first", "New music"), autoplay=True)
    put(page, first)
    until(page, "transport.position > 0.1")
    page.evaluate("transport.pause()")
    put(page, {**first, "status": "working"})
    put(page, first, key="again")
    assert not page.evaluate("transport.playing")
    page.evaluate("document.querySelectorAll('music-card').forEach(card => card.remove())")
    until(page, "transport.state === 'empty'")


def test_the_skeleton_is_as_high_as_the_card(page: Any) -> None:
    home = [{"form": "wav", "label": "WAV", "url": "x", "name": "x.wav", "hint": ""}]
    page.route("**/media/score.json", lambda route: route.abort())
    for width in (1280, 768, 360):
        page.set_viewport_size({"width": width, "height": 900})
        heights = []
        for key, content in (
            (f"empty{width}", card(status="waiting")),
            (f"growing{width}", card(version("growing", "New music", complete=False, levels="", title="", actions=[]), status="working")),
            (f"whole{width}", card(version("first", "New music", score="media/score.json", downloads=home))),
        ):  # fmt: skip
            shown = put(page, content, key=key)
            page.wait_for_timeout(0)
            heights.append(shown.bounding_box()["height"])
            assert shown.evaluate("card => card.scrollWidth <= card.clientWidth"), width
        assert max(heights) - min(heights) <= 8, (width, heights)


def test_a_model_of_recordings_keeps_no_place_for_notes(page: Any) -> None:
    page.evaluate("document.querySelector('#stage').dataset.recordings = ''")
    heights = []
    for key, content in (("empty", card(status="waiting")), ("whole", card(version("first", "New music")))):
        heights.append(put(page, content, key=key).bounding_box()["height"])
    assert max(heights) - min(heights) <= 8 and heights[0] < 400, heights


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_newest_of_many_versions_is_in_sight(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    versions = [version(f"v{number}", f"{100 + number} bpm") for number in range(12)]
    shown = put(page, card(*versions))
    in_sight = """() => {
        const row = document.querySelector('.card-tabs').getBoundingClientRect();
        const tab = document.querySelector('.card-tab[aria-pressed=true]').getBoundingClientRect();
        return tab.left >= row.left && tab.right <= row.right;
    }"""
    page.wait_for_function(in_sight)
    assert shown.locator(".card-tab[aria-pressed=true]").inner_text() == "111 bpm"
    page.wait_for_selector(".card-tabs.more-before:not(.more-after)")
    page.evaluate("document.querySelector('music-card').choose('v0')")
    page.wait_for_function(in_sight)
    page.wait_for_selector(".card-tabs.more-after:not(.more-before)")


def test_takes_are_kept_starred_and_folded_away(page: Any) -> None:
    takes = [version(name, f"Take {number}", actions=["keep", "another"]) for number, name in enumerate(("first", "second", "other"), 1)]
    shown = put(page, card(*takes, selected="first"))
    shown.get_by_role("button", name="Keep this one").click()
    shown.get_by_role("button", name="Star", exact=True).click()
    assert page.evaluate("sent") == [["keep", {"piece": "first"}], ["star", {"piece": "first", "on": True}]]
    put(page, card({**takes[0], "kept": True, "actions": ["another"]}, *takes[1:], selected="first"))
    assert shown.locator(".card-tab").count() == 1
    shown.get_by_role("button", name="2 more takes").click()
    assert shown.locator(".card-tab").count() == 3 and shown.locator(".card-keep").is_hidden()


def test_keys_leave_controls_alone(page: Any) -> None:
    shown = put(page, card(version("first", "New music")))
    page.evaluate("""version => {
        transport.load(version);
        document.querySelector('#stage').insertAdjacentHTML('beforeend',
            '<textarea id="text"></textarea><button id="button">x</button><select id="list"><option>m</option></select>'
            + '<dialog id="dialog">x</dialog>');
        document.querySelector('#button').addEventListener('click', () => { window.clicked = true; });
    }""", version("first", "New music"))
    for field in ("#text", "#list"):
        page.focus(field)
        for key in ("m", "l", "ArrowRight", "Space"):
            page.keyboard.press(key)
    page.keyboard.press("Escape")
    assert page.input_value("#text") == "ml "
    page.focus("#button")
    page.keyboard.press("Space")
    assert page.evaluate("[clicked, transport.playing, transport.muted, transport.loop]") == [True, False, False, None]
    page.keyboard.press("m")
    assert page.evaluate("transport.muted"), "a button does not use letters"
    page.evaluate("document.querySelector('#dialog').showModal()")
    page.keyboard.press("l")
    assert page.evaluate("transport.loop") is None
    page.evaluate("document.querySelector('#dialog').close(); document.activeElement.blur()")
    for key in ("m", "l", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("[transport.muted, transport.loop.end, transport.position]") == [False, SECONDS, 5]
    page.keyboard.press("Space")
    until(page, "transport.playing && transport.state === 'playing'")
    shown.locator(".wave").focus()
    page.keyboard.press("Space")
    assert not page.evaluate("transport.playing")


def test_a_clip_follows_the_music(page: Any) -> None:
    shown = put(page, card(version("first", "New music"), clip={"url": "media/first.wav", "seconds": SECONDS}))
    until(page, "document.querySelector('video').readyState > 1")
    shown.get_by_role("button", name="Play The first").click()
    until(page, "!document.querySelector('video').paused && transport.position > 0.3")
    assert page.evaluate("document.querySelector('video').muted")
    page.evaluate("transport.seek(10)")
    until(page, "Math.abs(document.querySelector('video').currentTime - transport.position) < 0.3 && transport.position > 10.1")
    page.evaluate("transport.pause()")
    until(page, "document.querySelector('video').paused")
    shown.get_by_label("Play with the clip").uncheck()
    page.evaluate("transport.play()")
    until(page, "transport.position > 10.4")
    assert page.evaluate("document.querySelector('video').paused")
