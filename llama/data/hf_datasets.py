"""Hugging Face datasets as streams of examples: from `save_to_disk` folders, parquet and json files, or the hub."""

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
from llama.data.stream_samples import TEXT_FIELDS, cell_text, example_of, failed_example, suffix_of
from llama.json_yaml import check_json_files

TABLES = {"parquet": "parquet", "json": "json", "jsonl": "json"}  # suffix -> the builder that reads it
SAVED = ("state.json", "dataset_dict.json")  # files that save_to_disk writes
HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def hub_examples(source: Source, stage: int, draw: tuple[int, int], rank: int, world: int) -> Iterator[Example]:
    """Like `tar_shards.stream`, for the form hub; `draw` (seed, epoch) decides the order."""
    table, folder = _table(source)
    columns = _columns(source, table)
    table = _undecoded(table.select_columns(sorted(set(columns.values()))))
    label = Path(source.file).name
    # Absolute paths of media are accepted only from save_to_disk folders, which store them so.
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
        reason = str(error).strip().split("\n")[0]
        yield failed_example(label, f"{label} is damaged after {last} ({reason}); make this table again.")


def _table(source: Source) -> tuple[Any, Path | None]:
    """The table, and the folder that its file names are relative to (None for the hub, which has no files)."""
    try:
        import datasets
    except ImportError as error:
        raise ValueError("Tables are read by datasets, which is not installed; run: pip install datasets") from error
    path, media = Path(source.file), Path(source.media) if source.media else None
    if _is_saved(path):
        check_json_files(path)
        return _split(_open(source, datasets.load_from_disk, path), source), media or path
    split, files = source.split or "train", _table_files(path)
    load = partial(_open, source, datasets.load_dataset, split=split, streaming=True)
    if not files:
        return load(source.file, source.name), media
    return load(_format(path, files), data_files={split: files}), media or Path(files[0]).parent


def _open(source: Source, load: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result of `load`; its errors become a ValueError in one sentence."""
    try:
        return load(*arguments, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"Cannot open the data set {source.file}: {reason}; give a folder of save_to_disk, parquet or json "
                         "files, or a name on the hub with its split.") from error


def _is_saved(path: Path) -> bool:
    return any((path / name).is_file() for name in SAVED)


def local_files(path: Path) -> list[Path]:
    """The files of a data set on this disk; none for a name on the hub."""
    return [file for file in path.rglob("*") if file.is_file()] if _is_saved(path) else [Path(file) for file in _table_files(path)]


def _split(table: Any, source: Source) -> Any:
    """`table` itself, or the split that the source names if there are several."""
    if not isinstance(table, dict):
        return table
    name = source.split or "train"
    if name not in table:
        raise ValueError(f"{source.file}: {unknown('split', name, list(table))}")
    return table[name]


def _table_files(path: Path) -> list[str]:
    """The local files of a table; none for a name on the hub."""
    if path.is_dir():
        files = sorted(str(file) for suffix in TABLES for file in path.rglob(f"*.{suffix}"))
    else:
        files = [str(path)] if path.is_file() else sorted(glob.glob(str(path)))
    if not files and (path.is_dir() or path.suffix[1:] in TABLES or not HUB_NAME.fullmatch(str(path))):
        raise FileNotFoundError(f"{path} holds no table; give parquet or json files, a folder of save_to_disk, or a name "
                                "on the hub.")
    return files


def _format(path: Path, files: list[str]) -> str:
    formats = sorted({TABLES.get(suffix_of(file), suffix_of(file)) for file in files})
    if len(formats) > 1 or formats[0] not in TABLES.values():
        raise ValueError(f"{path} holds files of {', '.join(formats)}; give parquet files alone, or json files alone.")
    return formats[0]


def _columns(source: Source, table: Any) -> dict[str, str]:
    """Our field names -> the table's columns: as the source maps them, else of the same name."""
    present = list(table.features) if table.features is not None else list(next(iter(table), {}))
    for name in source.columns.values():
        if name not in present:
            raise ValueError(f"{source.file}: {unknown('column', name, present)}")
    columns = {name: name for name in (*TEXT_FIELDS, *SUFFIXES) if name in present} | dict(source.columns)
    if not {"answer", "caption"} & set(columns):
        raise ValueError(f"{source.file} has no column answer or caption; say with columns which of {', '.join(present)} it is.")
    return columns


def _undecoded(table: Any) -> Any:
    """The table with media as stored bytes, because datasets' own decoders need packages that are not installed."""
    for name, feature in (table.features or {}).items():
        if type(feature).__name__ in ("Audio", "Image", "Video"):
            table = table.cast_column(name, type(feature)(decode=False))
    return table


def _rows(table: Any, draw: tuple[int, int], rank: int, world: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name of the row, row). A table on disk is shuffled row by row, a streamed one file by file."""
    from datasets import Dataset
    from datasets.distributed import split_dataset_by_node

    rng = np.random.default_rng(list(draw))
    if isinstance(table, Dataset):
        yield from ((f"#{index + 1}", table[int(index)]) for index in rng.permutation(len(table))[rank::world])
        return
    # One file at a time: reading several starts threads whose shutdown takes five seconds a table.
    shuffled = table.shuffle(seed=int(rng.integers(1 << 31)), buffer_size=1, max_buffer_input_shards=1)
    # `iter` instead of a loop over the table, which would split it among the loader's workers by itself.
    for batch in split_dataset_by_node(shuffled, rank, world).iter(batch_size=1):
        row = {name: cell[0] for name, cell in batch.items()}
        yield f"row {_row_name(row)}", row


def _row_name(row: Mapping[str, Any]) -> str:
    """A hash of the row's content: its position changes with the shuffling, its content is the same in every epoch."""
    checksum = hashlib.sha256()
    for name in sorted(row):
        cell = row[name]
        content = cell.get("bytes") or cell.get("path") if isinstance(cell, Mapping) else cell
        checksum.update(content if isinstance(content, bytes) else str(content).encode())
    return checksum.hexdigest()[:12]


def _row_example(where: str, row: Mapping[str, Any], columns: Mapping[str, str], cell: Callable[..., MediaRef],
                 stage: int) -> Example:
    try:
        media = {kind: cell(kind, where, row[columns[kind]]) for kind in SUFFIXES
                 if kind in columns and row[columns[kind]] is not None}
        texts = {name: cell_text(where, name, row[columns[name]]) for name in TEXT_FIELDS if name in columns}
        return example_of(where, texts, media, stage)
    except ValueError as error:
        return failed_example(where, str(error))


def _cell(kind: str, where: str, cell: Any, folder: Path | None, anywhere: bool) -> MediaRef:
    """Media reference of a cell that stores bytes, or the name of a local file. `anywhere`: absolute names are allowed."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes):
        return MediaRef(kind, where, content=content)
    name = cell.get("path") if isinstance(cell, Mapping) else cell
    if not isinstance(name, str) or folder is None:
        raise ValueError(f"{where} holds no bytes of its {kind}; choose a data set that does, or give the media folder.")
    absolute = anywhere and Path(name).is_absolute()
    return MediaRef(kind, where, path=Path(name) if absolute else folder / inside(where, name))
