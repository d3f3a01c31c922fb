"""Streams of examples: tar shards through webdataset, and the door to the tables of Hugging Face datasets.

Both are read from their start, in an order that (seed, epoch) decides, each process its own share. What is broken in
one sample comes as an example whose medium raises when it is opened, so that whoever reads media counts it and names
it; nothing is left out here. Members are taken as bytes: nothing is un-pickled, no address is opened, no code is run.
"""

from __future__ import annotations

import glob
import json
import random
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llama.data.examples import Example, ExampleRecord, MediaRef
from llama.data.formats import SUFFIXES, alpaca_entries, instruction_entries, musicqa_entries, unknown
from llama.data.hf_datasets import hub_examples
from llama.data.json_lists import STREAMED
from llama.data.source import Source
from llama.data.stream_samples import WORDS, cell_text, example_of, failed_example, suffix_of

PICKLED = ("pkl", "pickle", "pyd", "pth", "pt")  # what loading would run
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
    read = _tar_examples if source.form == "tar" else hub_examples
    return read(source, stage, (seed, epoch), rank, world)


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
            yield failed_example(shard.name, f"{shard} is damaged after {last} ({words}); make this shard again.")
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


def _item(where: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    texts = [name for name in members if suffix_of(name) == "json"] or [name for name in members if suffix_of(name) == "txt"]
    if len(texts) != 1:
        raise ValueError(f"{where} has {len(texts)} json members beside {', '.join(members)}; give each key one, "
                         "and no dots inside the key.")
    try:
        text = members[texts[0]].decode("utf-8-sig")
        item = json.loads(text) if suffix_of(texts[0]) == "json" else {"caption": text.strip()}
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
        yield example_of(where, _item_words(where, item, source.columns), media, stage)
        return
    for entry in _conversation(item, turns, _names("audio", members, source))("", where, item | MEMBERS):
        if not entry.answer.strip():
            raise ValueError(f"{where} has an empty question or answer; mend its json.")
        yield entry.example(where + entry.place, lambda kind, name, _: _member(kind, name, members, source))


def _conversation(item: Mapping[str, Any], turns: Any, heard: list[str]) -> Callable[[str, str, Any], Iterator[ExampleRecord]]:
    """Whose form a conversation has: turns say their modality in the instructions alone."""
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "input_modality" in turns[0]:
        return instruction_entries
    return musicqa_entries if heard or {"audio_name", "image_name"} & set(item) else alpaca_entries


def _item_words(where: str, item: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Ours -> words, with Alpaca's keys too."""
    keys = {name: columns.get(name, name) for name in WORDS}
    keys["answer"] = "output" if "output" in item and "answer" not in columns else keys["answer"]
    words = {name: cell_text(where, key, item[key]) for name, key in keys.items() if key in item}
    if given := cell_text(where, "input", item.get("input")).strip():
        words["instruction"] = f"{words.get('instruction', '')}\n{given}"
    if not {"answer", "caption"} & set(words):
        raise ValueError(f"{where} has no conversation, answer or caption; it has {', '.join(item) or 'nothing'}.")
    return words


def _names(kind: str, members: Mapping[str, bytes], source: Source) -> list[str]:
    """Members that may be an input of this kind: key.mp3 or key.input.mp3, not key.output.mp3."""
    if source.kind not in (None, kind):
        return []
    if kind in source.columns:
        return [name for name in members if name == source.columns[kind]]
    return [name for name in members if suffix_of(name) in SUFFIXES[kind] and not name.startswith("output")]


def _member(kind: str, where: str, members: Mapping[str, bytes], source: Source) -> MediaRef:
    names = _names(kind, members, source)
    if not names:
        return MediaRef(kind, where, fault=f"{where} has no {kind} member beside {', '.join(members)}.")
    return MediaRef(kind, where, content=members[names[0]])
