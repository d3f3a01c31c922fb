"""What a damaged file may do to the process that decodes it, as functions for the media worker. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
import sys
import time

import numpy as np


def answer(value: object) -> object:
    return value


def crash() -> None:
    """A segmentation fault."""
    ctypes.string_at(0)


def allocate(gigabytes: int) -> int:
    return len(bytearray(gigabytes << 30))


def allocate_in_c(gigabytes: int) -> int:
    """The address of memory that a C library asks for, or 0."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    return malloc(gigabytes << 30) or 0


def hang() -> None:
    """A decoder that holds the interpreter's lock for ever."""
    ctypes.PyDLL(None).pause()


def imported(module: str) -> bool:
    return module in sys.modules


def print_and_fail(text: str) -> None:
    os.write(1, text.encode())
    os.write(2, text.encode())
    raise KeyError(text)


def refuse(text: str) -> None:
    raise ValueError(text)


def miss(text: str) -> None:
    raise FileNotFoundError(text)


def wait(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def arrays(rows: int) -> tuple[np.ndarray, int, np.ndarray]:
    return np.arange(rows * 3, dtype=np.float32).reshape(rows, 3).T, rows, np.zeros((0, 2), np.uint8)
