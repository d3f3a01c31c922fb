"""How a request or a page ends before its time: mistakes, stop, clear, a lost connection; and what stays."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from demo.page.controller import Page
from demo.page.state import PageState
from demo.server.file_stream import is_growing
from demo.service.presence import Presence
from demo.service.request import Settings
from llama import Waveform
from tests.page_helpers import SHORT, asked, files_of
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


@pytest.mark.parametrize(
    ("text", "named", "word"),
    [(" ", {}, "nothing to answer"), ("stumble", {}, "damaged"), ("hi", {"seconds": -1}, "seconds"),
     ("hi", {"temperature": 99}, "temperature"), ("hi", {"conditioning": "magic"}, "conditioning"),
     ("x" * 9000, {}, "9000"), ("memory", {}, "memory"), ("disk", {}, "no room left"), ("bug", {}, "mistake")],
)  # fmt: skip
def test_mistakes_are_told_in_one_sentence(page: Page, text: str, named: dict[str, Any], word: str) -> None:
    exchange = asked(page, text, settings=Settings(**named)).exchanges[-1]
    assert exchange.status == "failed" and word in exchange.error and "\n" not in exchange.error and "/srv" not in exchange.error


@pytest.mark.parametrize("content", [b"no sound, no picture\n", b"", None, b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_bad_upload_is_one_sentence_without_its_place(page: Page, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "secret" / "my file.bin"
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    state = asked(page, "hi", [file])
    trouble = state.exchanges[-1].error
    assert "my file.bin" in trouble and "secret" not in trouble and str(tmp_path) not in trouble and "\n" not in trouble
    assert asked(page, "still alive", state=state).exchanges[-1].text == "still alive"


def test_stop_ends_the_work(page: Page, engine: ScriptedEngine) -> None:
    steps = page.submit(PageState(), "wait for ever", [], SHORT)
    state = next(steps)
    assert state.busy
    threading.Timer(0.1, state.answer.stop).start()  # type: ignore[union-attr]
    state = list(steps)[-1]
    assert state.exchanges[-1].status == "stopped" and not state.busy and engine.requests[0].finished.wait(5)
    assert asked(page, "next", state=state).exchanges[-1].text == "next"


def test_a_stop_that_is_read_late_is_a_stop(page: Page, engine: ScriptedEngine) -> None:
    steps = page.submit(PageState(), "wait for ever", [], SHORT)
    state = [next(steps), next(steps)][-1]
    state.answer.stop()  # type: ignore[union-attr]
    for thread in threading.enumerate():
        if thread.name.startswith("take-"):
            thread.join(10)  # which have told of the end of the work
    assert list(steps)[-1].exchanges[-1].status == "stopped"


def waves(page: Page, state: PageState) -> list[Path]:
    return [file for file in files_of(page, state) if file.suffix == ".wav"]


def stopped_early(page: Page, engine: ScriptedEngine, settings: Settings) -> PageState:
    """After the first stretch of sound, or of each of the sounds."""
    steps = page.submit(PageState(), "play wait", [], settings)
    for state in steps:
        if state.busy and len(state.exchanges[-1].takes) == settings.takes:
            state.answer.stop()  # type: ignore[union-attr]
            return list(steps)[-1]
        engine.leaves.release()
    raise AssertionError("no sound came")


def test_what_was_made_before_a_stop_stays(page: Page, engine: ScriptedEngine) -> None:
    state = stopped_early(page, engine, SHORT)
    (take,), view = state.exchanges[-1].takes, state.html[-1]
    assert state.exchanges[-1].status == "stopped" and not state.busy and engine.requests[0].finished.wait(5)
    seconds = take.audio.seconds or 0.0
    assert 0.5 <= seconds < 2.0 and f"Stopped after {seconds:.1f} s of 2.0 s." in view and "data-start" not in view
    assert [kind for kind, _ in take.downloads] == ["wav", "flac", "mp3"] and len(take.plots) == 2
    (wav,) = waves(page, state)
    assert wav.name == take.audio.url.rpartition("/")[2] and not is_growing(wav)
    engine.leaves.release(50)
    first, all_of_it = Waveform.read(wav), Waveform.read(waves(page, asked(page, "play wait"))[0])
    assert first.seconds == seconds and torch.equal(first.samples, all_of_it.samples[:, : first.samples.shape[1]])


def test_a_piece_that_was_stopped_can_be_spoken_of_and_made_whole(page: Page, engine: ScriptedEngine) -> None:
    state = stopped_early(page, engine, SHORT)
    sound = state.exchanges[-1].takes[0].audio.url.rpartition("/")[2]
    state = asked(page, "make it faster", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).name == sound and state.exchanges[-1].reference == "the last piece"
    engine.leaves.release(50)
    asked(page, "again", state=state, settings=replace(SHORT, seed=None, seconds=9.0))
    assert engine.requests[-1].options == engine.requests[0].options


def test_stopped_takes_stay_side_by_side(page: Page, engine: ScriptedEngine) -> None:
    state = stopped_early(page, engine, replace(SHORT, takes=2))
    assert [take.seed for take in state.exchanges[-1].takes] == [5, 6] and "Each take is as long as" in state.html[-1]


def test_a_sound_of_a_page_that_was_left_has_no_file(page: Page, engine: ScriptedEngine) -> None:
    steps = page.submit(PageState(), "play wait", [], SHORT)
    for state in steps:
        if state.exchanges[-1].takes:
            break
        engine.leaves.release()
    folder = page.sessions.get(state.token).folder  # type: ignore[union-attr]
    page.close(state)
    assert list(steps) == [] and not folder.exists()


def test_a_closed_iterator_ends_the_work(page: Page, engine: ScriptedEngine) -> None:
    steps = page.submit(PageState(), "wait for ever", [], SHORT)
    next(steps), next(steps)
    steps.close()
    assert engine.requests[0].finished.wait(5)


def test_clear_deletes_the_files_and_ends_the_work(page: Page, engine: ScriptedEngine, recording: Path) -> None:
    state = asked(page, "play", [recording])
    folder = page.sessions.get(state.token).folder  # type: ignore[union-attr]
    steps = page.submit(state, "wait for ever", [], SHORT)
    busy = next(steps)
    assert len(list(folder.iterdir())) > 2
    fresh = page.clear(busy)
    assert fresh == PageState() and not folder.exists() and list(steps) == [] and engine.requests[-1].finished.wait(5)
    assert recording.exists(), "what lies elsewhere is not the page's"


def test_a_lost_connection_has_time_to_come_back(page: Page) -> None:
    page.presence = Presence(grace=0.2)
    state = asked(page, "play")
    page.connection_lost(state)
    page.presence.connected(state.token)
    time.sleep(0.6)
    assert page.sessions.get(state.token) is not None
    page.connection_lost(state)
    later = asked(page, "again", state=state)
    assert later.token == state.token
    page.connection_lost(later)
    time.sleep(0.6)
    assert page.sessions.get(state.token) is None


def test_a_conversation_whose_hour_is_over_begins_anew(page: Page) -> None:
    state = asked(page, "play")
    page.sessions.close(state.token)
    later = asked(page, "make it faster", state=state)
    assert len(later.exchanges) == 1 and later.token != state.token
