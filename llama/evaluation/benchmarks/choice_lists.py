"""Questions with choices in JSON: MMAU (arXiv 2410.19168) and MMAR (arXiv 2505.13032).

mmau-test-mini.json, or mmau-test.json without answers, with test-mini-audios/; MMAR-meta.jsonl with audio/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from llama.evaluation.benchmarks.base import ALL, BenchmarkData, BenchmarkItem, Recording
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.table_files import (
    Problems,
    Row,
    RowError,
    choices_and_correct,
    find_table,
    json_rows,
    optional_text,
    text_cell,
    text_list,
)


class ChoiceList:
    """A list of questions with an id, an audio file, choices and the answer.

    subset_column: the column that `subset` is looked up in. prediction: the key of an answer in the file that the benchmark's own
    scorer reads.
    """

    rotations = 1

    def __init__(self, name: str, lists: Sequence[str], audio: str, subset_column: str, subsets: Sequence[str],
                 categories: Sequence[str], prediction: str) -> None:  # fmt: skip
        self.name, self.lists, self.audio = name, tuple(lists), audio
        self.subset_column, self.subsets = subset_column, tuple(subsets)
        self.categories, self.prediction = tuple(categories), prediction

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        file, index, problems = find_table(folder, *self.lists), MediaIndex(folder), Problems()
        items: dict[str, BenchmarkItem] = {}
        for number, row in json_rows(file):
            if subset != ALL and optional_text(row, self.subset_column) != subset:
                continue
            try:
                item = self._item(index, row)
            except RowError as error:
                problems.add(file, number, error)
                continue
            if item.id in items:
                problems.add(file, number, f"its id {item.id} stands in an earlier entry")
            items.setdefault(item.id, item)
        return BenchmarkData(list(items.values()), problems)

    def _item(self, index: MediaIndex, row: Row) -> BenchmarkItem:
        name = str(PurePosixPath(text_cell(row, self.audio)))  # ./test-mini-audios/ID.wav
        path = index.find_sound([name])
        recording = Recording(name, path, error="" if path else index.missing([name]))
        choices, correct = choices_and_correct(text_list(row.get("choices"), "choices"), optional_text(row, "answer"))
        references = () if correct is None else (choices[correct],)
        categories = {column: text for column in self.categories if (text := optional_text(row, column))}
        return BenchmarkItem(text_cell(row, "id"), recording, text_cell(row, "question"), references, choices, correct, categories)

    def submission(self, folder: Path, predictions: Mapping[str, str]) -> list[dict[str, Any]]:
        """The list with a prediction in each entry, for the benchmark's own scorer; it leaves entries without one out of its count."""
        first: dict[str, Row] = {}
        for _, row in json_rows(find_table(folder, *self.lists)):
            first.setdefault(optional_text(row, "id"), row)
        return [{**row, self.prediction: predictions[name]} for name, row in first.items() if name in predictions]


MMAU = ChoiceList("mmau", ("mmau-test-mini.json", "mmau-test.json"), "audio_id", "task", ("music", ALL, "sound", "speech"),
                  ("task", "category", "sub-category", "difficulty"), "model_output")  # fmt: skip
MMAR = ChoiceList("mmar", ("MMAR-meta.jsonl", "MMAR-meta.json"), "audio_path", "modality", ("music", ALL),
                  ("modality", "category", "sub-category", "language"), "answer_prediction")  # fmt: skip
