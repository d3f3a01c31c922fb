"""Items of the published lists as entries: a caption, questions about a recording, words alone, instructions.

An item comes as its writer left it, keys swapped or missing. What cannot be used is a `ValueError` with the item's number
and key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from llama.data.examples import ExampleRecord

SUFFIXES = {  # by kind; an animation may be either
    "audio": ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "aiff"),
    "image": ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"),
    "video": ("mp4", "webm", "mkv", "mov", "avi", "m4v", "gif"),
}
MODALITY = {"input_modality": ("audio", "image", "video", "text"), "output_modality": ("audio", "text")}

DESCRIBE = {"audio": "describe_music", "image": "describe_image", "video": "describe_video", "text": "chat"}
ASK = DESCRIBE | {"audio": "question"}
MAKE = {"audio": "edit", "image": "image_to_music", "video": "video_to_music", "text": "text_to_music"}


def unknown(what: str, given: object, known: Sequence[str]) -> str:
    """One sentence that names the nearest right word."""
    near = get_close_matches(str(given), known, 1)
    return f"The {what} {given!r} is unknown; " + (f"did you mean {near[0]!r}? " if near else "") + \
        f"It may be {', '.join(known)}."


def kinds_of(name: str) -> list[str]:
    """What a file may be by its suffix: audio, image, video, in this order."""
    return [kind for kind, suffixes in SUFFIXES.items() if PurePath(name).suffix.lower()[1:] in suffixes]


def inside(where: str, name: str) -> str:
    """`name`, if it leads to a place in the media folder; `ValueError` otherwise."""
    parts = name.replace("\\", "/").split("/")  # both kinds of slashes, whatever the machine
    if not parts[0].strip() or ".." in parts or (len(parts) > 1 and parts[0].endswith(":")):
        raise ValueError(f"{where} names the file {name!r}, which is not within the media folder; give a name in it.")
    return name


def _words(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _get(where: str, item: Any, *keys: str, kind: type = str) -> Any:
    """The value of the first of `keys` that `item` has, which is of `kind`."""
    if not isinstance(item, Mapping):
        raise ValueError(f"{where} is {_words(item)}; give an object with {keys[0]}.")
    key = next((key for key in keys if key in item), None)
    if key is None:
        has = ", ".join(list(item)[:10]) or "nothing"
        raise ValueError(f"{where} lacks {' or '.join(keys)}; it has {has}; add it, or choose another form.")
    if not isinstance(item[key], kind):
        raise ValueError(f"{where}: {key} is {_words(item[key])}; give {_words(kind())}.")
    return item[key]


def _text(where: str, item: Any, *keys: str) -> str:
    """As `_get`, a null taken as no words."""
    null = isinstance(item, Mapping) and any(key in item and item[key] is None for key in keys)
    return "" if null else _get(where, item, *keys)


def _listed(label: str, data: Any) -> Iterator[tuple[str, str, Any]]:
    """(`#17`, where errors are, item) of a list."""
    if not isinstance(data, list):
        raise ValueError(f"{label} is {_words(data)} at its top; this form is a list of objects.")
    for number, item in enumerate(data, 1):
        yield f"#{number}", f"{label} #{number}", item


def _captioned(label: str, data: Any) -> Iterator[tuple[str, str, str, str]]:
    """(`#17`, where errors are, file, caption) of an object."""
    if not isinstance(data, dict):
        raise ValueError(f"{label} is {_words(data)} at its top; this form is one object of file names and captions.")
    for number, file in enumerate(data, 1):
        yield f"#{number}", f"{label} #{number}", file, _text(f"{label} #{number}", data, file)


def caption_entry(place: str, where: str, file: str, caption: str, kind: str | None) -> ExampleRecord:
    """Stage 1 as published: nothing asked, the medium's caption answered."""
    kind = kind or next(iter(kinds_of(file)), None)
    if kind is None:
        raise ValueError(f"{where}: the suffix of {file!r} tells no kind; give the source's kind: audio, image or video.")
    return ExampleRecord(place, "", caption, DESCRIBE[kind], kind, inside(where, file))


def music_entry(place: str, caption: str) -> ExampleRecord:
    """Stage 2 as published: the caption asked, the caption answered, and its music."""
    return ExampleRecord(place, caption, caption, MAKE["text"], caption=caption)


def captions(label: str, data: Any, kind: str | None = None) -> Iterator[ExampleRecord]:
    for place, where, file, caption in _captioned(label, data):
        yield caption_entry(place, where, file, caption, kind)


def _captions_to_music(label: str, data: Any) -> Iterator[ExampleRecord]:
    for place, _, _, caption in _captioned(label, data):
        yield music_entry(place, caption)


def _musicqa(label: str, data: Any) -> Iterator[ExampleRecord]:
    for place, where, item in _listed(label, data):
        yield from musicqa_entries(place, where, item)


def musicqa_entries(place: str, where: str, item: Any) -> Iterator[ExampleRecord]:
    """Questions about one recording; one public loader calls it `image_name`."""
    file = inside(where, _get(where, item, "audio_name", "image_name"))
    for spot, human, gpt in _pairs(place, where, item):
        yield _asked(spot, where, human, gpt, ASK["audio"], "audio", file)


def _alpaca(label: str, data: Any) -> Iterator[ExampleRecord]:
    for place, where, item in _listed(label, data):
        yield from alpaca_entries(place, where, item)


def alpaca_entries(place: str, where: str, item: Any) -> Iterator[ExampleRecord]:
    """Words alone, in Alpaca's keys or as a conversation, as one public loader reads them."""
    if isinstance(item, Mapping) and ("conversation" in item or "conversations" in item):
        yield from (_asked(spot, where, human, gpt, ASK["text"]) for spot, human, gpt in _pairs(place, where, item))
        return
    asked, given = _get(where, item, "instruction"), _text(where, {"input": ""} | item, "input")
    yield ExampleRecord(place, f"{asked}\n{given}" if given.strip() else asked, _text(where, item, "output"), ASK["text"])


def _instructions(label: str, data: Any) -> Iterator[ExampleRecord]:
    for place, where, item in _listed(label, data):
        yield from instruction_entries(place, where, item)


def instruction_entries(place: str, where: str, item: Any) -> Iterator[ExampleRecord]:
    """Stage 3: a later turn that names no modality keeps that of the turns before it."""
    modalities: dict[str, Any] = {}
    for spot, human, gpt in _pairs(place, where, item):
        modalities |= {key: turn[key] for turn in (human, gpt) for key in MODALITY if key in turn}
        kind = _modality(where, human | modalities, "input_modality")
        music = _modality(where, gpt | modalities, "output_modality") == "audio"
        file = "" if kind == "text" else inside(where, _input_file(where, item, kind))
        caption = (_text(where, {"caption": None} | gpt, "caption") or _text(where, gpt, "value")) if music else None
        yield _asked(spot, where, human, gpt, (MAKE if music else ASK)[kind], kind, file, caption)


def _asked(place: str, where: str, human: Any, gpt: Any, task: str, kind: str = "text", file: str = "",
           caption: str | None = None) -> ExampleRecord:
    question, answer = _text(where, human, "value"), _text(where, gpt, "value")
    return ExampleRecord(place, question, answer if question.strip() else "", task, kind, file, caption)


def _modality(where: str, turn: Mapping[str, Any], key: str) -> str:
    found = _get(where, turn, key)
    if found not in MODALITY[key]:
        raise ValueError(f"{where}: {unknown(key, found, MODALITY[key])}")
    return found


def _input_file(where: str, item: Any, kind: str) -> str:
    """The public writer of MUImage swaps the two names: then the picture is the one under `output_file`."""
    file, other = _get(where, item, "input_file"), item.get("output_file")
    swapped = kinds_of(file) and kind not in kinds_of(file) and isinstance(other, str) and kind in kinds_of(other)
    return other if swapped else file


def _pairs(place: str, where: str, item: Any) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(place, human turn, gpt turn) of a conversation."""
    turns = _get(where, item, "conversation", "conversations", kind=list)
    speakers = [_get(where, turn, "from") for turn in turns]
    if not turns or speakers != ["human", "gpt"] * (len(turns) // 2):
        raise ValueError(f"{where}: its turns are from {', '.join(speakers) or 'nobody'}; give human and gpt in turn.")
    for at in range(0, len(turns), 2):
        yield place if at == 0 else f"{place} turn {at // 2 + 1}", turns[at], turns[at + 1]


PARSERS: Mapping[str, Callable[[str, Any], Iterator[ExampleRecord]]] = {
    "captions": captions, "captions_to_music": _captions_to_music, "musicqa": _musicqa, "alpaca": _alpaca,
    "instructions": _instructions}
