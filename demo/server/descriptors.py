"""File descriptors: the limit of the process, how many connections fit into it, and a socket that survives its end."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys

MAX_DESCRIPTORS = 65_536  # wanted at most; some systems allow a billion, and what closes all possible ones is then slow
MAX_CONNECTIONS = 512  # open at a time, where the descriptors suffice
MIN_CONNECTIONS = 8
ACCEPTED_AT_ONCE = 16  # connections, before those that give way to them are closed
RESERVED = 32  # descriptors for all else that the server opens: processes, temporary files, a log


def raise_descriptor_limit() -> None:
    """Raises the process's limit on open files to what the system allows it. No effect on systems without such limits."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limit() -> int:
    """Number of connections that fit into the descriptors that are left: each may open a file, too."""
    limit, used = _descriptor_limit(), _open_descriptors()
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, (limit - used - RESERVED) // 2))


def _descriptor_limit() -> int:
    if sys.platform == "win32":
        return MAX_DESCRIPTORS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def _open_descriptors() -> int:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


class ListeningSocket(socket.socket):
    """Listening socket that closes a new connection where no descriptor is left for it.

    asyncio would log that error without end, and the connections would wait in the queue without an answer. A spare
    descriptor is given up for as long as it takes to accept and close one.
    """

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)
        self._accepted = 0

    def accept(self) -> tuple[socket.socket, object]:
        """As socket's. Raises BlockingIOError, after which asyncio does other work first, where it has closed a connection and
        after every `ACCEPTED_AT_ONCE`."""
        self._accepted += 1
        if not self._accepted % ACCEPTED_AT_ONCE:
            raise BlockingIOError
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._spare is None:
                raise
            logging.error("a connection was closed, since no file descriptor was left for it (%s)", error.strerror)
        self._close_next()
        raise BlockingIOError

    def _close_next(self) -> None:
        self._give_up_spare()
        try:
            super().accept()[0].close()
        finally:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY)
            except OSError as error:  # another thread has taken it
                logging.error("no spare file descriptor is left (%s)", error.strerror)

    def _give_up_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)

    def close(self) -> None:
        self._give_up_spare()
        super().close()
