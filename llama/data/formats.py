"""Parsers of the published list formats: each turns the items of a list into example records.

Formats: captions, questions about a recording, text-only dialogues, instructions. Known variants of keys and swapped
file names are accepted; an item that cannot be used raises `ValueError` with its number and key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import TypeVar, overload

from llama.config import MODALITIES
from llama.data.examples import ExampleRecord
from llama.errors import PATH_LENGTH, quoted, shorten
from llama.media.containers import MEDIA_FORMATS

ValueT = TypeVar("ValueT")
SUFFIXES = {  # kind -> suffixes without the dot; a GIF may be an image or a video
    kind: tuple(item.suffix[1:] for item in MEDIA_FORMATS if item.kind == kind and item.dataset) for kind in MODALITIES
}
MODALITY = {"input_modality": ("audio", "image", "video", "text"), "output_modality": ("audio", "text")}

DESCRIBE = {"audio": "describe_music", "image": "describe_image", "video": "describe_video", "text": "chat"}
ASK = DESCRIBE | {"audio": "question"}
MAKE = {"audio": "edit", "image": "image_to_music", "video": "video_to_music", "text": "text_to_music"}


def unknown(what: str, value: object, choices: Sequence[str]) -> str:
    """Error sentence about an unknown value, with the closest of the allowed ones."""
    near = get_close_matches(str(value), choices, 1)
    return f"The {what} {quoted(value)} is unknown; " + (f"did you mean {near[0]!r}? " if near else "") + \
        f"It may be {', '.join(choices)}."


def kinds_of(name: str) -> list[str]:
    """The media kinds that a file's suffix allows, in the order audio, image, video."""
    return [kind for kind, suffixes in SUFFIXES.items() if PurePath(name).suffix.lower()[1:] in suffixes]


def inside(where: str, name: str) -> str:
    """`name` itself if it stays inside the media folder; `ValueError` otherwise."""
    parts = name.replace("\\", "/").split("/")  # both kinds of slashes, on every system
    if not parts[0].strip() or ".." in parts or (len(parts) > 1 and parts[0].endswith(":")):
        raise ValueError(f"{where} names the file {shorten(name, PATH_LENGTH)!r}, which is not within the media folder; give a name in it.")
    return name


def _type_words(value: object) -> str:
    """A JSON type in words, for error messages."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


@overload
def _get(where: str, item: object, *keys: str) -> str: ...


@overload
def _get(where: str, item: object, *keys: str, kind: type[ValueT]) -> ValueT: ...


def _get(where: str, item: object, *keys: str, kind: type = str) -> object:
    """The value of the first of `keys` in `item`; ValueError if none is there or the value is not of type `kind`."""
    if not isinstance(item, Mapping):
        raise ValueError(f"{where} is {_type_words(item)}; give an object with {keys[0]}.")
    key = next((key for key in keys if key in item), None)
    if key is None:
        has = shorten(", ".join(list(item)[:10]), PATH_LENGTH) or "nothing"
        raise ValueError(f"{where} lacks {' or '.join(keys)}; it has {has}; add it, or choose another form.")
    if not isinstance(item[key], kind):
        raise ValueError(f"{where}: {shorten(key)} is {_type_words(item[key])}; give {_type_words(kind())}.")
    return item[key]


def _text(where: str, item: object, *keys: str) -> str:
    """Like `_get`, with null read as an empty text."""
    null = isinstance(item, Mapping) and any(key in item and item[key] is None for key in keys)
    return "" if null else _get(where, item, *keys)


def _list_items(label: str, data: object) -> Iterator[tuple[str, str, object]]:
    """(position "#17", label for errors, item) of a list."""
    if not isinstance(data, list):
        raise ValueError(f"{label} is {_type_words(data)} at its top; this form is a list of objects.")
    for number, item in enumerate(data, 1):
        yield f"#{number}", f"{label} #{number}", item


def _caption_items(label: str, data: object) -> Iterator[tuple[str, str, str, str]]:
    """(position "#17", label for errors, file, caption) of an object."""
    if not isinstance(data, dict):
        raise ValueError(f"{label} is {_type_words(data)} at its top; this form is one object of file names and captions.")
    for number, file in enumerate(data, 1):
        yield f"#{number}", f"{label} #{number}", file, _text(f"{label} #{number}", data, file)


def caption_record(position: str, where: str, file: str, caption: str, kind: str | None) -> ExampleRecord:
    """Stage 1 as published: an empty instruction with the medium, its caption as the answer."""
    kind = kind or next(iter(kinds_of(file)), None)
    if kind is None:
        raise ValueError(f"{where}: the suffix of {quoted(file)} tells no kind; give the source's kind: audio, image or video.")
    return ExampleRecord(position, "", caption, DESCRIBE[kind], kind, inside(where, file))


def music_record(position: str, caption: str) -> ExampleRecord:
    """Stage 2 as published: the caption as instruction and as answer, followed by its music."""
    return ExampleRecord(position, caption, caption, MAKE["text"], caption=caption)


def caption_records(label: str, data: object, kind: str | None = None) -> Iterator[ExampleRecord]:
    for position, where, file, caption in _caption_items(label, data):
        yield caption_record(position, where, file, caption, kind)


def _captions_to_music(label: str, data: object) -> Iterator[ExampleRecord]:
    for position, _, _, caption in _caption_items(label, data):
        yield music_record(position, caption)


def _musicqa(label: str, data: object) -> Iterator[ExampleRecord]:
    for position, where, item in _list_items(label, data):
        yield from musicqa_records(position, where, item)


def musicqa_records(position: str, where: str, item: object) -> Iterator[ExampleRecord]:
    """Questions about one recording; its file is `audio_name`, or `image_name` as one public loader writes it."""
    file = inside(where, _get(where, item, "audio_name", "image_name"))
    for turn_position, human, gpt in _pairs(position, where, item):
        yield _turn_record(turn_position, where, human, gpt, ASK["audio"], "audio", file)


def _alpaca(label: str, data: object) -> Iterator[ExampleRecord]:
    for position, where, item in _list_items(label, data):
        yield from alpaca_records(position, where, item)


def alpaca_records(position: str, where: str, item: object) -> Iterator[ExampleRecord]:
    """Text-only examples, in Alpaca's keys or as a conversation (one public loader reads both)."""
    if isinstance(item, Mapping) and ("conversation" in item or "conversations" in item):
        for turn_position, human, gpt in _pairs(position, where, item):
            yield _turn_record(turn_position, where, human, gpt, ASK["text"])
        return
    instruction = _get(where, item, "instruction")
    extra = _text(where, item, "input") if isinstance(item, Mapping) and "input" in item else ""
    yield ExampleRecord(position, f"{instruction}\n{extra}" if extra.strip() else instruction, _text(where, item, "output"), ASK["text"])


def _instructions(label: str, data: object) -> Iterator[ExampleRecord]:
    for position, where, item in _list_items(label, data):
        yield from instruction_records(position, where, item)


def instruction_records(position: str, where: str, item: object) -> Iterator[ExampleRecord]:
    """Stage 3: instructions with media. A turn without modality keys inherits those of the turns before it."""
    modalities: dict[str, object] = {}
    for turn_position, human, gpt in _pairs(position, where, item):
        modalities |= {key: turn[key] for turn in (human, gpt) for key in MODALITY if key in turn}
        kind = _modality(where, human | modalities, "input_modality")
        music = _modality(where, gpt | modalities, "output_modality") == "audio"
        file = "" if kind == "text" else inside(where, _input_file(where, item, kind))
        caption = (_text(where, {"caption": None} | gpt, "caption") or _text(where, gpt, "value")) if music else None
        yield _turn_record(turn_position, where, human, gpt, (MAKE if music else ASK)[kind], kind, file, caption)


def _turn_record(position: str, where: str, human: object, gpt: object, task: str, kind: str = "text", file: str = "",
           caption: str | None = None) -> ExampleRecord:
    question, answer = _text(where, human, "value"), _text(where, gpt, "value")
    return ExampleRecord(position, question, answer if question.strip() else "", task, kind, file, caption)


def _modality(where: str, turn: Mapping[str, object], key: str) -> str:
    modality = _get(where, turn, key)
    if modality not in MODALITY[key]:
        raise ValueError(f"{where}: {unknown(key, modality, MODALITY[key])}")
    return modality


def _input_file(where: str, item: object, kind: str) -> str:
    """The input's file. The public MUImage list has the two names swapped: there the picture is `output_file`."""
    file = _get(where, item, "input_file")
    other = item.get("output_file") if isinstance(item, Mapping) else None
    is_swapped = kinds_of(file) and kind not in kinds_of(file)
    return other if is_swapped and isinstance(other, str) and kind in kinds_of(other) else file


def _pairs(position: str, where: str, item: object) -> Iterator[tuple[str, dict[str, object], dict[str, object]]]:
    """(position, human turn, gpt turn) of each pair in a conversation."""
    turns = _get(where, item, "conversation", "conversations", kind=list)
    speakers = [_get(where, turn, "from") for turn in turns]
    if not turns or speakers != ["human", "gpt"] * (len(turns) // 2):
        raise ValueError(f"{where}: its turns are from {shorten(', '.join(speakers)) or 'nobody'}; give human and gpt in turn.")
    for index in range(0, len(turns), 2):
        yield position if index == 0 else f"{position} turn {index // 2 + 1}", turns[index], turns[index + 1]


PARSERS: Mapping[str, Callable[[str, object], Iterator[ExampleRecord]]] = {
    "captions": caption_records, "captions_to_music": _captions_to_music, "musicqa": _musicqa, "alpaca": _alpaca,
    "instructions": _instructions}
