"""The media worker: what a file does to it costs one request one sentence; what it reads equals what is read in this process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import worker_faults
from test_engine import reply, same

import llama
from DataSet.synthesis.composer import compose
from llama.dialogue import Turn
from llama.generation import GenerationOptions
from llama.media.audio import Waveform
from llama.media.midi import write_midi
from llama.media.score import Attributes
from llama.media.score_file import read_score
from llama.serving import media_client
from llama.serving.engine import Engine
from llama.serving.media_client import MediaWorkerClient
from llama.serving.request import EngineDeadError, QueueFullError

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "assets/examples"
TIMEOUT = 60.0  # seconds


@pytest.fixture(scope="module")
def worker() -> Iterator[MediaWorkerClient]:
    """Without the decoders' imports, so that another one starts fast."""
    with MediaWorkerClient(memory=1 << 30, queue_seconds=0.2, modules=()) as worker:
        yield worker


def gone(process: int | None) -> bool:
    """Whether the process ends within the time that a machine under load needs."""
    end = time.monotonic() + TIMEOUT
    while Path(f"/proc/{process}").exists() and "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    "function, arguments, seconds, words",
    [
        (worker_faults.crash, (), 60.0, "song.m4a ended the process that reads files; it is damaged or too large"),
        (worker_faults.allocate, (8,), 60.0, "song.m4a takes more than 1 GB of memory to read"),
        (worker_faults.wait, (1000.0,), 0.5, "song.m4a takes longer than 0.5 seconds to read"),
        (worker_faults.hang, (), 0.5, "song.m4a takes longer than 0.5 seconds to read"),
        (worker_faults.print_and_fail, ("secret",), 60.0, "song.m4a cannot be read; it is damaged"),
    ],
)
def test_what_a_file_does_to_the_worker_is_one_sentence(
    worker: MediaWorkerClient, function: Callable[..., object], arguments: tuple[object, ...], seconds: float, words: str,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "seconds", seconds)
    with pytest.raises(ValueError, match=words) as caught:
        worker.call("song.m4a", function, *arguments)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 150 and "secret" not in text
    assert len(caplog.messages) == 1 and "\n" not in caplog.messages[0] and function.__name__ in caplog.messages[0]
    monkeypatch.undo()
    assert worker.call("song.m4a", worker_faults.answer, 42) == 42
    assert capfd.readouterr() == ("", "")


def test_a_library_that_asks_for_too_much_gets_nothing(worker: MediaWorkerClient) -> None:
    assert worker.call("a", worker_faults.allocate_in_c, 8) == 0
    assert worker.call("a", worker_faults.allocate_in_c, 0) != 0


@pytest.mark.parametrize("function, kind", [(worker_faults.refuse, ValueError), (worker_faults.miss, FileNotFoundError)])
def test_errors_of_users_arrive_as_themselves(
    worker: MediaWorkerClient, function: Callable[[str], None], kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    process = worker.pid
    with pytest.raises(kind, match="^There is no file a; check the name.$"):
        worker.call("a", function, "There is no file a; check the name.")
    assert worker.pid == process and not caplog.messages


def test_arrays_cross_the_pipe(worker: MediaWorkerClient) -> None:
    transposed, rows, empty = worker.call("a", worker_faults.arrays, 100_000)
    expected, *_ = worker_faults.arrays(100_000)
    assert np.array_equal(transposed, expected) and transposed.flags.writeable and rows == 100_000 and empty.shape == (0, 2)


def test_an_answer_that_was_not_read_to_its_end_is_not_that_of_the_next_call(
    worker: MediaWorkerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive(pipe: object) -> None:
        raise MemoryError

    monkeypatch.setattr(media_client, "receive_value", receive)
    with pytest.raises(MemoryError):
        worker.call("a", worker_faults.arrays, 100_000)
    monkeypatch.undo()
    assert worker.call("a", worker_faults.answer, 3) == 3


def test_a_worker_that_was_killed_between_calls_is_replaced(worker: MediaWorkerClient) -> None:
    first = worker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert worker.call("a", worker_faults.answer, 1) == 1 and worker.pid != first
    os.kill(worker.pid or 0, signal.SIGINT)  # Ctrl-C reaches all processes of the terminal
    assert worker.call("a", worker_faults.answer, 2) == 2


def test_calls_wait_for_one_another_and_not_for_ever(worker: MediaWorkerClient) -> None:
    begun = threading.Event()

    def occupy() -> None:
        with worker._lock:
            begun.set()
            done.wait(TIMEOUT)

    done, thread = threading.Event(), threading.Thread(target=occupy)
    thread.start()
    begun.wait(TIMEOUT)
    with pytest.raises(QueueFullError, match="still being read after 0.2 seconds; try again in a moment"):
        worker.call("a", worker_faults.answer, 1)
    done.set()
    thread.join()
    processes: list[int] = []
    threads = [threading.Thread(target=lambda: processes.append(worker.call("a", worker_faults.wait, 0.0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert processes == [worker.pid] * 4


def test_closing_ends_the_worker_and_a_call_under_way() -> None:
    worker, errors = MediaWorkerClient(modules=()), list[Exception]()

    def call() -> None:
        try:
            worker.call("a", worker_faults.wait, 1000.0)
        except Exception as error:
            errors.append(error)

    worker.call("a", worker_faults.answer, 1)
    thread, process = threading.Thread(target=call), worker.pid
    thread.start()
    while not worker._lock.locked():
        time.sleep(0.01)
    worker.close()
    worker.close()
    thread.join(TIMEOUT)
    assert [type(error) for error in errors] == [EngineDeadError] and gone(process)
    assert "media" not in {child.name for child in multiprocessing.active_children() if child.pid == process}
    with pytest.raises(EngineDeadError, match="closed before the file was read"):
        worker.call("a", worker_faults.answer, 1)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import worker_faults
from llama.serving.media_client import MediaWorkerClient
from llama.serving.media_worker import Task

if __name__ == "__main__":
    idle, busy = [MediaWorkerClient(modules=()) for _ in range(2)]
    idle.call("a", worker_faults.answer, 1)
    busy._worker.begin(Task(worker_faults.hang, (), {}, 0.5))
    print(idle.pid, busy.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_killed_server(tmp_path: Path) -> None:
    """Idle, and within a decoder that holds the interpreter's lock, which the system's own clock ends."""
    script = tmp_path / "server.py"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, str(script), str(ROOT / "tests")], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL and all(gone(int(pid)) for pid in done.stdout.split())


# -- equality -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader() -> Iterator[MediaWorkerClient]:
    with MediaWorkerClient() as reader:
        yield reader


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


def example(suffix: str) -> str:
    return str(next(path for path in sorted(EXAMPLES.iterdir()) if path.suffix == suffix))


def test_features_equal_those_of_files_read_in_this_process(nano: llama.MuMuLLaMA, reader: MediaWorkerClient, tmp_path: Path) -> None:
    stereo = tmp_path / "stereo.ogg"
    Waveform(torch.rand(2, 50_000) - 0.5, 44_100).write(stereo)
    for sound in (example(".flac"), str(stereo)):
        turn = Turn("What is it?", audio=sound, image=example(".jpg"), video=example(".mp4"))
        read, expected = nano.encode([reader.load(turn, nano.vivit.frames)]), nano.encode([turn])
        for name in ("audio", "image", "video"):
            assert torch.equal(getattr(read, name), getattr(expected, name)), name


@pytest.fixture()
def chained(tmp_path: Path) -> Path:
    """An Ogg file whose rate and channels change on the way."""
    parts = [tmp_path / "first.ogg", tmp_path / "second.ogg"]
    Waveform(torch.rand(2, 20_000) - 0.5, 44_100).write(parts[0])
    Waveform(torch.rand(1, 20_000) - 0.5, 24_000).write(parts[1])
    file = tmp_path / "chained.ogg"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    return file


def test_a_sound_is_read_as_it_is(reader: MediaWorkerClient, chained: Path) -> None:
    reader.load(Turn(audio=example(".flac"), image=example(".jpg"), video=example(".mp4")), 4)
    assert not reader.call("a", worker_faults.imported, "torch")  # it would take 250 MB, and seconds of each new worker
    for file in (example(".flac"), str(chained)):
        read, expected = reader.read_sound(file), Waveform.read(file)
        assert torch.equal(read.samples, expected.samples) and read.sample_rate == expected.sample_rate


def test_a_sound_without_numbers_is_told(reader: MediaWorkerClient, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full((8000, 1), np.nan, np.float32), 8000, "FLOAT")
    with pytest.raises(ValueError, match="nan.wav holds values that are not finite"):
        reader.read_sound(str(tmp_path / "nan.wav"))


def test_notes_are_read_as_they_are(reader: MediaWorkerClient, tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    write_midi(compose(np.random.default_rng(8), Attributes("piano", "strings", "ballad", 72, "minor", 4, drums=False, key=6), 12.0), path)
    assert reader.read_score(str(path)) == read_score(path)
    path.write_bytes(b"MThd, but no more")
    with pytest.raises(ValueError, match="piece.mid"):
        reader.read_score(str(path))


def test_media_that_are_no_files_stay_as_they_are(reader: MediaWorkerClient) -> None:
    turn = Turn(audio=Waveform(torch.zeros(1, 10), 8000), video=example(".mp4"))
    assert reader.load(turn, None) == turn


def test_an_engine_answers_with_its_media_worker(nano: llama.MuMuLLaMA, reader: MediaWorkerClient, tmp_path: Path) -> None:
    turn, options = Turn("Which instrument plays?", audio=example(".flac")), GenerationOptions(music=False, max_tokens=8)
    damaged = tmp_path / "damaged.flac"
    damaged.write_bytes(b"fLaC" + bytes(range(128, 256)) * 10)
    with Engine(nano, media_worker=reader) as engine:
        failing, request = engine.submit(Turn("Which?", audio=str(damaged))), engine.submit(turn, options)
        with pytest.raises(ValueError, match="damaged") as caught:
            list(failing)
        assert same(reply(list(request)), nano.respond(turn, options))
    with pytest.raises(ValueError) as expected:
        Waveform.read(damaged)
    assert str(caught.value) == str(expected.value)
