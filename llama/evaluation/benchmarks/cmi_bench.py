"""CMI-Bench (arXiv 2506.12285): instructions of 14 tasks about recordings of 20 data sets, answered in words.

data/SET/CMI_TASK.jsonl, whose audio_path is relative to the folder above data. The lists hold training rows too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama.evaluation.benchmarks.base import ALL, BenchmarkData, BenchmarkItem, joined
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.parquet_sets import one_recording
from llama.evaluation.benchmarks.table_files import (
    Problems,
    Row,
    RowError,
    json_rows,
    seconds_cell,
    text_cell,
    text_list,
)

SPLIT = "test"


class CMIBench:
    """subset: the name of a task's list, such as GS_key. A row that stands in a second list, as some do, counts once."""

    name = "cmi"
    subsets = (ALL,)  # and the name of each list that is there
    rotations = 1

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        index, problems = MediaIndex(folder), Problems()
        items: dict[tuple[Any, ...], BenchmarkItem] = {}
        for file in _lists(folder, subset):
            repeated = 0
            for number, row in json_rows(file):
                try:
                    if SPLIT not in text_list(row.get("split"), "split"):
                        continue
                    item = _item(index, file, number, row)
                except RowError as error:
                    problems.add(file, number, error)
                    continue
                key = (item.recording.excerpt, item.question, item.references)
                repeated += key in items
                items.setdefault(key, item)
            if repeated:
                name = f"{file.parent.name}/{file.name}"
                problems.append(f"{name}: {repeated} row(s) stand in it, or in an earlier list, already; they count once.")
        return BenchmarkData(list(items.values()), problems)


def _lists(folder: Path, subset: str) -> list[Path]:
    files = sorted(folder.rglob("CMI_*.jsonl"))
    if not files:
        raise FileNotFoundError(f"There is no CMI_*.jsonl in {folder}; give the benchmark's folder, with data/SET/CMI_TASK.jsonl in it.")
    chosen = [file for file in files if subset in (ALL, file.stem.removeprefix("CMI_"))]
    if not chosen:
        raise ValueError(f"There is no CMI_{subset}.jsonl in {folder}; choose one of {', '.join(sorted(file.stem[4:] for file in files))}.")
    return chosen


def _item(index: MediaIndex, file: Path, number: int, row: Row) -> BenchmarkItem:
    start, end = seconds_cell(row, "audio_start"), seconds_cell(row, "audio_end")
    recording = one_recording(index, row.get("audio_path"), start, None if end is not None and end < 0 else end)
    kinds = row.get("task_type")
    kinds = kinds if isinstance(kinds, dict) else {}
    categories = {"task": file.stem.removeprefix("CMI_")} | {
        name: joined(text_list(kinds.get(name), name)) for name in ("major", "minor") if kinds.get(name)
    }
    output = row.get("output")
    reference = joined(text_list(output, "output")) if isinstance(output, list) else text_cell(row, "output")
    return BenchmarkItem(f"{file.parent.name}/{file.stem}#{number}", recording, text_cell(row, "instruction"), (reference,),
                         categories=categories)  # fmt: skip
