"""The page as a player and a score: music sounds while it is composed, and a musician seeks, repeats, silences and reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.media.audio import Waveform
from llama.media.score import Score
from tests.instrument import NanoSite, Visitor, visiting

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers", "tests.instrument")
pytestmark = pytest.mark.slow

SECONDS = 16
SPAN = 0.37  # seconds that the visitor's meter listens to


@pytest.fixture(scope="module")
def visitor(window: Any, nano_site: NanoSite) -> Iterator[Visitor]:
    """One visitor for all tests, with a complete piece that has four parts."""
    with visiting(window, nano_site.address, viewport={"width": 1280, "height": 900}) as visitor:
        visitor.setting("Length in seconds", SECONDS)
        visitor.say("A fast dance for trumpet with drums")
        visitor.until("transport.piece")
        yield visitor


@pytest.fixture(autouse=True)
def quiet(visitor: Visitor) -> None:
    """Each test begins with the whole first piece, in silence."""
    visitor.page.evaluate("""version => {
        transport.load(version); transport.pause(); transport.clearLoop(); transport.setParts({muted: [], solo: []}); transport.seek(0);
        document.activeElement.blur();
    }""", visitor.version(0))


def drag(visitor: Visitor, target: Any, begin: float, end: float, height: float = 0.5) -> None:
    """Drags the mouse over an element, from and to shares of its width."""
    target.scroll_into_view_if_needed()
    box, mouse = target.bounding_box(), visitor.page.mouse
    places = [(box["x"] + share * box["width"], box["y"] + height * box["height"]) for share in (begin, (begin + end) / 2, end)]
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place)
    mouse.up()


def test_music_is_heard_while_the_rest_is_composed(window: Any, nano_site: NanoSite) -> None:
    with visiting(window, nano_site.address) as visitor:
        visitor.setting("Length in seconds", 120)
        visitor.setting("Takes", 4)  # one is whole too soon to be stopped
        visitor.write("A slow, sad piano piece")
        visitor.send()
        visitor.until("transport.position > 0.5")
        assert visitor.level() > 0.001
        card = visitor.cards()[-1]
        assert card["status"] == "working" and not card["versions"][-1]["complete"], "its end is not composed yet"
        position = visitor.now("transport.position")
        visitor.until(f"transport.position > {position + 0.5}")
        visitor.page.locator("#log").get_by_role("button", name="Stop", exact=True).click()
        visitor.answered(1)
        made = visitor.version()
        assert visitor.cards()[-1]["status"] == "stopped" and made["complete"] and 1 < made["seconds"] < 120, "Stop keeps the music so far"


def test_dragging_on_the_wave_seeks(visitor: Visitor) -> None:
    wave = visitor.card(0).locator(".wave")
    drag(visitor, wave, 0.2, 0.75)
    assert visitor.now("transport.position") == pytest.approx(0.75 * SECONDS, abs=0.5)
    assert visitor.card(0).locator(".player-time").inner_text().startswith("0:1")
    visitor.page.mouse.move(0, 0)
    wave.hover(position={"x": 10, "y": 10})
    assert visitor.card(0).locator(".wave-hover-time").inner_text() in ("0:00.1", "0:00.2", "0:00.3")


def test_a_region_repeats(visitor: Visitor) -> None:
    drag(visitor, visitor.card(0).locator(".wave-axis"), 0.25, 0.32)
    loop = visitor.now("transport.loop")
    assert loop["start"] == pytest.approx(0.25 * SECONDS, abs=0.3) and loop["end"] == pytest.approx(0.32 * SECONDS, abs=0.3)
    visitor.page.evaluate("({start}) => { transport.seek(start); transport.play(); }", loop)
    visitor.page.evaluate("""async ({start, end}) => {
        const begin = transport.context.currentTime;
        await until(() => {
            if (transport.position < start - 0.1 || transport.position > end + 0.1) throw new Error(`left the loop: ${transport.position}`);
            return transport.context.currentTime > begin + 1.5 * (end - start);
        });
    }""", loop)
    assert visitor.now("transport.playing")
    visitor.page.keyboard.press("l")
    assert visitor.now("transport.loop") is None


def test_space_and_arrows_play_and_seek(visitor: Visitor) -> None:
    keys, scroll = visitor.page.keyboard, visitor.now("scrollY")
    keys.press("Space")
    visitor.until("transport.position > 0.2 && transport.state === 'playing'")
    keys.press("Space")
    assert not visitor.now("transport.playing") and visitor.now("scrollY") == scroll
    visitor.page.evaluate("() => transport.seek(2)")
    keys.press("ArrowRight")
    assert visitor.now("transport.position") == pytest.approx(7, abs=0.1)
    keys.press("ArrowLeft")
    assert visitor.now("transport.position") == pytest.approx(2, abs=0.1)
    visitor.card(0).locator(".wave").click(position={"x": 40, "y": 10})
    position = visitor.now("transport.position")
    keys.press("ArrowRight")
    assert visitor.now("transport.position") >= position + 4.9
    playing = visitor.now("transport.playing")
    keys.press("Space")
    assert visitor.now("transport.playing") != playing, "also after a click on the wave"
    visitor.page.locator("#box textarea").click()
    visitor.page.keyboard.type("a b")
    assert visitor.page.input_value("#box textarea") == "a b", "and while one writes they write"
    visitor.page.fill("#box textarea", "")


def test_the_bar_at_the_foot_goes_on_while_one_reads(visitor: Visitor) -> None:
    visitor.card(0).get_by_role("button", name="Play").first.click()
    visitor.until("transport.state === 'playing'")
    bar = visitor.page.locator("#player-bar")
    visitor.page.evaluate("() => document.querySelector('#log').lastElementChild.scrollIntoView({block: 'end'})")
    assert bar.get_by_role("button", name="Pause").is_visible()
    position = visitor.now("transport.position")
    visitor.until(f"transport.position > {position + 0.3}")
    assert visitor.version(0)["title"] in bar.inner_text()
    bar.get_by_role("button", name="Pause").click()
    assert not visitor.now("transport.playing")


def test_the_score_stands_in_the_card_with_a_running_cursor(visitor: Visitor) -> None:
    card, score = visitor.card(0), visitor.score(visitor.version(0))
    card.locator(".roll-lane").first.wait_for()
    card.locator(".roll").scroll_into_view_if_needed()
    assert card.locator(".roll").is_visible(), "open by default"
    assert [row.lower().splitlines()[0] for row in visitor.texts("#log music-card .roll-part")] == [part["name"] for part in score["parts"]]
    assert {name for name in visitor.texts("#log music-card .roll-chord") if name} <= {chord["name"] for chord in score["chords"]}
    assert score["summary"] in card.locator(".roll-lanes").get_attribute("aria-label")
    place = "document.querySelector('#log music-card .roll-cursor').getBoundingClientRect().x"
    before = visitor.now(place)
    visitor.page.evaluate("() => transport.play()")
    visitor.until(f"{place} > {before} + 5")
    visitor.page.evaluate("() => transport.pause()")
    plot = "(box => [box.x, box.width])(document.querySelector('#log music-card .roll-plot').getBoundingClientRect())"
    (left, width), position = visitor.now(plot), visitor.now("transport.position")
    assert visitor.now(place) == pytest.approx(left + width * position / SECONDS, abs=3), "where the music is"
    wave = card.locator(".wave").bounding_box()
    assert (left, width) == pytest.approx((wave["x"], wave["width"]), abs=2), "one time axis with the wave"


def test_every_part_can_be_muted_and_heard_alone(visitor: Visitor) -> None:
    """Heard at the page's output, not read from its state: the level is that of the mix without the part's stem, or of the stem."""
    card, version = visitor.card(0), visitor.version(0)
    card.locator(".roll-part").first.wait_for()
    (mix, rate), stems = visitor.sound(version["url"]), {part: visitor.sound(url)[0] for part, url in version["stems"].items()}
    assert "drums" in stems and {*stems} == {part["name"] for part in visitor.score(version)["parts"] if part["notes"]}
    for part, stem in stems.items():
        moment, drop = clearest(mix, mix - stem, rate)
        assert drop > 0.05, f"{part} is too soft to tell"
        for button, sounds in (("Mute", mix - stem), ("Solo", stem)):
            visitor.page.evaluate("() => transport.pause()")
            card.get_by_role("button", name=f"{button} {part}", exact=True).click()
            level, end, span = visitor.hear(moment)
            card.get_by_role("button", name=f"{button} {part}", exact=True).click()
            whole, expected = rms(mix, end, span, rate), rms(sounds, end, span, rate)
            assert abs(level - expected) < 0.02 * whole < abs(level - whole), f"{button} {part}"
    level, end, span = visitor.hear(moment)
    assert level == pytest.approx(rms(mix, end, span, rate), rel=0.02), "all parts again"


def rms(samples: Any, end: float, span: float, rate: int) -> float:
    """Root mean square of the `span` seconds before `end`."""
    return float(np.sqrt(np.square(samples[max(0, round((end - span) * rate)) : round(end * rate)]).mean()))


def clearest(mix: Any, rest: Any, rate: int) -> tuple[float, float]:
    """The second before which the rest of a mix is softest beside the mix, where that is loud enough, and by how much, 0 to 1."""
    moments = np.arange(1.0, len(mix) / rate - 0.3, 0.05)
    levels = np.array([[rms(sound, moment, SPAN, rate) for sound in (mix, rest)] for moment in moments])
    drops = np.where(levels[:, 0] > 0.3 * levels[:, 0].mean(), 1 - levels[:, 1] / np.maximum(levels[:, 0], 1e-9), 0)
    return float(moments[drops.argmax()]), float(drops.max())


def test_sheet_music_opens_on_demand(visitor: Visitor) -> None:
    card = visitor.card(0)
    assert card.locator(".sheet img").count() == 0
    card.get_by_role("button", name="Sheet music").click()
    visitor.page.wait_for_function("document.querySelector('#log music-card .sheet img')?.naturalWidth > 0")
    assert card.locator(".sheet img").bounding_box()["width"] > 300
    assert "page 1" in card.locator(".sheet img").get_attribute("alt")
    card.get_by_role("button", name="Sheet music").click()
    assert not card.locator(".sheet").is_visible()


def test_ab_switches_at_the_same_place(visitor: Visitor) -> None:
    """Within 50 ms, by the page's clock of the sound; both versions are as long as one another."""
    before = visitor.version(0)
    visitor.card(0).locator("[data-name='Key next']").click()
    visitor.changed(0, before["id"])
    visitor.page.evaluate("() => { document.activeElement.blur(); transport.seek(3); transport.play(); }")
    visitor.until("transport.state === 'playing' && transport.position > 3.2")
    moved = visitor.page.evaluate("""async () => {
        const measure = () => transport.position - transport.context.currentTime, moved = [];
        for (let times = 0; times < 4; times++) {
            const before = measure(), {id} = transport.piece;
            document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'b', bubbles: true}));
            await until(() => transport.piece.id !== id && transport.state === 'playing');
            const begin = transport.position;
            await until(() => transport.position > begin + 0.2);
            moved.push(Math.abs(measure() - before));
        }
        return moved;
    }""")
    assert max(moved) < 0.05, moved
    assert visitor.version(0)["id"] != before["id"] and visitor.now("transport.playing")


def test_an_exact_change_is_heard_while_it_is_played(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first half suffices: it goes on at the same beat, and its score and its parts come when it is complete."""
    go, render_stream = threading.Event(), MusicGenDecoder.render_stream

    def held(decoder: MusicGenDecoder, score: Score) -> Iterator[Waveform]:
        made = 0.0
        for block in render_stream(decoder, score):
            made += block.seconds
            assert made < score.seconds / 2 or go.wait(60), "nobody listened"
            yield block

    monkeypatch.setattr(MusicGenDecoder, "render_stream", held)
    before = visitor.version(0)
    visitor.page.evaluate("() => { transport.seek(2); transport.play(); }")
    visitor.until("transport.state === 'playing' && transport.position > 2.2")
    visitor.card(0).locator("[data-name='Tempo next']").click()
    try:
        visitor.until(f"transport.piece.id !== '{before['id']}' && transport.state === 'playing'")
        new = visitor.version(0)
        assert not new["complete"] and not new["stems"] and 0 < new["made"] < new["seconds"]
        assert new["tempo"] != before["facts"]["tempo"] and visitor.now("transport.position") < SECONDS / 2
    finally:
        go.set()
    complete = visitor.changed(0, before["id"])
    assert complete["id"] == new["id"] and complete["facts"]["tempo"] == new["tempo"]
    assert complete["stems"] and complete["score"] and complete["levels"]
