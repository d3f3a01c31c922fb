"""Times of the page in a browser, as a user meets them: python -m benchmarks.page [--model ckpts/nano] [--seconds 10 60 120] [--runs 3]

Starts the real server and a Chromium without a window, and prints the median of the runs: from opening the page to a usable input;
from Send to the first word, to the first sound at the browser's output, and to the complete card; from a click on a chip to the
changed music at the output, of a piece that rests and of one that plays its last third. Then the memory of the server's processes
over 30 answers. Meant for a machine without other work.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import served

ROOT = Path(__file__).parents[1]
LENGTHS, RUNS, ANSWERS = (10.0, 60.0, 120.0), 3, 30
TEXTS = ("A slow, sad piano piece", "A fast dance for trumpet with drums", "A waltz for violin")
PATIENCE = 180_000  # milliseconds

# Notes the moments at which the page's output begins to sound: every node that is connected to the output is also measured.
LISTEN = """
window.sounds = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function(target, ...rest) {
  if (target instanceof AudioDestinationNode) {
    const meter = new AnalyserNode(this.context, {fftSize: 2048}), samples = new Float32Array(2048);
    let loud = false;
    connect.call(this, meter);
    setInterval(() => {
      meter.getFloatTimeDomainData(samples);
      const now = samples.some(value => Math.abs(value) > 1e-4);
      if (now && !loud) window.sounds.push(performance.now());
      loud = now;
    }, 10);
  }
  return connect.call(this, target, ...rest);
};
"""
# The moments, in milliseconds, at which the newest answer has words and a complete card.
WATCH = """() => {
  window.moments = {sent: performance.now()};
  window.sounds.length = 0;
  const turns = document.querySelectorAll('#log .turn').length;
  const note = name => { moments[name] ??= performance.now(); };
  const look = () => {
    const turn = document.querySelectorAll('#log .turn')[turns], card = turn?.querySelector('music-card');
    if (turn?.querySelector('.words')?.textContent) note('word');
    if (card && JSON.parse(card.dataset.card).status === 'done') { note('card'); return; }
    requestAnimationFrame(look);
  };
  look();
}"""
# The page's own transport, which tells what sounds.
TRANSPORT = """async () => {
  const main = performance.getEntriesByType('resource').map(entry => entry.name).find(name => name.endsWith('/main.js'));
  window.transport = (await import(new URL('transport.js', main))).transport;
}"""
# Clicks the chip. Plays the changed piece as soon as it is in the player, unless it plays already, and notes when it goes on there,
# and when it is complete.
CHANGE = """() => {
  const card = [...document.querySelectorAll('music-card')].at(-1), facts = () => JSON.parse(card.dataset.card);
  const before = facts().selected;
  window.moments = {sent: performance.now()};
  window.sounds.length = 0;
  card.querySelector('[data-name="Tempo next"]').click();
  const look = () => {
    const version = facts().versions.find(one => one.id === facts().selected), {voice} = transport.source;
    const isNew = version.id !== before && transport.piece.id === version.id;
    if (isNew && !transport.playing && !moments.played) { moments.played = performance.now(); transport.play(); }
    if (isNew && voice && voice.startFrame / voice.rate <= transport.context.currentTime) moments.switched ??= performance.now();
    if (isNew && version.complete) moments.card ??= performance.now();
    if (!moments.card || !moments.switched) requestAnimationFrame(look);
  };
  look();
}"""


@contextmanager
def open_browser() -> Iterator[Any]:
    """A Chromium. Raises RuntimeError where there is none."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise RuntimeError("There is no Chromium here; install one, for example with apt-get install chromium.")
    with sync_playwright() as control:
        browser = control.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Any, address: str) -> tuple[Any, float]:
    """A page of a new user, and the seconds until its input could be used."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(LISTEN)
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body.ready #box textarea")
    return page, time.perf_counter() - started


def set_length(page: Any, seconds: float) -> None:
    """Sets the length of pieces in the settings."""
    page.get_by_role("button", name="Settings", exact=True).click()
    page.locator("#settings input[type=number]").first.fill(f"{seconds:g}")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")


def send(page: Any, text: str) -> dict[str, float]:
    """Sends a message; seconds until its first word, its first sound and its complete card."""
    page.fill("#box textarea", text)
    page.evaluate(WATCH)
    page.locator("#box .submit-button").click()
    page.wait_for_function("moments.card && sounds.length")
    return moments(page)


def change(page: Any) -> tuple[float, float]:
    """Clicks the newest card's chip for a faster tempo, of a piece that rests at its beginning, and of one that plays its last third.

    Seconds until the changed music sounds: at the output, which was silent; and in place of the piece before.
    """
    page.evaluate(TRANSPORT)
    page.evaluate("() => { transport.pause(); transport.seek(0.5); }")
    page.wait_for_timeout(300)  # for the fade
    page.evaluate(CHANGE)
    page.wait_for_function("moments.card && moments.switched && sounds.length")
    rested = moments(page)["sound"]
    page.evaluate("() => { transport.seek(0.67 * transport.duration); transport.play(); }")
    page.wait_for_function("transport.state === 'playing' && transport.position > 0.675 * transport.duration")
    page.evaluate(CHANGE)
    page.wait_for_function("moments.card && moments.switched")
    return rested, moments(page)["switched"]


def moments(page: Any) -> dict[str, float]:
    found = page.evaluate("() => ({...moments, ...(sounds.length ? {sound: sounds[0]} : {})})")
    return {name: (moment - found["sent"]) / 1000 for name, moment in found.items() if name != "sent"}


def report_times(browser: Any, address: str, lengths: tuple[float, ...], runs: int) -> None:
    """Prints a line a figure, the median of the runs with all of them."""
    usable = []
    for _ in range(runs):
        page, seconds = open_page(browser, address)
        usable.append(seconds)
        page.context.close()
    print_times("page usable", usable)
    for length in lengths:
        page, _ = open_page(browser, address)
        set_length(page, length)
        times = [send(page, TEXTS[run % len(TEXTS)]) for run in range(runs)]
        for name, label in (("word", "first word"), ("sound", "first sound"), ("card", "card complete")):
            print_times(f"{label}, {length:g} s", [values[name] for values in times])
        changes = [change(page) for _ in range(runs)]
        print_times(f"edit by chip heard, {length:g} s", [rested for rested, _ in changes])
        print_times(f"edit by chip heard while it plays, {length:g} s", [played for _, played in changes])
        page.context.close()


def print_times(name: str, seconds: list[float]) -> None:
    every, label = ", ".join(f"{value:.2f}" for value in seconds), name.replace(",", "").replace(" ", "_")
    print(f"page.{label}: {statistics.median(seconds):.2f} s ({every}); load {os.getloadavg()[0]:.1f}", flush=True)


def report_memory(browser: Any, address: str, process: int, answers: int) -> None:
    """Prints the server's memory after every tenth answer of pages that come and go."""
    sizes = [served.memory(process)]
    for number in range(answers):
        page, _ = open_page(browser, address)
        send(page, TEXTS[number % len(TEXTS)])
        page.context.close()
        if (number + 1) % 10 == 0:
            sizes.append(served.memory(process))
    print("page.memory of the server, MB, after every 10 answers: " + ", ".join("?" if size is None else f"{size:.0f}" for size in sizes))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "ckpts/nano", help="a folder of ours")
    parser.add_argument("--seconds", type=float, nargs="+", default=LENGTHS, help="lengths of the pieces (default: 10 60 120)")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each (default: %(default)s)")
    parser.add_argument("--answers", type=int, default=ANSWERS, help="for the memory; 0 leaves it out (default: %(default)s)")
    options = parser.parse_args()
    with served.server(options.model) as (address, process), open_browser() as browser:
        page, _ = open_page(browser, address)
        send(page, TEXTS[0])  # warm-up: the sample bank is decoded at its first use
        page.context.close()
        report_times(browser, address, tuple(options.seconds), options.runs)
        if options.answers:
            report_memory(browser, address, process, options.answers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
