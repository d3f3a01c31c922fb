"""Page controller: growing answers, audio, settings, repeated and redirected messages, the queue of messages."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.page import page_session
from demo.page.answer_queue import MAX_WAITING
from demo.page.controller import Page, settings_of
from demo.page.theme import ASSETS
from demo.page.view import ExchangeView
from demo.service.request import Settings, whole_number
from llama import GenerationOptions
from tests.page_helpers import SHORT, asked, begun, card, ended, html, seen, views
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def test_the_answer_grows(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "wait two three")
    words = [seen(state, lambda view: view.status == "working").text]
    for _ in range(3):
        engine.leaves.release()
        words.append(seen(state, lambda view: view.text != words[-1] or view.status == "done").text)
    engine.leaves.release(9)
    ended(page, state.session.token)
    words.append(views(state)[-1].text)
    assert words[0] == "" and words[-1] == "wait two three" and len(set(words)) > 2
    assert all(later.startswith(earlier) for earlier, later in zip(words, words[1:], strict=False))


def test_a_message_is_sent_at_once_and_answered_by_nobodys_connection(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "wait a while")
    assert [view.status for view in views(state)] == ["working"] and state.busy
    engine.leaves.release(50)
    assert [view.text for view in views(ended(page, state.session.token))] == ["wait a while"] and not state.busy


def test_exchanges_follow_each_other(page: Page) -> None:
    first = asked(page, "first")
    second = asked(page, "second", state=first)
    assert second is first and [view.text for view in views(second)] == ["first", "second"]
    assert len(second.contents.conversation.exchanges) == 2


def test_sound_has_a_version_while_it_is_made(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "play wait")
    engine.leaves.release(5)
    early = seen(state, lambda view: view.versions)
    assert early.status == "working" and early.progress is not None and early.progress[1] == 2.0
    [growing] = card(state)["versions"]
    assert 0 < growing["made"] < 2.0 and growing["seconds"] == 2.0 and not growing["complete"] and growing["levels"] == ""
    engine.leaves.release(50)
    [whole] = card(ended(page, state.session.token))["versions"]
    assert whole["complete"] and len(whole["levels"]) == 480 and [whole["url"], whole["id"]] == [growing["url"], growing["id"]]


def test_music_for_a_clip_is_as_long_as_the_clip(page: Page, engine: ScriptedEngine) -> None:
    fit = replace(SHORT, fit=True)
    state = asked(page, "play", [ASSETS / "examples" / "slow_sea.mp4"], fit)
    state = asked(page, "another piece for the clip", state=state, settings=fit)
    asked(page, "play", state=state, settings=fit)
    assert [round(ticket.options.seconds, 1) for ticket in engine.requests] == [4.0, 4.0, 2.0]
    assert engine.requests[1].turn.video == engine.requests[0].turn.video


def test_a_recording_damaged_behind_its_beginning_is_told(page: Page, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_sound(path: Path) -> None:
        raise ValueError("The recording is damaged; export it again.")

    monkeypatch.setattr(page.service, "read_sound", read_sound)
    state = asked(page, "What is it?", [recording])
    assert [(view.status, view.error) for view in views(state)] == [("failed", "The recording is damaged; export it again.")]
    monkeypatch.undo()
    assert views(asked(page, "What is it?", [recording], state=state))[-1].status == "done"


def test_settings_reach_the_model(page: Page, engine: ScriptedEngine) -> None:
    asked(page, "hello", settings=settings_of(3, False, 1, 5, False, 2.0, 0.5, 0.9, "caption", 40))
    assert engine.requests[0].options == GenerationOptions(
        max_tokens=40, temperature=0.5, top_p=0.9, seconds=3.0, guidance=2.0, seed=5, conditioning="caption"
    )


def test_a_fresh_seed_each_time(page: Page, engine: ScriptedEngine) -> None:
    for _ in range(3):
        asked(page, "hello", settings=settings_of(1, False, 1, 5, True, 0, 0, 0.8, "hidden", 40))
    assert len({ticket.options.seed for ticket in engine.requests}) == 3


def test_cleared_settings_are_the_usual_ones() -> None:
    options = settings_of(*[None] * 10).options()[0]
    assert replace(options, seed=0) == GenerationOptions()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize(("position", "name"), [(2, "takes"), (3, "seed"), (9, "max_tokens")])
def test_settings_that_are_no_number(value: float, position: int, name: str) -> None:
    values: list[Any] = [None] * 10
    values[position] = value
    with pytest.raises(ValueError, match=rf"^{name} -?(inf|nan) is out of range; give a whole number\.$"):
        settings_of(*values)


@pytest.mark.parametrize("name", ["seconds", "guidance", "takes", "seed", "max_tokens"])
@pytest.mark.parametrize("digits", [400, 5000])
def test_whole_numbers_beyond_a_floats_range(name: str, digits: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} a number of more than 60 digits is out of range; give ") as caught:
        Settings(**{name: whole_number(name, 10**digits)}).options()
    assert len(str(caught.value)) < 150


def test_again_has_the_same_seed_and_another_take_a_new_one(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=2))
    token, seed = state.session.token, views(state)[0].takes[1].seed
    page.repeat(token, 0, 1, new_seed=False)
    page.repeat(token, 0, 1, new_seed=True)
    _, again, fresh = views(ended(page, token))
    assert [take.seed for take in again.takes] == [seed] and again.message == "play"
    assert len(fresh.takes) == 1 and fresh.takes[0].seed != seed
    assert [ticket.options.seconds for ticket in engine.requests] == [2.0] * 4
    assert len(state.contents.conversation.exchanges) == 3


def test_again_means_what_was_meant_then(page: Page, engine: ScriptedEngine, recording: Path) -> None:
    state = asked(page, "play it", [recording])
    state = asked(page, "play it faster", state=state)  # about the piece
    heard = engine.requests[-1].turn.audio
    state = asked(page, "play something new", state=state)
    page.repeat(state.session.token, 1, 0, new_seed=True)
    ended(page, state.session.token)
    assert heard is not None and engine.requests[-1].turn.audio == heard


def test_a_message_is_answered_again_about_the_piece_that_was_meant(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    first = card(state)["selected"]
    state = asked(page, "play something new with notes", state=state)
    state = asked(page, "play it faster", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == card(state, 1)["selected"]
    page.redirect(state.session.token, 2, first)
    redirected = views(ended(page, state.session.token))[-1]
    assert redirected.message == "play it faster" and Path(str(engine.requests[-1].turn.audio)).stem == first
    assert redirected.reference is not None and redirected.reference.phrase == "an earlier piece" and redirected.before is not None
    assert redirected.before.id == first and f'href="#piece-{first}">an earlier piece</a>' in html(state)
    for index, piece in ((9, first), (0, "unknown")):
        with pytest.raises(ValueError, match="There is no such (piece|message) in this conversation any more"):
            page.redirect(state.session.token, index, piece)


def test_a_piece_that_is_named_is_played_again_whatever_the_settings_are_now(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, seed=None))
    state = asked(page, "play something new", state=state, settings=replace(SHORT, seed=None, takes=2))
    state = asked(page, "play the last one again", state=state, settings=replace(SHORT, seed=None, seconds=4.0, takes=3))
    first, second, again = views(state)
    assert [take.seed for take in again.takes] == [second.takes[1].seed] and again.take_count == 1
    assert again.reference is not None and again.reference.phrase == "take 2"
    assert engine.requests[-1].options == engine.requests[2].options and engine.requests[-1].turn == engine.requests[2].turn


def test_again_about_another_piece_is_that_piece_with_its_settings(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, seed=None, seconds=4.0))
    state = asked(page, "play something new", state=state, settings=replace(SHORT, seed=None))
    state = asked(page, "again", state=state, settings=replace(SHORT, seed=None))
    assert engine.requests[-1].options == engine.requests[1].options
    page.redirect(state.session.token, 2, card(state, 0)["selected"])
    ended(page, state.session.token)
    assert engine.requests[-1].options == engine.requests[0].options and engine.requests[-1].turn == engine.requests[0].turn


def test_messages_are_answered_in_their_order_and_the_sixth_waiting_one_is_refused(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "wait 0")
    token = state.session.token
    engine.leaves.release()
    seen(state, lambda view: view.text == "wait")  # its thread has begun it
    for number in range(1, MAX_WAITING + 1):
        page.submit(token, f"wait {number}", [], SHORT)
    assert [view.status for view in views(state)] == ["working", *["waiting"] * MAX_WAITING]
    with pytest.raises(ValueError, match="^5 messages wait for their answers already; cancel one of them"):
        page.submit(token, "one too many", [], SHORT)
    page.cancel(token, 3)
    assert "Cancelled before it began." in html(state, 3) and 'data-act="cancel"' in html(state, 4)
    with pytest.raises(ValueError, match="has begun already"):
        page.cancel(token, 0)
    engine.leaves.release(100)
    ended(page, token)
    assert [view.text for view in views(state)] == ["wait 0", "wait 1", "wait 2", "", "wait 4", "wait 5"]
    assert [request.turn.text for request in engine.requests] == ["wait 0", "wait 1", "wait 2", "wait 4", "wait 5"]


def test_a_failing_answer_leaves_the_page_usable(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(page, "bug")
    assert views(state)[-1].status == "failed"
    monkeypatch.setattr(page.service, "answer", lambda *values, **named: 1 / 0)  # a fault of this project's own
    state = asked(page, "hello", state=state)
    assert views(state)[-1].status == "failed" and "mistake" in views(state)[-1].error
    monkeypatch.undo()
    assert views(asked(page, "still alive", state=state))[-1].text == "still alive"


def test_a_full_engine_is_one_sentence_of_the_exchange(page: Page) -> None:
    state = asked(page, "hello")
    state = asked(page, "busy", state=state)
    assert views(state)[-1].error == "64 requests are waiting already; come back in a minute."


def test_sessions_at_once_never_see_each_others_pieces(page: Page) -> None:
    def talk(name: str) -> list[ExchangeView]:
        state = asked(page, f"play {name}")
        for text in (f"play something new {name}", f"who is {name}", "undo that"):
            asked(page, text, state=state)
        assert {entry["url"].split("/")[1] for entry in state.snapshot()["library"]} == {state.session.token}
        assert len(state.snapshot()["library"]) == 2
        return views(state)

    names = [f"user{index}" for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        talks = list(pool.map(talk, names))
    for name, talked in zip(names, talks, strict=True):
        assert [view.text for view in talked[:3]] == [f"play {name}", f"play something new {name}", f"who is {name}"]
    sounds = [version.id for talked in talks for view in talked for version in view.takes]
    assert len(sounds) == len(set(sounds)) == 16


def test_a_page_keeps_a_bounded_number_of_exchanges(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_session, "MAX_EXCHANGES", 2)
    state = asked(page, "second", state=asked(page, "first"))
    with pytest.raises(ValueError, match="the most that one page keeps; clear it"):
        page.submit(state.session.token, "third", [], SHORT)
    assert len(views(state)) == 2 and state.messages.is_idle


def test_no_thread_stays_after_an_answer(page: Page) -> None:
    state = asked(page, "hello")
    for thread in threading.enumerate():
        if thread.name.startswith("page-"):
            thread.join(10)
            assert not thread.is_alive()
    assert views(asked(page, "hello again", state=state))[-1].text == "hello again"
