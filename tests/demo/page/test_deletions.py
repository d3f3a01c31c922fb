"""What is deleted and brought back: pieces in every place where they were, files in time, and uploads that a clear leaves alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from demo.page import trash
from demo.page.controller import Page
from demo.page.page_session import PageSession
from demo.page.trash import Trash
from llama.media.edit import Edit
from tests.page_helpers import SHORT, asked, card, ended, files_of, record, seen, views
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def ids(state: PageSession, index: int = 0) -> list[str]:
    return [version["id"] for version in card(state, index)["versions"]]


def everything(state: PageSession) -> Any:
    """What the page shows of a session, and what the model remembers."""
    snapshot = state.snapshot()
    return snapshot["changed"], snapshot["library"], state.contents.conversation, list(state.contents.pieces)


def is_gone(state: PageSession, piece: str) -> bool:
    return not list(state.session.folder.glob(f"{piece}*"))


def test_a_deleted_piece_comes_back_to_every_place(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes", settings=replace(SHORT, takes=3))
    token, [first, second, third] = state.session.token, ids(state)
    page.keep(token, second)
    page.rename(token, second, "My waltz")
    asked(page, "make it louder, play", state=state)  # about the kept one, which stands beside the answer
    before = everything(state)
    page.delete(token, second)
    assert ids(state) == [first, third] and second not in ids(state, 1) and second not in str(state.contents.conversation)
    [deleted] = state.snapshot()["deleted"]
    assert (deleted["id"], deleted["title"]) == (second, "My waltz") and 9 < deleted["seconds"] <= 10 and not is_gone(state, second)
    for piece in (first, third):
        page.delete(token, piece)
    for piece in (third, second, first):
        page.restore_piece(token, piece)
    assert state.snapshot()["deleted"] == [] and sorted(before[3]) == sorted(state.contents.pieces)
    assert everything(state)[:3] == before[:3]
    for piece in (second, "0123"):
        with pytest.raises(ValueError, match="for ten seconds"):
            page.restore_piece(token, piece)


@pytest.mark.parametrize("deleted", list(permutations(range(3), 2)) + list(permutations(range(3), 1)))
@pytest.mark.parametrize("is_reversed", [False, True])
def test_takes_come_back_in_their_order(page: Page, engine: ScriptedEngine, deleted: tuple[int, ...], is_reversed: bool) -> None:
    """Takes keep their numbers when deletions are taken back, whichever takes were there meanwhile."""
    state = asked(page, "play notes", settings=replace(SHORT, takes=3))
    token, before, takes = state.session.token, everything(state)[:3], ids(state)
    for index in deleted:
        page.delete(token, takes[index])
    for index in reversed(deleted) if is_reversed else deleted:
        page.restore_piece(token, takes[index])
    assert everything(state)[:3] == before


def test_what_was_it_is_it_again_unless_there_is_newer_music(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=2))
    token, first = state.session.token, ids(state)[0]
    asked(page, "go back to take 1", state=state)
    page.delete(token, first)
    page.restore_piece(token, first)
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == first
    page.delete(token, first)
    asked(page, "play something new", state=state)
    page.restore_piece(token, first)
    asked(page, "is it fast", state=state)
    assert Path(str(engine.requests[-1].turn.audio)).stem == ids(state, 3)[0]


def test_a_restored_take_is_taken_back_with_its_answer(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    asked(page, "make it louder, play", state=state, settings=replace(SHORT, takes=2))
    token, [_, one, other] = state.session.token, ids(state, 1)
    page.delete(token, other)
    page.undo(token, one)
    page.restore_piece(token, other)
    assert [version["undone"] for version in card(state, 1)["versions"]] == [False, True, True]


def test_a_piece_comes_back_after_a_clear_that_was_taken_back(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    token, [old] = state.session.token, ids(state)
    page.clear(token)
    asked(page, "play a new one", state=state)
    [new] = ids(state)
    page.delete(token, new)
    page.restore(token)
    page.restore_piece(token, new)
    assert [[piece.sound.stem for piece in exchange.pieces] for exchange in state.contents.conversation.exchanges] == [[old], [new]]
    page.delete(token, old)
    page.clear(token)
    assert state.snapshot()["deleted"] == [] and is_gone(state, old), "a clear makes earlier deletes final"


def test_a_turn_about_a_piece_that_stays_deleted_does_not_come_back(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play notes")
    asked(page, "make it louder, play", state=state)
    token, [source], changed = state.session.token, ids(state), ids(state, 1)[-1]
    page.delete(token, changed)
    page.delete(token, source)
    page.restore_piece(token, changed)
    assert [exchange.turn.audio for exchange in state.contents.conversation.exchanges if exchange.turn] == [None, None]


def test_a_restored_piece_leaves_no_thread_waiting(page: Page) -> None:
    state = asked(page, "play notes")
    page.delete(state.session.token, ids(state)[0])
    timer = state.trash._timer
    page.restore_piece(state.session.token, card(state)["selected"] or next(name for name, _ in state.trash).removeprefix("piece "))
    assert timer is not None and state.trash._timer is None
    timer.join(30)
    assert not timer.is_alive()


def test_files_go_when_the_time_is_over(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "RESTORE_SECONDS", 0.1)
    state = asked(page, "play notes", settings=replace(SHORT, takes=2))
    token, [first, second] = state.session.token, ids(state)
    (state.session.folder / f"{first}-stem-melody.wav").write_bytes(b"made of it")
    page.delete(token, first)
    seen(state, lambda view: state.snapshot()["deleted"] == [])
    assert is_gone(state, first) and not is_gone(state, second)
    with pytest.raises(ValueError, match="deleted with its files"):
        page.restore_piece(token, first)


def test_a_session_that_ends_leaves_no_thread_and_no_file(page: Page) -> None:
    state = asked(page, "play notes")
    page.delete(state.session.token, ids(state)[0])
    timer = state.trash._timer
    assert timer is not None and timer.is_alive()
    page.sessions.close(state.session.token)
    timer.join(30)
    assert not timer.is_alive() and not state.session.folder.exists()


def test_one_thread_waits_for_all_and_the_number_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "MAX_DELETIONS", 3)
    files = [tmp_path / str(number) for number in range(5)]
    before, lock = threading.active_count(), threading.RLock()
    deletions = Trash(lambda: lock)
    for number, file in enumerate(files):
        file.touch()
        deletions.add(str(number), number, lambda file=file: [file])  # type: ignore[misc]
    assert threading.active_count() <= before + 1 and [name for name, _ in deletions] == ["2", "3", "4"]
    assert [file.exists() for file in files] == [False, False, True, True, True]
    deletions.close()


def test_deletes_restores_and_edits_at_once_break_nothing(page: Page) -> None:
    """Threads that delete, bring back and use one piece: each gets through, or is refused in a sentence."""
    state = asked(page, "play notes", settings=replace(SHORT, takes=2))
    token, [first, second] = state.session.token, ids(state)
    before, faults, start = everything(state)[:3], list[BaseException](), threading.Barrier(6)

    def repeat(*acts: Any) -> None:
        start.wait(30)
        for _ in range(40):
            for act, *fields in acts:
                try:
                    act(token, *fields)
                except ValueError:
                    continue
                except BaseException as error:
                    faults.append(error)

    acts = [[(page.delete, first), (page.restore_piece, first)]] * 2
    acts += [[(page.undo, first), (page.redo, first)], [(page.star, first, True), (page.star, first, False)]]
    acts += [[(page.reuse, first), (page.redirect, 0, "none")], [(page.delete, second), (page.restore_piece, second)]]
    threads = [threading.Thread(target=repeat, args=each) for each in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for piece in (first, second):
        if piece not in state.contents.pieces:
            page.restore_piece(token, piece)
        page.star(token, piece, False)
        page.redo(token, piece)
    assert faults == [] and [exchange.pieces for exchange in state.contents.conversation.exchanges] == [
        exchange.pieces for exchange in before[2].exchanges
    ]


def test_a_piece_that_is_deleted_while_it_is_looked_up_is_refused_in_a_sentence(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(page, "play notes", settings=replace(SHORT, takes=2))
    token, [first, second] = state.session.token, ids(state)
    find = state.piece

    def deleted_after(piece: str) -> Any:
        found = find(piece)
        monkeypatch.setattr(state, "piece", find)
        page.delete(token, piece)
        return found

    for act, piece in ((page.another, first), (page.undo, second)):
        monkeypatch.setattr(state, "piece", deleted_after)
        with pytest.raises(ValueError, match="no such piece|not in the conversation"):
            act(token, piece)


def test_a_change_of_what_is_cleared_meanwhile_is_refused(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(page, "play notes")
    token, [first], builder = state.session.token, ids(state), page.builder

    def clear(state: PageSession) -> Any:
        page.clear(token)
        return builder(state)

    monkeypatch.setattr(page, "builder", clear)
    with pytest.raises(ValueError, match="no such piece"):
        page.edit(token, first, Edit(change={"tempo": 90}))
    assert state.is_idle


# -- clear, and files that are on their way -----------------------------------------------------------------------------------


def test_a_clear_keeps_the_files_of_a_message_that_is_on_its_way(
    page: Page, engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tab sends two files; the conversation is cleared, twice, while the second one is looked into."""
    state = asked(page, "play notes")
    token, receive = state.session.token, page.service.receive
    second_begins, go_on = threading.Event(), threading.Event()

    def slow(session: Any, file: Any) -> Any:
        if isinstance(file, Path) and file.suffix == ".png":
            second_begins.set()
            assert go_on.wait(30)
        return receive(session, file)

    monkeypatch.setattr(page.service, "receive", slow)
    files = [record(tmp_path / "first.wav"), tmp_path / "second.png"]
    Image.new("RGB", (32, 32)).save(files[1])
    sending = threading.Thread(target=page.submit, args=(token, "what are these", files, SHORT))
    sending.start()
    assert second_begins.wait(30)
    old = set(ids(state))
    page.clear(token)
    page.clear(token)  # makes the first one final
    assert old.isdisjoint(file.name.partition(".")[0] for file in files_of(page, state)) and len(files_of(page, state)) == 1
    go_on.set()
    sending.join(60)
    ended(page, token)
    assert views(state)[-1].status == "done" and all(upload.path.is_file() for upload in state.contents.exchanges[-1].message.uploads)
    page.clear(token)
    page.clear(token)
    assert files_of(page, state) == [], "nothing of it is on its way any more"
