"""What the walks through the page share: a site of the embedded model, and a visitor who looks, listens and clicks.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.

MUMU_TEST_BROWSER=firefox takes the walks through a Firefox that MUMU_TEST_FIREFOX names (default: Playwright's own).
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import llama
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from llama.mumu_llama import MuMuLLaMA
from llama.serving.engine import Engine
from tests.browser_helpers import chromium
from tests.page_server import serving

NANO = Path(__file__).resolve().parents[1] / "ckpts/nano"
PATIENCE = 40_000  # milliseconds; engraving and packing take some seconds of a busy core
FIREFOX = os.environ.get("MUMU_TEST_BROWSER") == "firefox"

# The page's own modules, which a browser has once, however often they are imported.
MODULES = """async () => {
  const main = performance.getEntriesByType('resource').map(entry => entry.name).find(name => name.endsWith('/main.js'));
  const get = name => import(new URL(name, main));
  window.transport = (await get('transport.js')).transport;
  window.connection = (await get('connection.js')).connection;
  window.until = test => new Promise((resolve, reject) => {
    const deadline = performance.now() + 30_000;
    const look = () => {
      if (test()) resolve();
      else if (performance.now() > deadline) reject(new Error(`not within 30 seconds: ${test}`));
      else requestAnimationFrame(look);
    };
    look();
  });
}"""
CARDS = "[...document.querySelectorAll('#log music-card:not([data-compact])')].map(card => JSON.parse(card.dataset.card))"
# Root mean square of the page's output over the last 0.37 seconds, behind its volume.
LEVEL = """async () => {
  if (!window.meter) {
    window.meter = new AnalyserNode(transport.context, {fftSize: 16384});
    transport.output.connect(window.meter);
    const begin = transport.context.currentTime;
    await until(() => transport.context.currentTime > begin + 0.4);
  }
  const samples = new Float32Array(meter.fftSize);
  meter.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
}"""
# Plays to a moment of the current piece, again until nothing interrupted the sound; the root mean square of what the output then
# was in the meter's window, at volume 1, with the second of the piece at its end and its length.
HEAR = """async moment => {
  const {context} = transport, span = window.meter.fftSize / context.sampleRate, samples = new Float32Array(window.meter.fftSize);
  for (const deadline = performance.now() + 30_000; performance.now() < deadline;) {
    transport.seek(moment - span - 0.2);
    transport.play();
    await until(() => transport.state === 'playing' && transport.position >= moment || transport.state === 'ended');
    const {voice} = transport.source, time = context.currentTime;
    window.meter.getFloatTimeDomainData(samples);
    const whole = voice && voice.parts === transport.source.audible && time - voice.startFrame / voice.rate > span + 0.05;
    const end = transport.source.positionAt(time), exact = context.currentTime - time < 0.01 && Math.abs(end - moment) < 0.1;
    if (!whole || !exact || voice.starved || voice.clockFrame < time * voice.rate) continue;
    transport.pause();
    return [Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length) / transport.volume ** 2, end, span];
  }
  throw new Error(`not one undisturbed moment at ${moment} s`);
}"""


@functools.cache
def nano() -> MuMuLLaMA:
    """The embedded model, loaded once in a process."""
    return llama.load(NANO)


@dataclass(frozen=True)
class NanoSite:
    address: str
    sessions: Sessions


@pytest.fixture(scope="module")
def nano_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NanoSite]:
    """The real page and API on the embedded model, in this process."""
    sessions = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    with pytest.MonkeyPatch.context() as patch, Engine(nano()) as engine:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        with serving(ChatService(engine, sessions, Limits()), model=nano()) as address:
            yield NanoSite(address, sessions)
    sessions.close_all()


@pytest.fixture(scope="module")
def window(driver: Any) -> Iterator[Any]:
    """The browser of these walks."""
    if FIREFOX:
        started = driver.firefox.launch(
            executable_path=os.environ.get("MUMU_TEST_FIREFOX"), channel=os.environ.get("MUMU_TEST_FIREFOX_CHANNEL"),
            firefox_user_prefs={"media.autoplay.default": 0},
        )  # fmt: skip
    else:
        started = chromium(driver)
    yield started
    started.close()


class Visitor:
    """Somebody on the page: what can be done and seen there. page: the tab of playwright."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        page.set_default_timeout(PATIENCE)
        self.troubles: list[str] = []
        page.on("request", lambda request: self._expect_own(request.url))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))

    def _expect_own(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.troubles.append(url)

    def open(self) -> None:
        self.page.goto(self.address)
        self.arrive()

    def arrive(self) -> None:
        """Waits until the page can be used, after it was opened or loaded again."""
        self.page.wait_for_selector("body.ready #box textarea")
        self.page.evaluate(MODULES)

    # -- words ----------------------------------------------------------------------------------------------------------

    def write(self, text: str, *files: Path) -> None:
        if files:
            self.page.set_input_files("#box input[type=file]", [str(file) for file in files])
            there = f"document.querySelectorAll('#box .thumbnail-item, #box .thumbnail-wrapper').length >= {len(files)}"
            self.page.wait_for_function(there)
        self.page.fill("#box textarea", text)

    def send(self) -> None:
        self.page.locator("#box .submit-button").click()

    def say(self, text: str, *files: Path) -> None:
        """Sends a message and waits until it is answered."""
        turns = self.page.locator("#log .turn").count()
        self.write(text, *files)
        self.send()
        self.answered(turns + 1)

    def answered(self, turns: int) -> None:
        there = f"document.querySelectorAll('#log .turn').length === {turns}"
        self.page.wait_for_function(f"{there} && !document.querySelector('#log [aria-busy=true]')")

    def texts(self, selector: str) -> list[str]:
        return self.page.eval_on_selector_all(selector, "found => found.map(one => one.innerText.trim())")

    def setting(self, label: str, value: float) -> None:
        """Sets a number of the settings, in their drawer."""
        self.page.get_by_role("button", name="Settings", exact=True).click()
        field = self.page.locator("#settings").get_by_label(label).locator("visible=true").first
        field.press("Control+a")  # not `fill`: a stock Firefox adds to the number that is there
        field.press_sequentially(f"{value:g}")
        field.press("Tab")
        self.page.keyboard.press("Escape")

    # -- cards ----------------------------------------------------------------------------------------------------------

    def cards(self) -> list[dict[str, Any]]:
        """The facts of all cards with music, the newest last."""
        return self.page.evaluate(CARDS)

    def card(self, index: int = -1) -> Any:
        """The element of a card."""
        return self.page.locator("#log music-card:not([data-compact])").nth(index)

    def version(self, index: int = -1) -> dict[str, Any]:
        """The version in the foreground of a card."""
        return self.card(index).evaluate("card => card.version")

    def selected(self, index: int = -1) -> str:
        """Id of the version that the server put into the foreground last."""
        return str(self.cards()[index]["selected"])

    def changed(self, card: int, before: str) -> dict[str, Any]:
        """Waits until another version than `before` was put into the foreground of a card, and is complete."""
        script = f"""before => {{
          const card = {CARDS}.at({card}), version = card.versions.find(one => one.id === card.selected);
          return card.status === 'done' && version && version.id !== before && version.complete;
        }}"""
        self.page.wait_for_function(script, arg=before)
        return self.version(card)

    def score(self, version: dict[str, Any]) -> dict[str, Any]:
        """The notes of a version, as the page draws them."""
        answer = self.page.request.get(self.address + version["score"])
        assert answer.ok, answer.text()
        return answer.json()

    # -- sound ----------------------------------------------------------------------------------------------------------

    def now(self, expression: str) -> Any:
        """A value of the page, such as "transport.position"."""
        return self.page.evaluate(f"() => {expression}")

    def until(self, condition: str) -> None:
        """Waits for a condition of the page, looked at in every frame."""
        self.page.evaluate(f"() => until(() => {condition})")

    def level(self) -> float:
        """How loud the output is, 0 for silence."""
        return float(self.page.evaluate(LEVEL))

    def hear(self, moment: float) -> tuple[float, float, float]:
        """How loud the current piece is just before a moment, as one channel; the end of what was heard, and its length, in seconds."""
        self.level()  # the meter listens from here
        level, end, span = self.page.evaluate(HEAR, moment)
        return level, end, span

    def sound(self, url: str) -> tuple[npt.NDArray[np.float32], int]:
        """The samples [n] of a sound of the page, as one channel, and their rate."""
        answer = self.page.request.get(self.address + url)
        assert answer.ok, answer.text()
        samples, rate = soundfile.read(io.BytesIO(answer.body()), dtype="float32", always_2d=True)
        return samples.mean(axis=1), rate


@contextmanager
def visiting(browser: Any, address: str, **options: Any) -> Iterator[Visitor]:
    """A visitor with cookies and storage of its own. Fails for an error in the page, or a request to elsewhere."""
    if FIREFOX:  # a stock build does not emulate these
        options |= {"color_scheme": "null", "reduced_motion": "null", "forced_colors": "null", "contrast": "null"}
    context = browser.new_context(**options)
    visitor = Visitor(context.new_page(), address)
    try:
        visitor.open()
        yield visitor
    finally:
        context.close()
    assert visitor.troubles == [], visitor.troubles


def second_tab(visitor: Visitor) -> Visitor:
    """The same person's conversation in another tab, as a duplicated tab has it."""
    token = visitor.now("sessionStorage.getItem('mumu-session')")
    page = visitor.page.context.new_page()
    page.add_init_script(f"if (location.protocol === 'http:') sessionStorage.setItem('mumu-session', '{token}')")
    other = Visitor(page, visitor.address)
    other.troubles = visitor.troubles
    other.open()
    return other


def wait_for(condition: Callable[[], bool], page: Any, seconds: float = 30) -> None:
    """Waits for something outside the browser."""
    for _ in range(round(seconds / 0.05)):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within {seconds} s")
