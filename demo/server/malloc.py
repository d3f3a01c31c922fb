"""Limit on glibc's malloc arenas, so that memory freed by one thread can be used by the others."""

from __future__ import annotations

import ctypes
import os
import sys

ARENA_MAX = -8  # M_ARENA_MAX of glibc's mallopt
ARENAS = "2"
VARIABLE = "MALLOC_ARENA_MAX"  # glibc's environment variable, which child processes inherit


def limit_malloc_arenas() -> None:
    """Limits malloc to two arenas. Call before threads start. No effect if the variable is set, or on other C libraries.

    glibc creates up to eight arenas per core, and memory that was freed in one is not reused by the others.
    """
    if not sys.platform.startswith("linux") or VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = ARENAS
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # not in other C libraries
        library.mallopt(ARENA_MAX, int(ARENAS))
