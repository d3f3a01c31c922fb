"""Streams of examples: tar shards through webdataset, and tables of Hugging Face datasets.

Both are read from their start, in an order that (seed, epoch) decides, each process its own share. What is broken in
one sample comes as an example whose medium raises when it is opened, so that whoever reads media counts it and names
it; nothing is left out here. Members are taken as bytes: nothing is un-pickled, no address is opened, no code is run.
"""

from __future__ import annotations

import glob
import hashlib
import json
import random
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llama.examples import Entry, Example, Medium
from llama.items import (
    ASK,
    DESCRIBE,
    MAKE,
    SUFFIXES,
    alpaca_entries,
    inside,
    instruction_entries,
    musicqa_entries,
    unknown,
)
from llama.manifests import STREAMED
from llama.settings import Source

PICKLED = ("pkl", "pickle", "pyd", "pth", "pt")  # what loading would run
TABLES = {"parquet": "parquet", "json": "json", "jsonl": "json"}  # suffix -> how datasets reads it
SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves
HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
WORDS = ("instruction", "answer", "caption")
MEMBERS = {"input_file": "media", "audio_name": "media"}  # an item's names of files mean the shard's own members


def stream(source: Source, stage: int, epoch: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Example]:
    """One epoch's examples of process `rank` of `world` (workers that read for themselves count as processes).

    `tar`: `file` is a pattern ("shards/{0000..0009}.tar", "*.tar") or a folder of shards; a sample is key.json, an
    item of the instructions, musicqa or alpaca form or {"caption": ...} (or key.txt, a caption), and its media by
    extension. `hub`: `file` is a folder of `save_to_disk`, parquet or json files, or a name on the hub. `columns`: what
    we call it (instruction, answer, caption, audio, image, video) -> the json's key, the member's extension or the
    column. A caption without an answer is music to make at stage 2, and describes the medium otherwise.

    Raises `ValueError` or `FileNotFoundError` for what is wrong with all of it: no shards, no such column.
    """
    if source.form not in STREAMED:
        raise ValueError(unknown("form of a stream", source.form, STREAMED))
    for name in source.columns:
        if name not in (*WORDS, *SUFFIXES):
            raise ValueError(unknown("column", name, (*WORDS, *SUFFIXES)))
    read = _tar_examples if source.form == "tar" else _hub_examples
    return read(source, stage, (seed, epoch), rank, world)


def _broken(source: str, fault: str) -> Example:
    return Example("", "", "chat", source, audio=Medium("audio", source, fault=fault))


def _example(where: str, words: Mapping[str, str], media: Mapping[str, Medium], stage: int) -> Example:
    """Words by our names; a caption beside an answer is that of the music to make."""
    kind, asked, caption = next(iter(media), "text"), words.get("instruction", ""), words.get("caption", "")
    audio, image, video = (media.get(name) for name in SUFFIXES)
    if "answer" in words:
        task = (MAKE if caption else ASK)[kind]
        example = Example(asked, words["answer"], task, where, audio, image, video, caption or None)
    elif stage == 2:
        example = Example(caption, caption, MAKE["text"], where, caption=caption)
    elif media:
        example = Example(asked, caption, DESCRIBE[kind], where, audio, image, video)
    else:
        raise ValueError(f"{where} has a caption but no sound, picture or clip.")
    if not example.answer.strip():
        raise ValueError(f"{where} has no answer or caption; mend the data.")
    return example


def _cell_text(where: str, name: str, cell: Any) -> str:
    if not isinstance(cell, (str, type(None))):
        raise ValueError(f"{where}: its {name} is {type(cell).__name__}; give text.")
    return cell or ""


# Tar shards ------------------------------------------------------------------------------------------------------


def _tar_examples(source: Source, stage: int, draw: tuple[int, int], rank: int, world: int) -> Iterator[Example]:
    read, shards = _tar_reader(), _shards(source.file)
    if len(shards) < world:
        raise ValueError(f"{source.file} has {len(shards)} shard(s) for {world} processes; make at least one for each, "
                         "or train with fewer processes.")
    random.Random(f"{draw}").shuffle(shards)
    return (example for shard in shards[rank::world] for example in _shard_examples(read, shard, source, stage))


def _tar_reader() -> Callable[[Path], Iterator[dict[str, Any]]]:
    """A shard's samples {"__key__": key, extension: bytes}; errors come through."""
    try:
        from webdataset.handlers import reraise_exception
        from webdataset.tariterators import tarfile_samples
    except ImportError as error:
        raise ValueError("Tar shards are read by webdataset, which is not installed; "
                         "run: pip install webdataset") from error
    # The library drops members without an extension in silence; named so, they come as samples that lack their words.
    return lambda shard: tarfile_samples([{"url": shard.resolve().as_uri()}], handler=reraise_exception,
                                         rename_files=lambda name: name if "." in Path(name).name else f"{name}.unknown")


def _shards(pattern: str) -> list[Path]:
    """The shards that a pattern or folder means, in the order of their names."""
    from webdataset.shardlists import expand_urls

    path = Path(pattern)
    if path.is_dir():
        found = sorted(path.glob("*.tar*"))
    else:
        names = [pattern] if path.exists() else expand_urls(pattern)
        found = [Path(file) for name in names for file in (sorted(glob.glob(name)) if _is_glob(name) else [name])]
    missing = [file for file in found if not file.is_file()]
    if missing or not found:
        what = f"{len(missing)} of its {len(found)} shards, first {missing[0]}" if missing else "any shard"
        raise FileNotFoundError(f"{pattern} does not lead to {what}; give tar files on this disk.")
    return found


def _is_glob(name: str) -> bool:
    return glob.has_magic(name) and not Path(name).exists()


def _shard_examples(read: Callable[[Path], Iterator[dict[str, Any]]], shard: Path, source: Source,
                    stage: int) -> Iterator[Example]:
    last = "its start"
    samples = iter(read(shard))
    while True:
        try:
            sample = next(samples, None)
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
            words = str(error.args[0] if error.args else error).split(" @ ")[0]
            yield _broken(shard.name, f"{shard} is damaged after {last} ({words}); make this shard again.")
            return
        if sample is None:
            return
        last = f"sample {sample['__key__']}"
        yield from _sample_examples(f"{shard.name} {last}", sample, source, stage)


def _sample_examples(where: str, sample: dict[str, Any], source: Source, stage: int) -> Iterator[Example]:
    members = {name: content for name, content in sample.items() if not name.startswith("__")}
    pickled = [name for name in members if _suffix(name) in PICKLED]
    if pickled:
        raise ValueError(f"{where} holds a pickle ({pickled[0]}), which could run any program when it is loaded; "
                         "make the shards with json and media alone.")
    try:
        yield from list(_item_examples(where, _item(where, members), members, source, stage))
    except ValueError as error:
        yield _broken(where, str(error))


def _item(where: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    texts = [name for name in members if _suffix(name) == "json"] or [name for name in members if _suffix(name) == "txt"]
    if len(texts) != 1:
        raise ValueError(f"{where} has {len(texts)} json members beside {', '.join(members)}; give each key one, "
                         "and no dots inside the key.")
    try:
        text = members[texts[0]].decode("utf-8-sig")
        item = json.loads(text) if _suffix(texts[0]) == "json" else {"caption": text.strip()}
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: its json is none: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: its {texts[0]} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error
    if not isinstance(item, dict):
        raise ValueError(f"{where}: its json is no object; give one item of a list of examples.")
    return item


def _item_examples(where: str, item: dict[str, Any], members: Mapping[str, bytes], source: Source,
                   stage: int) -> Iterator[Example]:
    turns = next((item[key] for key in ("conversation", "conversations") if key in item), None)
    if turns is None:
        media = {kind: _member(kind, where, members, source) for kind in SUFFIXES if _names(kind, members, source)}
        yield _example(where, _item_words(where, item, source.columns), media, stage)
        return
    for entry in _conversation(item, turns, _names("audio", members, source))("", where, item | MEMBERS):
        if not entry.answer.strip():
            raise ValueError(f"{where} has an empty question or answer; mend its json.")
        yield entry.example(where + entry.place, lambda kind, name, _: _member(kind, name, members, source))


def _conversation(item: Mapping[str, Any], turns: Any, heard: list[str]) -> Callable[[str, str, Any], Iterator[Entry]]:
    """Whose form a conversation has: turns say their modality in the instructions alone."""
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "input_modality" in turns[0]:
        return instruction_entries
    return musicqa_entries if heard or {"audio_name", "image_name"} & set(item) else alpaca_entries


def _item_words(where: str, item: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Ours -> words, with Alpaca's keys too."""
    keys = {name: columns.get(name, name) for name in WORDS}
    keys["answer"] = "output" if "output" in item and "answer" not in columns else keys["answer"]
    words = {name: _cell_text(where, key, item[key]) for name, key in keys.items() if key in item}
    if given := _cell_text(where, "input", item.get("input")).strip():
        words["instruction"] = f"{words.get('instruction', '')}\n{given}"
    if not {"answer", "caption"} & set(words):
        raise ValueError(f"{where} has no conversation, answer or caption; it has {', '.join(item) or 'nothing'}.")
    return words


def _suffix(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _names(kind: str, members: Mapping[str, bytes], source: Source) -> list[str]:
    """Members that may be an input of this kind: key.mp3 or key.input.mp3, not key.output.mp3."""
    if source.kind not in (None, kind):
        return []
    if kind in source.columns:
        return [name for name in members if name == source.columns[kind]]
    return [name for name in members if _suffix(name) in SUFFIXES[kind] and not name.startswith("output")]


def _member(kind: str, where: str, members: Mapping[str, bytes], source: Source) -> Medium:
    names = _names(kind, members, source)
    if not names:
        return Medium(kind, where, fault=f"{where} has no {kind} member beside {', '.join(members)}.")
    return Medium(kind, where, content=members[names[0]])


# Hugging Face datasets -------------------------------------------------------------------------------------------


def _hub_examples(source: Source, stage: int, draw: tuple[int, int], rank: int, world: int) -> Iterator[Example]:
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
        yield _broken(label, f"{label} is damaged after {last} ({words}); make this table again.")


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
    found = sorted({TABLES.get(_suffix(file), _suffix(file)) for file in files})
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
    for row in split_dataset_by_node(shuffled, rank, world):
        yield f"row {_row_name(row)}", row


def _row_name(row: Mapping[str, Any]) -> str:
    """Of what the row holds, for its place changes with the order: the same in every epoch."""
    total = hashlib.sha256()
    for name in sorted(row):
        cell = row[name]
        content = cell.get("bytes") or cell.get("path") if isinstance(cell, Mapping) else cell
        total.update(content if isinstance(content, bytes) else str(content).encode())
    return total.hexdigest()[:12]


def _row_example(where: str, row: Mapping[str, Any], columns: Mapping[str, str], cell: Callable[..., Medium],
                 stage: int) -> Example:
    try:
        media = {kind: cell(kind, where, row[columns[kind]]) for kind in SUFFIXES
                 if kind in columns and row[columns[kind]] is not None}
        words = {name: _cell_text(where, name, row[columns[name]]) for name in WORDS if name in columns}
        return _example(where, words, media, stage)
    except ValueError as error:
        return _broken(where, str(error))


def _cell(kind: str, where: str, cell: Any, folder: Path | None, anywhere: bool) -> Medium:
    """A medium stored as bytes, or as the name of a file on this disk."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes):
        return Medium(kind, where, content=content)
    name = cell.get("path") if isinstance(cell, Mapping) else cell
    if not isinstance(name, str) or folder is None:
        raise ValueError(f"{where} holds no bytes of its {kind}; choose a data set that does, or give the media folder.")
    whole = anywhere and Path(name).is_absolute()
    return Medium(kind, where, path=Path(name) if whole else folder / inside(where, name))
