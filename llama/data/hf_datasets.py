"""Tables of Hugging Face datasets as streams of examples: saved on this disk, parquet and json files, or on the hub."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llama.data.examples import Example, MediaRef
from llama.data.formats import SUFFIXES, inside, unknown
from llama.data.source import Source
from llama.data.stream_samples import WORDS, cell_text, example_of, failed_example, suffix_of

TABLES = {"parquet": "parquet", "json": "json", "jsonl": "json"}  # suffix -> how datasets reads it
SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves
HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def hub_examples(source: Source, stage: int, draw: tuple[int, int], rank: int, world: int) -> Iterator[Example]:
    """As `streams.stream`, of the form hub; `draw` decides the order."""
    table, folder = _table(source)
    columns = _columns(source, table)
    table = _undecoded(table.select_columns(sorted(set(columns.values()))))
    label = Path(source.file).name
    # Files named by their whole path are taken from tables of this disk alone: save_to_disk writes them so.
    cell = partial(_cell, folder=folder, anywhere=_is_saved(Path(source.file)))
    make = partial(_row_example, columns=columns, cell=cell, stage=stage)
    return _table_examples(label, _rows(table, draw, rank, world), make)


def _table_examples(label: str, rows: Iterator[tuple[str, Mapping[str, Any]]],
                    make: Callable[[str, Mapping[str, Any]], Example]) -> Iterator[Example]:
    last = "its start"
    try:
        for last, row in rows:
            yield make(f"{label} {last}", row)
    except (OSError, ValueError) as error:
        words = str(error).strip().split("\n")[0]
        yield failed_example(label, f"{label} is damaged after {last} ({words}); make this table again.")


def _table(source: Source) -> tuple[Any, Path | None]:
    """The table, and the folder its files' names are relative to (None: on the hub, where there are none)."""
    try:
        import datasets
    except ImportError as error:
        raise ValueError("Tables are read by datasets, which is not installed; run: pip install datasets") from error
    path, media = Path(source.file), Path(source.media) if source.media else None
    if _is_saved(path):
        return _split(_opened(source, datasets.load_from_disk, path), source), media or path
    split, files = source.split or "train", _table_files(path)
    load = partial(_opened, source, datasets.load_dataset, split=split, streaming=True)
    if not files:
        return load(source.file, source.name), media
    return load(_format(path, files), data_files={split: files}), media or Path(files[0]).parent


def _opened(source: Source, load: Callable[..., Any], *given: Any, **how: Any) -> Any:
    try:
        return load(*given, **how)
    except (OSError, ValueError) as error:
        words = str(error).strip().split("\n")[0]
        raise ValueError(f"Cannot open the data set {source.file}: {words}; give a folder of save_to_disk, parquet or json "
                         "files, or a name on the hub with its split.") from error


def _is_saved(path: Path) -> bool:
    return any((path / name).is_file() for name in SAVED)


def _split(table: Any, source: Source) -> Any:
    """`table` itself, or the asked part of several."""
    if not isinstance(table, dict):
        return table
    name = source.split or "train"
    if name not in table:
        raise ValueError(f"{source.file}: {unknown('split', name, list(table))}")
    return table[name]


def _table_files(path: Path) -> list[str]:
    """Files on this disk; none for a name on the hub."""
    if path.is_dir():
        found = sorted(str(file) for suffix in TABLES for file in path.rglob(f"*.{suffix}"))
    else:
        found = [str(path)] if path.is_file() else sorted(glob.glob(str(path)))
    if not found and (path.is_dir() or path.suffix[1:] in TABLES or not HUB_NAME.fullmatch(str(path))):
        raise FileNotFoundError(f"{path} holds no table; give parquet or json files, a folder of save_to_disk, or a name "
                                "on the hub.")
    return found


def _format(path: Path, files: list[str]) -> str:
    found = sorted({TABLES.get(suffix_of(file), suffix_of(file)) for file in files})
    if len(found) > 1 or found[0] not in TABLES.values():
        raise ValueError(f"{path} holds files of {', '.join(found)}; give parquet files alone, or json files alone.")
    return found[0]


def _columns(source: Source, table: Any) -> dict[str, str]:
    """Ours -> the table's, as given or of the same name."""
    there = list(table.features) if table.features is not None else list(next(iter(table), {}))
    for name in source.columns.values():
        if name not in there:
            raise ValueError(f"{source.file}: {unknown('column', name, there)}")
    columns = {name: name for name in (*WORDS, *SUFFIXES) if name in there} | dict(source.columns)
    if not {"answer", "caption"} & set(columns):
        raise ValueError(f"{source.file} has no column answer or caption; say with columns which of {', '.join(there)} it is.")
    return columns


def _undecoded(table: Any) -> Any:
    """Media as the bytes that are stored: the library's own readers are not needed, and one is not even installed."""
    for name, feature in (table.features or {}).items():
        if type(feature).__name__ in ("Audio", "Image", "Video"):
            table = table.cast_column(name, type(feature)(decode=False))
    return table


def _rows(table: Any, draw: tuple[int, int], rank: int, world: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name of the row, row). A table on disk is shuffled whole, a streamed one by its files."""
    from datasets import Dataset
    from datasets.distributed import split_dataset_by_node

    rng = np.random.default_rng(list(draw))
    if isinstance(table, Dataset):
        yield from ((f"#{index + 1}", table[int(index)]) for index in rng.permutation(len(table))[rank::world])
        return
    # One file after the other: reading several at once takes threads that are waited for, five seconds a table.
    shuffled = table.shuffle(seed=int(rng.integers(1 << 31)), buffer_size=1, max_buffer_input_shards=1)
    # By `iter`: a loop over the table itself would give each of the loader's workers a part of it, unasked.
    for one in split_dataset_by_node(shuffled, rank, world).iter(batch_size=1):
        row = {name: cell[0] for name, cell in one.items()}
        yield f"row {_row_name(row)}", row


def _row_name(row: Mapping[str, Any]) -> str:
    """Of what the row holds, for its place changes with the order: the same in every epoch."""
    total = hashlib.sha256()
    for name in sorted(row):
        cell = row[name]
        content = cell.get("bytes") or cell.get("path") if isinstance(cell, Mapping) else cell
        total.update(content if isinstance(content, bytes) else str(content).encode())
    return total.hexdigest()[:12]


def _row_example(where: str, row: Mapping[str, Any], columns: Mapping[str, str], cell: Callable[..., MediaRef],
                 stage: int) -> Example:
    try:
        media = {kind: cell(kind, where, row[columns[kind]]) for kind in SUFFIXES
                 if kind in columns and row[columns[kind]] is not None}
        words = {name: cell_text(where, name, row[columns[name]]) for name in WORDS if name in columns}
        return example_of(where, words, media, stage)
    except ValueError as error:
        return failed_example(where, str(error))


def _cell(kind: str, where: str, cell: Any, folder: Path | None, anywhere: bool) -> MediaRef:
    """A medium stored as bytes, or as the name of a file on this disk."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes):
        return MediaRef(kind, where, content=content)
    name = cell.get("path") if isinstance(cell, Mapping) else cell
    if not isinstance(name, str) or folder is None:
        raise ValueError(f"{where} holds no bytes of its {kind}; choose a data set that does, or give the media folder.")
    whole = anywhere and Path(name).is_absolute()
    return MediaRef(kind, where, path=Path(name) if whole else folder / inside(where, name))
