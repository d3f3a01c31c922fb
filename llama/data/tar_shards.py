"""Example streams: tar shards (read with webdataset) and the tables of Hugging Face datasets.

Both are read sequentially, in an order given by (seed, epoch), and each process reads its own share. A damaged sample
becomes an example whose medium raises an error when opened, so that the reader of media counts and reports it; none is
dropped here. Members are read as bytes: nothing is unpickled, no URL is opened and no code is run.
"""

from __future__ import annotations

import glob
import random
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llama.data.examples import Example, ExampleRecord, MediaRef
from llama.data.formats import SUFFIXES, alpaca_records, instruction_records, musicqa_records, unknown
from llama.data.hf_datasets import hub_examples, local_files
from llama.data.json_lists import STREAMED
from llama.data.source import Source
from llama.data.stream_samples import TEXT_FIELDS, cell_text, example_of, failed_example, suffix_of
from llama.files import visible_files
from llama.json_yaml import parse_json

PICKLED = ("pkl", "pickle", "pyd", "pth", "pt")  # what loading would run
MEMBERS = {"input_file": "media", "audio_name": "media"}  # an item's names of files mean the shard's own members


def stream(source: Source, stage: int, epoch: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Example]:
    """The examples of one epoch for process `rank` of `world` (workers that read on their own count as processes).

    `tar`: `file` is a pattern ("shards/{0000..0009}.tar", "*.tar") or a folder of shards. A sample is key.json (an
    item of the instructions, musicqa or alpaca form, or {"caption": ...}) or key.txt (a caption), with its media by
    extension. `hub`: `file` is a folder of `save_to_disk`, parquet or json files, or a name on the hub. `columns` maps
    our names (instruction, answer, caption, audio, image, video) to the json's key, the member's extension or the
    column. A caption without an answer is music to generate at stage 2, and describes the medium otherwise.

    Raises `ValueError` or `FileNotFoundError` if the source as a whole cannot be read: no shards, no such column.
    """
    if source.form not in STREAMED:
        raise ValueError(unknown("form of a stream", source.form, STREAMED))
    for name in source.columns:
        if name not in (*TEXT_FIELDS, *SUFFIXES):
            raise ValueError(unknown("column", name, (*TEXT_FIELDS, *SUFFIXES)))
    read = _tar_examples if source.form == "tar" else hub_examples
    return read(source, stage, (seed, epoch), rank, world)


def stream_files(source: Source) -> list[Path]:
    """The local files of a stream, in the order of their paths; none for a data set on the hub."""
    return _shards(source.file) if source.form == "tar" else sorted(local_files(Path(source.file)))


def _tar_examples(source: Source, stage: int, draw: tuple[int, int], rank: int, world: int) -> Iterator[Example]:
    read, shards = _tar_reader(), _shards(source.file)
    if len(shards) < world:
        raise ValueError(f"{source.file} has {len(shards)} shard(s) for {world} processes; make at least one for each, "
                         "or train with fewer processes.")
    random.Random(f"{draw}").shuffle(shards)
    return (example for shard in shards[rank::world] for example in _shard_examples(read, shard, source, stage))


def _tar_reader() -> Callable[[Path], Iterator[dict[str, Any]]]:
    """Function from a shard to its samples {"__key__": key, extension: bytes}; it raises read errors instead of skipping."""
    try:
        from webdataset.handlers import reraise_exception
        from webdataset.tariterators import tarfile_samples
    except ImportError as error:
        raise ValueError("Tar shards are read by webdataset, which is not installed; "
                         "run: pip install webdataset") from error
    # webdataset drops members without an extension silently; renamed, they become samples without a text and are reported.
    return lambda shard: tarfile_samples([{"url": shard.resolve().as_uri()}], handler=reraise_exception,
                                         rename_files=lambda name: name if "." in Path(name).name else f"{name}.unknown")


def _shards(pattern: str) -> list[Path]:
    """The shards of a pattern or folder, in the order of their names. FileNotFoundError if any is missing."""
    from webdataset.shardlists import expand_urls

    path = Path(pattern)
    if path.is_dir():
        shards = [file for file in visible_files(path, "*.tar*") if not file.is_dir()]
    else:
        names = [pattern] if path.exists() else expand_urls(pattern)
        shards = [Path(file) for name in names for file in (sorted(glob.glob(name)) if _is_glob(name) else [name])]
    missing = [file for file in shards if not file.is_file()]
    if missing or not shards:
        what = f"{len(missing)} of its {len(shards)} shards, first {missing[0]}" if missing else "any shard"
        raise FileNotFoundError(f"{pattern} does not lead to {what}; give tar files on this disk.")
    return shards


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
            reason = str(error.args[0] if error.args else error).split(" @ ")[0]
            yield failed_example(shard.name, f"{shard} is damaged after {last} ({reason}); make this shard again.")
            return
        if sample is None:
            return
        last = f"sample {sample['__key__']}"
        yield from _sample_examples(f"{shard.name} {last}", sample, source, stage)


def _sample_examples(where: str, sample: dict[str, Any], source: Source, stage: int) -> Iterator[Example]:
    members = {name: content for name, content in sample.items() if not name.startswith("__")}
    pickled = [name for name in members if suffix_of(name) in PICKLED]
    if pickled:
        raise ValueError(f"{where} holds a pickle ({pickled[0]}), which could run any program when it is loaded; "
                         "make the shards with json and media alone.")
    try:
        yield from list(_item_examples(where, _item(where, members), members, source, stage))
    except ValueError as error:
        yield failed_example(where, str(error))


def _item(where: str, members: Mapping[str, bytes]) -> dict[str, object]:
    texts = [name for name in members if suffix_of(name) == "json"] or [name for name in members if suffix_of(name) == "txt"]
    if len(texts) != 1:
        raise ValueError(f"{where} has {len(texts)} json members beside {', '.join(members)}; give each key one, "
                         "and no dots inside the key.")
    content = members[texts[0]]
    try:
        item = parse_json(content, unique_names=True) if suffix_of(texts[0]) == "json" else {"caption": content.decode("utf-8-sig").strip()}
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: its {texts[0]} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except ValueError as error:
        raise ValueError(f"{where}: its json is not readable ({error}); mend it there.") from error
    if not isinstance(item, dict):
        raise ValueError(f"{where}: its json is no object; give one item of a list of examples.")
    return item


def _item_examples(where: str, item: dict[str, object], members: Mapping[str, bytes], source: Source,
                   stage: int) -> Iterator[Example]:
    turns = next((item[key] for key in ("conversation", "conversations") if key in item), None)
    if turns is None:
        media = {kind: _member(kind, where, members, source) for kind in SUFFIXES if _names(kind, members, source)}
        yield example_of(where, _item_texts(where, item, source.columns), media, stage)
        return
    for record in _conversation_parser(item, turns, _names("audio", members, source))("", where, item | MEMBERS):
        if not record.answer.strip():
            raise ValueError(f"{where} has an empty question or answer; mend its json.")
        yield record.example(where + record.position, lambda kind, name, _: _member(kind, name, members, source))


def _conversation_parser(
    item: Mapping[str, object], turns: object, audio_names: list[str]
) -> Callable[[str, str, object], Iterator[ExampleRecord]]:
    """The parser of the list format that a conversation has; only turns of the instructions form name a modality."""
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "input_modality" in turns[0]:
        return instruction_records
    return musicqa_records if audio_names or {"audio_name", "image_name"} & set(item) else alpaca_records


def _item_texts(where: str, item: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, str]:
    """The texts of an item by TEXT_FIELDS; Alpaca's keys are accepted too."""
    keys = {name: columns.get(name, name) for name in TEXT_FIELDS}
    keys["answer"] = "output" if "output" in item and "answer" not in columns else keys["answer"]
    texts = {name: cell_text(where, key, item[key]) for name, key in keys.items() if key in item}
    if extra := cell_text(where, "input", item.get("input")).strip():
        texts["instruction"] = f"{texts.get('instruction', '')}\n{extra}"
    if not {"answer", "caption"} & set(texts):
        raise ValueError(f"{where} has no conversation, answer or caption; it has {', '.join(item) or 'nothing'}.")
    return texts


def _names(kind: str, members: Mapping[str, bytes], source: Source) -> list[str]:
    """Extensions of the members that can be the input of this kind: key.mp3 or key.input.mp3, not key.output.mp3."""
    if source.kind not in (None, kind):
        return []
    if kind in source.columns:
        return [name for name in members if name == source.columns[kind]]
    return [name for name in members if suffix_of(name) in SUFFIXES[kind] and not name.startswith("output")]


def _member(kind: str, where: str, members: Mapping[str, bytes], source: Source) -> MediaRef:
    names = _names(kind, members, source)
    if not names:
        return MediaRef(kind, where, error=f"{where} has no {kind} member beside {', '.join(members)}.")
    return MediaRef(kind, where, content=members[names[0]])
