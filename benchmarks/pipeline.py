"""Small items through the data pipeline's local runner: python -m benchmarks.pipeline [--items 10000]

Cuts and filters tones of one second with the pipeline's own steps (decoding, hashes, FLAC, levels; no speech detector), a fifth of
the items and all of them, each in a process of its own; then the same number through a step that does nothing, which leaves the
ledger's own cost. Printed: items a second, seconds to find that nothing is left to do, peak resident memory, which must not grow with
the number of items, and what a million items would take on one core.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import torch

from DataSet.pipeline.filters import FilterOptions, FilterStep
from DataSet.pipeline.item import Item
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.runner import RunOptions, run_step
from DataSet.pipeline.segments import SegmentOptions, SegmentStep
from DataSet.pipeline.step import Outcome, StepFactory, StepInput, StepSpec

TARGET = 10  # MB by which the peak of all items may be above that of a fifth
SAMPLE_RATE = 16_000
HOURS, MILLION = 3600, 1_000_000


class ConstantStep:
    """A step that computes nothing: what remains is the ledger."""

    spec = StepSpec("constant", 1)

    def __call__(self, batch: Sequence[StepInput]) -> Sequence[Outcome]:
        return [{"value": 1}] * len(batch)


def tones(folder: Path, count: int) -> Iterator[Item]:
    """Items of one second each, a tone with its own pitch; the files are written as they are asked for."""
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for number in range(count):
        path = folder / f"tone{number:06d}.wav"
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * (100 + 0.1 * number) * times), SAMPLE_RATE)
        yield Item("tones", path.name, {"audio": str(path)}, licence="CC0-1.0", group=path.stem)


def names(count: int) -> Iterator[Item]:
    """Items without media."""
    return (Item("names", f"item{number}", {}) for number in range(count))


def silent(words: str) -> None:
    """A log that keeps nothing."""


def run_steps(ledger: Ledger, way: str) -> int:
    """Runs the steps and returns how many items came through."""
    folder = ledger.folder
    segment = partial(SegmentStep, folder, "audio", SAMPLE_RATE, SegmentOptions(shortest=0.5))
    sift = partial(FilterStep, folder, FilterOptions(shortest=0.5, max_speech=None))
    factories: list[StepFactory] = [segment, sift] if way == "sound" else [ConstantStep]
    done: list[StepSpec] = []
    kept = 0
    for factory in factories:
        spec = factory().spec
        kept = run_step(ledger, factory, spec, done, RunOptions(log=silent)).kept
        done.append(spec)
    return kept


def measure(way: str, count: int, folder: Path) -> None:
    """Prints items a second, seconds of a second run, and peak bytes of this process."""
    torch.set_num_threads(1)
    with Ledger.open(folder / "work", log=silent) as ledger:
        source = folder / "source"
        source.mkdir()
        ledger.add_items(tones(source, count) if way == "sound" else names(count))
        start = time.perf_counter()
        kept = run_steps(ledger, way)
        seconds = time.perf_counter() - start
        assert kept == count, f"{kept} of {count} items came through"
        start = time.perf_counter()
        run_steps(ledger, way)
        again = time.perf_counter() - start
    print(count / seconds, again, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measured(way: str, count: int) -> tuple[float, float, float]:
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.pipeline", "--way", way, "--items", str(count), "--folder", folder]
        speed, again, peak = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-3:]
    return float(speed), float(again), float(peak)


def run(count: int) -> bool:
    good = True
    for way, words in (("sound", "cut and filtered"), ("ledger", "a step that does nothing")):
        peaks = []
        for number in (count // 5, count):
            speed, again, peak = measured(way, number)
            peaks.append(peak)
            print(f"{words}: {number} items, {speed:.0f} a second; again, all there: {again:.2f} s; peak {peak / 1e6:.0f} MB", flush=True)
        growth = (peaks[1] - peaks[0]) / 1e6
        good = good and growth <= TARGET
        verdict = "ok" if growth <= TARGET else "FAIL"
        print(f"{words}: peak of {count} items above that of {count // 5}: {growth:.1f} MB (target {TARGET}) {verdict}")
        print(f"{words}: a million items at this speed: {MILLION / speed / HOURS:.1f} hours on one core", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--way", choices=("sound", "ledger"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        measure(options.way, options.items, options.folder)
        return 0
    return 0 if run(options.items) else 1


if __name__ == "__main__":
    raise SystemExit(main())
