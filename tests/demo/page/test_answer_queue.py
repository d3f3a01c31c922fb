"""The queue of answers: one queue that waits for another one."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from demo.page.answer_queue import AnswerQueue


class Job:
    is_making = True

    def __init__(self) -> None:
        self.ran = threading.Event()

    def run(self) -> None:
        self.ran.set()

    def stop(self) -> None: ...

    def discard(self) -> None: ...


def test_a_queue_goes_on_when_the_one_before_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    start: Any = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None if thread.name == "late" else start(thread))
    lock, waiting = threading.RLock(), threading.Event()
    before, after = AnswerQueue(lock, "late"), AnswerQueue(lock, "next")
    after.wait_for(before)
    monkeypatch.setattr(before, "wait", lambda: (waiting.set(), AnswerQueue.wait(before)))
    first, second = Job(), Job()
    before.add(first)
    after.add(second)
    assert waiting.wait(10)
    assert before.discard() == (first,)  # needs the lock, which the thread of `after` gives back when it waits
    assert second.ran.wait(10) and not first.ran.is_set() and after.wait(10)
