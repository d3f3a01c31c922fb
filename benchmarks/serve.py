"""What one model gives to many who use it at once: python -m benchmarks.serve [--model ckpts/nano] [--http]

One client in a loop against eight in a loop, in one run, with the same mixture of requests; every answer is compared with
the one that the model gives alone. With --http the real server is asked, by many clients for two minutes. Exit code 1 if an
answer is wrong or lost; a missed target is only said, for machines are noisy.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import served
from llama.dialogue import Reply, Turn
from llama.generation import Done, GenerationOptions
from llama.media.audio import Waveform
from llama.mumu_llama import MuMuLLaMA, load
from llama.serving.encoder_cache import MAX_ENTRIES
from llama.serving.engine import Engine
from llama.serving.worker_client import should_use_worker

ROOT = Path(__file__).parents[1]
CLIENTS, ROUNDS, SECONDS = 8, 3, 12.0
MANY, LONG, SHORT = 16, 120.0, 20.0  # over HTTP: clients of the long run, its seconds, and those of the short ones
TARGET = 3.0


@dataclass(frozen=True)
class Load:
    """What clients in a loop were given: answers a second, processor seconds of the process with the words, and wrong ones."""

    answers: int
    wrong: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def mixture() -> list[tuple[Turn, GenerationOptions]]:
    """Text to music, a question about a recording, an edit of a recording."""
    recording = Waveform.read(ROOT / "assets/examples/violin_swing.flac")
    music = GenerationOptions(seconds=10.0)
    return [
        (Turn("A slow, sad piano piece"), music),
        (Turn("How fast is it?", audio=recording), GenerationOptions()),
        (Turn("Make it faster and add drums", audio=recording), music),
    ]


def same(reply: Reply, other: Reply) -> bool:
    """The same words and the same sound."""
    if reply.tokens != other.tokens or (reply.music is None) != (other.music is None):
        return False
    return reply.music is None or torch.allclose(reply.music.samples, other.music.samples, atol=1e-5)


def throughput(model: MuMuLLaMA, clients: int, seconds: float = SECONDS, *, anew: bool = False) -> Load:
    """Answers to `clients` that each ask again as soon as they are answered, for so many seconds of the wall.

    anew: every recording is listened to as if it had never been heard.
    """
    wishes = mixture()
    expected = [model.respond(turn, options) for turn, options in wishes]
    counts: list[bool] = []
    with Engine(model, encoder_cache_size=0 if anew else MAX_ENTRIES, use_worker=should_use_worker(model)) as engine:
        list(engine.submit(*wishes[0]))  # the process that makes the music has begun
        begun, used = time.perf_counter(), time.process_time()

        def ask(number: int) -> None:
            for index in itertools.count(number):
                if time.perf_counter() - begun > seconds:
                    return
                turn, options = wishes[index % len(wishes)]
                *_, last = engine.submit(turn, options)
                counts.append(isinstance(last, Done) and same(last.reply, expected[index % len(wishes)]))

        together([lambda number=number: ask(number) for number in range(clients)])  # type: ignore[misc]
        passed, worked = time.perf_counter() - begun, time.process_time() - used
    return Load(len(counts), counts.count(False), passed, worked)


def together(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report_throughput(model: MuMuLLaMA, anew: bool) -> bool:
    """Prints a line a figure; whether every answer was right."""
    throughput(model, 1, 1.0)
    rounds = [(throughput(model, 1, anew=anew), throughput(model, CLIENTS, anew=anew)) for _ in range(ROUNDS)]
    ratio = statistics.median(many.rate / one.rate for one, many in rounds)
    one, many = rounds[-1]
    print(f"serve, recordings {'never heard before' if anew else 'that come again'}:")
    print(f"serve.answers_a_second 1 client: {one.rate:.2f}, {CLIENTS} clients: {many.rate:.2f}")
    print(f"serve.processor_seconds_an_answer 1 client: {one.processor / one.answers:.3f}, {CLIENTS}: {many.processor / many.answers:.3f}")
    print(f"serve.throughput_ratio {ratio:.2f} (at least {TARGET}{'' if ratio >= TARGET else ': missed'})")
    wrong = sum(one.wrong + many.wrong for one, many in rounds)
    print(f"serve.wrong_answers {wrong} of {sum(one.answers + many.answers for one, many in rounds)}", flush=True)
    return wrong == 0


def report_http(path: Path, clients: int, seconds: float) -> bool:
    """Starts the server, asks it and prints a table; whether no answer was wrong or lost."""
    with tempfile.TemporaryDirectory() as folder, served.server(path) as (address, process):
        wanted = served.wishes(load(path), Path(folder))
        served.load(address, process, wanted, clients, min(seconds, SHORT / 2))  # all that is made once is made
        long = served.load(address, process, wanted, clients, seconds)
        one, many = (served.load(address, process, wanted, count, min(seconds, SHORT)) for count in (1, CLIENTS))
    print(table(clients, long))
    print(f"| throughput, answers a second | 1 client: {one.rate:.2f}, {CLIENTS} clients: {many.rate:.2f}, {many.rate / one.rate:.1f} x |")
    for why in sorted({*long.lost, *one.lost, *many.lost}):
        print(f"lost: {why}")
    return not any(run.wrong or run.lost for run in (long, one, many))


def table(clients: int, run: served.Served) -> str:
    """One run as rows of a table."""
    rows = [("answers", f"{len(run.answers)} ({run.rate:.2f} a second), {run.wrong} wrong, {len(run.lost)} lost")]
    for name, label in (("first_word", "first word"), ("first_sound", "first sound"), ("whole", "whole answer")):
        if times := run.times(name):
            rows.append((f"seconds to the {label}", f"median {statistics.median(times):.2f}, 95 % {times[int(0.95 * len(times))]:.2f}"))
    if held := run.memory:
        rows.append(("memory of the server, MB", f"start {held[0]:.0f}, middle {held[len(held) // 2]:.0f}, end {held[-1]:.0f}"))
    head = f"| {clients} clients for {run.seconds:.0f} s over HTTP | |\n|---|---|"
    return "\n".join([head, *(f"| {name} | {value} |" for name, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "ckpts/nano", help="a folder of ours")
    parser.add_argument("--http", action="store_true", help="ask the real server over HTTP")
    parser.add_argument("--clients", type=int, default=MANY, help="of the long run over HTTP (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=LONG, help="of the long run over HTTP (default: %(default)s)")
    given = parser.parse_args()
    if given.http:
        return 0 if report_http(given.model, given.clients, given.seconds) else 1
    model = load(given.model)
    right = [report_throughput(model, anew) for anew in (True, False)]
    return 0 if all(right) else 1


if __name__ == "__main__":
    raise SystemExit(main())
