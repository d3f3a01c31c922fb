"""Tables of recordings with a folder of media: AudioSet's segments, MusicCaps, Song Describer, loops with metadata, rows of JSON.

Nothing is downloaded: the files lie in a folder of the user's. A row that cannot be used is yielded as a RejectedRow.
"""

from __future__ import annotations

import ast
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from DataSet.pipeline.item import Item
from DataSet.pipeline.media_index import KINDS, MediaIndex
from DataSet.pipeline.source_row import RejectedRow, SourceRow
from DataSet.pipeline.step import Rejection
from DataSet.pipeline.table_lines import Cells, TableLine, csv_lines, json_line, metadata_lines, table_text
from llama.errors import quoted, sentence, shorten
from llama.json_yaml import parse_json

AUDIOSET_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")
NOTHING = frozenset({"", "nan", "none", "null", "[]", "na"})  # a cell without tags, as pandas and Python write it
UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]|\.\.")
SURROGATE = re.compile(r"[\ud800-\udfff]")
ROW_FIELDS = frozenset({"id", *KINDS, "start", "end", "tags", "licence", "group", "caption", "truth"})


class RowError(ValueError):
    """A row that gives no item: `rule` and, as its message, one sentence."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


# -- the tables ---------------------------------------------------------------------------------------------------------


def audioset_rows(
    table: str | Path, media: str | Path, labels: str | Path | None = None, wanted: Collection[str] | None = None,
    source: str = "audioset", licence: str = "unknown",
) -> Iterator[SourceRow]:
    """Segments of AudioSet's csv, whose media lie in the folder `media` as YTID.mp3, [YTID]-[30-40].wav, YTID_30.mp4 and the like.

    The first lines may be comments, the last of which names the columns, or a row of column names; more columns do not matter.
    labels: class_labels_indices.csv, whose names become the tags instead of the labels' codes. wanted: rows without one of these
    labels, by code or name, are rejected. A segment's group is its video. Raises FileNotFoundError or ValueError for a table that
    cannot be read at all.
    """
    index, names = MediaIndex(media), _label_names(labels)
    for line in csv_lines(Path(table), AUDIOSET_COLUMNS):
        def make(cells: Cells) -> Item:
            codes = _listed(_cell(cells, "positive_labels", ""))
            tags = tuple(names.get(code, code) for code in codes)
            if wanted is not None and not set(wanted) & {*codes, *tags}:
                raise RowError("label", f"It has none of the wanted labels; it has {', '.join(tags) or 'none at all'}.")
            video, (start, end) = _safe_id(_cell(cells, "YTID")), _times(cells, "start_seconds", "end_seconds")
            found = index.find(video, start, end)
            return Item(source, video, found.media, start, end, found.already_cut, tags, licence, group=video_group(video))

        yield _row(source, Path(table), line, "YTID", make)


def musiccaps_rows(table: str | Path, media: str | Path, source: str = "musiccaps", licence: str = "unknown") -> Iterator[SourceRow]:
    """Segments of musiccaps-public.csv with their captions; the tags are its aspects. Media as for `audioset_rows`."""
    index = MediaIndex(media)

    def make(cells: Cells) -> Item:
        video, (start, end) = _safe_id(_cell(cells, "ytid")), _times(cells, "start_s", "end_s")
        found = index.find(video, start, end)
        return Item(source, video, found.media, start, end, found.already_cut, _python_list(_cell(cells, "aspect_list", "")), licence,
                    group=video_group(video), caption=_cell(cells, "caption", ""))

    for line in csv_lines(Path(table)):
        yield _row(source, Path(table), line, "ytid", make)


def song_describer_rows(table: str | Path, media: str | Path, source: str = "song-describer", licence: str = "unknown") -> Iterator[SourceRow]:
    """Captions of song_describer.csv; a track's file is ID.2min.mp3 or ID.mp3. The group is the artist, else the album, else the track."""
    index = MediaIndex(media)

    def make(cells: Cells) -> Item:
        track, caption = _safe_id(_cell(cells, "track_id")), _cell(cells, "caption")
        files = next((named for stem in (f"{track}.2min", track) if (named := index.named(stem))), None)
        if files is None:
            raise FileNotFoundError(f"There is no {track}.2min.mp3 and no {track}.mp3 in the folder {index.folder.name}; put it there.")
        artist, album = _cell(cells, "artist_id", ""), _cell(cells, "album_id", "")
        group = f"jamendo artist {artist}" if artist else f"jamendo album {album}" if album else f"jamendo track {track}"
        return Item(source, f"{track} {_cell(cells, 'caption_id', ' '.join(caption.split()))}", files, licence=licence, group=group, caption=caption)

    for line in csv_lines(Path(table)):
        yield _row(source, Path(table), line, "track_id", make)


def loop_rows(table: str | Path, media: str | Path, source: str = "loops", licence: str = "unknown") -> Iterator[SourceRow]:
    """Loops with metadata, of csv, JSON (a list, or names with their values) or JSON lines.

    Columns, as far as they are there: file (or filename, name, id), bpm, genre (or category), key, author (or user, artist),
    description, licence. Tempo and key become the truth {"bpm", "key"}; the genre is the tag; the group is the author, else the loop.
    """
    index = MediaIndex(media)

    def make(cells: Cells) -> Item:
        name = _first(cells, "file", "filename", "name", "id")
        if not name:
            raise RowError("id", "It names no file; give a column file, filename, name or id.")
        key = _safe_id(Path(name.replace("\\", "/")).name)
        files = index.named(key.rsplit(".", 1)[0]) or index.named(key)
        if "audio" not in files and "video" not in files:
            raise FileNotFoundError(f"There is no sound named {key} in the folder {index.folder.name}; put it there.")
        author, genre = _first(cells, "author", "user", "artist"), _first(cells, "genre", "category")
        return Item(source, key, files, tags=(genre,) if genre else (), licence=_first(cells, "licence", "license") or licence,
                    group=f"author {author}" if author else f"loop {key}", caption=_first(cells, "description", "caption"),
                    truth=_tempo_and_key(cells))

    for line in metadata_lines(Path(table)):
        yield _row(source, Path(table), line, "file", make)


def json_rows(table: str | Path, media: str | Path, source: str = "rows", licence: str = "unknown") -> Iterator[SourceRow]:
    """Rows of a JSON lines file: {"id", "audio", "image", "video", "start", "end", "tags", "licence", "group", "caption", "truth"}.

    id and one medium are needed; media are named relative to the folder `media` and may not lead out of it. group is the id if it is
    not given, so that all segments of a recording stay together.
    """
    path, folder = Path(table), Path(media)
    for number, text in enumerate(table_text(path).split("\n"), 1):
        if text.strip():
            yield _row(source, path, json_line(number, text), "id", lambda cells: _json_item(cells, folder, source, licence))


# -- cells --------------------------------------------------------------------------------------------------------------


def video_group(video: str) -> str:
    """The group of all segments of a video, whichever list they come from."""
    return f"video {video}"


def _row(source: str, table: Path, line: TableLine, key_column: str, make: Callable[[Any], Item]) -> SourceRow:
    key = shorten(line.cells.get(key_column, "") or "")
    try:
        if line.fault:
            raise RowError("row", line.fault)
        if any(SURROGATE.search(str(value)) for value in line.cells.values()):
            raise RowError("row", "It is no text in UTF-8; save the table as UTF-8.")
        return make(line.cells)
    except RowError as error:
        rejection = Rejection(error.rule, str(error))
    except FileNotFoundError as error:
        rejection = Rejection("missing", sentence(error))
    except ValueError as error:
        rejection = Rejection("row", sentence(error))
    return RejectedRow(source, f"{table.name}, line {line.number}", key, rejection)


def _cell(cells: Cells, column: str, otherwise: str | None = None) -> str:
    value = cells.get(column)
    if value is None or not str(value).strip():
        if otherwise is None:
            raise RowError("row", f"Its column {column} is {'missing' if value is None else 'empty'}; fill it in.")
        return otherwise
    return str(value).strip()


def _first(cells: Cells, *columns: str) -> str:
    return next((text for column in columns if (text := _cell(cells, column, "")) and text.lower() not in NOTHING), "")


def _safe_id(text: str) -> str:
    """An id that can be part of a file's name. Ids of videos may begin with - and _."""
    if UNSAFE.search(text) or text in (".", ""):
        raise RowError("id", f"The id {quoted(text)} holds a slash, two dots or a control character; give an id that can be a file's name.")
    return text


def _times(cells: Mapping[str, Any], start_column: str, end_column: str) -> tuple[float, float]:
    start, end = (_number(_cell(cells, column), column) for column in (start_column, end_column))
    if start < 0 or end <= start:
        raise RowError("times", f"The segment is {start:g} to {end:g} s; give a start from 0 on and an end after it.")
    return start, end


def _number(value: Any, column: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RowError("times", f"{column} is {quoted(value)}; give a number of seconds.")
    return number


def _listed(text: str) -> tuple[str, ...]:
    """Labels of a cell such as "/m/04rlf,/m/01b82r"."""
    return tuple(part for label in text.split(",") if (part := label.strip()).lower() not in NOTHING)


def _python_list(text: str) -> tuple[str, ...]:
    """Words of a cell that holds a list as Python writes it, such as "['slow tempo', 'piano']"."""
    if text.strip().lower() in NOTHING:
        return ()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise RowError("row", f"The list {quoted(text)} is not readable; write it as ['first', 'second'].") from error
    return tuple(str(word) for word in value if str(word).strip().lower() not in NOTHING) if isinstance(value, (list, tuple)) else (str(value),)


def _tempo_and_key(cells: Cells) -> dict[str, Any]:
    truth: dict[str, Any] = {}
    if bpm := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:bpm)?", _first(cells, "bpm", "tempo"), re.IGNORECASE):
        truth["bpm"] = float(bpm[1])
    if key := _first(cells, "key"):
        truth["key"] = key
    return truth


def _label_names(labels: str | Path | None) -> dict[str, str]:
    if labels is None:
        return {}
    return {line.cells["mid"]: line.cells["display_name"] for line in csv_lines(Path(labels)) if {"mid", "display_name"} <= set(line.cells)}


# -- rows of JSON ------------------------------------------------------------------------------------------------------


def _json_item(cells: Cells, folder: Path, source: str, licence: str) -> Item:
    if unknown := sorted(set(cells) - ROW_FIELDS):
        raise RowError("row", f"It has {quoted(unknown[0])}, which is unknown; use {', '.join(sorted(ROW_FIELDS))}.")
    key = _cell(cells, "id")
    if not key.isprintable():
        raise RowError("id", f"The id {quoted(key)} holds a control character; give one without.")
    media = {kind: _inside(folder, name) for kind in KINDS if (name := _cell(cells, kind, ""))}
    if not media:
        raise RowError("row", f"It names no medium; give one of {', '.join(KINDS)}.")
    start, end = (None if not _cell(cells, name, "") else _number(cells[name], name) for name in ("start", "end"))
    if (start or 0) < 0 or (end is not None and end <= (start or 0)):
        raise RowError("times", f"The segment is {start or 0:g} to {end if end is None else f'{end:g}'} s; give a start from 0 on and an end after it.")
    truth = parse_json(_cell(cells, "truth", "{}"))
    return Item(source, key, media, start, end, False, _tag_words(_cell(cells, "tags", "")), _first(cells, "licence") or licence,
                _first(cells, "group") or key, _cell(cells, "caption", ""), truth if isinstance(truth, dict) else {})


def _tag_words(text: str) -> tuple[str, ...]:
    if not text.startswith("["):
        return _listed(text)
    value: Iterable[Any] = parse_json(text)
    return tuple(str(tag) for tag in value if str(tag).strip().lower() not in NOTHING)


def _inside(folder: Path, name: str) -> str:
    """The file in the folder. Raises RowError for a name that leads out of it, FileNotFoundError without the file."""
    path = folder / name.replace("\\", "/")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RowError("id", f"The name {quoted(name)} leads out of the folder {folder.name}; name a file in it.")
    if not os.path.isfile(path):  # unlike Path.is_file, also of a name that is too long
        raise FileNotFoundError(f"There is no file {quoted(name)} in the folder {folder.name}; put it there.")
    return str(path)
