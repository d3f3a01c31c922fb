"""Throughput of one model with concurrent clients: python -m benchmarks.serve [--model ckpts/nano] [--http]

One client in a loop against eight in a loop, in one run, with the same mixture of requests; every answer is compared with
the model's answer to the request alone. With --http many clients use the real server for two minutes. Exit code 1 if an
answer is wrong or lost; a missed target is only reported, because timings vary.
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
    """Result of clients in a loop: answers, wrong answers, wall-clock seconds, CPU seconds of the text process."""

    answers: int
    wrong: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def request_mixture() -> list[tuple[Turn, GenerationOptions]]:
    """Text to music, a question about a recording, an edit of a recording."""
    recording = Waveform.read(ROOT / "assets/examples/violin_swing.flac")
    music = GenerationOptions(seconds=10.0)
    return [
        (Turn("A slow, sad piano piece"), music),
        (Turn("How fast is it?", audio=recording), GenerationOptions()),
        (Turn("Make it faster and add drums", audio=recording), music),
    ]


def same_reply(reply: Reply, other: Reply) -> bool:
    """The same words and the same sound."""
    if reply.tokens != other.tokens or (reply.music is None) != (other.music is None):
        return False
    return reply.music is None or torch.allclose(reply.music.samples, other.music.samples, atol=1e-5)


def throughput(model: MuMuLLaMA, clients: int, seconds: float = SECONDS, *, cold_cache: bool = False) -> Load:
    """Runs `clients` that each send the next request when the last is answered, for `seconds` of wall-clock time.

    cold_cache: without the encoder cache, so that every recording is encoded each time.
    """
    requests = request_mixture()
    expected = [model.respond(turn, options) for turn, options in requests]
    counts: list[bool] = []
    with Engine(model, encoder_cache_size=0 if cold_cache else MAX_ENTRIES, use_worker=should_use_worker(model)) as engine:
        list(engine.submit(*requests[0]))  # starts the music worker
        started, cpu_started = time.perf_counter(), time.process_time()

        def ask(number: int) -> None:
            for index in itertools.count(number):
                if time.perf_counter() - started > seconds:
                    return
                turn, options = requests[index % len(requests)]
                *_, last = engine.submit(turn, options)
                counts.append(isinstance(last, Done) and same_reply(last.reply, expected[index % len(requests)]))

        run_threads([lambda number=number: ask(number) for number in range(clients)])  # type: ignore[misc]
        elapsed, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Load(len(counts), counts.count(False), elapsed, cpu_seconds)


def run_threads(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report_throughput(model: MuMuLLaMA, cold_cache: bool) -> bool:
    """Prints a line a figure; whether every answer was right."""
    throughput(model, 1, 1.0)
    rounds = [(throughput(model, 1, cold_cache=cold_cache), throughput(model, CLIENTS, cold_cache=cold_cache)) for _ in range(ROUNDS)]
    ratio = statistics.median(many.rate / single.rate for single, many in rounds)
    single, many = rounds[-1]
    print(f"serve, recordings {'never heard before' if cold_cache else 'that come again'}:")
    print(f"serve.answers_a_second 1 client: {single.rate:.2f}, {CLIENTS} clients: {many.rate:.2f}")
    cost, cost_of_many = single.processor / single.answers, many.processor / many.answers
    print(f"serve.processor_seconds_an_answer 1 client: {cost:.3f}, {CLIENTS}: {cost_of_many:.3f}")
    print(f"serve.throughput_ratio {ratio:.2f} (at least {TARGET}{'' if ratio >= TARGET else ': missed'})")
    wrong = sum(single.wrong + many.wrong for single, many in rounds)
    print(f"serve.wrong_answers {wrong} of {sum(single.answers + many.answers for single, many in rounds)}", flush=True)
    return wrong == 0


def report_http(path: Path, clients: int, seconds: float, damaged: float) -> bool:
    """Runs the load test against a new server and prints a table; returns whether no answer was wrong or lost."""
    with tempfile.TemporaryDirectory() as folder, served.server(path) as (address, process):
        requests = served.make_requests(load(path), Path(folder))
        served.run_clients(address, process, requests, clients, min(seconds, SHORT / 2))  # warm-up
        long = served.run_clients(address, process, requests, clients, seconds, damaged)
        single, many = (served.run_clients(address, process, requests, count, min(seconds, SHORT)) for count in (1, CLIENTS))
    print(table(clients, long))
    ratio = many.rate / single.rate
    print(f"| throughput, answers a second | 1 client: {single.rate:.2f}, {CLIENTS} clients: {many.rate:.2f}, {ratio:.1f} x |")
    for why in sorted({*long.lost, *single.lost, *many.lost}):
        print(f"lost: {why}")
    return not any(run.wrong or run.lost for run in (long, single, many))


def table(clients: int, run: served.LoadResult) -> str:
    """One run as rows of a table."""
    rows = [("answers", f"{len(run.answers)} ({run.rate:.2f} a second), {run.wrong} wrong, {len(run.lost)} lost")]
    if run.damaged:
        answered = run.damaged.count(200)
        rows.append(("damaged files", f"{len(run.damaged)}: {answered} answered, {len(run.damaged) - answered} refused"))
    for name, label in (("first_word", "first word"), ("first_sound", "first sound"), ("whole", "whole answer")):
        if times := run.times(name):
            rows.append((f"seconds to the {label}", f"median {statistics.median(times):.2f}, 95 % {times[int(0.95 * len(times))]:.2f}"))
    if memory := run.memory:
        rows.append(("memory of the server, MB", f"start {memory[0]:.0f}, middle {memory[len(memory) // 2]:.0f}, end {memory[-1]:.0f}"))
    head = f"| {clients} clients for {run.seconds:.0f} s over HTTP | |\n|---|---|"
    return "\n".join([head, *(f"| {name} | {value} |" for name, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "ckpts/nano", help="a folder of ours")
    parser.add_argument("--http", action="store_true", help="ask the real server over HTTP")
    parser.add_argument("--clients", type=int, default=MANY, help="of the long run over HTTP (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=LONG, help="of the long run over HTTP (default: %(default)s)")
    parser.add_argument("--damaged", type=float, default=0.0, help="share of the long run's requests with a damaged file (default: 0)")
    options = parser.parse_args()
    if options.http:
        return 0 if report_http(options.model, options.clients, options.seconds, options.damaged) else 1
    model = load(options.model)
    correct = [report_throughput(model, cold_cache) for cold_cache in (True, False)]
    return 0 if all(correct) else 1


if __name__ == "__main__":
    raise SystemExit(main())
