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
from demo.server.file_stream import under_way
from demo.service.presence import Presence
from demo.service.request import Settings
from llama import Waveform
from tests.page_helpers import SHORT, asked, files_of
from tests.scripted_engine import Scripted

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


@pytest.mark.parametrize(
    ("text", "named", "word"),
    [(" ", {}, "nothing to answer"), ("stumble", {}, "damaged"), ("hi", {"seconds": -1}, "seconds"),
     ("hi", {"temperature": 99}, "temperature"), ("hi", {"conditioning": "magic"}, "conditioning"),
     ("x" * 9000, {}, "9000"), ("memory", {}, "memory"), ("disk", {}, "No space left"), ("bug", {}, "mistake")],
)  # fmt: skip
def test_mistakes_are_told_in_one_sentence(page: Page, text: str, named: dict[str, Any], word: str) -> None:
    card = asked(page, text, settings=Settings(**named)).cards[-1]
    assert card.state == "failed" and word in card.trouble and "\n" not in card.trouble and "/srv" not in card.trouble


@pytest.mark.parametrize("content", [b"no sound, no picture\n", b"", None, b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_bad_upload_is_one_sentence_without_its_place(page: Page, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "secret" / "my file.bin"
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    state = asked(page, "hi", [file])
    trouble = state.cards[-1].trouble
    assert "my file.bin" in trouble and "secret" not in trouble and str(tmp_path) not in trouble and "\n" not in trouble
    assert asked(page, "still alive", state=state).cards[-1].words == "still alive"


def test_stop_ends_the_work(page: Page, engine: Scripted) -> None:
    steps = page.ask(PageState(), "wait for ever", [], SHORT)
    state = next(steps)
    assert state.busy
    threading.Timer(0.1, state.run.stop).start()  # type: ignore[union-attr]
    state = list(steps)[-1]
    assert state.cards[-1].state == "stopped" and not state.busy and engine.tickets[0].over.wait(5)
    assert asked(page, "next", state=state).cards[-1].words == "next"


def test_a_stop_that_is_read_late_is_a_stop(page: Page, engine: Scripted) -> None:
    steps = page.ask(PageState(), "wait for ever", [], SHORT)
    state = [next(steps), next(steps)][-1]
    state.run.stop()  # type: ignore[union-attr]
    for thread in threading.enumerate():
        if thread.name.startswith("take-"):
            thread.join(10)  # which have told of the end of the work
    assert list(steps)[-1].cards[-1].state == "stopped"


def waves(page: Page, state: PageState) -> list[Path]:
    return [file for file in files_of(page, state) if file.suffix == ".wav"]


def stopped_early(page: Page, engine: Scripted, settings: Settings) -> PageState:
    """After the first stretch of sound, or of each of the sounds."""
    steps = page.ask(PageState(), "play wait", [], settings)
    for state in steps:
        if state.busy and len(state.cards[-1].takes) == settings.takes:
            state.run.stop()  # type: ignore[union-attr]
            return list(steps)[-1]
        engine.leaves.release()
    raise AssertionError("no sound came")


def test_what_was_made_before_a_stop_stays(page: Page, engine: Scripted) -> None:
    state = stopped_early(page, engine, SHORT)
    (take,), view = state.cards[-1].takes, state.views[-1]
    assert state.cards[-1].state == "stopped" and not state.busy and engine.tickets[0].over.wait(5)
    seconds = take.sound.seconds or 0.0
    assert 0.5 <= seconds < 2.0 and f"Stopped after {seconds:.1f} s of 2.0 s." in view and "data-start" not in view
    assert [kind for kind, _ in take.downloads] == ["wav", "flac", "mp3"] and len(take.pictures) == 2
    (wav,) = waves(page, state)
    assert wav.name == take.sound.url.rpartition("/")[2] and not under_way(wav)
    engine.leaves.release(50)
    first, all_of_it = Waveform.read(wav), Waveform.read(waves(page, asked(page, "play wait"))[0])
    assert first.seconds == seconds and torch.equal(first.samples, all_of_it.samples[:, : first.samples.shape[1]])


def test_a_piece_that_was_stopped_can_be_spoken_of_and_made_whole(page: Page, engine: Scripted) -> None:
    state = stopped_early(page, engine, SHORT)
    sound = state.cards[-1].takes[0].sound.url.rpartition("/")[2]
    state = asked(page, "make it faster", state=state)
    assert Path(str(engine.tickets[-1].turn.audio)).name == sound and state.cards[-1].referred == "the last piece"
    engine.leaves.release(50)
    asked(page, "again", state=state, settings=replace(SHORT, seed=None, seconds=9.0))
    assert engine.tickets[-1].options == engine.tickets[0].options


def test_stopped_takes_stay_side_by_side(page: Page, engine: Scripted) -> None:
    state = stopped_early(page, engine, replace(SHORT, takes=2))
    assert [take.seed for take in state.cards[-1].takes] == [5, 6] and "Each take is as long as" in state.views[-1]


def test_a_sound_of_a_page_that_was_left_has_no_file(page: Page, engine: Scripted) -> None:
    steps = page.ask(PageState(), "play wait", [], SHORT)
    for state in steps:
        if state.cards[-1].takes:
            break
        engine.leaves.release()
    folder = page.sessions.get(state.token).folder  # type: ignore[union-attr]
    page.leave(state)
    assert list(steps) == [] and not folder.exists()


def test_a_closed_iterator_ends_the_work(page: Page, engine: Scripted) -> None:
    steps = page.ask(PageState(), "wait for ever", [], SHORT)
    next(steps), next(steps)
    steps.close()
    assert engine.tickets[0].over.wait(5)


def test_clear_deletes_the_files_and_ends_the_work(page: Page, engine: Scripted, recording: Path) -> None:
    state = asked(page, "play", [recording])
    folder = page.sessions.get(state.token).folder  # type: ignore[union-attr]
    steps = page.ask(state, "wait for ever", [], SHORT)
    busy = next(steps)
    assert len(list(folder.iterdir())) > 2
    fresh = page.clear(busy)
    assert fresh == PageState() and not folder.exists() and list(steps) == [] and engine.tickets[-1].over.wait(5)
    assert recording.exists(), "what lies elsewhere is not the page's"


def test_a_lost_connection_has_time_to_come_back(page: Page) -> None:
    page.presence = Presence(grace=0.2)
    state = asked(page, "play")
    page.lost(state)
    page.presence.connected(state.token)
    time.sleep(0.6)
    assert page.sessions.get(state.token) is not None
    page.lost(state)
    later = asked(page, "again", state=state)
    assert later.token == state.token
    page.lost(later)
    time.sleep(0.6)
    assert page.sessions.get(state.token) is None


def test_a_conversation_whose_hour_is_over_begins_anew(page: Page) -> None:
    state = asked(page, "play")
    page.sessions.close(state.token)
    later = asked(page, "make it faster", state=state)
    assert len(later.cards) == 1 and later.token != state.token
