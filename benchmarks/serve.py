"""What one model gives to many who use it at once: python -m benchmarks.serve [--model ckpts/nano]

One client in a loop against eight in a loop, in one run, with the same mixture of requests; every answer is compared with
the one that the model gives alone. Exit code 1 if an answer is wrong; a missed target is only said, for machines are noisy.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from llama.audio import Waveform
from llama.checkpoint import load
from llama.dialogue import Reply, Turn
from llama.engine import Engine
from llama.generation import Done, GenerationOptions
from llama.mumu_llama import MuMuLLaMA

ROOT = Path(__file__).parents[1]
CLIENTS, ROUNDS, SECONDS = 8, 3, 12.0
TARGET = 3.0


@dataclass(frozen=True)
class Load:
    """What clients in a loop were given: answers a second of the wall and of the processors, and how many were wrong."""

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


def throughput(model: MuMuLLaMA, clients: int, seconds: float = SECONDS) -> Load:
    """Answers to `clients` that each ask again as soon as they are answered, for so many seconds of the wall."""
    wishes = mixture()
    expected = [model.respond(turn, options) for turn, options in wishes]
    counts: list[bool] = []
    with Engine(model) as engine:
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


def report_throughput(model: MuMuLLaMA) -> bool:
    """Prints a line a figure; whether every answer was right."""
    throughput(model, 1, 1.0)
    rounds = [(throughput(model, 1), throughput(model, CLIENTS)) for _ in range(ROUNDS)]
    ratio = statistics.median(many.rate / one.rate for one, many in rounds)
    one, many = rounds[-1]
    print(f"serve.answers_a_second 1 client: {one.rate:.2f}, {CLIENTS} clients: {many.rate:.2f}")
    print(f"serve.processor_seconds_an_answer 1 client: {one.processor / one.answers:.3f}, {CLIENTS}: {many.processor / many.answers:.3f}")
    print(f"serve.throughput_ratio {ratio:.2f} (at least {TARGET}{'' if ratio >= TARGET else ': missed'})")
    wrong = sum(one.wrong + many.wrong for one, many in rounds)
    print(f"serve.wrong_answers {wrong} of {sum(one.answers + many.answers for one, many in rounds)}")
    return wrong == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=ROOT / "ckpts/nano", help="a folder of ours")
    model = load(parser.parse_args().model)
    return 0 if report_throughput(model) else 1


if __name__ == "__main__":
    raise SystemExit(main())
