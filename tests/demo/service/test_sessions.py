"""Sessions: private folders that end when they should, whoever kills the server."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import demo.service.sessions
from demo.service.sessions import PREFIX, Sessions

ROOT = Path(__file__).resolve().parents[3]


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "parent", lifetime=100, clock=clock)
    yield made
    made.close_all()


def roots(parent: Path) -> list[str]:
    return sorted(entry.name for entry in parent.iterdir() if entry.name.startswith(PREFIX))


def test_a_session_is_a_private_folder_found_by_its_token_alone(sessions: Sessions) -> None:
    session = sessions.open()
    assert sessions.get(session.token) == session
    assert session.folder.is_dir() and not list(session.folder.iterdir())
    for folder in (session.folder, sessions.root, sessions.root.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert session.token not in str(session.folder)  # a path that is shown lets nobody in
    for stranger in ("", session.token[:-1], session.folder.name, "../" + session.token):
        assert sessions.get(stranger) is None


def test_tokens_and_names_do_not_repeat_and_are_safe_in_an_address(sessions: Sessions) -> None:
    made = [sessions.open() for _ in range(200)]
    assert len({one.token for one in made}) == len({one.folder for one in made}) == 200
    assert all(len(one.token) >= 43 and one.token.replace("-", "").replace("_", "").isalnum() for one in made)
    names = [sessions.new_file(made[0], ".wav") for _ in range(200)]
    assert len(set(names)) == 200
    assert all(name.parent == made[0].folder and name.suffix == ".wav" and name.stem.isalnum() for name in names)
    assert not list(made[0].folder.iterdir())


def test_a_session_lives_from_its_last_touch(sessions: Sessions, clock: Clock) -> None:
    used, forgotten = sessions.open(), sessions.open()
    clock.now = 99
    assert sessions.get(used.token) == used
    clock.now = 100
    assert sessions.get(forgotten.token) is None and not forgotten.folder.exists()
    clock.now = 198.5
    assert sessions.get(used.token) == used
    clock.now = 300
    assert sessions.get(used.token) is None


def test_a_sweep_deletes_what_is_over_and_nothing_else(sessions: Sessions, clock: Clock) -> None:
    old = [sessions.open() for _ in range(3)]
    (old[0].folder / "a.wav").write_bytes(b"sound")
    clock.now = 60
    young = sessions.open()
    clock.now = 120
    assert sessions.sweep() == 3 and sessions.sweep() == 0
    assert [one.folder.exists() for one in (*old, young)] == [False, False, False, True]
    assert os.listdir(sessions.root) == [young.folder.name]


def test_a_page_that_was_left_has_its_time_to_come_back(tmp_path: Path, clock: Clock) -> None:
    sessions = Sessions(tmp_path / "parent", lifetime=3600, clock=clock, away_seconds=600)
    left, came_back = sessions.open(), sessions.open()
    for session in (left, came_back):
        sessions.away(session.token)
    sessions.away("unknown")
    clock.now = 599
    assert sessions.get(left.token) == left, "a download does not bring the page back"
    assert sessions.here(came_back.token) == came_back and sessions.sweep() == 0
    clock.now = 600
    assert sessions.here(left.token) is None and not left.folder.exists()
    clock.now = 2000
    assert sessions.get(came_back.token) == came_back
    sessions.away(came_back.token)
    clock.now = 2600
    assert sessions.sweep() == 1 and not came_back.folder.exists()
    sessions.close_all()


def test_every_end_is_told_once_and_before_the_files_go(sessions: Sessions, clock: Clock) -> None:
    ended: list[tuple[str, bool]] = []
    sessions.add_close_listener(lambda session: ended.append((session.token, session.folder.exists())))
    closed, expired = sessions.open(), sessions.open()
    sessions.close(closed.token)
    sessions.close(closed.token)
    clock.now = 100
    last = sessions.open()
    sessions.sweep()
    sessions.close_all()
    assert ended == [(closed.token, True), (expired.token, True), (last.token, True)]


def test_closing_deletes_files_and_leaves_the_neighbour(sessions: Sessions) -> None:
    mine, other = sessions.open(), sessions.open()
    for session in (mine, other):
        (session.folder / "deeper").mkdir()
        (session.folder / "deeper" / "a.wav").write_bytes(b"sound")
    sessions.close(mine.token)
    sessions.close(mine.token)
    assert sessions.get(mine.token) is None and not mine.folder.exists()
    assert (other.folder / "deeper" / "a.wav").read_bytes() == b"sound"


def test_links_are_removed_and_never_followed(sessions: Sessions, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "diary").write_text("mine")
    inside, replaced = sessions.open(), sessions.open()
    (inside.folder / "link").symlink_to(precious)
    replaced.folder.rmdir()
    replaced.folder.symlink_to(precious)
    sessions.close(inside.token)
    sessions.close(replaced.token)
    assert os.listdir(sessions.root) == [] and (precious / "diary").read_text() == "mine"


def test_a_root_that_others_could_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ValueError, match="is a link or belongs to another account; name a folder"):
        Sessions(tmp_path / "link")
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(ValueError, match="may be written by other accounts; name a folder"):
        Sessions(tmp_path / "real")


def test_the_end_leaves_nothing_and_opens_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, sweep_every=0.01)
    session = sessions.open()
    sessions.close_all()
    sessions.close_all()
    assert roots(tmp_path) == [] and sessions.get(session.token) is None
    assert "sessions-sweep" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ValueError, match="shutting down; come back later"):
        sessions.open()


def test_a_folder_that_cannot_be_deleted_does_not_end_the_sweeping(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sessions.open(), sessions.open()
    real = demo.service.sessions._delete

    def stubborn(folder: Path) -> None:
        if folder == first.folder:
            raise PermissionError(folder)
        real(folder)

    monkeypatch.setattr(demo.service.sessions, "_delete", stubborn)
    clock.now = 200
    assert sessions.sweep() == 2
    assert first.folder.is_dir() and not second.folder.exists() and sessions.get(first.token) is None
    monkeypatch.undo()


def test_the_thread_sweeps(tmp_path: Path, clock: Clock) -> None:
    sessions, swept = Sessions(tmp_path, lifetime=10, clock=clock), threading.Event()
    sessions.close_all()

    class Told(Sessions):
        def sweep(self) -> int:
            count = super().sweep()
            if count:
                swept.set()
            return count

    told = Told(tmp_path, lifetime=10, clock=clock, sweep_every=0.01)
    session = told.open()
    clock.now = 10
    assert swept.wait(30) and not session.folder.exists()
    told.close_all()


def test_many_threads_at_once(sessions: Sessions, clock: Clock) -> None:
    def live(number: int) -> str:
        session = sessions.open()
        sessions.new_file(session, ".txt").write_text(str(number))
        assert sessions.get(session.token) == session
        if number % 2:
            sessions.close(session.token)
        sessions.sweep()
        return session.folder.name if number % 2 == 0 else ""

    with ThreadPoolExecutor(16) as pool:
        kept = set(pool.map(live, range(200))) - {""}
    assert set(os.listdir(sessions.root)) == kept and len(kept) == 100
    clock.now = 1000
    with ThreadPoolExecutor(8) as pool:  # each session is counted and deleted once, whoever comes first
        assert sum(pool.map(lambda _: sessions.sweep(), range(8))) == 100
    assert os.listdir(sessions.root) == []


SERVER = """
import sys, time
from pathlib import Path
from demo.service.sessions import Sessions
sessions = Sessions(Path(sys.argv[1]), sweep_every=60)
sessions.new_file(sessions.open(), ".wav").write_bytes(b"private")
print(sessions.root.name, flush=True)
{then}
"""


def server(parent: Path, then: str) -> tuple[subprocess.Popen[str], str]:
    """A real one in a process of its own, and the name of its folder."""
    command = [sys.executable, "-c", SERVER.format(then=then), str(parent)]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    return started, started.stdout.readline().strip()


def test_a_killed_server_is_cleared_up_by_the_next_and_a_living_one_is_not(tmp_path: Path) -> None:
    killed, dead = server(tmp_path, "time.sleep(600)")
    living, alive = server(tmp_path, "time.sleep(600)")
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert list((tmp_path / dead).rglob("*.wav"))  # nobody was there to delete it
        next_one = Sessions(tmp_path)
        assert not (tmp_path / dead).exists() and not (tmp_path / f"{dead}.lock").exists()
        assert len(list((tmp_path / alive).rglob("*.wav"))) == 1
        next_one.close_all()
        assert roots(tmp_path) == [alive, f"{alive}.lock"]
    finally:
        living.kill()
        living.wait()


def test_a_server_that_ends_by_itself_leaves_nothing(tmp_path: Path) -> None:
    ended, name = server(tmp_path, "")
    assert ended.wait() == 0 and name.startswith(PREFIX) and roots(tmp_path) == []


def test_a_start_leaves_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "keep").write_text("mine")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}half").mkdir()  # a server that was killed before it took its lock, or while it deleted
    Sessions(tmp_path).close_all()
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "music", "start.lock"]
    assert (tmp_path / "elsewhere" / "keep").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_delete_its_parents_folder(sessions: Sessions) -> None:
    session = sessions.open()
    child = os.fork()
    if child == 0:
        sessions.close_all()
        os._exit(0)
    os.waitpid(child, 0)
    assert session.folder.is_dir()
