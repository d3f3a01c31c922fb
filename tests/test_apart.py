"""Music made in a process of its own: the same answers, and whatever happens to either process is told or put right."""

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
from pathlib import Path

import pytest
import torch
from test_engine import LONG, mixture, reply, same, spoil, under_way

import llama
from llama.apart import Apart, Copy, Piece, Stage, worth_it
from llama.dialogue import Turn
from llama.engine import Engine
from llama.ensemble import Part
from llama.generation import GenerationOptions, MusicChunk, Progress
from llama.listening import Listening
from llama.performing import Band
from llama.tickets import Stopped

ROOT = Path(__file__).parents[1]
WISH = Turn("A slow, sad piano piece"), GenerationOptions(seconds=2.0, seed=1)
PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


@pytest.fixture(scope="module")
def engine(nano: llama.MuMuLLaMA) -> Iterator[Engine]:
    with Engine(nano, apart=True) as made:
        yield made


def other(engine: Engine) -> multiprocessing.Process:
    """The process that makes the engine's music."""
    assert isinstance(engine._music, Apart)
    return engine._music.process


def gone(process: int) -> bool:
    """Whether no such process is at work any more, within the time that a machine under load needs."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_answers_are_those_given_here(nano: llama.MuMuLLaMA, engine: Engine) -> None:
    tickets = [engine.submit(turn, options) for turn, options in mixture()]
    for (turn, options), ticket in zip(mixture(), tickets, strict=True):
        events = list(ticket)
        assert same(reply(events), nano.respond(turn, options))
        made = [event.made for event in events if isinstance(event, Progress)]
        assert made == sorted(made) and bool(made) == any(isinstance(event, MusicChunk) for event in events)


def test_the_copy_has_what_was_set_by_hand(nano: llama.MuMuLLaMA) -> None:
    decoder = nano.music_decoder
    copy = Copy.of(decoder).decoder()
    for name, value in decoder.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value), name
    settings = ("guidance", "temperature", "top_k", "span", "streams", "condition_shape", "sample_rate", "hop", "voices")
    assert [getattr(copy, name) for name in settings] == [getattr(decoder, name) for name in settings]


def test_who_leaves_is_not_played_for(engine: Engine) -> None:
    ticket = engine.submit(Turn("A slow, sad piano piece"), LONG)
    under_way(ticket)
    ticket.cancel()
    assert reply(list(engine.submit(*WISH))).music is not None
    assert isinstance(engine._music, Apart) and not engine._music._playing


def test_a_process_that_dies_is_told_and_replaced(nano: llama.MuMuLLaMA, engine: Engine) -> None:
    events, first = under_way(engine.submit(Turn("A slow, sad piano piece"), LONG)), other(engine)
    first.kill()
    with pytest.raises(Stopped, match="ended before the piece was ready; ask again"):
        list(events)
    assert same(reply(list(engine.submit(*WISH))), nano.respond(*WISH)) and other(engine).pid != first.pid


def test_the_end_of_the_engine_is_the_end_of_its_process(nano: llama.MuMuLLaMA) -> None:
    before = threading.active_count()
    engine = Engine(nano, apart=True)
    events, process = under_way(engine.submit(Turn("A slow, sad piano piece"), LONG)), other(engine).pid
    engine.close()
    engine.close()
    with pytest.raises(Stopped, match="closed before the answer"):
        list(events)
    assert gone(process) and threading.active_count() == before


KILLED = """
import os, sys, llama
from llama.dialogue import Turn
from llama.engine import Engine
from llama.generation import GenerationOptions, Progress

if __name__ == "__main__":
    engine = Engine(llama.load(sys.argv[1]), apart=True)
    events = iter(engine.submit(Turn("A slow, sad piano piece"), GenerationOptions(max_tokens=40, seconds=600.0)))
    assert any(isinstance(event, Progress) for event in events)
    print(engine._music.process.pid, flush=True)
    for event in events: pass
"""


def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
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


# -- errors on the other side, looked at in this process ------------------------------------------------------------


class Near(Apart):
    """The other side on a thread, so that a test may spoil it."""

    def _start(self) -> None:
        self._playing: dict[int, Piece] = {}
        self._pipe, theirs = multiprocessing.Pipe()
        stage = Stage(theirs, Band(self.decoder, ThreadPoolExecutor(1)))
        self.thread = threading.Thread(target=stage.play, daemon=True)
        self.thread.start()
        self.process = threading.Thread()  # type: ignore[assignment]
        self.process.is_alive = self.thread.is_alive  # type: ignore[method-assign]
        self.process.kill = self.process.join = lambda *_: None  # type: ignore[attr-defined,method-assign]
        threading.Thread(target=self._hear, args=(self._pipe, self._playing), daemon=True).start()


SPOTS = {
    "joining": (Band, "join", lambda band, listener, conditioning: listener.options.seed == 7),
    "a step": (Part, "take", lambda part, codes: part.request.seeds[0] == 7 and part.column > 3),
    "sound": (Listening, "rest", lambda listening, codes: listening.left == 3 * 32_000),
}
TOLD = [
    (ValueError("too much of it"), ValueError, "^too much of it$"),
    (torch.OutOfMemoryError("of the allocator"), MemoryError, "not enough memory for this request"),
    (KeyError("mine"), RuntimeError, "KeyError: 'mine'"),
]


@pytest.mark.parametrize("spot", SPOTS)
@pytest.mark.parametrize(("error", "kind", "words"), TOLD, ids=["user's", "memory", "other"])
def test_an_error_over_there_is_the_guilty_ones(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, spot: str, error: Exception, kind: type[Exception], words: str
) -> None:
    expected = nano.respond(*WISH)
    monkeypatch.setattr("llama.engine.Apart", Near)
    with Engine(nano, apart=True) as engine:
        spoil(monkeypatch, *SPOTS[spot][:2], error, SPOTS[spot][2])
        bad = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=3.0, seed=7))
        good = engine.submit(*WISH)
        with pytest.raises(kind, match=words):
            list(bad)
        assert same(reply(list(good)), expected)


# -- whether it is worth it -------------------------------------------------------------------------------------------


def test_it_is_worth_it_for_small_decoders_on_several_cores(
    nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama.apart.cores", lambda: 2)
    assert worth_it(nano)
    monkeypatch.setattr("llama.apart.LIGHT", 1000)
    assert not worth_it(nano)
    monkeypatch.undo()
    monkeypatch.setattr("llama.apart.cores", lambda: 1)
    assert not worth_it(nano)
