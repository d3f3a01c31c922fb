"""JSON lists: the published lists of training examples, and a folder of the user's songs, as sequences of `Example`.

Forms: captions and captions_to_music {file: caption}; musicqa [{audio_name, conversation}]; alpaca [{instruction, input,
output}]; instructions [{input_file, output_file, conversation}]; songs, a folder. A list is parsed and checked completely
before training and stored as a few strings an example; media files are opened only when they are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llama.data.audio_folder import read_audio_folder
from llama.data.examples import MAX_NAMED, Example, ExampleList, ExampleRecord
from llama.data.formats import PARSERS, SUFFIXES, caption_records, unknown
from llama.data.source import Source
from llama.files import special_file
from llama.json_yaml import read_json

STREAMED = ("tar", "hub")  # forms that can only be read sequentially


def read_source(source: Source, stage: int) -> Sequence[Example]:
    """The examples of a list or of a folder of songs. They are the same at every `stage`, which matters to streams only.

    Raises `FileNotFoundError` or `ValueError` with the file, and the item's number and key, that cannot be used.
    """
    if source.form in STREAMED:
        raise ValueError(f"The form {source.form} is a stream, not a list; read it with llama.data.tar_shards.stream.")
    if source.form == "songs":
        return read_audio_folder(Path(source.media or source.file))
    path = Path(source.file)
    parse = _parser(source)
    records = list(_with_answers(path.name, parse(path.name, _load(path))))
    if not records:
        raise ValueError(f"{path} holds no examples; give a list with at least one.")
    return ExampleList(path.name, Path(source.media) if source.media else path.parent, records)


def _parser(source: Source) -> Callable[[str, object], Iterator[ExampleRecord]]:
    if source.form not in PARSERS:
        raise ValueError(unknown("form", source.form, (*PARSERS, "songs", *STREAMED)))
    if source.form != "captions":
        return PARSERS[source.form]
    if source.kind not in (None, *SUFFIXES):
        raise ValueError(unknown("kind", source.kind, tuple(SUFFIXES)))
    return lambda label, data: caption_records(label, data, source.kind)


def _load(path: Path) -> object:
    if not path.exists():
        raise FileNotFoundError(f"There is no list of examples {path}; check the source's file.")
    if special := special_file(path):
        raise ValueError(f"{path} is {special}, not a file; save the list to a file and give that.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the JSON file in it, or use the form songs, tar or hub.")
    return read_json(path, unique_names=True)


def _with_answers(label: str, records: Iterator[ExampleRecord]) -> Iterator[ExampleRecord]:
    """Leaves out examples without an answer (the published lists have nulls), and warns once with their number."""
    dropped: list[str] = []
    for record in records:
        if record.answer.strip():
            yield record
        else:
            dropped.append(record.position)
    if dropped:
        names = ", ".join(dropped[:MAX_NAMED]) + (", ..." if len(dropped) > MAX_NAMED else "")
        warnings.warn(f"{label}: {len(dropped)} example(s) with an empty question or answer left out ({names}).",
                      stacklevel=3)
