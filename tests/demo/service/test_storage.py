"""Room on the disk: the oldest files of all conversations give way, and a piece that cannot fit is refused before it is made."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from demo.service import storage
from demo.service.conversation import Conversation
from demo.service.errors import DISK_FULL, UserFacingError
from demo.service.growing_wav import GrowingWav
from demo.service.request import Settings
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions
from demo.service.storage import SessionFiles, StorageBudget
from llama.media.audio import Waveform
from tests.page_helpers import SHORT
from tests.scripted_engine import RATE, ScriptedEngine

pytest_plugins = ("tests.page_helpers",)

LONG_AGO = time.time() - 1000
WAV = 2 * 2 * 2 * RATE  # bytes of the samples of 2 s


class Disk:
    """What `shutil.disk_usage` says of a disk of `size` bytes that has nothing but the sessions' files."""

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size

    def __call__(self, path: object) -> SimpleNamespace:
        return SimpleNamespace(free=self.size - sum(file.stat().st_size for file in self.root.rglob("*") if file.is_file()))


@pytest.fixture
def disk(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(sessions.root, 10_000_000)
    monkeypatch.setattr(storage.shutil, "disk_usage", disk)
    return disk


def file(folder: Path, name: str, size: int, age: float = 1000) -> Path:
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def budget(tmp_path: Path) -> tuple[StorageBudget, Callable[[str, float], Path]]:
    """Room for 1000 bytes, and a function that adds a session."""
    open_sessions = list[SessionFiles]()

    def add(name: str, idle: float) -> Path:
        (tmp_path / name).mkdir()
        open_sessions.append(SessionFiles(tmp_path / name, idle))
        return tmp_path / name

    return StorageBudget(tmp_path, lambda: open_sessions, max_bytes=1000), add


def test_the_oldest_pieces_of_the_session_that_is_longest_unused_go_first(budget: tuple) -> None:
    storage_budget, add = budget
    own, recent, idle, idlest = add("own", 0), add("recent", 35), add("idle", 300), add("idlest", 600)
    ages = {"a": 900, "b": 800}
    pieces = [(folder, stem, age) for folder in (own, recent, idle, idlest) for stem, age in ages.items()]
    files = {folder.name + stem: file(folder, f"{stem}.wav", 100, age) for folder, stem, age in pieces}
    beside = file(idlest, "a.mp3", 10, 700)  # the same piece in another form, by which it is newer
    order = []
    for size in (290, 400, 500, 600, 700, 800, 900, 1000):
        with storage_budget.room(size, own):
            order += [name for name, path in files.items() if not path.exists() and name not in order]
    assert order == ["idlestb", "idlesta", "idlea", "idleb", "recenta", "recentb", "owna", "ownb"] and not beside.exists()


def test_what_is_under_way_stays_and_nothing_goes_in_vain(budget: tuple) -> None:
    storage_budget, add = budget
    own, busy, waiting, idle = add("own", 0), add("busy", 5), add("waiting", 300), add("idle", 300)
    playing, growing, upload = file(busy, "playing.wav", 200), file(own, "growing.wav", 100, age=1), file(waiting, "upload.wav", 100)
    over = file(idle, "over.wav", 200, age=1)
    storage_budget.protect(waiting)
    with pytest.raises(UserFacingError) as told:
        storage_budget.reserve(601, own)
    assert told.value.category == "full" and str(told.value) == DISK_FULL
    assert all(path.exists() for path in (playing, growing, upload, over))
    with storage_budget.room(600, own):
        assert all(path.exists() for path in (playing, growing, upload)) and not over.exists()
    storage_budget.unprotect(waiting)
    with storage_budget.room(601, own):
        assert all(path.exists() for path in (playing, growing)) and not upload.exists()


def test_what_vanishes_while_room_is_made_is_left_out(budget: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session's files are deleted, or the session is closed, at any moment."""
    storage_budget, add = budget
    own, other, closed = add("own", 0), add("other", 600), add("closed", 600)
    vanished, kept = file(other, "a.wav", 100), file(other, "b.wav", 900)
    lstat, glob = Path.lstat, Path.glob

    def lstat_of_the_rest(path: Path) -> os.stat_result:
        if path == vanished:
            raise FileNotFoundError(path)
        return lstat(path)

    def glob_of_the_rest(path: Path, pattern: str) -> Iterator[Path]:
        if path == closed:
            raise FileNotFoundError(path)
        return glob(path, pattern)

    monkeypatch.setattr(Path, "lstat", lstat_of_the_rest)
    monkeypatch.setattr(Path, "glob", glob_of_the_rest)
    with storage_budget.room(100, own):
        assert kept.exists()
    with storage_budget.room(101, own):
        assert not kept.exists()


def test_room_is_given_once(budget: tuple) -> None:
    storage_budget, add = budget
    own = add("own", 0)
    first = storage_budget.reserve(600, own)
    with pytest.raises(UserFacingError):
        storage_budget.reserve(500, own)
    file(own, "first.wav", 400, age=0)
    first.written(400)
    second = storage_budget.reserve(400, own)
    storage_budget.release(first)
    storage_budget.release(first)
    storage_budget.release(second)
    storage_budget.release(storage_budget.reserve(600, own))


def test_a_piece_that_grows_slowly_stays(sessions: Sessions, session: Session, disk: Disk) -> None:
    """On a slow machine the next chunk of a take may need longer than a file counts as new; other takes need room meanwhile."""
    disk.size = 1_000_000
    growing = GrowingWav(sessions, session, 2.0, "waltz", 1)
    growing.add(Waveform(torch.zeros(2, RATE), RATE))
    [path] = session.folder.iterdir()
    os.utime(path, (LONG_AGO,) * 2)
    with pytest.raises(UserFacingError), sessions.storage.room(900_000 - WAV // 2, session.folder):
        pass
    assert path.exists()
    growing.discard()
    with sessions.storage.room(900_000 - WAV // 2, session.folder):
        assert not path.exists()


def test_all_sessions_together_leave_a_part_of_the_disk_free(sessions: Sessions, session: Session, disk: Disk) -> None:
    disk.size = 1000
    old = file(session.folder, "old.wav", 500)
    with sessions.storage.room(400, session.folder):
        assert old.exists()
    with sessions.storage.room(401, session.folder):
        assert not old.exists(), "a tenth of the disk stays free"


def test_a_disk_full_of_earlier_pieces_takes_the_next_one(
    engine: ScriptedEngine, sessions: Sessions, session: Session, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten pieces on a disk that has room for two; all are whole while they are the newest."""
    monkeypatch.setattr(storage, "BUSY", 0.0)
    disk.size = int(4.5 * WAV)
    work = ChatService(engine, sessions)  # type: ignore[arg-type]
    sounds = list[Path]()
    for seed in range(10):
        update = list(work.answer(sessions.open(), Conversation(), "play", [], Settings(seconds=2.0, seed=seed)))[-1]
        sounds.append(update.pieces[0].sound)
        assert sounds[-1].is_file()
        os.utime(sounds[-1], (LONG_AGO + seed,) * 2)
    assert 1 <= sum(sound.exists() for sound in sounds) <= 3 and sounds[-1].exists() and not sounds[0].exists()


def test_a_piece_that_cannot_fit_is_refused_before_it_is_made(
    engine: ScriptedEngine, sessions: Sessions, session: Session, disk: Disk
) -> None:
    disk.size = WAV
    engine.model.music_decoder = SimpleNamespace(sample_rate=RATE, channels=2)
    work = ChatService(engine, sessions)  # type: ignore[arg-type]
    with pytest.raises(UserFacingError) as told:
        list(work.answer(session, Conversation(), "play", [], SHORT))
    assert told.value.category == "full" and not engine.requests and not list(session.folder.iterdir())
    assert list(work.answer(session, Conversation(), "talk", [], replace(SHORT, music=False))), "text needs no room"
    engine.requests.clear()
    del engine.model.music_decoder  # now it is known with the first sound
    with pytest.raises(UserFacingError) as told:
        list(work.answer(session, Conversation(), "play", [], SHORT))
    assert told.value.category == "full" and len(engine.requests) == 1 and not list(session.folder.iterdir())


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_half_written(
    work: ChatService, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other programs fill it, too."""
    written = list[Path]()

    def full(path: Path, content: bytes) -> int:
        written.append(path)
        shutil.copyfile(os.devnull, path)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserFacingError) as told:
        list(work.answer(session, Conversation(), "play", [], SHORT))
    assert written and told.value.category == "full" and not list(session.folder.iterdir())


def test_what_gave_way_is_named_when_it_is_asked_for(work: ChatService, session: Session, recording: Path) -> None:
    update = list(work.answer(session, Conversation(), "listen", [recording], SHORT))[-1]
    assert update.conversation is not None
    update.conversation.exchanges[0].uploads[0].path.unlink()
    with pytest.raises(UserFacingError, match="The recording is not here any more: it was deleted, or the server needed its room"):
        list(work.answer(session, update.conversation, "how fast is it?", [], SHORT))
