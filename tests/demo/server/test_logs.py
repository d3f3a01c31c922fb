"""The log of the server: what a request holds can neither break a line, nor colour, lengthen or flood it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from demo.server.logs import MAX_LINE, MAX_TRACEBACK_LINES, REPEAT_LIMIT, REPEAT_WINDOW, LineFormatter, RepeatFilter

Log = tuple[logging.Logger, io.StringIO]
ODD = "a\nWARNING: forged\r\x1b[31mred\x9b\x85\u2028\u202e\ud800é音"
ESCAPED = "a\\nWARNING: forged\\r\\x1b[31mred\\x9b\\x85\\u2028\\u202e\\ud800é音"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> Iterator[Log]:
    """A log that is set up as the server's is, and what it has written."""
    written, logger = io.StringIO(), logging.getLogger("tests.server.log")
    handler = logging.StreamHandler(written)
    handler.setFormatter(LineFormatter("%(levelname)s: %(message)s"))
    handler.addFilter(RepeatFilter(clock))
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, written
    logger.removeHandler(handler)


def test_a_message_has_one_line(log: Log) -> None:
    logger, written = log
    logger.warning("the path %s is odd", ODD)
    assert written.getvalue() == f"WARNING: the path {ESCAPED} is odd\n"


def test_a_line_is_no_longer_than_a_log_takes(log: Log) -> None:
    logger, written = log
    logger.warning("%s the end", "\n" * 1_000_000)
    logger.error("failed", exc_info=ValueError("x" * 1_000_000))
    lines = written.getvalue().splitlines()
    assert len(lines) == 3 and max(map(len, lines)) == MAX_LINE and lines[0].endswith(" the end")


@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError])
def test_an_exception_has_the_lines_of_its_frames_and_one_of_its_own(log: Log, kind: type[Exception]) -> None:
    logger, written = log
    try:
        try:
            raise ValueError(ODD)
        except ValueError as error:
            raise kind(ODD) from error
    except kind:
        logger.exception("a request failed")
    lines = written.getvalue().splitlines()
    assert lines[0] == "ERROR: a request failed" and lines.count("Traceback (most recent call last):") == 2
    assert sum("raise kind(ODD) from error" in line for line in lines) == 1, "the source is shown"
    assert [line for line in lines if "forged" in line and not line.startswith(("ValueError: a", f"{kind.__name__}: "))] == []
    assert f"ValueError: {ESCAPED}" in lines and not set(written.getvalue()) & set("\r\x1b\x85\u2028\ud800")


def test_a_deep_traceback_is_shortened(log: Log) -> None:
    logger, written = log

    def first(depth: int) -> None:
        second(depth)

    def second(depth: int) -> None:
        if not depth:
            raise ValueError("the bottom")
        first(depth - 1)

    try:
        first(200)
    except ValueError:
        logger.exception("failed")
    lines = written.getvalue().splitlines()
    assert len(lines) == MAX_TRACEBACK_LINES + 2 and lines[-1] == "ValueError: the bottom" and any("left out" in line for line in lines)


def test_repeats_are_counted_and_others_are_heard(log: Log, clock: Clock) -> None:
    logger, written = log

    def attack(times: int) -> None:
        for number in range(times):
            logger.warning("accept failed %d", number)

    attack(1000)
    logger.warning("something else")
    lines = written.getvalue().splitlines()
    assert len(lines) == REPEAT_LIMIT + 1 and "left out for 60 s" in lines[-2] and lines[-1] == "WARNING: something else"
    clock.now += REPEAT_WINDOW
    attack(1)
    assert written.getvalue().splitlines()[-1] == f"WARNING: accept failed 0 ({1000 - REPEAT_LIMIT} like it were left out before)"


def test_errors_of_one_call_that_come_from_elsewhere_are_heard(log: Log) -> None:
    logger, written = log

    def fails(number: int) -> None:
        if number % 2:
            raise ValueError("odd")
        raise ValueError("even")

    for number in range(100):
        try:
            fails(number)
        except ValueError:
            logger.exception("a request failed")
    lines = written.getvalue().splitlines()
    assert lines.count("ValueError: odd") == lines.count("ValueError: even") == REPEAT_LIMIT
