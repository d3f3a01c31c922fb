"""The answers of one session that run one after the other in a thread of their own, and those that wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

MAX_WAITING = 5  # messages of one session
QUEUE_FULL = f"{MAX_WAITING} messages wait for their answers already; cancel one of them, or wait for the next answer."


class Runnable(Protocol):
    """An answer. run: makes it, in the queue's thread; stop: ends it and keeps the music so far; discard: ends it and keeps nothing.

    is_making: whether it still makes words or music, so that there is something to stop.
    """

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def discard(self) -> None: ...

    @property
    def is_making(self) -> bool: ...


class AnswerQueue:
    """Queue of answers with a thread while there are any. lock: of the session; name: of the thread."""

    def __init__(self, lock: threading.RLock, name: str) -> None:  # type: ignore[valid-type]
        self._lock, self._name = lock, name
        self._changed = threading.Condition(lock)  # type: ignore[arg-type]
        self._earlier: AnswerQueue | None = None
        self._waiting: deque[Runnable] = deque()
        self._running: Runnable | None = None
        self._has_thread = False

    def wait_for(self, other: AnswerQueue) -> None:
        """Begins an answer only while `other` has none."""
        self._earlier = other

    def add(self, answer: Runnable) -> bool:
        """Queues an answer; whether another one is before it. Raises ValueError if too many wait."""
        with self._lock:
            waits = self._running is not None or bool(self._waiting)
            if len(self._waiting) - (self._running is None) >= MAX_WAITING:
                raise ValueError(QUEUE_FULL)
            self._waiting.append(answer)
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            return waits

    def remove(self, is_meant: Callable[[Runnable], bool]) -> bool:
        """Takes an answer out that waits. False if it has begun, or is not there."""
        with self._lock:
            answer = next((answer for answer in self._waiting if is_meant(answer)), None)
            if answer is None:
                return False
            self._waiting.remove(answer)
            return True

    def stop(self) -> None:
        """Stops the running answer."""
        with self._lock:
            running = self._running
        if running is not None:
            running.stop()

    def discard(self) -> tuple[Runnable, ...]:
        """Empties the queue; returns the answers that were in it, the running one first, to be discarded."""
        with self._lock:
            answers = (*(() if self._running is None else (self._running,)), *self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
            return answers

    @property
    def is_idle(self) -> bool:
        return self._running is None and not self._waiting

    @property
    def is_making(self) -> bool:
        """Whether there is something to stop."""
        return bool(self._waiting) if self._running is None else self._running.is_making

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until no answer runs or waits; False if that took longer than `timeout` seconds."""
        with self._lock:
            return self._changed.wait_for(lambda: self.is_idle, timeout)

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._earlier is not None:
                    self._earlier.wait()
                if not self._waiting:
                    self._has_thread = False
                    return
                self._running = self._waiting.popleft()
            try:
                self._running.run()
            except BaseException:
                self._has_thread = False  # the next answer gets another one
                raise
            finally:
                with self._lock:
                    self._running = None
                    self._changed.notify_all()
