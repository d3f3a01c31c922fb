"""The media worker: a process of its own that decodes users' files one at a time, and that may die of one.

Decoders are C libraries, which a damaged file can crash, hang or fill the memory with. `media_client` is the server's side.
Plain values and NumPy arrays cross the pipe, never tensors: those would go through shared memory, of which containers have little.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llama.errors import USER_ERRORS, InstallationError, shorten

if TYPE_CHECKING:
    from llama.media.audio_reader import Part
    from llama.media.containers import Encoded

ALARM_GRACE = 2.0  # seconds after the limit at which the system ends a worker whose parent is gone
PROCESS_STATUS = Path("/proc/self/status")
LOGGED_LENGTH = 200  # characters of an error


@dataclass(frozen=True)
class Task:
    """A call for the worker, and the seconds that it may take."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class ArrayHeader:
    """Stands for an array in a message; its bytes follow the message, since pickle would copy a long recording twice."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ReadingFault:
    """An error of the worker that is none of a user's errors. kind: "memory" or "other"; description: one line for the log."""

    kind: str
    description: str


def read_sound(path: str) -> tuple[NDArray[np.float32], int]:
    """(samples [C, N], sample rate) of a recording, for `as_waveform`."""
    from llama.media.audio_reader import read_parts
    from llama.media.containers import media_file

    file = media_file(path)
    parts = read_parts(file)
    return (parts[0].samples(), parts[0].rate) if len(parts) == 1 else _join(file, parts)


def _join(file: Path | Encoded, parts: list[Part]) -> tuple[NDArray[np.float32], int]:
    """For a recording whose rate changes on the way: resampled with torch, which this process does without otherwise."""
    import torch

    from llama.media.audio import join_parts

    torch.set_num_threads(1)
    wave = join_parts(file, parts)
    return wave.samples.numpy(), wave.sample_rate


def read_picture(path: str) -> NDArray[np.uint8]:
    """`load_image` as pixels [H, W, 3]."""
    from llama.media.image import load_image

    return np.asarray(load_image(path))


def read_frames(path: str, count: int) -> NDArray[np.uint8]:
    """`load_frames`: [count, H, W, 3]."""
    from llama.media.video import load_frames

    return load_frames(path, count)


# -- the pipe -----------------------------------------------------------------------------------------------------------


def send_value(pipe: Connection, value: Any) -> None:
    """Sends a plain value, an array, or a tuple of these."""
    parts = value if isinstance(value, tuple) else (value,)
    headers = tuple(ArrayHeader(part.dtype.str, part.shape) if isinstance(part, np.ndarray) else part for part in parts)
    pipe.send(headers if isinstance(value, tuple) else headers[0])
    for part in parts:
        if isinstance(part, np.ndarray):
            pipe.send_bytes(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)


def receive_value(pipe: Connection) -> Any:
    """The value that `send_value` sent. Raises EOFError or OSError when the other end is closed."""
    value = pipe.recv()
    if isinstance(value, tuple):
        return tuple(_received(pipe, part) for part in value)
    return _received(pipe, value)


def _received(pipe: Connection, part: Any) -> Any:
    if not isinstance(part, ArrayHeader):
        return part
    array = np.empty(part.shape, part.dtype)
    pipe.recv_bytes_into(array.reshape(-1).view(np.uint8).data)
    return array


# -- the process --------------------------------------------------------------------------------------------------------


def run_worker(pipe: Connection, modules: Sequence[str], memory: int) -> None:
    """Main function of the worker: runs tasks until the server's process is gone.

    modules: imported first, since a first import takes seconds. memory: bytes that a task may take.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the server ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for module in modules:
        importlib.import_module(module)
    _limit_resources(memory)
    _silence_libraries()
    try:
        pipe.send("ready")
        for task in _tasks(pipe):
            pipe.send("begun")
            _set_alarm(task.seconds + ALARM_GRACE)
            send_value(pipe, _run(task))
            _set_alarm(0)
    except (EOFError, OSError):  # the server's process is gone
        os._exit(0)


def _tasks(pipe: Connection) -> Iterator[Task]:
    while True:
        yield pipe.recv()


def _end_with_parent() -> None:
    """Ends this process with the server's, also when that is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _set_alarm(seconds: float) -> None:
    """Has the system end this process after so many seconds: a decoder that hangs may hold the interpreter's lock."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def memory_limits_exist() -> bool:
    """Whether this system bounds the memory of a process: Linux does; macOS accepts such limits and ignores them."""
    return PROCESS_STATUS.is_file()


def _limit_resources(memory: int) -> None:
    """Bounds the memory above what this process takes now, and writes no core file, which would hold a user's data."""
    if not memory_limits_exist():
        return
    import resource

    taken = re.search(r"VmData:\s+(\d+)", PROCESS_STATUS.read_text())
    assert taken is not None
    _lower_limit(resource.RLIMIT_DATA, (int(taken[1]) << 10) + memory)
    _lower_limit(resource.RLIMIT_CORE, 0)


def _lower_limit(resource_id: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource_id)
    resource.setrlimit(resource_id, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _silence_libraries() -> None:
    """Discards what C libraries print about damaged files, which would fill the server's log."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _run(task: Task) -> Any:
    """The result of a task, its error if that is a user's, or a `ReadingFault`."""
    try:
        return task.function(*task.arguments, **task.options)
    except Exception as error:  # belongs to the file
        return _reported(error)


def _reported(error: Exception) -> Exception | ReadingFault:
    if _out_of_memory(error):
        return ReadingFault("memory", _describe(error))
    if type(error) in (*USER_ERRORS, InstallationError):
        return error
    return ValueError(str(error)) if isinstance(error, ValueError) else ReadingFault("other", _describe(error))


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is a lack of memory; torch raises a plain RuntimeError."""
    if error is None:
        return False
    lacking = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    return lacking or _out_of_memory(error.__cause__ or error.__context__)


def _describe(error: BaseException) -> str:
    """The error and the place that raised it in one line."""
    place = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {shorten(error, LOGGED_LENGTH)} ({Path(place.filename).name}:{place.lineno})"
