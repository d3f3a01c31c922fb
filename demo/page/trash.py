"""What a session has deleted and can bring back for ten seconds; then its files are deleted.

One thread at most waits for the next deadline, however much is deleted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESTORE_SECONDS = 10.0
MAX_DELETIONS = 60  # of one session at a time; beyond it the oldest is final


@dataclass(frozen=True, eq=False)
class Deletion:
    """Something deleted. content: what brings it back; files: those that go with it, found when its time is over.

    deadline: by the clock of its trash.
    """

    content: Any
    files: Callable[[], Iterable[Path]]
    deadline: float


class Trash:
    """Deletions of one session by name, the oldest first. `changing` is the session's lock, which tells its listeners at its end.

    Everything but `close` is called while the lock is held. clock: monotonic time in seconds.
    """

    def __init__(self, changing: Callable[[], AbstractContextManager[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._changing, self._clock = changing, clock
        self._deletions: dict[str, Deletion] = {}
        self._timer: threading.Timer | None = None

    def add(self, name: str, content: Any, files: Callable[[], Iterable[Path]]) -> None:
        """Keeps what was deleted for `RESTORE_SECONDS`; an earlier deletion of this name is final now."""
        if name in self._deletions:
            self._delete_files(name)
        elif len(self._deletions) >= MAX_DELETIONS:
            self._delete_files(next(iter(self._deletions)))
        self._deletions[name] = Deletion(content, files, self._clock() + RESTORE_SECONDS)
        self._schedule()

    def take(self, name: str) -> Any:
        """What was deleted under this name, which leaves the trash; None if its time is over."""
        deletion = self._deletions.pop(name, None)
        if self._timer is not None and not self._deletions:
            self._timer.cancel()
            self._timer = None
        return None if deletion is None else deletion.content

    def empty(self) -> None:
        """Makes all deletions final."""
        for name in tuple(self._deletions):
            self._delete_files(name)

    def seconds_left(self, name: str) -> float | None:
        """Seconds in which `take` gives something, rounded to tenths; None if it gives nothing."""
        deletion = self._deletions.get(name)
        return None if deletion is None else round(max(0.0, deletion.deadline - self._clock()), 1)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and contents."""
        return iter([(name, deletion.content) for name, deletion in self._deletions.items()])

    def close(self) -> None:
        """Forgets everything; the files go with the session."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._deletions.clear()

    def _schedule(self) -> None:
        if self._timer is None and self._deletions:
            delay = max(0.0, next(iter(self._deletions.values())).deadline - self._clock())
            self._timer = threading.Timer(delay, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def _expire(self) -> None:
        try:
            with self._changing():
                self._timer, now = None, self._clock()
                for name, deletion in tuple(self._deletions.items()):
                    if deletion.deadline <= now:
                        self._delete_files(name)
                self._schedule()
        except ValueError:  # the session was closed, and its files are deleted with it
            return

    def _delete_files(self, name: str) -> None:
        for file in self._deletions.pop(name).files():
            file.unlink(missing_ok=True)
