"""Takes the pictures of the page in assets/page, from a server that runs:

    python gradio_app.py --port 7860
    python assets/draw_page.py --address http://127.0.0.1:7860/

light.png, dark.png, phone.png, empty.png and library.png are small pictures, and first_minute.webp an animated one.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parent / "page"
WIDTHS = {"light": 1280, "dark": 1280, "phone": 360}
MESSAGE = "A happy waltz for violin with drums"
COLOURS = 128  # of a picture: enough for a page, and a third of the bytes
STEP = 100  # milliseconds of a frame that shows motion


class Film:
    """Frames of a page, with how long each is shown in milliseconds."""

    def __init__(self, page: Page, width: int) -> None:
        self.page, self.width = page, width
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def shoot(self, milliseconds: int = STEP) -> None:
        """Adds what the page shows now; the same picture once more is shown longer."""
        frame = Image.open(io.BytesIO(self.page.screenshot(type="png"))).convert("RGB")
        frame = frame.resize((self.width, round(frame.height * self.width / frame.width)), Image.Resampling.LANCZOS)
        if self.frames and frame.tobytes() == self.frames[-1].tobytes():
            self.times[-1] += milliseconds
        else:
            self.frames.append(frame)
            self.times.append(milliseconds)

    def roll(self, count: int) -> None:
        """Adds frames of what moves."""
        for _ in range(count):
            self.shoot()

    def save(self, path: Path) -> None:
        first, *others = self.frames
        first.save(path, save_all=True, append_images=others, duration=self.times, loop=0, quality=62, method=6)


def save(page: Page, name: str) -> None:
    """A picture of the window with few colours."""
    picture = Image.open(io.BytesIO(page.screenshot(type="png"))).convert("RGB")
    picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


@contextmanager
def open_page(browser: Browser, address: str, width: int, height: int, scheme: Any = "light") -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(address)
    page.wait_for_selector("body.ready #box textarea")
    yield page
    context.close()


def send(page: Page, text: str, turns: int) -> None:
    """Sends a message and waits for its answer."""
    page.fill("#box textarea", text)
    page.locator("#box .submit-button").click()
    there = f"document.querySelectorAll('#log .turn').length === {turns}"
    page.wait_for_function(f"{there} && !document.querySelector('#log [aria-busy=true]')")
    page.wait_for_selector("music-card .roll-lane")


def click_chip(page: Page, name: str) -> None:
    """Changes the newest piece by a chip and waits for its new version."""
    count = page.locator("music-card .card-tab").count()
    page.locator(f"music-card [data-name='{name}']").last.click()
    page.wait_for_function(f"document.querySelectorAll('music-card .card-tab').length > {count}")
    page.wait_for_function("JSON.parse([...document.querySelectorAll('music-card')].at(-1).dataset.card).status === 'done'")
    page.wait_for_selector("music-card .roll-lane")


def pause_at(page: Page, share: float) -> None:
    """Pauses, and puts the cursor at a share of the newest piece."""
    pause = page.locator("#player-bar [aria-label=Pause]")
    if pause.count():
        pause.click()
    wave = page.locator("music-card .wave").last
    box = wave.bounding_box()
    assert box is not None
    wave.click(position={"x": share * box["width"], "y": box["height"] / 2})
    if pause.count():
        pause.click()
    page.mouse.move(4, 200)


def take_pictures(browser: Browser, address: str) -> None:
    with open_page(browser, address, 1280, 800) as page:
        save(page, "empty")
    for name, width in WIDTHS.items():
        with open_page(browser, address, width, 860 if width > 640 else 780, "dark" if name == "dark" else "light") as page:
            send(page, MESSAGE, 1)
            click_chip(page, "Tempo next")
            pause_at(page, 0.4)
            page.locator("#toasts .toast").wait_for(state="detached")  # the note about the change
            page.locator("music-card").last.evaluate("card => card.closest('.turn').scrollIntoView({block: 'start'})")
            save(page, name)
            if name == "light":
                send(page, "A slow, sad piano piece", 2)
                pause_at(page, 0.2)
                page.get_by_role("button", name="Library").click()
                page.wait_for_timeout(600)
                save(page, "library")


def film_first_minute(browser: Browser, address: str) -> None:
    with open_page(browser, address, 1080, 860) as page:
        film = Film(page, 810)
        film.shoot(1500)
        for end in range(3, len(MESSAGE) + 3, 4):
            page.fill("#box textarea", MESSAGE[:end])
            film.shoot(120)
        page.locator("#box .submit-button").click()
        film.roll(12)
        page.wait_for_selector("music-card .roll-lane")
        film.roll(14)
        page.locator("music-card [data-name='Tempo next']").last.click()
        film.roll(10)
        page.wait_for_function("document.querySelectorAll('music-card .card-tab').length > 1")
        film.roll(10)
        page.locator("music-card [aria-label='Mute melody']").last.click()
        film.roll(8)
        page.locator("music-card [aria-label='Mute melody']").last.click()
        pause_at(page, 0.3)
        page.locator("#toasts .toast").wait_for(state="detached")
        drag_bars(page, film)
        page.keyboard.press("Escape")
        page.locator("music-card .take-home").last.click()
        page.wait_for_timeout(300)
        film.shoot(2500)
        film.save(FOLDER / "first_minute.webp")


def drag_bars(page: Page, film: Film) -> None:
    """Selects bars by a drag over their numbers."""
    boxes = [page.locator("music-card .roll-bar").nth(index).bounding_box() for index in (1, 2)]
    for index, box in enumerate(boxes):
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
        if not index:
            page.mouse.down()
        film.shoot(300)
    page.mouse.up()
    film.shoot(2500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="http://127.0.0.1:7860/", help="of the page (default: %(default)s)")
    address = parser.parse_args().address
    with sync_playwright() as control:
        browser = control.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take_pictures(browser, address)
        film_first_minute(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
