"""Tasks of one piece on a thread pool that all pieces share: one at a time, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class SerialExecutor:
    """Runs the tasks of one piece on a shared thread pool, one at a time and in the order of submission.

    Between two tasks the pool serves other pieces, so a long one that comes in many tasks does not block them.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._lock = pool, threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()

    def submit(self, task: Callable[[], None]) -> None:
        """Queues a task, which must not raise. A running task may submit the next."""
        with self._lock:
            self._tasks.append(task)
            first = len(self._tasks) == 1
        if first:
            self._pool.submit(self._run_next)

    def _run_next(self) -> None:
        self._tasks[0]()
        with self._lock:
            self._tasks.popleft()
            pending = bool(self._tasks)
        if pending:
            self._pool.submit(self._run_next)
