"""One conversation of the page: growing answers, sound, settings, once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.page.controller import Page, settings_of
from demo.page.state import PageState
from demo.page.theme import ASSETS
from llama import GenerationOptions
from tests.page_helpers import SHORT, asked
from tests.scripted_engine import Scripted

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def test_the_answer_grows(page: Page, engine: Scripted) -> None:
    steps = page.ask(PageState(), "wait two three", [], SHORT)
    words = []
    for state in steps:
        words.append(state.cards[-1].words)
        engine.leaves.release()
    assert words[0] == "" and words[-1] == "wait two three" and len(set(words)) > 2
    assert all(later.startswith(earlier) for earlier, later in zip(words, words[1:], strict=False))


def test_states_are_values(page: Page) -> None:
    first = asked(page, "first")
    second = asked(page, "second", state=first)
    assert [card.words for card in first.cards] == ["first"] and [card.words for card in second.cards] == ["first", "second"]
    assert len(second.conversation.exchanges) == 2 and len(second.views) == 2


def test_sound_has_a_player_while_it_is_made(page: Page, engine: Scripted) -> None:
    early = []
    for state in page.ask(PageState(), "play wait", [], SHORT):
        if state.cards[-1].takes and state.cards[-1].state == "working":
            early.append(state.cards[-1])
        engine.leaves.release()
    assert early and early[0].takes[0].sound.url == state.cards[-1].takes[0].sound.url, "the player keeps its address"
    assert early[0].progress is not None and early[0].progress[1] == 2.0


def test_music_for_a_clip_is_as_long_as_the_clip(page: Page, engine: Scripted) -> None:
    fit = replace(SHORT, fit=True)
    state = asked(page, "play", [ASSETS / "examples" / "slow_sea.mp4"], fit)
    state = asked(page, "another piece for the clip", state=state, settings=fit)
    asked(page, "play", state=state, settings=fit)
    assert [round(ticket.options.seconds, 1) for ticket in engine.tickets] == [4.0, 4.0, 2.0]
    assert engine.tickets[1].turn.video == engine.tickets[0].turn.video


def test_settings_reach_the_model(page: Page, engine: Scripted) -> None:
    asked(page, "hello", settings=settings_of(3, False, 1, 5, False, 2.0, 0.5, 0.9, "caption", 40))
    assert engine.tickets[0].options == GenerationOptions(
        max_tokens=40, temperature=0.5, top_p=0.9, seconds=3.0, guidance=2.0, seed=5, conditioning="caption"
    )


def test_a_fresh_seed_each_time(page: Page, engine: Scripted) -> None:
    for _ in range(3):
        asked(page, "hello", settings=settings_of(1, False, 1, 5, True, 0, 0, 0.8, "hidden", 40))
    assert len({ticket.options.seed for ticket in engine.tickets}) == 3


def test_cleared_settings_are_the_usual_ones() -> None:
    options = settings_of(*[None] * 10).options()[0]
    assert replace(options, seed=0) == GenerationOptions()


def test_again_has_the_same_seed_and_another_take_a_new_one(page: Page, engine: Scripted) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=2))
    seed = state.cards[0].takes[1].seed
    state = list(page.again(state, 0, 1, fresh=False))[-1]
    state = list(page.again(state, 0, 1, fresh=True))[-1]
    _, again, fresh = state.cards
    assert [take.seed for take in again.takes] == [seed] and again.said == "play"
    assert len(fresh.takes) == 1 and fresh.takes[0].seed != seed
    assert [ticket.options.seconds for ticket in engine.tickets] == [2.0] * 4
    assert len(state.conversation.exchanges) == 3


def test_again_means_what_was_meant_then(page: Page, engine: Scripted, recording: Path) -> None:
    state = asked(page, "play it", [recording])
    state = asked(page, "play it faster", state=state)  # about the piece
    heard = engine.tickets[-1].turn.audio
    state = asked(page, "play something new", state=state)
    list(page.again(state, 1, 0, fresh=True))
    assert heard is not None and engine.tickets[-1].turn.audio == heard


def test_a_piece_that_is_named_is_played_again_whatever_the_settings_are_now(page: Page, engine: Scripted) -> None:
    state = asked(page, "play", settings=replace(SHORT, seed=None))
    state = asked(page, "play something new", state=state, settings=replace(SHORT, seed=None, takes=2))
    state = asked(page, "play the last one again", state=state, settings=replace(SHORT, seed=None, seconds=4.0, takes=3))
    first, second, again = state.cards
    assert [take.seed for take in again.takes] == [second.takes[1].seed] and again.wanted == 1 and again.referred == "take 2"
    assert engine.tickets[-1].options == engine.tickets[2].options and engine.tickets[-1].turn == engine.tickets[2].turn
    assert "After" not in state.views[-1] and "New music" in state.views[-1]
