"""Benchmarks in parquet tables: HumMusQA, whose table holds the audio, and MMAU-Pro (arXiv 2508.13992), with its audio in data/.

HumMusQA: parquet files with the column audio and the times of the excerpt. MMAU-Pro: test.parquet, audio_path a list.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from llama.errors import quoted
from llama.evaluation.benchmarks.base import ALL, BenchmarkData, BenchmarkItem, Recording, joined
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.table_files import (
    Problems,
    Row,
    RowError,
    choices_and_correct,
    find_table,
    optional_text,
    parquet_cell,
    parquet_rows,
    seconds_cell,
    text_cell,
    text_list,
)

DISTRACTORS = ("distractor_1", "distractor_2", "distractor_3")
HUMMUSQA_COLUMNS = ("question", "answer", *DISTRACTORS, "audio", "jamendo_id")
OPEN, INSTRUCTIONS = "open", "instruction following"  # categories of MMAU-Pro that are no choice among texts


class HumMusQA:
    """Questions by people about excerpts of Jamendo tracks."""

    name = "hummusqa"
    subsets = (ALL,)
    rotations = 4

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        files = sorted(folder.rglob("*.parquet"))
        if not files:
            raise FileNotFoundError(f"There is no parquet file in {folder}; give the folder with the benchmark's files.")
        items, problems = [], Problems()
        for file in files:
            for number, row in parquet_rows(file, HUMMUSQA_COLUMNS, heavy="audio"):
                try:
                    items.append(_hummusqa_item(file, number, row))
                except RowError as error:
                    problems.add(file, number, error)
        return BenchmarkData(items, problems)


def _hummusqa_item(file: Path, number: int, row: Row) -> BenchmarkItem:
    choices, correct = choices_and_correct([text_cell(row, name) for name in ("answer", *DISTRACTORS)], text_cell(row, "answer"))
    start, end = seconds_cell(row, "excerpt_start_time"), seconds_cell(row, "excerpt_end_time")
    recording = Recording(text_cell(row, "jamendo_id"), None, start, end, partial(_content, file, number))
    secondary = text_list(row.get("secondary_categories"), "secondary_categories")
    categories = {name: optional_text(row, column) for name, column in (("category", "main_category"), ("difficulty", "difficulty"))}
    categories["secondary"] = joined(secondary)
    name = optional_text(row, "id") or optional_text(row, "question_id") or f"{file.stem}#{number}"
    return BenchmarkItem(name, recording, text_cell(row, "question"), choices[:1], choices, correct, categories)


def _content(file: Path, number: int) -> bytes:
    """The audio of a row: bytes, or, as the hub stores it, an object with bytes."""
    cell: Any = parquet_cell(file, "audio", number)
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise ValueError(f"{file.name}, row {number}, holds no audio ({quoted(cell)}); get the table with the audio inside.")
    return content


class MMAUPro:
    """Closed questions with choices; "open" ones are answered and kept with their reference, those on instructions without one.

    A question about several recordings cannot be put to a model that hears one, and is counted so.
    """

    name = "mmau-pro"
    subsets = (ALL, "music", "sound", "speech", OPEN, INSTRUCTIONS)
    rotations = 1

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        file, index, problems, items = find_table(folder, "test.parquet"), MediaIndex(folder), Problems(), []
        for number, row in parquet_rows(file, ("question", "answer", "category", "audio_path")):
            if subset not in (ALL, optional_text(row, "category").lower()):
                continue
            try:
                items.append(_mmau_pro_item(index, number, row))
            except RowError as error:
                problems.add(file, number, error)
        return BenchmarkData(items, problems)


def _mmau_pro_item(index: MediaIndex, number: int, row: Row) -> BenchmarkItem:
    category = text_cell(row, "category")
    recording = one_recording(index, row.get("audio_path"))
    categories = {"category": category} | {
        name: text for name in ("task_identifier", "length_type", "perceptual_skills", "reasoning_skills") if (text := _category(row, name))
    }
    choices: tuple[str, ...] = ()
    correct, references = None, tuple(text for text in [optional_text(row, "answer")] if text)
    if category.lower() not in (OPEN, INSTRUCTIONS):
        choices, correct = choices_and_correct(text_list(row.get("choices"), "choices"), optional_text(row, "answer"))
    name = optional_text(row, "id") or optional_text(row, "unique_id") or f"#{number}"
    return BenchmarkItem(name, recording, text_cell(row, "question"), references, choices, correct, categories)


def _category(row: Row, name: str) -> str:
    value = row.get(name)
    return joined(value) if isinstance(value, list) else optional_text(row, name)


def one_recording(index: MediaIndex, value: Any, start: float | None = None, end: float | None = None) -> Recording:
    """The recording that a list of paths names. Raises RowError for an empty list."""
    names = [value] if isinstance(value, str) else text_list(value, "audio_path")
    if not names or not all(names):
        raise RowError(f"audio_path is {quoted(value)}, where the path of a recording is due")
    name = " + ".join(names)
    if len(names) > 1:
        return Recording(name, error=f"The question is about {len(names)} recordings; the model hears one at a time.")
    path = index.find_sound(names)
    return Recording(name, path, start, end, error="" if path else index.missing(names))
