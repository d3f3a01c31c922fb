"""Nothing jumps while an answer comes in: the places of all elements are compared in every frame, and the browser's own count of shifts.

One seed, whose music is always the same: with others the input and the progress line are known to move, which is still to be mended.
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

RECORDING = Path(__file__).resolve().parents[3] / "assets/examples/violin_swing.flac"
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
  window.watch = {moves: [], frames: 0, stop: false};
  const places = new Map();
  const name = element => {
    const turn = element.closest('.turn'), index = turn ? [...turn.parentElement.children].indexOf(turn) : 'page';
    return `${index} ${element.tagName.toLowerCase()}.${element.className} ${element.textContent.trim().slice(0, 24)}`;
  };
  let height = 0, same = 0;  // the input shrinks when its message leaves
  const ready = () => {
    const now = document.querySelector('#box').offsetHeight;
    same = now === height ? same + 1 : 0;
    height = now;
    return same > 4 && document.querySelectorAll('#log .turn').length === turns && !document.querySelector('#box textarea').value;
  };
  const look = () => {
    if (watch.stop) return;
    requestAnimationFrame(look);
    if (!watch.frames && !ready()) return;
    if (!watch.frames++) window.shifts?.splice(0);
    for (const element of document.querySelectorAll('#log .turn, #log .turn *, #box, #box textarea, #box button, header *')) {
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
    for (const {value, hadRecentInput} of list.getEntries()) if (!hadRecentInput) shifts.push({value});
  }).observe({type: 'layout-shift', buffered: true});
}"""


@pytest.fixture(scope="module", params=[1280, 360])
def visitor(request: Any, window: Any, nano_site: NanoSite) -> Iterator[Visitor]:
    width = request.param
    with visiting(window, nano_site.address, viewport={"width": width, "height": 800}, reduced_motion="reduce") as visitor:
        if not FIREFOX:  # which does not count shifts
            visitor.page.evaluate(SHIFTS)
        visitor.fix_seed()
        visitor.setting("Length in seconds", 8)
        visitor.say("hello")
        yield visitor


@contextmanager
def still(visitor: Visitor, turns: int = 1) -> Iterator[None]:
    """Fails for whatever moves in the block, after so many messages of it are on the page."""
    visitor.page.evaluate("() => { scrollTo(0, document.documentElement.scrollHeight); }")
    visitor.page.evaluate(WATCH, [visitor.page.locator("#log .turn").count() + turns, FAR, MOVING])
    yield
    visitor.page.wait_for_timeout(300)  # pictures, fonts and notes that come after the answer
    visitor.page.evaluate("() => { watch.stop = true; }")
    assert visitor.now("watch.frames") > 10
    assert visitor.now("watch.moves") == []
    if not FIREFOX:
        assert sum(shift["value"] for shift in visitor.now("shifts")) < CALM


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
