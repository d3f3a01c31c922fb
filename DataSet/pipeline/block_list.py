"""Block list: recordings of public test sets, which must not get into a set that a model is trained on.

Ids are read from the projects' own lists, in a folder of the user's: nothing is shipped, since most lists may not be handed on, and
nothing is downloaded. A list that is not there is named in the report. Releases rename their files, so the files of local test folders
are fingerprinted, too: see `fingerprinted_files.py`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DataSet.pipeline.fingerprinted_files import FingerprintedFile
from DataSet.pipeline.item import Item
from DataSet.pipeline.media_index import existing_folder, walk
from DataSet.pipeline.source_tables import AUDIOSET_COLUMNS
from DataSet.pipeline.table_lines import csv_lines, metadata_lines, table_text
from llama.errors import PATH_LENGTH, comma_list, quoted, shorten
from llama.json_yaml import read_json

VIDEO_ID = r"[A-Za-z0-9_-]{11}"
ADDRESS = re.compile(rf"(?:v=|youtu\.be/|embed/|shorts/)({VIDEO_ID})(?![A-Za-z0-9_-])")
BRACKETED = re.compile(rf"\[({VIDEO_ID})\]")
LEADING = re.compile(rf"Y?({VIDEO_ID})(?=$|[_.-]?\d*(?:[_-]\d+)?(?:\.\d+)*$)")
JAMENDO_TRACK = re.compile(r"(?:track_|^)0*(\d+)(?:\.2min)?$")


@dataclass(frozen=True)
class PublishedList:
    """A list of a test set: its files, by their published names, and how ids are read from one. pattern: of the names, in any sub-folder."""

    title: str
    pattern: str
    read: Callable[[Path], Iterator[str]]


def _videos(column: str, columns: tuple[str, ...] = ()) -> Callable[[Path], Iterator[str]]:
    def read(path: Path) -> Iterator[str]:
        return (f"video {line.cells[column].strip()}" for line in csv_lines(path, columns) if line.cells.get(column, "").strip())

    return read


def _muchomusic(path: Path) -> Iterator[str]:
    for line in csv_lines(path):
        stem = Path(line.cells.get("dataset_identifier", "").strip()).stem
        if stem:
            yield f"jamendo track {int(stem)}" if stem.isdecimal() else f"video {stem.rsplit('_', 1)[0]}"


def _mmar(path: Path) -> Iterator[str]:
    for line in metadata_lines(path):
        address, key = (str(line.cells.get(name, "")) for name in ("url", "id"))
        found = ADDRESS.search(address) or re.match(rf"({VIDEO_ID})(?![A-Za-z0-9-])", key)
        if found:
            yield f"video {found[1]}"


def _song_describer(path: Path) -> Iterator[str]:
    for line in csv_lines(path):
        for column, kind in (("track_id", "track"), ("artist_id", "artist")):
            if (value := line.cells.get(column, "").strip()).isdecimal():
                yield f"jamendo {kind} {int(value)}"


def _jamendo(path: Path) -> Iterator[str]:
    for cells in csv.reader(table_text(path).splitlines(), delimiter="\t"):
        if cells and (track := re.fullmatch(r"track_0*(\d+)", cells[0])):
            yield f"jamendo track {int(track[1])}"


def _music_qa(path: Path) -> Iterator[str]:
    value = read_json(path)
    for row in value if isinstance(value, list) else []:
        stem = Path(str(row.get("audio_name", "")).replace("\\", "/")).stem if isinstance(row, dict) else ""
        yield from (f"jamendo track {int(stem)}",) if stem.isdecimal() else (f"file {stem}",) if stem else ()


LISTS: dict[str, PublishedList] = {
    "musiccaps": PublishedList("MusicCaps", "musiccaps-public.csv", _videos("ytid")),
    "audioset-eval": PublishedList("AudioSet's evaluation segments", "eval_segments.csv", _videos("YTID", AUDIOSET_COLUMNS)),
    "muchomusic": PublishedList("MuChoMusic", "muchomusic.csv", _muchomusic),
    "mmar": PublishedList("MMAR", "MMAR-meta.jsonl", _mmar),
    "song-describer": PublishedList("Song Describer, its tracks and their artists", "song_describer.csv", _song_describer),
    "mtg-jamendo-test": PublishedList("the test splits of MTG-Jamendo", "*-test.tsv", _jamendo),
    "evalmusicqa": PublishedList("MusicQA's evaluation", "EvalMusicQA.json", _music_qa),
}


@dataclass(frozen=True)
class BlockList:
    """Ids of test sets, and fingerprints of local test files.

    ids: normalised id, in lower case -> name of its list. counts: list -> its ids. missing: list -> the sentence that says where to put it.
    """

    ids: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    files: Sequence[FingerprintedFile] = ()

    @classmethod
    def read(cls, folder: str | Path | None = None, names: Iterable[str] = tuple(LISTS), files: Sequence[FingerprintedFile] = ()) -> BlockList:
        """Reads the lists of these names from a folder and those in it. None: no folder is given, so all are missing.

        Raises ValueError for an unknown name and FileNotFoundError for a folder that is not there.
        """
        chosen = list(dict.fromkeys(names))
        if unknown := [name for name in chosen if name not in LISTS]:
            raise ValueError(f"The block list {quoted(unknown[0])} is unknown; choose of {comma_list(LISTS)}.")
        there = list(walk(_list_folder(folder, chosen))) if folder is not None else []
        ids: dict[str, str] = {}
        counts: dict[str, int] = {}
        missing: dict[str, str] = {}
        for name in chosen:
            read = {found.casefold() for path in there if path.match(LISTS[name].pattern) for found in LISTS[name].read(path)}
            counts[name] = len(read)
            if not read:
                place = f"into {shorten(folder, PATH_LENGTH)}" if folder is not None else "into a folder, and name it as the folder of block lists"
                missing[name] = f"The list {name} ({LISTS[name].title}) is missing; put {LISTS[name].pattern} {place}."
            ids |= {found: name for found in read if found not in ids}
        return cls(ids, counts, missing, files)

    @property
    def digest(self) -> str:
        """12 hex digits of what it holds, which the results of deduplication depend on."""
        content = [*sorted(self.ids), *sorted(f"{file.name} {file.values['sha256']} {file.values['picture_sha256']}" for file in self.files)]
        return hashlib.sha256("\n".join(content).encode("utf-8", "surrogatepass")).hexdigest()[:12]

    def reason(self, item: Item) -> str | None:
        """Why an item is blocked, as a phrase; None if none of its ids is listed. Upper and lower case count as the same."""
        for name in item_ids(item):
            if (found := self.ids.get(name.casefold())) is not None:
                return f"{name} is in the list {found}"
        return None

    def require(self, allow_missing: Collection[str] = ()) -> None:
        """Raises ValueError for lists that are missing and are not allowed to be, by their names."""
        if lacking := [name for name in self.missing if name not in allow_missing]:
            files = comma_list(f"{name} ({LISTS[name].pattern})" for name in lacking)
            raise ValueError(
                f"Lists of test sets, which keep their recordings out of the set, are missing: {files}; put these files into the folder that "
                "leaks: {folder: ...} of the configuration names, or name the lists in leaks: {allow_missing: [...]}; leaks: {lists: []} asks for none."
            )

    def table(self) -> list[tuple[str, str, int, str]]:
        """For the report: (name, title, ids, "" or the sentence that says what is missing) of each list."""
        return [(name, LISTS[name].title, count, self.missing.get(name, "")) for name, count in self.counts.items()]


def _list_folder(folder: str | Path, names: Sequence[str]) -> Path:
    path = Path(folder).expanduser()
    if not path.exists():
        files = comma_list(LISTS[name].pattern for name in names)
        raise FileNotFoundError(f"There is no folder {shorten(path, PATH_LENGTH)} with the lists of test sets, which keep their recordings out of the set; "
                                f"make it, put {files} there, and name in leaks: allow_missing what you cannot have; leaks: {{folder: null, lists: []}} asks for none.")
    return existing_folder(path)


def item_ids(item: Item) -> list[str]:
    """The ids under which a test set could list an item: from its group, its key and the names of its files.

    Numbers count as Jamendo's only where the source or the name says so: other collections number their tracks, too.
    """
    stems = [_stem(item.key), *(_stem(path) for path in item.media.values())]
    names = [item.group, f"video {item.key}"]
    names += [f"file {stem}" for stem in stems]
    for stem in stems:
        names += [f"video {found[1]}" for pattern in (BRACKETED, ADDRESS) for found in pattern.finditer(stem)]
        if leading := LEADING.match(stem):
            names.append(f"video {leading[1]}")
        is_jamendo = "jamendo" in f"{item.source} {item.group}".lower() or "track_" in stem or stem.endswith(".2min")
        if is_jamendo and (track := JAMENDO_TRACK.search(stem)):
            names.append(f"jamendo track {int(track[1])}")
    return list(dict.fromkeys(names))


def _stem(name: Any) -> str:
    path = Path(str(name).replace("\\", "/"))
    return path.name[: -len(path.suffix)] if path.suffix and not path.suffix[1:].isdecimal() else path.name
