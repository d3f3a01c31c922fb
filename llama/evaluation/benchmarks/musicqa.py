"""MusicQA (MU-LLaMA, arXiv 2308.11276): questions about recordings, answered with an LLM's prose on their tags.

EvalMusicQA.json, or MusicQA.json as the project's own sets are called: [{"audio_name", "conversation": [human, gpt]}]; audios/.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from llama.data.formats import musicqa_records
from llama.evaluation.benchmarks.base import ALL, BenchmarkData, BenchmarkItem, Recording
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.table_files import Problems, find_table, json_rows

LISTS = ("EvalMusicQA.json", "MusicQA.json", "MusicQA_eval.json")


class MusicQA:
    name = "musicqa"
    subsets = (ALL,)
    rotations = 1

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        file, index, problems = find_table(folder, *LISTS), MediaIndex(folder), Problems()
        items: list[BenchmarkItem] = []
        counts: Counter[str] = Counter()
        for number, row in json_rows(file):
            try:
                for record in musicqa_records(f"#{number}", f"{file.name} #{number}", row):
                    counts[record.file] += 1
                    recording = _recording(index, record.file)
                    if not record.instruction.strip() or not record.answer.strip():
                        problems.add(file, number, "its question or its answer is empty")
                        continue
                    items.append(BenchmarkItem(f"{record.file}#{counts[record.file]}", recording, record.instruction, (record.answer,)))
            except ValueError as error:
                problems.add(file, number, str(error).rstrip("."))
        return BenchmarkData(items, problems)


def _recording(index: MediaIndex, name: str) -> Recording:
    path = index.find_sound([f"audios/{name}", name])
    return Recording(name, path, error="" if path else index.missing([name]))
