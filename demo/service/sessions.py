"""Sessions: one private folder per user, deleted when closed, unused for an hour, or left behind by a killed server.

    parent/                      shared by all servers of this account on this machine, 0700
      start.lock                 held while a server creates or deletes folders here, so that two starts do not interfere
      mumu-sessions-x1y2.lock    held while the server runs: the system releases it however the process ends
      mumu-sessions-x1y2/        one per server, 0700
        3f9c.../                 one per session, 0700; its name is not the token, since browsers see paths
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from demo.service.kept_scores import KeptScores
from demo.service.storage import SessionFiles, StorageBudget

LIFETIME = 3600.0  # seconds after the last use
PREFIX = "mumu-sessions-"
PRIVATE_MODE = 0o700
TOKEN_BYTES = 32  # 256 bits: cannot be guessed
NAME_BYTES = 16
START_LOCK_TIMEOUT = 60.0  # seconds to wait for another server that is starting


@dataclass(frozen=True)
class Session:
    """Session of one user. token: URL-safe secret that grants access; folder: its files."""

    token: str
    folder: Path


class Sessions:
    """Sessions of one server. Thread-safe. scores: the notes of their pieces.

    root: parent folder (None: one per account in the system's temporary folder). lifetime: seconds after the last `get`.
    clock: monotonic time in seconds. sweep_every: seconds between sweeps by a background thread (None: the caller sweeps).
    Raises ValueError if `root` belongs to another account or is writable by others.
    """

    def __init__(
        self, root: Path | None = None, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic, *,
        sweep_every: float | None = None,
    ) -> None:
        self.lifetime, self._clock = lifetime, clock
        self._guard = threading.Lock()
        self._open: dict[str, tuple[Session, float]] = {}  # token -> (session, time of last use)
        self._closed = threading.Event()
        self._process = os.getpid()
        parent = _private_folder(root or Path(tempfile.gettempdir()) / f"mumu-llama-{_account_name()}")
        with _start_lock(parent):
            _delete_stale(parent)
            self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # 0700
            self._alive = FileLock(_lock_path(self.root), timeout=0, thread_local=False)
            self._alive.acquire()
        atexit.register(self.close_all)
        self.scores = KeptScores()
        self.storage = StorageBudget(self.root, self._files)
        self._sweeper = self._start(sweep_every)

    def open(self) -> Session:
        """Creates a session with an empty folder. Raises ValueError after `close_all`."""
        session = Session(secrets.token_urlsafe(TOKEN_BYTES), self.root / secrets.token_hex(NAME_BYTES))
        with self._guard:
            if self._closed.is_set():
                raise ValueError("The server is shutting down; come back later.")
            session.folder.mkdir(mode=PRIVATE_MODE)
            self._open[session.token] = session, self._clock()
        return session

    def get(self, token: str) -> Session | None:
        """Session of a token, whose lifetime starts anew; None if it has ended or never existed."""
        with self._guard:
            entry = self._open.get(token)
            if entry is not None and self._clock() - entry[1] < self.lifetime:
                self._open[token] = entry[0], self._clock()
                return entry[0]
        self.close(token)
        return None

    def close(self, token: str) -> None:
        """Ends a session and deletes its files. Ignores unknown tokens."""
        with self._guard:
            entry = self._open.pop(token, None)
        if entry is not None:
            self.scores.pop_folder(entry[0].folder)
            _delete(entry[0].folder)

    def sweep(self) -> int:
        """Ends the sessions whose lifetime is over; returns their number."""
        with self._guard:
            now = self._clock()
            expired = [token for token, (_, last_used) in self._open.items() if now - last_used >= self.lifetime]
            sessions = [self._open.pop(token)[0] for token in expired]
        for session in sessions:
            self.scores.pop_folder(session.folder)
            try:
                _delete(session.folder)
            except OSError:  # continue with the other sessions; the rest is deleted with the server's folder
                logging.exception("the files of a session that is over could not be deleted")
        return len(sessions)

    def close_all(self) -> None:
        """Ends all sessions and the sweeper, and deletes this server's folder. Safe to call again."""
        if os.getpid() != self._process:
            return  # called at the exit of a forked child: the folder belongs to the parent
        atexit.unregister(self.close_all)
        with self._guard:
            self._closed.set()
            self._open.clear()
        self.scores.clear()
        if self._sweeper is not None and self._sweeper is not threading.current_thread():
            self._sweeper.join()
        with _start_lock(self.root.parent):
            _delete(self.root)
            self._alive.release()
            _lock_path(self.root).unlink(missing_ok=True)

    def new_file(self, session: Session, suffix: str) -> Path:
        """Path of a new file in the session's folder with a random name, such as "9d2e...c1.wav"; nothing is written."""
        return new_name(session.folder, suffix)

    def _files(self) -> list[SessionFiles]:
        """The folders of the open sessions."""
        with self._guard:
            now = self._clock()
            return [SessionFiles(session.folder, now - last_used) for session, last_used in self._open.values()]

    def _start(self, interval: float | None) -> threading.Thread | None:
        if interval is None:
            return None

        def run() -> None:
            while not self._closed.wait(interval):
                self.sweep()

        thread = threading.Thread(target=run, name="sessions-sweep", daemon=True)
        thread.start()
        return thread


def export_url(token: str, name: str, form: str, bars: str = "") -> str:
    """URL of a form (`demo.service.exports`) of the piece in a session's file, as `media_url`."""
    return f"{media_url(token, name)}/{form}" + (f"?bars={quote(bars, safe='')}" if bars else "")


def media_url(token: str, name: str, download: str = "") -> str:
    """URL of a session's file, relative to the server's root, since a proxy may serve it below any path.

    download: file name for the browser to save it under (empty: it is played or shown).
    """
    return f"media/{token}/{name}" + (f"?as={quote(download, safe='')}" if download else "")


def new_name(folder: Path, suffix: str) -> Path:
    """Path with a random hexadecimal name, which is unguessable and needs no escaping."""
    return folder / f"{secrets.token_hex(NAME_BYTES)}{suffix}"


def _account_name() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def _private_folder(path: Path) -> Path:
    """Creates `path` if it is missing. Raises ValueError for a link, or for a folder that other accounts own or may write."""
    path.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        raise ValueError(f"{path} is a link or belongs to another account; name a folder of your own for the sessions.")
    if hasattr(os, "getuid") and status.st_mode & 0o022:
        raise ValueError(f"{path} may be written by other accounts; name a folder of your own (chmod 700) for the sessions.")
    return path


def _start_lock(parent: Path) -> FileLock:
    return FileLock(parent / "start.lock", timeout=START_LOCK_TIMEOUT)


def _lock_path(root: Path) -> Path:
    return root.with_name(f"{root.name}.lock")


def _delete_stale(parent: Path) -> None:
    """Deletes the folders of servers that have ended, whose locks are free."""
    names = {entry.name.removesuffix(".lock") for entry in parent.iterdir() if entry.name.startswith(PREFIX)}
    for root in (parent / name for name in names):
        lock = FileLock(_lock_path(root), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue  # the server is running
        _delete(root)
        lock.release()
        _lock_path(root).unlink(missing_ok=True)


def _delete(folder: Path) -> None:
    """Deletes a folder; renames it first, so that writers that still use its name fail. Links are removed, not followed."""
    trash = folder.with_name(f"{PREFIX}{secrets.token_hex(NAME_BYTES)}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return  # already deleted
    if trash.is_symlink() or not trash.is_dir():
        trash.unlink()
    else:
        shutil.rmtree(trash)
