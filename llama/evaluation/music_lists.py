"""The published lists of music to make: captions of MUCaps, and instructions with a picture, a clip or a recording.

MUCapsEvalCaptions.json {file: caption}; MUImage-, MUVideo- and MUEditEvalInstructions.json [{input_file, output_file, conversation}],
also with the key conversations and with the two files swapped, as published. Names without Eval are read where these are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama.data.examples import ExampleRecord
from llama.data.formats import inside, instruction_records
from llama.errors import USER_ERRORS, quoted, sentence
from llama.evaluation.benchmarks.media_index import MediaIndex
from llama.evaluation.benchmarks.table_files import Problems, find_table
from llama.evaluation.media_folders import AUDIO, media_name
from llama.json_yaml import read_json

FOLDERS = {"audio": "audios", "image": "images", "video": "videos"}  # where the project's own sets have their media


@dataclass(frozen=True)
class MusicRequest:
    """A piece to make.

    name: of its file, without suffix: that of the reference recording, so that the two make a pair. caption: what the list says of
    the reference. kind: audio, image, video or text; medium: its file.
    """

    name: str
    text: str
    caption: str
    kind: str = "text"
    medium: Path | None = None


@dataclass(frozen=True)
class MusicList:
    """What is to be made, and a sentence for each entry that was left out."""

    requests: list[MusicRequest]
    problems: list[str]


def read_music_list(form: str, folder: Path) -> MusicList:
    """The requests of a folder. Raises FileNotFoundError or ValueError where its list is missing, is none, or asks for nothing."""
    names, parse = LISTS[form]
    file = find_table(folder, *names)
    index, problems = MediaIndex(folder), Problems()
    requests: dict[str, MusicRequest] = {}
    for number, make in parse(file, read_json(file, "get the file again", unique_names=True)):
        try:
            request = make(index)
        except USER_ERRORS as error:
            problems.add(file, number, sentence(error).rstrip("."))
            continue
        if request.name in requests:
            problems.add(file, number, f"its piece {request.name} stands in an earlier entry")
        requests.setdefault(request.name, request)
    if not requests:
        raise ValueError(f"{file} asks for no music that can be made; {problems[0] if problems else 'give the published list.'}")
    return MusicList(list(requests.values()), problems)


Entries = Iterator[tuple[int, Callable[[MediaIndex], MusicRequest]]]


def _captions(file: Path, data: Any) -> Entries:
    if not isinstance(data, dict):
        raise ValueError(f"{file} is no object of file names and captions; give the published list.")
    for number, (name, caption) in enumerate(data.items(), 1):
        yield number, lambda index, name=name, caption=caption: _caption_request(name, caption)  # type: ignore[misc]


def _caption_request(name: str, caption: Any) -> MusicRequest:
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"its caption is {quoted(caption)}, where a text is due")
    return MusicRequest(media_name(inside(name, name), AUDIO), caption, caption)


def _instructions(file: Path, data: Any) -> Entries:
    if not isinstance(data, list):
        raise ValueError(f"{file} is no list of instructions; give the published list.")
    for number, item in enumerate(data, 1):
        yield number, lambda index, item=item, number=number: _instruction_request(index, file, number, item)  # type: ignore[misc]


def _instruction_request(index: MediaIndex, file: Path, number: int, item: Any) -> MusicRequest:
    label = f"{file.name} #{number}"
    records = [record for record in instruction_records(f"#{number}", label, item) if record.caption is not None]
    if not records:
        raise ValueError("it asks for no music")
    record = records[0]
    if not record.instruction.strip():
        raise ValueError("its instruction is empty")
    medium = None
    if record.kind != "text":
        medium = index.find([f"{FOLDERS[record.kind]}/{record.file}", record.file])
        if medium is None:
            raise FileNotFoundError(index.missing([record.file]))
    return MusicRequest(media_name(_reference(label, record, item), AUDIO), record.instruction, record.caption or "", record.kind, medium)


def _reference(label: str, record: ExampleRecord, item: Any) -> str:
    """The reference's file: of the two names the one that is not the input's."""
    names = [name for key in ("output_file", "input_file") if isinstance(name := item.get(key), str) and name]
    if not names:
        raise ValueError(f"{label} names no output_file")
    return inside(label, next((name for name in names if name != record.file), names[0]))


LISTS: dict[str, tuple[tuple[str, ...], Callable[[Path, Any], Entries]]] = {
    "mucaps": (("MUCapsEvalCaptions.json", "MUCapsCaptions.json", "MUCaps.json"), _captions),
    "muimage": (("MUImageEvalInstructions.json", "MUImageInstructions.json"), _instructions),
    "muvideo": (("MUVideoEvalInstructions.json", "MUVideoInstructions.json"), _instructions),
    "muedit": (("MUEditEvalInstructions.json", "MUEditInstructions.json"), _instructions),
}
