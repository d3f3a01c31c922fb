"""Actions on pieces: edits and takes as versions of a card, undo and redo, keep, star, rename, delete, reuse, clear and restore."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.page import controller, piece_actions, trash
from demo.page.controller import Page
from demo.page.page_session import PageSession
from llama.media.edit import Edit
from tests.page_helpers import SHORT, asked, begun, card, ended, files_of, html, seen, views
from tests.scripted_engine import REPORT, SCORE, ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)

PLAYED_FASTER = Edit(change={"tempo": 90})


@pytest.fixture(autouse=True)
def edits_play(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted engine plays for texts with these words; a real one for every edit."""
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: f"we play notes {edit.change['tempo']} bpm")


def versions(state: PageSession, index: int = -1) -> list[dict[str, Any]]:
    return list(card(state, index)["versions"])


def edited(page: Page, tempo: int = 90) -> PageSession:
    state = asked(page, "play notes")
    page.edit(state.session.token, versions(state)[0]["id"], Edit(change={"tempo": tempo}))
    return ended(page, state.session.token)


def test_an_edit_is_a_version_on_the_card_of_its_piece(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    first, second = versions(state)
    assert len(views(state)) == 1 and len(state.contents.conversation.exchanges) == 2
    assert [first["label"], second["label"]] == ["New music", "we play notes 90 bpm"] and second["kind"] == "edit"
    assert second["parent"] == first["id"] and card(state)["selected"] == second["id"] and second["report"] == str(REPORT)
    request = engine.requests[-1]
    assert request.options.edit == PLAYED_FASTER and Path(str(request.turn.audio)).stem == first["id"] and request.turn.score is SCORE
    assert [first["actions"], second["actions"]] == [["again", "another", "delete"], ["again", "another", "undo", "delete"]]


def test_an_edit_of_any_version_is_about_that_version(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    first = versions(state)[0]["id"]
    page.edit(state.session.token, first, Edit(change={"tempo": 120}))
    ended(page, state.session.token)
    assert Path(str(engine.requests[-1].turn.audio)).stem == first and versions(state)[2]["parent"] == first


def test_a_card_says_that_a_change_is_made_and_why_it_failed(
    page: Page, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = asked(page, "play notes")
    [first] = versions(state)
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we play notes wait")
    page.edit(state.session.token, first["id"], PLAYED_FASTER)
    assert card(state)["status"] == "working" and state.busy
    engine.leaves.release(8)
    seen(state, lambda view: len(view.versions) == 2)
    assert card(state)["progress"][1] == 2.0 and not versions(state)[1]["complete"] and versions(state)[1]["tempo"] == 90
    engine.leaves.release(50)
    assert card(ended(page, state.session.token))["status"] == "done" and card(state)["progress"] is None
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we stumble")
    page.edit(state.session.token, first["id"], PLAYED_FASTER)
    assert "is damaged" in html(ended(page, state.session.token)) and len(versions(state)) == 2
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we have none")
    page.edit(state.session.token, first["id"], PLAYED_FASTER)
    assert "We have none 2.00" in html(ended(page, state.session.token)) and len(versions(state)) == 2


def test_a_message_waits_for_the_edit_before_it_and_is_about_its_result(
    page: Page, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = asked(page, "play notes")
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we play notes wait")
    page.edit(state.session.token, versions(state)[0]["id"], PLAYED_FASTER)
    page.submit(state.session.token, "make it slower", [], SHORT)
    engine.leaves.release(50)
    ended(page, state.session.token)
    assert Path(str(engine.requests[-1].turn.audio)).stem == versions(state, 0)[1]["id"]


def test_another_take_is_a_version_with_a_new_seed(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    page.another(state.session.token, versions(state)[0]["id"])
    first, second = versions(ended(page, state.session.token))
    assert [first["label"], second["label"]] == ["Take 1", "Take 2"] and first["seed"] != second["seed"]
    assert engine.requests[0].turn == engine.requests[1].turn and "keep" in first["actions"]


def test_undo_and_redo_move_what_it_means(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    token, (first, second) = state.session.token, versions(state)
    page.undo(token, second["id"])
    assert card(state)["selected"] == first["id"] and versions(state)[1]["undone"] and "redo" in versions(state)[1]["actions"]
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == first["id"]
    page.redo(token, second["id"])
    assert card(state, 0)["selected"] == second["id"] and not versions(state, 0)[1]["undone"]
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == second["id"]


def test_undo_in_words_needs_no_model(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    first, second = versions(state)
    asked(page, "undo that", state=state)
    assert len(engine.requests) == 2 and versions(state, 0)[1]["undone"] and card(state, 0)["selected"] == first["id"]
    assert views(state)[-1].text == 'Taken back: tempo from 60 bpm to 90 bpm. "It" is Happy ballad, flute at 60 bpm in C major again.'
    asked(page, "undo that", state=state)
    assert views(state)[-1].text == "There is no change to take back yet." and not versions(state, 0)[0]["undone"]
    assert second["id"] in {piece.sound.stem for exchange in state.contents.conversation.exchanges for piece in exchange.pieces}


def test_undo_in_words_is_about_what_was_asked_for_before_it(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    token = state.session.token
    first, second = versions(state)
    begun(page, "wait and make it louder, play", state=state)
    page.submit(token, "undo that", [], SHORT)
    page.submit(token, "undo this", [], SHORT)
    page.cancel(token, 3)
    assert [view.status for view in views(state)[1:]] == ["working", "waiting", "stopped"]
    engine.leaves.release(50)
    ended(page, token)
    assert [view.status for view in views(state)] == ["done", "done", "done", "stopped"]
    assert views(state)[2].text.startswith("Taken back: After.") and not versions(state, 0)[1]["undone"]
    [_, louder] = versions(state, 1)
    assert louder["undone"] and "redo" in louder["actions"]
    page.redo(token, louder["id"])
    assert not versions(state, 1)[1]["undone"]


def test_undo_in_words_takes_all_takes_of_an_answer_back(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    [first] = versions(state)
    asked(page, "make it louder, play", state=state, settings=replace(SHORT, takes=2))
    asked(page, "undo that", state=state)
    assert [version["undone"] for version in versions(state, 1)] == [False, True, True] and card(state, 1)["selected"] == first["id"]
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == first["id"]
    page.redo(state.session.token, versions(state, 1)[1]["id"])
    assert not any(version["undone"] for version in versions(state, 1))


def test_undo_in_words_waits_for_a_change_that_is_made(page: Page, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(page, "play notes")
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we play notes wait")
    page.edit(state.session.token, versions(state)[0]["id"], PLAYED_FASTER)
    page.submit(state.session.token, "undo that", [], SHORT)
    page.submit(state.session.token, "go back to take 5", [], SHORT)
    assert [view.status for view in views(state)[1:]] == ["waiting", "waiting"]
    engine.leaves.release(50)
    ended(page, state.session.token)
    assert versions(state, 0)[1]["undone"] and views(state)[1].text.startswith("Taken back: tempo from 60 bpm to 90 bpm.")
    assert views(state)[2].status == "failed" and "There is only one piece" in views(state)[2].error


def test_a_clear_ends_what_waits_to_be_taken_back(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    begun(page, "wait and make it louder, play", state=state)
    page.submit(state.session.token, "undo that", [], SHORT)
    page.clear(state.session.token)
    ended(page, state.session.token)
    page.restore(state.session.token)
    assert [view.status for view in views(state)] == ["done", "stopped", "stopped"] and not versions(state, 0)[1]["undone"]


def test_a_message_that_names_a_take_selects_it(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=3))
    asked(page, "go back to take 2", state=state)
    second = versions(state, 0)[1]["id"]
    assert len(engine.requests) == 3 and card(state, 0)["selected"] == second and views(state)[-1].text.startswith('"It" is ')
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == second
    with pytest.raises(ValueError, match="There are 3 pieces to choose from"):
        asked(page, "take 7", state=state)


def test_the_kept_take_is_the_one_that_is_meant(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=3))
    second = versions(state)[1]["id"]
    assert all("keep" in version["actions"] for version in versions(state))
    page.keep(state.session.token, second)
    assert [version["kept"] for version in versions(state)] == [False, True, False] and card(state)["selected"] == second
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == second


def test_the_newest_piece_is_the_first_of_the_library(page: Page) -> None:
    state = asked(page, "play notes", settings=replace(SHORT, takes=2))
    asked(page, "play notes", state=state)
    made = [version["id"] for index in (0, 1) for version in versions(state, index)]
    assert [entry["id"] for entry in state.snapshot()["library"]] == made[::-1]
    for record in state.contents.pieces.values():
        record.made_at = 1_700_000_000.0  # a quick machine makes several within one tick of its clock
    state.library_changed()
    assert [entry["id"] for entry in state.snapshot()["library"]] == made[::-1]


def test_the_library_says_which_piece_an_edit_came_from(page: Page) -> None:
    state = asked(page, "play notes")
    token, first = state.session.token, versions(state)[0]["id"]
    page.rename(token, first, "Mine")
    page.edit(token, first, PLAYED_FASTER)
    ended(page, token)
    assert [entry["origin"] for entry in state.snapshot()["library"]] == ["Mine", ""]


def test_stars_and_names_are_in_the_library(page: Page) -> None:
    state = asked(page, "play notes")
    token, piece = state.session.token, versions(state)[0]["id"]
    page.star(token, piece, True)
    page.rename(token, piece, "  My\nfirst  waltz ")
    [entry] = state.snapshot()["library"]
    assert (entry["starred"], entry["title"], entry["id"], entry["exchange"]) == (True, "My first waltz", piece, 0)
    assert entry["facts"]["key"] == "C major" and "chips" not in entry and versions(state)[0]["title"] == "My first waltz"
    page.star(token, piece, False)
    assert not state.snapshot()["library"][0]["starred"]
    for name in (" ", "x" * 81):
        with pytest.raises(ValueError, match="characters; give one of 1 to 80"):
            page.rename(token, piece, name)


def test_a_deleted_piece_is_gone_everywhere(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    first, second = versions(state)
    (state.session.folder / f"{second['id']}-stem-melody.wav").write_bytes(b"made of it")
    page.delete(state.session.token, second["id"])
    assert [version["id"] for version in versions(state)] == [first["id"]] and card(state)["selected"] == first["id"]
    assert [file for file in files_of(page, state) if first["id"] in file.name] and len(state.snapshot()["library"]) == 1
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == first["id"]
    page.delete(state.session.token, first["id"])
    assert "<music-card" not in html(state, 0) and state.snapshot()["library"] == []
    for act in (page.delete, page.undo, page.another, page.keep):
        with pytest.raises(ValueError, match="There is no such piece"):
            act(state.session.token, first["id"])


def test_it_never_leads_to_a_deleted_piece(page: Page, engine: ScriptedEngine) -> None:
    state = edited(page)
    first, second = versions(state)
    page.delete(state.session.token, first["id"])
    page.undo(state.session.token, second["id"])
    for _ in range(2):
        asked(page, "make it slower, play", state=state)
        view = views(state)[-1]
        assert (view.status, view.reference) == ("done", None) and engine.requests[-1].turn.audio is None
        page.delete(state.session.token, view.takes[0].id)
        if second["id"] in state.contents.pieces:
            page.delete(state.session.token, second["id"])


def test_an_edit_counts_for_the_address_of_its_piece(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "event_client_address", lambda: "192.0.2.7")
    addresses, answer = [], page.service.answer

    def noted(*values: Any, **names: Any) -> Any:
        addresses.append(names["client_address"])
        return answer(*values, **names)

    monkeypatch.setattr(page.service, "answer", noted)
    edited(page)
    assert addresses == ["192.0.2.7", "192.0.2.7"]


def test_a_piece_gives_its_settings_back(page: Page) -> None:
    settings = replace(SHORT, seed=None, guidance=2.0)
    state = asked(page, "play notes", settings=settings)
    [version] = versions(state)
    reused = page.reuse(state.session.token, version["id"])
    assert reused["message"] == "play notes" and reused["settings"]["seed"] == version["seed"]
    assert (reused["settings"]["seconds"], reused["settings"]["guidance"], reused["settings"]["new_seed"]) == (2.0, 2.0, False)


def test_a_card_has_a_bounded_number_of_versions(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece_actions, "MAX_VERSIONS", 2)
    state = edited(page)
    with pytest.raises(ValueError, match="the most that it keeps; delete one"):
        page.edit(state.session.token, versions(state)[0]["id"], PLAYED_FASTER)
    assert card(state)["status"] == "done"


def test_a_change_of_a_recording_stands_beside_it(page: Page, engine: ScriptedEngine, recording: Path) -> None:
    state = asked(page, "what is this", [recording])
    upload = views(state)[0].uploads[0]
    assert "<music-card" in html(state) and "data-compact" in html(state) and "x0card" not in html(state)
    page.edit(state.session.token, upload.id, PLAYED_FASTER)
    before, after = versions(ended(page, state.session.token))
    assert (before["kind"], before["id"], after["parent"]) == ("before", upload.id, upload.id)
    assert Path(str(engine.requests[-1].turn.audio)).stem == upload.id


# -- clear ----------------------------------------------------------------------------------------------------------------


def test_a_clear_can_be_taken_back(page: Page) -> None:
    state = edited(page)
    token, before, files = state.session.token, state.snapshot(), files_of(page, state)
    page.clear(token)
    cleared = state.snapshot(before["version"])
    assert (cleared["count"], cleared["library"], cleared["changed"]) == (0, [], {}) and 9 < cleared["undo_clear"] <= 10
    assert files_of(page, state) == files, "not before its time is over"
    asked(page, "hello", state=state)
    page.restore(token)
    after = state.snapshot(cleared["version"])
    assert (after["count"], after["undo_clear"]) == (2, None) and after["changed"]["0"] == before["changed"]["0"]
    assert after["library"] == before["library"] and files_of(page, state) == files
    assert [exchange.message for exchange in state.contents.conversation.exchanges] == ["play notes", "we play notes 90 bpm", "hello"]
    with pytest.raises(ValueError, match="can be taken back for 10 seconds"):
        page.restore(token)


def test_a_restored_conversation_means_the_same_piece(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=3))
    second, token = versions(state)[1]["id"], state.session.token
    asked(page, "go back to take 2", state=state)
    page.clear(token)
    asked(page, "hello", state=state)
    page.restore(token)
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == second
    page.clear(token)
    asked(page, "play again", state=state)
    page.restore(token)
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == versions(state, 4)[0]["id"]


def test_what_was_cleared_is_deleted_in_time(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "RESTORE_SECONDS", 0.2)
    state = edited(page)
    old = files_of(page, state)
    page.clear(state.session.token)
    asked(page, "play notes", state=state)
    seen(state, lambda view: state.snapshot()["undo_clear"] is None)
    for file in old:
        assert not file.exists()
    assert [file.suffix for file in files_of(page, state)] == [".mid", ".wav"], "what is new stays"
    with pytest.raises(ValueError, match="What was cleared is deleted"):
        page.restore(state.session.token)


def test_a_second_clear_ends_the_first(page: Page) -> None:
    state = asked(page, "play notes")
    old = files_of(page, state)
    page.clear(state.session.token)
    asked(page, "play notes", state=state)
    page.clear(state.session.token)
    assert not [file for file in old if file.exists()] and len(files_of(page, state)) == 2
    page.restore(state.session.token)
    assert len(views(state)) == 1


def test_a_clear_ends_the_work(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "play wait")
    engine.leaves.release(5)
    seen(state, lambda view: view.versions)
    page.submit(state.session.token, "wait for this", [], SHORT)
    page.clear(state.session.token)
    assert engine.requests[0].finished.wait(10) and not state.busy
    assert ended(page, state.session.token).snapshot()["count"] == 0
    page.restore(state.session.token)
    assert [(view.status, view.message) for view in views(state)] == [("stopped", "play wait"), ("stopped", "wait for this")]
    assert len(engine.requests) == 1 and not [file for file in files_of(page, state) if file.suffix == ".wav"]
