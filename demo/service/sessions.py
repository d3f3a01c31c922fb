"""A folder for each user, and its end: closed, left alone for an hour, or left over by a server that was killed.

    parent/                      one for all servers of this account on this machine, 0700
      start.lock                 held while a server makes or clears folders here, so that two starts do not cross
      mumu-sessions-x1y2.lock    held as long as the server lives: the system lets go of it however the process ends
      mumu-sessions-x1y2/        one a server, 0700
        3f9c.../                 one a session, 0700; its name is not the token, for paths are shown to browsers
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

from filelock import FileLock, Timeout

LIFETIME = 3600.0  # seconds after the last touch
PREFIX = "mumu-sessions-"
PRIVATE_MODE = 0o700
TOKEN_BYTES = 32  # 256 bits: nobody guesses one
NAME_BYTES = 16
START_LOCK_TIMEOUT = 60.0  # seconds that a start waits for another one to clear up


@dataclass(frozen=True)
class Session:
    """token: what its user shows to be let in, url-safe, told to nobody else; folder: where their files lie."""

    token: str
    folder: Path


class Sessions:
    """The sessions of one server; every method may be called from any thread.

    root: the folder above (None: one of this account in the system's folder for temporary files). lifetime: seconds
    after the last `get`. clock: seconds that only grow. sweep_every: seconds between sweeps by a thread of its own
    (None: the caller sweeps). Raises `ValueError` where `root` is no folder of this account's own.
    """

    def __init__(
        self, root: Path | None = None, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic, *,
        sweep_every: float | None = None,
    ) -> None:
        self.lifetime, self._clock = lifetime, clock
        self._guard = threading.Lock()
        self._open: dict[str, tuple[Session, float]] = {}  # token -> the session, and when it was touched last
        self._closed = threading.Event()
        self._process = os.getpid()
        parent = _private_folder(root or Path(tempfile.gettempdir()) / f"mumu-llama-{_account_name()}")
        with _start_lock(parent):
            _delete_stale(parent)
            self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # 0700
            self._alive = FileLock(_lock_path(self.root), timeout=0, thread_local=False)
            self._alive.acquire()
        atexit.register(self.close_all)
        self._sweeper = self._start(sweep_every)

    def open(self) -> Session:
        """A new session with an empty folder. Raises `ValueError` once `close_all` was called."""
        session = Session(secrets.token_urlsafe(TOKEN_BYTES), self.root / secrets.token_hex(NAME_BYTES))
        with self._guard:
            if self._closed.is_set():
                raise ValueError("The server is shutting down; come back later.")
            session.folder.mkdir(mode=PRIVATE_MODE)
            self._open[session.token] = session, self._clock()
        return session

    def get(self, token: str) -> Session | None:
        """The session of a token, which lives on for `lifetime` from now; None when it has ended or never was."""
        with self._guard:
            entry = self._open.get(token)
            if entry is not None and self._clock() - entry[1] < self.lifetime:
                self._open[token] = entry[0], self._clock()
                return entry[0]
        self.close(token)
        return None

    def close(self, token: str) -> None:
        """Ends a session and deletes its files; an unknown token is none of its business."""
        with self._guard:
            entry = self._open.pop(token, None)
        if entry is not None:
            _delete(entry[0].folder)

    def sweep(self) -> int:
        """Ends the sessions whose time is over; how many they were."""
        with self._guard:
            now = self._clock()
            expired = [token for token, (_, last_used) in self._open.items() if now - last_used >= self.lifetime]
            sessions = [self._open.pop(token)[0] for token in expired]
        for session in sessions:
            try:
                _delete(session.folder)
            except OSError:  # the others' hour is over all the same; what is left goes with the server's folder
                logging.exception("the files of a session that is over could not be deleted")
        return len(sessions)

    def close_all(self) -> None:
        """Ends every session and the sweeping, and deletes the folder of this server. Twice is once."""
        if os.getpid() != self._process:
            return  # a forked child ends: the folder is its parent's
        atexit.unregister(self.close_all)
        with self._guard:
            self._closed.set()
            self._open.clear()
        if self._sweeper is not None and self._sweeper is not threading.current_thread():
            self._sweeper.join()
        with _start_lock(self.root.parent):
            _delete(self.root)
            self._alive.release()
            _lock_path(self.root).unlink(missing_ok=True)

    def new_file(self, session: Session, suffix: str) -> Path:
        """A name in the session's folder that nobody guesses, such as "9d2e...c1.wav"; nothing is written."""
        return new_name(session.folder, suffix)

    def _start(self, interval: float | None) -> threading.Thread | None:
        if interval is None:
            return None

        def run() -> None:
            while not self._closed.wait(interval):
                self.sweep()

        thread = threading.Thread(target=run, name="sessions-sweep", daemon=True)
        thread.start()
        return thread


def new_name(folder: Path, suffix: str) -> Path:
    """Letters and digits from the system's own randomness, so that no name can be a path, an option or a guess."""
    return folder / f"{secrets.token_hex(NAME_BYTES)}{suffix}"


def _account_name() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def _private_folder(path: Path) -> Path:
    """`path`, made if it is not there. A folder or link that another account put there could be read by them."""
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
    """Deletes the folders of servers that are no more: those whose lock nobody holds."""
    names = {entry.name.removesuffix(".lock") for entry in parent.iterdir() if entry.name.startswith(PREFIX)}
    for root in (parent / name for name in names):
        lock = FileLock(_lock_path(root), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue  # alive
        _delete(root)
        lock.release()
        _lock_path(root).unlink(missing_ok=True)


def _delete(folder: Path) -> None:
    """Renamed first, so that what still writes there by name finds no folder; a link is removed, never followed."""
    trash = folder.with_name(f"{PREFIX}{secrets.token_hex(NAME_BYTES)}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return  # somebody else has deleted it
    if trash.is_symlink() or not trash.is_dir():
        trash.unlink()
    else:
        shutil.rmtree(trash)
