"""MuChoMusic (arXiv 2408.01337): questions with four choices about recordings of MusicCaps and the Song Describer dataset.

muchomusic.csv, with musiccaps-public.csv and song_describer.csv, which say where the audio lies, anywhere in the folder.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

from llama.evaluation.benchmarks.base import ALL, BenchmarkData, BenchmarkItem, Recording, joined
from llama.evaluation.benchmarks.captions import (
    MUSICCAPS,
    MUSICCAPS_COLUMNS,
    SONG_DESCRIBER,
    musiccaps_recording,
    song_describer_recording,
)
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.table_files import (
    Problems,
    Row,
    RowError,
    choices_and_correct,
    csv_rows,
    find_table,
    optional_text,
    text_cell,
    text_list,
)

DISTRACTORS = ("distractor_1_answer", "distractor_2_answer", "distractor_3_answer")
COLUMNS = ("question", "correct_answer", *DISTRACTORS, "dataset", "dataset_identifier")
Tracks = dict[tuple[str, str], Recording]  # (dataset, id there) -> recording


class MuChoMusic:
    name = "muchomusic"
    subsets = (ALL, "sdd", "musiccaps")
    rotations = 4

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        file, problems, items = find_table(folder, "muchomusic.csv"), Problems(), []
        rows = [(number, row) for number, row in csv_rows(file, COLUMNS) if subset in (ALL, row["dataset"].strip())]
        tracks = _tracks(folder, {row["dataset"].strip() for _, row in rows})
        counts: Counter[str] = Counter()
        for number, row in rows:
            counts[row["dataset_identifier"]] += 1
            try:
                items.append(_item(row, tracks, counts[row["dataset_identifier"]]))
            except RowError as error:
                problems.add(file, number, error)
        return BenchmarkData(items, problems)


def _tracks(folder: Path, datasets: set[str]) -> Tracks:
    index, result = MediaIndex(folder), Tracks()
    if "musiccaps" in datasets:
        for _, row in csv_rows(find_table(folder, MUSICCAPS), MUSICCAPS_COLUMNS[:3]):
            with suppress(RowError):  # its questions then lack their recording, which is told of each
                result["musiccaps", row["ytid"].strip()] = musiccaps_recording(index, row)
    if "sdd" in datasets:
        for _, row in csv_rows(find_table(folder, SONG_DESCRIBER), ("track_id", "path")):
            with suppress(RowError):
                result.setdefault(("sdd", row["track_id"].strip()), song_describer_recording(index, row))
    return result


def _item(row: Row, tracks: Tracks, count: int) -> BenchmarkItem:
    dataset, identifier = text_cell(row, "dataset"), text_cell(row, "dataset_identifier")
    choices, correct = choices_and_correct([text_cell(row, name) for name in ("correct_answer", *DISTRACTORS)], row["correct_answer"])
    categories = {
        "dataset": dataset,
        "genre": optional_text(row, "genre"),
        "knowledge": joined(text_list(row.get("music_knowledge"), "music_knowledge")),
        "reasoning": joined(text_list(row.get("music_reasoning"), "music_reasoning")),
    }
    recording = tracks.get((dataset, track_id(dataset, identifier)))
    if recording is None:
        error = f"The list of {dataset} has no row of {identifier}; get the published list."
        recording = Recording(f"{dataset} {identifier}", error=error)
    question = text_cell(row, "question")
    return BenchmarkItem(f"{dataset}/{identifier}#{count}", recording, question, choices[:1], choices, correct, categories)


def track_id(dataset: str, identifier: str) -> str:
    """The id that the list of a data set knows: "123.json" is track 123 of sdd, "ytid_2.json" the clip ytid of MusicCaps."""
    name = identifier.removesuffix(".json")
    if dataset == "sdd":
        return name
    if dataset == "musiccaps":
        return name.rpartition("_")[0] or name
    raise RowError(f"its dataset is {dataset!r}, where sdd or musiccaps is due")
