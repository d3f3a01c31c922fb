"""The music worker: answers equal those of one process; errors are reported, and the death or hang of either process is repaired."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_engine import LONG, mixture, reply, same, spoil, under_way
from test_engine_edits import BALLAD, cases, check, continuations
from test_generation import randomise_codebooks

import llama
from DataSet.synthesis.composer import compose
from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.audio_stream import AudioStreamer
from llama.decoders.musicgen.continuous_batch import CodeSequence
from llama.dialogue import Reply, Turn
from llama.generation import Event, GenerationOptions, MusicChunk, Progress
from llama.serving import worker_client
from llama.serving.engine import Engine
from llama.serving.music_batch import MusicBatch
from llama.serving.music_worker import WorkerDecoderSpec, WorkerLoop
from llama.serving.pending_music import PendingMusic
from llama.serving.request import EngineDeadError
from llama.serving.worker_client import MusicWorkerClient, should_use_worker

ROOT = Path(__file__).resolve().parents[3]
CASE = Turn("A slow, sad piano piece"), GenerationOptions(seconds=2.0, seed=1)
TIMEOUT = 60.0  # seconds


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


@pytest.fixture(scope="module")
def engine(nano: llama.MuMuLLaMA) -> Iterator[Engine]:
    with Engine(nano, use_worker=True) as engine:
        yield engine


def other(engine: Engine) -> Any:
    """The engine's music worker process."""
    assert isinstance(engine._music, MusicWorkerClient) and engine._music.process is not None
    return engine._music.process


def gone(process: int) -> bool:
    """Whether no such process is at work any more, within the time that a machine under load needs."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_answers_equal_those_of_one_process(nano: llama.MuMuLLaMA, engine: Engine) -> None:
    requests = [engine.submit(turn, options) for turn, options in mixture()]
    for (turn, options), request in zip(mixture(), requests, strict=True):
        events = list(request)
        assert same(reply(events), nano.respond(turn, options))
        seconds = [event.seconds for event in events if isinstance(event, Progress)]
        assert seconds == sorted(seconds) and bool(seconds) == any(isinstance(event, MusicChunk) for event in events)


def test_edits_equal_those_of_one_process(nano: llama.MuMuLLaMA, engine: Engine) -> None:
    score = compose(np.random.default_rng(8), BALLAD, 12.0)
    requests = [engine.submit(*case) for case in cases(score)]
    for case, request in zip(cases(score), requests, strict=True):
        check(list(request), nano.respond(*case))


def test_the_spec_keeps_weights_and_settings(nano: llama.MuMuLLaMA) -> None:
    decoder = nano.music_decoder
    copy = WorkerDecoderSpec.of(decoder).decoder()
    for name, value in decoder.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value), name
    settings = ("guidance", "temperature", "top_k", "context_window", "streams", "condition_shape", "sample_rate", "hop", "audio_channels")
    assert [getattr(copy, name) for name in settings] == [getattr(decoder, name) for name in settings]


def test_a_cancelled_request_leaves_the_worker(engine: Engine) -> None:
    request = engine.submit(Turn("A slow, sad piano piece"), LONG)
    under_way(request)
    request.cancel()
    assert reply(list(engine.submit(*CASE))).music is not None
    assert isinstance(engine._music, MusicWorkerClient) and not engine._music._pending


def check_piece(events: list[Event], expected: Reply) -> None:
    """The complete reply and the chunks before it are those of an undisturbed piece; progress never runs backwards."""
    assert expected.music is not None and same(reply(events), expected)
    chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
    assert torch.equal(torch.cat(chunks, -1), expected.music.samples)
    seconds = [event.seconds for event in events if isinstance(event, Progress)]
    assert seconds == sorted(seconds)


PIECE = Turn("A slow, sad piano piece"), GenerationOptions(seconds=16.0, seed=1, temperature=1.0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_piece_whose_worker_dies_or_hangs_arrives_as_if_nothing_had_happened(
    nano: llama.MuMuLLaMA, engine: Engine, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, handle = nano.respond(*PIECE), PendingMusic.handle
    assert reply(list(engine.submit(*CASE))).music is not None
    worker, stopped = other(engine), list[int]()

    def stop_on_the_way(music: PendingMusic, kind: str, *values: Any) -> None:
        """At the first progress. The sound after it is more than a pipe holds, so it cannot have been sent meanwhile."""
        if kind == "event" and values[0].seconds > 0 and not stopped:
            stopped.append(worker.pid)
            monkeypatch.setattr(worker_client, "LOOP_TIMEOUT", 1.0)
            os.kill(worker.pid, number)
        handle(music, kind, *values)

    monkeypatch.setattr(PendingMusic, "handle", stop_on_the_way)
    events = iter(engine.submit(*PIECE))
    before = list[Event]()
    while not stopped:
        before.append(next(events))
    assert gone(worker.pid)
    monkeypatch.setattr(worker_client, "LOOP_TIMEOUT", TIMEOUT)  # again, for the second worker
    check_piece([*before, *events], expected)
    assert other(engine).pid != worker.pid


def test_closing_the_engine_ends_its_worker(nano: llama.MuMuLLaMA) -> None:
    before = threading.active_count()
    engine = Engine(nano, use_worker=True)
    events, process = under_way(engine.submit(Turn("A slow, sad piano piece"), LONG)), other(engine).pid
    engine.close()
    engine.close()
    with pytest.raises(EngineDeadError, match="closed before the answer"):
        list(events)
    assert gone(process) and threading.active_count() == before


KILLED = """
import os, sys, llama
from llama.dialogue import Turn
from llama.serving.engine import Engine
from llama.generation import GenerationOptions, Progress

if __name__ == "__main__":
    engine = Engine(llama.load(sys.argv[1]), use_worker=True)
    events = iter(engine.submit(Turn("A slow, sad piano piece"), GenerationOptions(max_tokens=40, seconds=600.0)))
    assert any(isinstance(event, Progress) for event in events)
    print(engine._music.process.pid, flush=True)
    for event in events: pass
"""


def test_a_killed_engine_leaves_no_worker_behind(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(ROOT / "ckpts/nano")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as engine:
        assert engine.stdout is not None
        music = int(engine.stdout.readline())
        assert Path(f"/proc/{music}").exists()
        engine.send_signal(signal.SIGKILL)
    assert gone(music)


# -- errors in the worker, on a thread of this process -------------------------------------------------------------


class Death(BaseException):
    """Ends a worker's thread, as a crash ends a process."""


class ThreadWorkerClient(MusicWorkerClient):
    """Client whose worker is a thread of this process, so that a test can patch it."""

    started, killed = 0, threading.Event()  # of the newest worker

    def _start_process(self) -> tuple[Any, Connection]:
        kind = type(self)
        kind.started, kind.killed = kind.started + 1, threading.Event()
        pipe, theirs = multiprocessing.Pipe()
        loop = WorkerLoop(theirs, MusicBatch(self.decoder, ThreadPoolExecutor(1)))

        def run() -> None:
            with theirs, suppress(Death):
                loop.run()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return SimpleNamespace(join=thread.join, kill=kind.killed.set), pipe


SPOTS = {
    "joining": (MusicBatch, "add", lambda batch, request, build: request.options.seed == 7),
    "a step": (CodeSequence, "append_codes", lambda sequence, codes: sequence.request.seeds[0] == 7 and sequence.column > 3),
    "sound": (AudioStreamer, "finish", lambda streamer, codes: streamer.samples_left == 3 * 32_000),
}
ERRORS = [
    (ValueError("too much of it"), ValueError, "^too much of it$"),
    (torch.OutOfMemoryError("of the allocator"), MemoryError, "not enough memory for this request"),
    (KeyError("mine"), RuntimeError, "KeyError: 'mine'"),
]


@pytest.mark.parametrize("spot", SPOTS)
@pytest.mark.parametrize(("error", "kind", "words"), ERRORS, ids=["user's", "memory", "other"])
def test_an_error_in_the_worker_fails_its_cause_alone(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, spot: str, error: Exception, kind: type[Exception], words: str
) -> None:
    expected = nano.respond(*CASE)
    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    with Engine(nano, use_worker=True) as engine:
        spoil(monkeypatch, *SPOTS[spot][:2], error, SPOTS[spot][2])
        bad = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=3.0, seed=7))
        good = engine.submit(*CASE)
        with pytest.raises(kind, match=words):
            list(bad)
        assert same(reply(list(good)), expected)


def test_an_error_in_collecting_chunks_fails_its_request_alone(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = nano.respond(*CASE)
    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    with Engine(nano, use_worker=True) as engine:
        last = lambda piece, kind, *_: kind == "finish" and piece.sink.options.seed == 7  # noqa: E731
        spoil(monkeypatch, PendingMusic, "handle", MemoryError(), last)
        bad = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=3.0, seed=7))
        with pytest.raises(MemoryError, match="not enough memory for this request"):
            list(bad)
        assert same(reply(list(engine.submit(*CASE))), expected)


def test_a_lack_of_memory_at_the_workers_start_fails_its_requests() -> None:
    class Decoder:
        def export_state(self) -> dict[str, torch.Tensor]:
            raise MemoryError

    failures = SimpleQueue[Exception]()
    sink = SimpleNamespace(options=GenerationOptions(), finished=False, fail=failures.put)
    client = MusicWorkerClient[Any](Decoder())  # type: ignore[arg-type]
    client.add(sink, lambda: SynthesisRequest(torch.zeros(1, 2, 3), 1.0, None, 3.0, 1.0, (0,), (2, 3)))
    assert isinstance(failures.get(timeout=TIMEOUT), EngineDeadError)
    client.close()


def test_text_does_not_wait_for_the_worker_to_start(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is answered at once, and music requested meanwhile when the worker runs."""
    allowed, start = threading.Event(), ThreadWorkerClient._start_process
    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    monkeypatch.setattr(ThreadWorkerClient, "_start_process", lambda self: start(self) if allowed.wait(TIMEOUT) else None)
    with Engine(nano, use_worker=True) as engine:
        music = engine.submit(*CASE)
        assert reply(list(engine.submit(Turn("A waltz for violin"), GenerationOptions(music=False)))).text
        allowed.set()
        assert same(reply(list(music)), nano.respond(*CASE))


def test_a_worker_that_cannot_start_is_tried_again_for_the_next_request(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, start = list[int](), ThreadWorkerClient._start_process

    def started(self: ThreadWorkerClient) -> tuple[Any, Connection]:
        tried.append(1)
        if len(tried) < 3:
            raise OSError(12, "Cannot allocate memory")
        return start(self)

    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    monkeypatch.setattr(ThreadWorkerClient, "_start_process", started)
    with Engine(nano, use_worker=True) as engine:
        answers = []
        while len(answers) < 10 and not (answers and answers[-1] is None):
            try:
                list(engine.submit(*CASE))
                answers.append(None)
            except EngineDeadError as error:
                answers.append(error)
        assert answers[-1] is None and len(tried) == 3


POISON = Turn("A waltz for violin"), GenerationOptions(seconds=3.0, seed=7)


def test_a_request_that_kills_every_worker_fails_alone(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes none with it, neither those that are made beside it nor those that come while the workers are replaced."""
    spot = SPOTS["a step"]
    cases = [(Turn("A slow, sad piano piece"), GenerationOptions(seconds=1.0, seed=seed)) for seed in range(4)]
    expected = [nano.respond(*case) for case in cases]
    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    with Engine(nano, use_worker=True) as engine:
        spoil(monkeypatch, *spot[:2], Death(), spot[2])
        good = [engine.submit(*case) for case in cases[:2]]
        bad = [engine.submit(*POISON), engine.submit(*POISON)]
        good += [engine.submit(*case) for case in cases[2:]]
        for request in bad:
            with pytest.raises(EngineDeadError, match="ended before the piece was ready"):
                list(request)
        for request, right in zip(good, expected, strict=True):
            check_piece(list(request), right)
    deaths = [record for record in caplog.records if "worker ended" in record.message]
    assert len(deaths) in (3, 4)  # one alone for each of the two, and before it one of both together or of each


def test_sound_that_was_heard_before_the_death_is_not_sent_twice(
    scripted: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a decoder that streams: the worker dies near the end of a piece, after its first chunk has arrived."""
    randomise_codebooks(scripted)
    case, heard = (Turn("Play"), GenerationOptions(max_tokens=40, seconds=4.0, seed=1)), threading.Event()
    append_codes, handle = CodeSequence.append_codes, PendingMusic.handle

    def die_late(sequence: CodeSequence, *arguments: Any) -> None:
        append_codes(sequence, *arguments)
        if ThreadWorkerClient.started == 1 and sequence.complete > 0.9 * sequence.frames:
            assert heard.wait(TIMEOUT)
            raise Death

    def listen(music: PendingMusic, kind: str, *values: Any) -> None:
        handle(music, kind, *values)
        if kind == "chunk":
            heard.set()

    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    monkeypatch.setattr(ThreadWorkerClient, "started", 0)
    monkeypatch.setattr(CodeSequence, "append_codes", die_late)
    monkeypatch.setattr(PendingMusic, "handle", listen)
    with Engine(scripted, use_worker=True) as engine:
        disturbed = list(engine.submit(*case))
        assert ThreadWorkerClient.started == 2
        undisturbed = list(engine.submit(*case))
    assert sum(isinstance(event, MusicChunk) for event in undisturbed) > 1
    check_piece(disturbed, reply(undisturbed))


def test_a_recording_crosses_the_pipe(scripted: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    randomise_codebooks(scripted)
    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    with Engine(scripted, use_worker=True) as engine:
        answer = reply(list(engine.submit(*continuations()[0])))
    assert same(answer, scripted.respond(*continuations()[0]), tolerance=1e-5)


def test_a_piece_that_comes_out_differently_is_not_spliced() -> None:
    sent = list[MusicChunk]()
    sink = SimpleNamespace(finished=False, emit=sent.append, options=CASE[1])
    music = PendingMusic(sink, {})  # type: ignore[arg-type]
    samples = np.arange(8, dtype=np.float32)[None]
    for part in (samples[:, :3], samples[:, 3:5]):
        music.handle("chunk", part, 8000)
    music.restart()
    for part in (samples[:, :1], samples[:, 1:4], samples[:, 4:7], samples[:, 7:]):  # other chunks, equal samples
        music.handle("chunk", part, 8000)
    assert [chunk.music.samples.tolist()[0] for chunk in sent] == [[0, 1, 2], [3, 4], [5, 6], [7]]
    music.restart()
    with pytest.raises(EngineDeadError):
        music.handle("chunk", samples[:, :2] + 1, 8000)


def test_a_loop_that_never_answers_is_noticed(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that render go on in such a worker, and its pipe is open: only the loop itself can answer."""
    expected, step = nano.respond(*CASE), MusicBatch.step

    def hanging(batch: MusicBatch[Any]) -> Any:
        if batch.needs_step and ThreadWorkerClient.started == 1:
            assert ThreadWorkerClient.killed.wait(TIMEOUT)
            raise Death
        return step(batch)

    monkeypatch.setattr(MusicBatch, "step", hanging)
    monkeypatch.setattr(worker_client, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(worker_client, "LOOP_TIMEOUT", 0.5)
    monkeypatch.setattr("llama.serving.engine.MusicWorkerClient", ThreadWorkerClient)
    monkeypatch.setattr(ThreadWorkerClient, "started", 0)
    with Engine(nano, use_worker=True) as engine:
        check_piece(list(engine.submit(*CASE)), expected)
    assert ThreadWorkerClient.started == 2


# -- should_use_worker ------------------------------------------------------------------------------------------------


def test_the_worker_is_for_small_decoders_on_several_cores(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama.serving.worker_client.cpu_count", lambda: 2)
    assert should_use_worker(nano)
    monkeypatch.setattr("llama.serving.worker_client.SMALL_MODEL_PARAMS", 1000)
    assert not should_use_worker(nano)
    monkeypatch.undo()
    monkeypatch.setattr("llama.serving.worker_client.cpu_count", lambda: 1)
    assert not should_use_worker(nano)
