"""Edits on the page by words and by the form: of the newest piece with its notes, told in one line, stopped, and taken home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.page.controller import Page
from demo.page.page_session import PageSession
from demo.service.exports import EXPORT_FORMATS
from llama.media.edit import Edit
from tests.page_helpers import SHORT, asked, begun, card, ended, html, seen, views
from tests.scripted_engine import REPORT, SCORE, ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)

FASTER = replace(SHORT, edit=Edit(change={"tempo": 90}))


def edited(page: Page, state: PageSession, edit: Edit) -> PageSession:
    """The session after a click on a chip of the newest version of the last card."""
    page.edit(state.session.token, card(state)["versions"][-1]["id"], edit)
    return ended(page, state.session.token)


def test_words_about_a_piece_bring_its_notes(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "make it faster", state=asked(page, "play notes"))
    turn, reference = engine.requests[-1].turn, views(state)[-1].reference
    assert turn.score is SCORE and Path(str(turn.audio)).is_file() and reference is not None and reference.phrase == "the last piece"
    asked(page, "play something new", state=state)
    assert engine.requests[-1].turn.score is None


def test_a_sound_without_notes_stays_a_sound(page: Page, engine: ScriptedEngine) -> None:
    asked(page, "make it faster", state=asked(page, "play"))
    assert engine.requests[-1].turn.score is None and engine.requests[-1].turn.audio is not None


def test_the_form_is_about_the_newest_piece_whatever_the_words(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "we play", settings=FASTER, state=asked(page, "play notes"))
    request = engine.requests[-1]
    assert request.turn.score is SCORE and request.options.edit == FASTER.edit and len(views(state)) == 2
    assert [version["label"] for version in card(state)["versions"]] == ["Before", "After"]
    assert card(state)["versions"][-1]["report"] == str(REPORT) and str(REPORT) in html(state).split("data-announcement")[1]


def test_the_form_without_words_says_what_it_does(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "", settings=FASTER, state=asked(page, "play notes"))
    assert views(state)[-1].message == "90 bpm" and engine.requests[-1].turn.text == "90 bpm"


def test_an_edit_of_nothing_is_told(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "", settings=FASTER)
    assert views(state)[-1].error.startswith("There is no piece to change yet") and not engine.requests


def test_a_new_key_is_named_in_the_mode_of_its_piece(page: Page, engine: ScriptedEngine) -> None:
    edited(page, asked(page, "play notes"), Edit(change={"key": 1}))
    assert engine.requests[-1].turn.text == "In D flat major"


def test_again_repeats_the_edit(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "we play", settings=FASTER, state=asked(page, "play notes"))
    source = engine.requests[-1].turn
    state = asked(page, "play it again", state=state, settings=replace(SHORT, seed=None))
    assert engine.requests[-1].turn == source and engine.requests[-1].options == engine.requests[1].options
    asked(page, "another take", state=state, settings=replace(SHORT, seed=None))
    assert engine.requests[-1].turn == source and engine.requests[-1].options.edit == FASTER.edit


def test_a_stopped_edit_keeps_what_sounded(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "we play wait", FASTER, asked(page, "play notes"))
    engine.leaves.release(6)
    seen(state, lambda view: view.progress is not None and 0 < view.progress[0] < 2)
    page.stop(state.session.token)
    state = ended(page, state.session.token)
    take = card(state)["versions"][-1]
    assert views(state)[-1].status == "stopped" and 0 < take["seconds"] < 2 and not take["report"]
    assert engine.requests[-1].options.edit == FASTER.edit and take["score"] is None


def test_a_piece_is_offered_in_every_form_that_it_has(page: Page) -> None:
    state = asked(page, "play notes")
    forms = {download["form"]: download for download in card(state)["versions"][0]["downloads"]}
    assert {*forms} == {"wav", *EXPORT_FORMATS} - {"loop"}, "the piece has no bar to loop"
    assert {download["name"].split(".")[0].removesuffix("-chords").removesuffix("-stems") for download in forms.values()} == {
        "happy-ballad-flute-60bpm-C-major"
    }
    asked(page, "play", state=state)
    downloads = card(state)["versions"][0]["downloads"]
    assert [download["form"] for download in downloads] == ["wav", "mp3", "flac", "all"] and downloads[0]["name"] == "play.wav"


def test_notes_go_with_their_piece(page: Page) -> None:
    state = asked(page, "play notes")
    [sound] = state.session.folder.glob("*.wav")
    assert page.sessions.scores.get(sound) == SCORE
    page.delete(state.session.token, sound.stem)
    assert sound.exists() and card(state)["versions"] == [], "it can be brought back"
    with state.changing():
        state.trash.empty()
    assert not list(state.session.folder.iterdir())
    asked(page, "play some notes", state=state)
    assert page.sessions.scores.get(sound) is None and len(page.sessions.scores) == 1
    page.sessions.close(state.session.token)
    assert len(page.sessions.scores) == 0
