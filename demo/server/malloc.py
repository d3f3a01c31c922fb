"""How the server holds its memory: what one thread gave back serves the next."""

from __future__ import annotations

import ctypes
import os
import sys

ARENA_MAX = -8  # the number by which glibc's mallopt knows it
ARENAS = "2"
VARIABLE = "MALLOC_ARENA_MAX"  # by which it is set from outside, and for the processes that this one starts


def limit_malloc_arenas() -> None:
    """Lets all threads share two heaps. To be called before they start; nothing where it is set already, or has no meaning.

    glibc gives threads up to eight heaps a core, and the room of a piece that was made in one of them serves no other.
    """
    if not sys.platform.startswith("linux") or VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = ARENAS
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # other C libraries have no such heaps
        library.mallopt(ARENA_MAX, int(ARENAS))
