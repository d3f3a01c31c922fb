"""Edits on the page: about the newest piece with its notes, told in one line, stopped like new pieces, and taken home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.page.controller import Page
from llama.media.edit import Edit
from tests.page_helpers import SHORT, asked
from tests.scripted_engine import REPORT, SCORE, ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)

FASTER = replace(SHORT, edit=Edit(change={"tempo": 90}))


def test_words_about_a_piece_bring_its_notes(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "make it faster", state=asked(page, "play notes"))
    turn = engine.requests[-1].turn
    assert turn.score is SCORE and Path(str(turn.audio)).is_file() and state.exchanges[-1].reference == "the last piece"
    state = asked(page, "play something new", state=state)
    assert engine.requests[-1].turn.score is None


def test_a_sound_without_notes_stays_a_sound(page: Page, engine: ScriptedEngine) -> None:
    asked(page, "make it faster", state=asked(page, "play"))
    assert engine.requests[-1].turn.score is None and engine.requests[-1].turn.audio is not None


def test_an_edit_is_about_the_newest_piece_whatever_the_words(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "we play", settings=FASTER, state=asked(page, "play notes"))
    request, exchange = engine.requests[-1], state.exchanges[-1]
    assert request.turn.score is SCORE and request.options.edit == FASTER.edit and exchange.reference == "the last piece"
    assert exchange.takes[0].report == str(REPORT) and f'report">{REPORT}</p>' in state.html[-1]
    assert exchange.original is not None and "Before" in state.html[-1] and str(REPORT) in state.html[-1].split("data-announcement")[1]


def test_an_edit_without_words_says_what_it_does(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "", settings=FASTER, state=asked(page, "play notes"))
    assert state.exchanges[-1].message == "90 bpm" and engine.requests[-1].turn.text == "90 bpm"


def test_an_edit_of_nothing_is_told(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "", settings=FASTER)
    assert state.exchanges[-1].error.startswith("There is no piece to change yet") and not engine.requests


def test_again_repeats_the_edit(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "we play", settings=FASTER, state=asked(page, "play notes"))
    source = engine.requests[-1].turn
    state = asked(page, "play it again", state=state, settings=replace(SHORT, seed=None))
    assert engine.requests[-1].turn == source and engine.requests[-1].options == engine.requests[1].options
    asked(page, "another take", state=state, settings=replace(SHORT, seed=None))
    assert engine.requests[-1].turn == source and engine.requests[-1].options.edit == FASTER.edit


def test_a_stopped_edit_keeps_what_sounded(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    steps = page.submit(state, "we play wait", [], FASTER)
    for state in steps:
        if state.busy and state.exchanges[-1].takes:
            state.answer.stop()  # type: ignore[union-attr]
            state = list(steps)[-1]
            break
        engine.leaves.release()
    [take] = state.exchanges[-1].takes
    assert state.exchanges[-1].status == "stopped" and 0 < (take.audio.seconds or 0) < 2 and not take.report
    assert engine.requests[-1].options.edit == FASTER.edit and not take.exports


def test_a_piece_with_notes_is_offered_in_every_form(page: Page) -> None:
    state = asked(page, "play notes")
    take = state.exchanges[-1].takes[0]
    assert [form for form, _ in take.exports] == ["stems", "loop", "musicxml", "chords"]
    session = page.sessions.get(state.token)
    assert session is not None
    [sound] = session.folder.glob("*.wav")
    assert page.sessions.scores.get(sound) == SCORE
    assert asked(page, "play").exchanges[-1].takes[0].exports == ()


def test_notes_go_with_their_piece(page: Page) -> None:
    state = asked(page, "play notes")
    session = page.sessions.get(state.token)
    assert session is not None
    [sound] = session.folder.glob("*.wav")
    sound.unlink()
    asked(page, "play some notes", state=state)
    assert page.sessions.scores.get(sound) is None and len(page.sessions.scores) == 1
    page.sessions.close(session.token)
    assert len(page.sessions.scores) == 0


