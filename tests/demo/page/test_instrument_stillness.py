"""Nothing jumps while an answer comes in, whatever music it is: the places of all elements are compared in every frame, and the
browser's own count of shifts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.instrument import FIREFOX, NanoSite, Visitor, visiting

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers", "tests.instrument")
pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
RECORDING, PICTURE, CLIP = (EXAMPLES / name for name in ("violin_swing.flac", "dahlia.jpg", "slow_sea.mp4"))
LONG = "Tell me in many words what you hear in this request, and make a sad ballad for the piano. " * 3
FAR = 8  # pixels that an element may move
# Elements that move on purpose: the cursor, what follows the pointer, menus, the notes of a long piece, which scroll
# with the music, and the marks of the time axis, which follow the length of the piece.
MOVING = ", ".join((
    ".roll-cursor", ".roll-hover", ".wave-hover", ".wave-hover *", ".wave-loop", ".wave-handle", ".popup-menu", ".popup-menu *",
    ".roll-view *", "svg *", ".dots", ".dots *", ".wave-axis *",
))  # fmt: skip
# Compares the place of every element in the document (of the dock: in the window) in every frame with the one where it was first seen,
# from the frame on in which there are so many turns and the message has left the input.
WATCH = """([turns, far, moving]) => {
  const FIXED = '#box, #box textarea, #box button, #player-bar *, #waiting li, #note, header *';
  const watch = window.watch = {moves: [], frames: 0, stop: false};
  const places = new Map();
  const name = element => {
    const turn = element.closest('.turn'), index = turn ? [...turn.parentElement.children].indexOf(turn) : 'page';
    return `${index} ${element.tagName.toLowerCase()}.${element.className} ${element.textContent.trim().slice(0, 24)}`;
  };
  // the input shrinks when its message leaves: at once, or some frames later where gradio's script has to do it
  const settled = CSS.supports('field-sizing', 'content') ? 0 : 4;
  let height = 0, same = 0;
  const ready = () => {
    const now = document.querySelector('#box').offsetHeight;
    same = now === height ? same + 1 : 0;
    height = now;
    return same > settled && document.querySelectorAll('#log .turn').length >= turns && !document.querySelector('#box textarea').value;
  };
  const look = () => {
    if (watch.stop) return;
    requestAnimationFrame(look);
    if (!watch.frames && !ready()) return;
    if (!watch.frames++) watch.begun = performance.now();
    for (const element of document.querySelectorAll('#log .turn, #log .turn *, ' + FIXED)) {
      if (element.matches(moving)) continue;
      const box = element.getBoundingClientRect(), fixed = element.closest('#dock, header');
      const seen = box.width * box.height && (element.textContent.trim() || element.matches('button, svg, progress, textarea, .wave'));
      if (!seen || !element.checkVisibility({visibilityProperty: true})) { places.delete(element); continue; }
      const place = [box.x, box.y + (fixed ? 0 : scrollY)], before = places.get(element) ?? place;
      const moved = place.map((value, axis) => Math.round(value - before[axis])), isFar = moved.some(pixels => Math.abs(pixels) > far);
      if (isFar) watch.moves.push(`${name(element)}: by ${moved} in frame ${watch.frames}`);
      if (isFar || before === place) places.set(element, place);
    }
  };
  look();
}"""
# The browser's own measure: shares of the window that moved, times how far. Below 0.1 a page counts as calm.
CALM = 0.1
SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver(list => {
    for (const {value, hadRecentInput, startTime} of list.getEntries()) if (!hadRecentInput) shifts.push({value, startTime});
  }).observe({type: 'layout-shift', buffered: true});
}"""


@pytest.fixture(scope="module", params=[1280, 360])
def visitor(request: Any, window: Any, nano_site: NanoSite) -> Iterator[Visitor]:
    width = request.param
    with visiting(window, nano_site.address, viewport={"width": width, "height": 800}, reduced_motion="reduce") as visitor:
        if not FIREFOX:  # which does not count shifts
            visitor.page.evaluate(SHIFTS)
        visitor.setting("Length in seconds", 8)
        visitor.say("hello")
        yield visitor


@contextmanager
def still(visitor: Visitor, turns: int = 1) -> Iterator[None]:
    """Fails for whatever moves in the block, after so many messages of it are on the page."""
    visitor.page.evaluate("() => { scrollTo(0, document.documentElement.scrollHeight); }")
    visitor.page.evaluate(WATCH, [visitor.page.locator("#log .turn").count() + turns, FAR, MOVING])
    yield
    visitor.until("watch.frames > 10")
    visitor.page.wait_for_timeout(300)  # pictures, fonts and notes that come after the answer
    visitor.page.evaluate("() => { watch.stop = true; }")
    assert visitor.now("watch.moves") == []
    if not FIREFOX:
        assert sum(shift["value"] for shift in visitor.now("shifts.filter(shift => shift.startTime > watch.begun)")) < CALM


def test_words_alone(visitor: Visitor) -> None:
    with still(visitor):
        visitor.say("What can you do?")


def test_a_new_piece(visitor: Visitor) -> None:
    with still(visitor):
        visitor.say("A fast dance for trumpet with drums")


def test_an_edit_by_chip(visitor: Visitor) -> None:
    before = visitor.selected()
    with still(visitor, turns=0):
        visitor.card().locator("[data-name='Tempo next']").click()
        visitor.changed(-1, before)


def test_several_takes(visitor: Visitor) -> None:
    visitor.setting("Takes", 4)
    with still(visitor):
        visitor.say("A waltz for violin")
    visitor.setting("Takes", 1)


def test_a_recording_that_is_changed(visitor: Visitor) -> None:
    with still(visitor):
        visitor.say("Make it slower", RECORDING)


def test_an_edit_in_words(visitor: Visitor) -> None:
    with still(visitor):
        visitor.say("Make it faster")


@pytest.mark.parametrize("file", [PICTURE, CLIP], ids=["picture", "clip"])
def test_a_picture_and_a_clip(visitor: Visitor, file: Path) -> None:
    with still(visitor):
        visitor.say("Music for this", file)


def test_a_long_message(visitor: Visitor) -> None:
    with still(visitor):
        visitor.say(LONG)


def test_a_message_that_waits(visitor: Visitor) -> None:
    """It has a line above the input, and comes into the conversation below the answer before, without scrolling the page."""
    turns = visitor.page.locator("#log .turn").count()
    visitor.setting("Takes", 4)
    visitor.setting("Length in seconds", 60)  # it is not whole before the next message has arrived
    with still(visitor):
        visitor.write("A slow, sad piano piece")
        visitor.send()
        visitor.until(f"document.querySelectorAll('#log .turn').length === {turns + 1} && !document.querySelector('#box textarea').value")
        first = "[...document.querySelectorAll('#log .turn')].at(-1).getBoundingClientRect().top"
        visitor.until(f"{first} > 0 && {first} < 200")  # it was scrolled to
        visitor.write("hello")  # of one line, for which the input does not grow
        visitor.send()
        visitor.until("document.querySelector('#waiting li')?.textContent.includes('hello')")
        visitor.answered(turns + 2)
    top = visitor.now(first.replace("-1", "-2"))
    assert 0 < top < 200, "the page did not scroll by itself"
    visitor.setting("Takes", 1)
