"""The server's log: one line a message, which no request can break, colour, lengthen or flood."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any

from llama.errors import shorten

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MAX_LINE = 2000  # characters
MAX_TRACEBACK_LINES = 200
REPEAT_LIMIT = 10  # records of one place in the code in `REPEAT_WINDOW`; further ones are counted
REPEAT_WINDOW = 60.0  # seconds
MAX_PLACES = 1000  # whose records are counted

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
Place = tuple[str, int, type[BaseException] | None, int]


def configure_logging() -> None:
    """Writes warnings and errors to stderr as `LineFormatter` does, also those of threads, of destructors and of `warnings`.

    No effect where the program that imports the server has set up its own log.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(FORMAT))
    handler.addFilter(RepeatFilter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_error
    sys.unraisablehook = _log_unraisable


class LineFormatter(logging.Formatter):
    """Formatter that escapes line breaks, control characters and whatever else does not print, and shortens long lines.

    Only a traceback has more than one line: a request could otherwise write lines of its own into the log, or move the
    cursor of the terminal that shows it.
    """

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another formatter may have left its own there
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return shorten(super().formatMessage(record).rstrip(), MAX_LINE)

    def formatException(self, ei: Any) -> str:
        return "\n".join(traceback_lines(ei))

    def formatStack(self, stack_info: str) -> str:
        return "\n".join(shorten(line, MAX_LINE) for line in stack_info.splitlines())


def traceback_lines(exc_info: ExcInfo) -> list[str]:
    """Lines of a traceback. A frame has its two or more lines; the message of an exception, whatever it holds, has one."""
    lines: list[str] = []
    for part in traceback.TracebackException(*exc_info).format():  # type: ignore[arg-type]
        is_frame = part.lstrip(" |+").startswith("File ")
        lines += part.rstrip("\n").split("\n") if is_frame else [part.strip("\n")]
    if len(lines) > MAX_TRACEBACK_LINES:
        half = MAX_TRACEBACK_LINES // 2
        lines = [*lines[:half], f"  ... {len(lines) - 2 * half} lines left out ...", *lines[-half:]]
    return [shorten(line, MAX_LINE) for line in lines]


class RepeatFilter(logging.Filter):
    """Passes `REPEAT_LIMIT` records of each place in the code in each `REPEAT_WINDOW`, then says how many it left out.

    A server under attack meets the same error for every connection; its log would fill the disk. clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._guard = clock, threading.Lock()
        self._counts: OrderedDict[Place, tuple[float, int]] = OrderedDict()  # place -> (start of its window, records in it)

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = _place(record), self._clock()
        with self._guard:
            start, count = self._counts.pop(place, (now, 0))
            left_out = 0
            if now - start >= REPEAT_WINDOW:
                start, count, left_out = now, 0, max(0, count - REPEAT_LIMIT)
            self._counts[place] = start, count + 1
            while len(self._counts) > MAX_PLACES:
                self._counts.popitem(last=False)
        if count + 1 == REPEAT_LIMIT:
            _append(record, f"further records like this are left out for {REPEAT_WINDOW:g} s")
        elif left_out:
            _append(record, f"{left_out} like it were left out before")
        return count < REPEAT_LIMIT


def _place(record: logging.LogRecord) -> Place:
    """Where a record comes from: its call, the type of its exception, and the line that raised it."""
    kind, _, trace = record.exc_info or (None, None, None)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return record.pathname, record.lineno, kind, trace.tb_lineno if trace is not None else 0


def _append(record: logging.LogRecord, remark: str) -> None:
    record.msg, record.args = f"{shorten(record.getMessage(), MAX_LINE // 2)} ({remark})", None


def _log_thread_error(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "unknown"
    logging.error("thread %s failed", name, exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback))


def _log_unraisable(arguments: Any) -> None:  # sys.UnraisableHookArgs, which exists for type checkers only
    exc_info = arguments.exc_type, arguments.exc_value, arguments.exc_traceback
    logging.error("%s: %r", arguments.err_msg or "Exception ignored in", arguments.object, exc_info=exc_info)
