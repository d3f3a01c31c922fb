"""Time from the end of the answer's words to the first sound and to the whole piece, of the embedded model: new and exactly edited.

    python -m benchmarks.first_sound                      # pieces of 30, 60 and 120 s
    python -m benchmarks.first_sound --seconds 60 --runs 5

An edited piece is a new one of the same length, moved up by two semitones; it has been heard before its words begin. The ratio of
both times, of one run, depends little on what else the cores do, and neither does the time that the first sound takes of a core.
Exit code 1 if the chunks joined are not the piece; a missed target is only reported, because timings vary.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass

import torch

from llama.dialogue import Turn
from llama.generation import Done, GenerationOptions, MusicChunk, TextDelta
from llama.media.edit import Edit
from llama.mumu_llama import MuMuLLaMA, load
from llama.serving.engine import Engine

TEXTS = ("A slow, sad piano piece", "A fast dance for trumpet with drums", "A waltz for violin")
TARGET = 1.0  # seconds to the first sound


@dataclass(frozen=True)
class Timing:
    """Seconds after the last word. core: of processor time of this process until the first sound; sound: length of the first chunk;
    exact: whether the chunks joined are the piece."""

    first: float
    core: float
    whole: float
    sound: float
    exact: bool


def measure(model: MuMuLLaMA, turn: Turn, options: GenerationOptions, engine: Engine | None = None) -> Timing:
    """One piece, of the model itself or of an engine."""
    chunks, moments, words_end = list[torch.Tensor](), list[tuple[float, float]](), now()
    for event in model.stream(turn, options) if engine is None else engine.submit(turn, options):
        if isinstance(event, TextDelta):
            words_end = now()
        elif isinstance(event, MusicChunk):
            moments.append(now())
            chunks.append(event.music.samples)
        elif isinstance(event, Done):
            music = event.reply.music
    end, sample_rate = time.perf_counter(), music.sample_rate
    exact = torch.equal(torch.cat(chunks, -1), music.samples)
    first, core = (moment - start for moment, start in zip(moments[0], words_end, strict=True))
    return Timing(first, core, end - words_end[0], chunks[0].shape[-1] / sample_rate, exact)


def now() -> tuple[float, float]:
    """Seconds on the clock, and of processor time of this process."""
    return time.perf_counter(), time.process_time()


def cases(model: MuMuLLaMA, seconds: float, runs: int, edited: bool) -> list[tuple[Turn, GenerationOptions]]:
    """The requests of a length: for new pieces, or for exact edits of these."""
    new = [(Turn(TEXTS[run % len(TEXTS)]), GenerationOptions(seconds=seconds)) for run in range(runs)]
    if not edited:
        return new
    edit = GenerationOptions(edit=Edit(transpose=2))
    return [(Turn("Play it higher", score=model.respond(turn, options).score), edit) for turn, options in new]


def report(
    name: str, model: MuMuLLaMA, requests: dict[float, list[tuple[Turn, GenerationOptions]]], engine: Engine | None = None
) -> bool:
    """Prints a line a length; returns whether all pieces were exact."""
    exact = True
    for seconds, wanted in requests.items():
        timings = [measure(model, turn, options, engine) for turn, options in wanted]
        first, whole = (statistics.median(values) for values in ([t.first for t in timings], [t.whole for t in timings]))
        core = statistics.median(timing.core for timing in timings)
        ratio = statistics.median(timing.first / timing.whole for timing in timings)
        exact &= all(timing.exact for timing in timings)
        verdict = "" if first <= TARGET else f", missed: at most {TARGET:g} s"
        print(
            f"{name}, {seconds:g} s: first sound after {first:.3f} s, {core:.3f} s of a core ({timings[0].sound:.1f} s long), "
            f"whole piece after {whole:.3f} s, ratio {ratio:.3f}{verdict}; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return exact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ckpts/nano")
    parser.add_argument("--seconds", type=float, nargs="+", default=[30.0, 60.0, 120.0])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as the engine does: more threads are slower for so small a model
    model = load(arguments.model)
    requests = {
        kind: {seconds: cases(model, seconds, arguments.runs, kind == "edited") for seconds in arguments.seconds}
        for kind in ("new", "edited")
    }
    warm, exact = (Turn(TEXTS[0]), GenerationOptions(seconds=2.0)), True  # the sample bank is decoded at its first use
    measure(model, *warm)
    for kind, wanted in requests.items():
        exact &= report(f"{kind}, model.stream", model, wanted)
    for name, use_worker in (("engine", False), ("engine with a music process", True)):
        with Engine(model, use_worker=use_worker) as engine:
            measure(model, *warm, engine)
            for kind, wanted in requests.items():
                exact &= report(f"{kind}, {name}", model, wanted, engine)
    if not exact:
        raise SystemExit("The chunks joined are not the piece.")


if __name__ == "__main__":
    main()
