"""Page controller: growing answers, audio, settings, repeated requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.page.controller import Page, settings_of
from demo.page.state import PageState
from demo.page.theme import ASSETS
from demo.service.request import Settings, whole_number
from llama import GenerationOptions
from tests.page_helpers import SHORT, asked
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def test_the_answer_grows(page: Page, engine: ScriptedEngine) -> None:
    steps = page.submit(PageState(), "wait two three", [], SHORT)
    words = []
    for state in steps:
        words.append(state.exchanges[-1].text)
        engine.leaves.release()
    assert words[0] == "" and words[-1] == "wait two three" and len(set(words)) > 2
    assert all(later.startswith(earlier) for earlier, later in zip(words, words[1:], strict=False))


def test_states_are_values(page: Page) -> None:
    first = asked(page, "first")
    second = asked(page, "second", state=first)
    assert [exchange.text for exchange in first.exchanges] == ["first"]
    assert [exchange.text for exchange in second.exchanges] == ["first", "second"]
    assert len(second.conversation.exchanges) == 2 and len(second.html) == 2


def test_sound_has_a_player_while_it_is_made(page: Page, engine: ScriptedEngine) -> None:
    early = []
    for state in page.submit(PageState(), "play wait", [], SHORT):
        if state.exchanges[-1].takes and state.exchanges[-1].status == "working":
            early.append(state.exchanges[-1])
        engine.leaves.release()
    assert early and early[0].takes[0].audio.url == state.exchanges[-1].takes[0].audio.url, "the player keeps its address"
    assert early[0].progress is not None and early[0].progress[1] == 2.0


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
    assert [(exchange.status, exchange.error) for exchange in state.exchanges] == [("failed", "The recording is damaged; export it again.")]
    monkeypatch.undo()
    assert asked(page, "What is it?", [recording], state=state).exchanges[-1].status == "done"


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
    seed = state.exchanges[0].takes[1].seed
    state = list(page.repeat(state, 0, 1, new_seed=False))[-1]
    state = list(page.repeat(state, 0, 1, new_seed=True))[-1]
    _, again, fresh = state.exchanges
    assert [take.seed for take in again.takes] == [seed] and again.message == "play"
    assert len(fresh.takes) == 1 and fresh.takes[0].seed != seed
    assert [ticket.options.seconds for ticket in engine.requests] == [2.0] * 4
    assert len(state.conversation.exchanges) == 3


def test_again_means_what_was_meant_then(page: Page, engine: ScriptedEngine, recording: Path) -> None:
    state = asked(page, "play it", [recording])
    state = asked(page, "play it faster", state=state)  # about the piece
    heard = engine.requests[-1].turn.audio
    state = asked(page, "play something new", state=state)
    list(page.repeat(state, 1, 0, new_seed=True))
    assert heard is not None and engine.requests[-1].turn.audio == heard


def test_a_piece_that_is_named_is_played_again_whatever_the_settings_are_now(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, seed=None))
    state = asked(page, "play something new", state=state, settings=replace(SHORT, seed=None, takes=2))
    state = asked(page, "play the last one again", state=state, settings=replace(SHORT, seed=None, seconds=4.0, takes=3))
    first, second, again = state.exchanges
    assert [take.seed for take in again.takes] == [second.takes[1].seed] and again.take_count == 1 and again.reference == "take 2"
    assert engine.requests[-1].options == engine.requests[2].options and engine.requests[-1].turn == engine.requests[2].turn
    assert "After" not in state.html[-1] and "New music" in state.html[-1]
