"""Sessions: one private folder per user, deleted when closed, unused for an hour, away for ten minutes, or left by a killed server.

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
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from demo.service.kept_scores import KeptScores
from demo.service.storage import SessionFiles, StorageBudget

LIFETIME = 3600.0  # seconds after the last use
AWAY_SECONDS = 600.0  # after its page was left, unless it is opened again
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


@dataclass(frozen=True)
class _Entry:
    """An open session. last_used, away_since: by the clock of `Sessions`; None: its page is open, or it never had one."""

    session: Session
    last_used: float
    away_since: float | None = None


class Sessions:
    """Sessions of one server. Thread-safe. scores: the notes of their pieces.

    root: parent folder (None: one per account in the system's temporary folder). lifetime: seconds after the last `get`.
    away_seconds: after `away`, unless the page comes back: the session ends then, however much it is used meanwhile.
    clock: monotonic time in seconds. sweep_every: seconds between sweeps by a background thread (None: the caller sweeps).
    Raises ValueError if `root` belongs to another account or is writable by others.
    """

    def __init__(
        self, root: Path | None = None, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic, *,
        sweep_every: float | None = None, away_seconds: float = AWAY_SECONDS,
    ) -> None:
        self.lifetime, self.away_seconds, self._clock = lifetime, away_seconds, clock
        self._guard = threading.Lock()
        self._open: dict[str, _Entry] = {}  # by token
        self._close_listeners: list[Callable[[Session], None]] = []
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
            self._open[session.token] = _Entry(session, self._clock())
        return session

    def add_close_listener(self, listener: Callable[[Session], None]) -> None:
        """Calls `listener` with every session that ends, before its files are deleted, in the thread that ends it."""
        with self._guard:
            self._close_listeners.append(listener)

    def get(self, token: str) -> Session | None:
        """Session of a token, whose lifetime starts anew; None if it has ended or never existed."""
        return self._use(token, comes_back=False)

    def here(self, token: str) -> Session | None:
        """As `get`, for a page that is open: it is away no more."""
        return self._use(token, comes_back=True)

    def _use(self, token: str, *, comes_back: bool) -> Session | None:
        with self._guard:
            entry = self._open.get(token)
            if entry is not None and not self._is_over(entry):
                away_since = None if comes_back else entry.away_since
                self._open[token] = _Entry(entry.session, self._clock(), away_since)
                return entry.session
        self.close(token)
        return None

    def away(self, token: str) -> None:
        """Tells that the page was left: the session has `away_seconds` until it ends. Ignores unknown tokens."""
        with self._guard:
            entry = self._open.get(token)
            if entry is not None:
                self._open[token] = replace(entry, away_since=self._clock())

    def _is_over(self, entry: _Entry) -> bool:
        now = self._clock()
        is_away = entry.away_since is not None and now - entry.away_since >= self.away_seconds
        return is_away or now - entry.last_used >= self.lifetime

    def close(self, token: str) -> None:
        """Ends a session and deletes its files. Ignores unknown tokens."""
        with self._guard:
            entry = self._open.pop(token, None)
        if entry is not None:
            self._end(entry.session)

    def _end(self, session: Session) -> None:
        for listener in self._close_listeners:
            listener(session)
        self.scores.pop_folder(session.folder)
        _delete(session.folder)

    def sweep(self) -> int:
        """Ends the sessions whose lifetime is over, or whose page was left for too long; returns their number."""
        with self._guard:
            expired = [token for token, entry in self._open.items() if self._is_over(entry)]
            sessions = [self._open.pop(token).session for token in expired]
        for session in sessions:
            try:
                self._end(session)
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
            sessions = [entry.session for entry in self._open.values()]
            self._open.clear()
        for session in sessions:
            for listener in self._close_listeners:
                listener(session)
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
            return [SessionFiles(entry.session.folder, now - entry.last_used) for entry in self._open.values()]

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
