"""How a request or a page ends before its time: mistakes, stop, a page that was left or closed; and what stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from demo.page.controller import Page
from demo.page.page_registry import PageRegistry
from demo.page.page_session import PageSession
from demo.server.file_stream import is_growing
from demo.service.request import Settings
from llama import Waveform
from tests.page_helpers import SHORT, asked, begun, card, ended, files_of, html, seen, views
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


@pytest.mark.parametrize(
    ("text", "named", "word"),
    [(" ", {}, "nothing to answer"), ("hi", {"seconds": -1}, "seconds"), ("hi", {"temperature": 99}, "temperature"),
     ("hi", {"conditioning": "magic"}, "conditioning"), ("x" * 9000, {}, "9000")],
)  # fmt: skip
def test_a_message_that_is_refused_is_told_and_leaves_no_trace(page: Page, text: str, named: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        page.submit("", text, [], Settings(**named))
    assert "\n" not in str(caught.value) and not list(page.sessions.root.iterdir())


@pytest.mark.parametrize(("text", "word"), [("stumble", "damaged"), ("memory", "memory"), ("disk", "no room left"), ("bug", "mistake")])
def test_mistakes_are_told_in_one_sentence(page: Page, text: str, word: str) -> None:
    exchange = views(asked(page, text))[-1]
    assert exchange.status == "failed" and word in exchange.error and "\n" not in exchange.error and "/srv" not in exchange.error


@pytest.mark.parametrize("content", [b"no sound, no picture\n", b"", None, b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_bad_upload_is_one_sentence_without_its_place(page: Page, content: bytes | None) -> None:
    state = asked(page, "hello")
    file = page.upload_dir / "secret" / "my file.bin"
    file.parent.mkdir(parents=True)
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="my file.bin") as caught:
        page.submit(state.session.token, "hi", [file], SHORT)
    trouble = str(caught.value)
    assert "secret" not in trouble and str(page.upload_dir) not in trouble and "\n" not in trouble
    assert file.exists() == (content is not None), "it is still in the input"
    assert views(asked(page, "still alive", state=state))[-1].text == "still alive" and len(views(state)) == 2


def test_uploads_are_deleted_once_the_session_has_them(page: Page, recording: Path) -> None:
    file = page.upload_dir / "token" / "mine.wav"
    file.parent.mkdir(parents=True)
    file.write_bytes(recording.read_bytes())
    state = asked(page, "hello", [file, recording])
    assert not file.parent.exists() and page.upload_dir.exists() and recording.exists(), "what lies elsewhere is not the page's"
    assert len(views(state)[0].uploads) == 2 and views(state)[0].error.startswith("Two files of one kind")


def test_stop_ends_the_work(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "wait for ever")
    seen(state, lambda view: engine.requests)
    page.stop(state.session.token)
    ended(page, state.session.token)
    assert views(state)[-1].status == "stopped" and not state.busy and engine.requests[0].finished.wait(5)
    assert views(asked(page, "next", state=state))[-1].text == "next"


def test_a_stop_that_comes_early_is_a_stop(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "wait for ever")
    page.stop(state.session.token)  # perhaps before its thread has begun
    if not state.messages.wait(0.2):
        page.stop(state.session.token)
    assert views(ended(page, state.session.token))[-1].status == "stopped"


def waves(page: Page, state: PageSession) -> list[Path]:
    return [file for file in files_of(page, state) if file.suffix == ".wav"]


def stopped_early(page: Page, engine: ScriptedEngine, settings: Settings) -> PageSession:
    """After the first stretch of sound, or of each of the sounds."""
    state = begun(page, "play wait", settings)
    seen(state, lambda view: len(engine.requests) == settings.takes)
    while len(views(state)[-1].versions) < settings.takes:
        version = state.version
        engine.leaves.release()
        seen(state, lambda view, version=version: state.version > version)
    page.stop(state.session.token)
    return ended(page, state.session.token)


def test_what_was_made_before_a_stop_stays(page: Page, engine: ScriptedEngine) -> None:
    state = stopped_early(page, engine, SHORT)
    (take,), view = card(state)["versions"], html(state)
    assert views(state)[-1].status == "stopped" and not state.busy and engine.requests[0].finished.wait(5)
    assert 0.5 <= take["seconds"] < 2.0 and f"Stopped after {take['seconds']:.1f} s of 2.0 s." in view and not card(state)["autoplay"]
    assert take["complete"] and card(state)["selected"] == take["id"] and take["levels"]
    (wav,) = waves(page, state)
    assert wav.name == take["url"].rpartition("/")[2] and not is_growing(wav)
    engine.leaves.release(50)
    first, all_of_it = Waveform.read(wav), Waveform.read(waves(page, asked(page, "play wait"))[0])
    assert first.seconds == take["seconds"] and torch.equal(first.samples, all_of_it.samples[:, : first.samples.shape[1]])


def test_a_piece_that_was_stopped_can_be_spoken_of_and_made_whole(page: Page, engine: ScriptedEngine) -> None:
    state = stopped_early(page, engine, SHORT)
    sound = card(state)["versions"][0]["url"].rpartition("/")[2]
    state = asked(page, "make it faster", state=state)
    reference = views(state)[-1].reference
    assert Path(str(engine.requests[-1].turn.audio)).name == sound and reference is not None and reference.phrase == "the last piece"
    engine.leaves.release(50)
    asked(page, "again", state=state, settings=replace(SHORT, seed=None, seconds=9.0))
    assert engine.requests[-1].options == engine.requests[0].options


def test_stopped_takes_stay_side_by_side(page: Page, engine: ScriptedEngine) -> None:
    state = stopped_early(page, engine, replace(SHORT, takes=2))
    assert [take.seed for take in views(state)[-1].takes] == [5, 6] and "Each take is as long as" in html(state)


def test_a_sound_of_a_session_that_was_closed_has_no_file(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "play wait")
    engine.leaves.release(5)
    seen(state, lambda view: view.versions)
    woken: list[bool] = []
    state.add_listener(lambda: woken.append(state.closed))
    folder = state.session.folder
    page.sessions.close(state.session.token)
    assert state.messages.wait(10) and engine.requests[0].finished.wait(5)
    assert not folder.exists() and woken[-1] and page.pages.find(state.session.token) is None
    with pytest.raises(ValueError, match="This session is over"):
        page.stop(state.session.token)


def test_a_page_that_was_left_ends_in_time_with_its_answer(page: Page, engine: ScriptedEngine) -> None:
    page.sessions.away_seconds = 0.0
    state = begun(page, "wait for ever")
    seen(state, lambda view: engine.requests)
    page.sessions.away(state.session.token)
    page.sessions.sweep()
    assert engine.requests[0].finished.wait(10) and state.closed and not state.session.folder.exists()


def test_a_page_that_comes_back_finds_everything(page: Page) -> None:
    state = asked(page, "play")
    page.sessions.away(state.session.token)
    assert page.pages.find(state.session.token) is state
    page.sessions.away_seconds = 0.0
    assert page.sessions.sweep() == 0 and views(asked(page, "again", state=state))[-1].takes


def test_a_conversation_whose_hour_is_over_begins_anew(page: Page) -> None:
    state = asked(page, "play")
    page.sessions.close(state.session.token)
    later = asked(page, "make it faster", state=state)
    assert len(views(later)) == 1 and later.session.token != state.session.token


def test_a_server_keeps_a_bounded_number_of_pages(page: Page) -> None:
    page.pages = PageRegistry(page.sessions, 2)
    first, second = asked(page, "first"), asked(page, "second")
    asked(page, "first again", state=first)
    asked(page, "third")
    assert second.closed and not first.closed and not second.session.folder.exists()
