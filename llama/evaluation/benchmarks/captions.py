"""Captions of recordings: MusicCaps (arXiv 2301.11325) and the Song Describer dataset (arXiv 2311.10057).

musiccaps-public.csv with recordings named [YTID]-[START-END].wav or YTID.wav; song_describer.csv with audio/NN/ID.2min.mp3. The
audio may lie anywhere in the folder, with any suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from llama.evaluation.benchmarks.base import ALL, BenchmarkData, BenchmarkItem, Recording, joined
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.table_files import (
    Problems,
    Row,
    RowError,
    csv_rows,
    find_table,
    optional_text,
    seconds_cell,
    text_cell,
    text_list,
)

CAPTION_QUESTION = "Describe the music in this recording."
MUSICCAPS, SONG_DESCRIBER = "musiccaps-public.csv", "song_describer.csv"
MUSICCAPS_COLUMNS = ("ytid", "start_s", "end_s", "caption", "is_audioset_eval", "is_balanced_subset")
SONG_DESCRIBER_COLUMNS = ("caption_id", "track_id", "caption", "is_valid_subset", "path")


class MusicCaps:
    """eval: the 2,858 rows whose clips are in AudioSet's evaluation set; balanced: its 1,000 by genre."""

    name = "musiccaps"
    subsets = ("eval", "balanced", ALL)
    rotations = 1

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        column = {"eval": "is_audioset_eval", "balanced": "is_balanced_subset"}.get(subset)
        index = MediaIndex(folder)
        return read_captions(find_table(folder, MUSICCAPS), MUSICCAPS_COLUMNS, column, lambda row: _musiccaps_item(index, row))


class SongDescriber:
    """valid: the 746 captions that were checked; where `is_valid_subset` is empty, the caption was not checked."""

    name = "sdd"
    subsets = ("valid", ALL)
    rotations = 1

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        column = "is_valid_subset" if subset == "valid" else None
        index = MediaIndex(folder)
        return read_captions(
            find_table(folder, SONG_DESCRIBER), SONG_DESCRIBER_COLUMNS, column, lambda row: _song_describer_item(index, row)
        )


def read_captions(
    file: Path, columns: tuple[str, ...], condition: str | None, make: Callable[[Row], BenchmarkItem]
) -> BenchmarkData:
    """Items of a table's rows in which the column `condition` is true. An id that stands twice is left out the second time."""
    items: dict[str, BenchmarkItem] = {}
    problems = Problems()
    for number, row in csv_rows(file, columns):
        if condition is not None and not _is_true(row[condition]):
            continue
        try:
            item = make(row)
        except RowError as error:
            problems.add(file, number, error)
            continue
        if item.id in items:
            problems.add(file, number, f"its id {item.id} stands in an earlier row")
        items.setdefault(item.id, item)
    return BenchmarkData(list(items.values()), problems)


def _is_true(cell: str) -> bool:
    return cell.strip().lower() in ("true", "1", "1.0")


def _musiccaps_item(index: MediaIndex, row: Row) -> BenchmarkItem:
    recording = musiccaps_recording(index, row)
    categories = {"aspects": joined(text_list(row.get("aspect_list"), "aspect_list"))}
    return BenchmarkItem(recording.id, recording, CAPTION_QUESTION, (text_cell(row, "caption"),), categories=categories)


def musiccaps_recording(index: MediaIndex, row: Row) -> Recording:
    """The clip of a row, under the names of the public downloaders."""
    name, start, end = text_cell(row, "ytid"), seconds_cell(row, "start_s"), seconds_cell(row, "end_s")
    if start is None or end is None or not 0 <= start < end:
        raise RowError(f"its times are {start} to {end}, where a start before an end is due")
    names = list(_musiccaps_names(name, start, end))
    path = index.find_sound(names)
    return Recording(name, path, start, end, error="" if path else index.missing(names))


def _musiccaps_names(name: str, start: float, end: float) -> Iterator[str]:
    first, last = int(start), int(end)
    yield f"[{name}]-[{first}-{last}].wav"
    yield f"{name}.wav"
    yield f"{name}_{first}_{last}.wav"
    yield f"{name}-{first}-{last}.wav"
    yield f"{name}_{first}.wav"


def _song_describer_item(index: MediaIndex, row: Row) -> BenchmarkItem:
    caption = text_cell(row, "caption")
    return BenchmarkItem(text_cell(row, "caption_id"), song_describer_recording(index, row), CAPTION_QUESTION, (caption,),
                         categories={"familiarity": optional_text(row, "familiarity")})  # fmt: skip


def song_describer_recording(index: MediaIndex, row: Row) -> Recording:
    """The two minutes of a row's track; the list names NN/ID.mp3, the archive holds NN/ID.2min.mp3."""
    track, path = text_cell(row, "track_id"), PurePosixPath(text_cell(row, "path"))
    names = [f"audio/{path.with_suffix('.2min' + path.suffix)}", f"audio/{path}", f"{track}.2min.mp3", f"{track}.mp3"]
    found = index.find_sound(names)
    return Recording(track, found, error="" if found else index.missing(names))
