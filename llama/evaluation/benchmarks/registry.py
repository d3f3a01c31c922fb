"""Benchmarks by the names of `evaluate.py answers --form`."""

from __future__ import annotations

from pathlib import Path

from llama.errors import comma_list, quoted
from llama.evaluation.benchmarks.base import ALL, Benchmark, BenchmarkData
from llama.evaluation.benchmarks.captions import MusicCaps, SongDescriber
from llama.evaluation.benchmarks.choice_lists import MMAR, MMAU
from llama.evaluation.benchmarks.cmi_bench import CMIBench
from llama.evaluation.benchmarks.muchomusic import MuChoMusic
from llama.evaluation.benchmarks.musicqa import MusicQA
from llama.evaluation.benchmarks.parquet_sets import HumMusQA, MMAUPro

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (MusicQA(), MusicCaps(), SongDescriber(), CMIBench(), MuChoMusic(), HumMusQA(), MMAU, MMAUPro(), MMAR)
}


def read_benchmark(form: str, folder: Path, subset: str | None = None) -> BenchmarkData:
    """The items of a folder. Raises ValueError or FileNotFoundError where the folder has none of this form."""
    benchmark = BENCHMARKS[form]
    subset = subset or benchmark.subsets[0]
    if form != "cmi" and subset not in benchmark.subsets:
        raise ValueError(f"{form} has no subset {quoted(subset)}; choose one of {comma_list(benchmark.subsets)}.")
    data = benchmark.read(folder, subset)
    if not data.items:
        reason = f"; the first problem: {data.problems[0]}" if data.problems else ""
        advice = "" if subset == ALL else f" in its subset {subset}"
        raise ValueError(f"{folder} holds no question of {form}{advice}{reason or '; give another folder or subset.'}")
    return data
