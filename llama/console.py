"""What the commands share: text of any encoding in and out, errors in one sentence, and ends that leave nothing half-written."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from llama.errors import COMMAND_ERRORS, SENTENCE_LENGTH, sentence, shorten

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has no SIGHUP
OUTPUT_LOST, INTERRUPTED = 1, 130  # exit codes


def run_command(
    command: Callable[[], int], *, prefix: str = "", failure: int = 2, errors: tuple[type[Exception], ...] = COMMAND_ERRORS
) -> int:
    """Runs a command and returns its exit code; one of `errors` becomes a sentence on standard error and the code `failure`.

    Also ends without a traceback when the reader of the output has left (1) or after Ctrl-C (130). SIGTERM and SIGHUP unwind the
    command as Ctrl-C does, so that its temporary files are removed.
    """
    make_streams_printable()
    try:
        with signals_as_exit(), plain_warnings():
            try:
                return command()
            finally:
                if sys.stdout is not None:  # None: the command was started without one
                    sys.stdout.flush()
    except BrokenPipeError:  # python would complain once more at exit
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_LOST
    except errors as error:
        print(prefix + sentence(error), file=sys.stderr)
        return failure
    except KeyboardInterrupt:
        return INTERRUPTED


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Prints warnings of this package to its user as their sentence, without the file and the line of code; others stay as they are."""
    usual = warnings.formatwarning

    def plain(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
        is_ours = category is UserWarning and Path(filename).is_relative_to(Path(__file__).parent)
        return f"{message}\n" if is_ours else usual(message, category, filename, lineno, line)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


def make_streams_printable() -> None:
    r"""Lets standard output and error print any text: what their encoding lacks, as under LC_ALL=C, becomes an escape such as \xe9."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def signals_as_exit() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit inside. One that is ignored, as under nohup, stays so; other threads have no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def argument_text(text: str) -> str:
    """A text from the command line, in which bytes that are not of the system's encoding arrive as surrogates.

    Under LC_ALL=C that may be every character beyond ASCII, so they are read as UTF-8; ValueError if they are not.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(text).decode("utf-8")
        except UnicodeError as error:
            raise ValueError(f"The text {shorten(text)} is not UTF-8; set the terminal, and LC_ALL, to UTF-8.") from error
    return text


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors quote an argument of any length shortened."""

    def error(self, message: str) -> NoReturn:
        super().error(shorten(message, SENTENCE_LENGTH))
