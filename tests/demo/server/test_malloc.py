"""The server's heaps: few, set before its threads start, and left alone where somebody has set them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Each thread takes a block and gives it back; glibc tells on the error stream how many heaps they took it from.
SCRIPT = """
import ctypes, threading
from demo.server.malloc import limit_malloc_arenas
limit_malloc_arenas()

library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
together = threading.Barrier(8)
def take():
    together.wait()
    block = library.malloc(1000)
    together.wait()
    library.free(block)
threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
library.malloc_stats()
"""


def heaps(**environment: str) -> int:
    given = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, cwd=ROOT, env={**given, **environment}, capture_output=True, text=True, check=True)
    return sum(line.startswith("Arena ") for line in run.stderr.splitlines())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has these heaps")
def test_threads_share_two_heaps_unless_told_otherwise() -> None:
    if heaps(MALLOC_ARENA_MAX="5") != 5:
        pytest.skip("this C library does not tell its heaps")
    assert heaps() == 2
