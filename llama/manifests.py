"""Manifests: the published lists of training examples, and a folder of one's own songs, as sequences of `Example`.

Forms: captions and captions_to_music {file: caption}; musicqa [{audio_name, conversation}]; alpaca [{instruction, input,
output}]; instructions [{input_file, output_file, conversation}]; songs, a folder. A list is read and checked whole at
once, and kept as a few strings an entry; media are looked for when they are opened.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, overload
from zlib import crc32

from llama.audio import Encoded, open_container
from llama.settings import Source

SUFFIXES = {  # by kind; an animation may be either
    "audio": ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "aiff"),
    "image": ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"),
    "video": ("mp4", "webm", "mkv", "mov", "avi", "m4v", "gif"),
}
SONGS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
MODALITY = {"input_modality": ("audio", "image", "video", "text"), "output_modality": ("audio", "text")}
STREAMED = ("tar", "hub")
HASH_BLOCK = 1 << 20  # bytes
SHOWN = 3  # items named in a sentence about many

DESCRIBE = {"audio": "describe_music", "image": "describe_image", "video": "describe_video", "text": "chat"}
ASK = DESCRIBE | {"audio": "question"}
MAKE = {"audio": "edit", "image": "image_to_music", "video": "video_to_music", "text": "text_to_music"}

QUESTIONS = ("Describe this music.", "What does this song sound like?", "Write a caption for this recording.",
             "Tell me what you hear in this piece.")
WISHES = ("Make music like this: {}", "Compose a song: {}", "I would like to hear this: {}", "Generate music: {}")
GIVEN = ("Here is your music.", "Here is a song like that.", "This is what I made for you.")


@dataclass(frozen=True, slots=True)
class Medium:
    """A sound, picture or clip of an example: a file, or the content of one; `source` is how errors name it.

    `fault`: the sentence that opening it raises, for a medium that was broken before it came here.
    """

    kind: str
    source: str
    path: Path | None = None
    content: bytes | None = None
    fault: str | None = None

    def open(self) -> Path | Encoded:
        """What `Waveform.read`, `load_image` and `load_frames` take. Raises `FileNotFoundError` or `ValueError`."""
        if self.fault is not None:
            raise ValueError(self.fault)
        if self.content is not None:
            return Encoded(self.content, self.source)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.source} names {self.path}, but no such file is there; "
                                    "check the source's media folder, or fetch the file.")
        return self.path

    def digest(self) -> str:
        """SHA-256 of the content in hex, of files a block at a time. Raises as `open`."""
        found, total = self.open(), hashlib.sha256()
        with found.open("rb") as file:
            while block := file.read(HASH_BLOCK):
                total.update(block)
        return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Example:
    """One turn to learn: what is asked, heard and seen, and the answer; `source` names it ("MusicQA.json #17").

    `caption`: of the music to make: eight audio tokens follow the answer; None: words only.
    """

    instruction: str
    answer: str
    task: str
    source: str
    audio: Medium | None = None
    image: Medium | None = None
    video: Medium | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An example in few bytes: its place (`#17`, or a song's name), and its medium as (kind, name of the file)."""

    place: str
    instruction: str
    answer: str
    task: str
    kind: str = "text"
    file: str = ""
    caption: str | None = None

    def example(self, source: str, medium: Callable[[str, str, str], Medium]) -> Example:
        """`medium` makes one of (kind, source, file)."""
        media = {} if self.kind == "text" else {self.kind: medium(self.kind, source, self.file)}
        return Example(self.instruction, self.answer, self.task, source, **media, caption=self.caption)


class Manifest(Sequence[Example]):
    """Entries that become examples when they are asked for, with their media in `folder`."""

    def __init__(self, label: str, folder: Path, entries: Sequence[Entry]) -> None:
        self.label, self.folder, self.entries = label, folder, entries

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Manifest: ...

    def __getitem__(self, index: int | slice) -> Example | Manifest:
        if isinstance(index, slice):
            return Manifest(self.label, self.folder, self.entries[index])
        entry = self.entries[index]
        return entry.example(f"{self.label} {entry.place}", self._medium)

    def _medium(self, kind: str, source: str, file: str) -> Medium:
        return Medium(kind, source, path=self.folder / file)


def read_source(source: Source, stage: int) -> Sequence[Example]:
    """The examples of a list or of a folder of songs; the same at every `stage`, which only streams ask for.

    Raises `FileNotFoundError` or `ValueError` with the file, and the item's number and key, that cannot be used.
    """
    if source.form in STREAMED:
        raise ValueError(f"The form {source.form} is a stream, not a list; read it with llama.streams.stream.")
    if source.form == "songs":
        return read_songs(Path(source.media or source.file))
    path = Path(source.file)
    parse = _parser(source)
    entries = list(_answered(path.name, parse(path.name, _load(path))))
    if not entries:
        raise ValueError(f"{path} holds no examples; give a list with at least one.")
    return Manifest(path.name, Path(source.media) if source.media else path.parent, entries)


def _parser(source: Source) -> Callable[[str, Any], Iterator[Entry]]:
    if source.form not in PARSERS:
        raise ValueError(unknown("form", source.form, (*PARSERS, "songs", *STREAMED)))
    if source.form != "captions":
        return PARSERS[source.form]
    if source.kind not in (None, *SUFFIXES):
        raise ValueError(unknown("kind", source.kind, tuple(SUFFIXES)))
    return lambda label, data: _captions(label, data, source.kind)


def unknown(what: str, given: object, known: Sequence[str]) -> str:
    """One sentence that names the nearest right word."""
    near = get_close_matches(str(given), known, 1)
    return f"The {what} {given!r} is unknown; " + (f"did you mean {near[0]!r}? " if near else "") + \
        f"It may be {', '.join(known)}."


def _load(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(f"There is no list of examples {path}; check the source's file.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the JSON file in it, or use the form songs, tar or hub.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if not text.strip():
            raise ValueError(f"{path} is empty; give a JSON list of examples.")
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error.msg} at line {error.lineno}, column {error.colno}; "
                         "mend it there.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply for a list of examples; check the file.") from error


def _answered(label: str, entries: Iterator[Entry]) -> Iterator[Entry]:
    """The published lists hold null where their writer failed to answer; these are left out, and said so once."""
    left: list[str] = []
    for entry in entries:
        if entry.answer.strip():
            yield entry
        else:
            left.append(entry.place)
    if left:
        names = ", ".join(left[:SHOWN]) + (", ..." if len(left) > SHOWN else "")
        warnings.warn(f"{label}: {len(left)} example(s) with an empty question or answer left out ({names}).",
                      stacklevel=3)


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


def caption_entry(place: str, where: str, file: str, caption: str, kind: str | None) -> Entry:
    """Stage 1 as published: nothing asked, the medium's caption answered."""
    kind = kind or next(iter(kinds_of(file)), None)
    if kind is None:
        raise ValueError(f"{where}: the suffix of {file!r} tells no kind; give the source's kind: audio, image or video.")
    return Entry(place, "", caption, DESCRIBE[kind], kind, inside(where, file))


def music_entry(place: str, caption: str) -> Entry:
    """Stage 2 as published: the caption asked, the caption answered, and its music."""
    return Entry(place, caption, caption, MAKE["text"], caption=caption)


def _captions(label: str, data: Any, kind: str | None = None) -> Iterator[Entry]:
    for place, where, file, caption in _captioned(label, data):
        yield caption_entry(place, where, file, caption, kind)


def _captions_to_music(label: str, data: Any) -> Iterator[Entry]:
    for place, _, _, caption in _captioned(label, data):
        yield music_entry(place, caption)


def _musicqa(label: str, data: Any) -> Iterator[Entry]:
    for place, where, item in _listed(label, data):
        yield from musicqa_entries(place, where, item)


def musicqa_entries(place: str, where: str, item: Any) -> Iterator[Entry]:
    """Questions about one recording; one public loader calls it `image_name`."""
    file = inside(where, _get(where, item, "audio_name", "image_name"))
    for spot, human, gpt in _pairs(place, where, item):
        yield _asked(spot, where, human, gpt, ASK["audio"], "audio", file)


def _alpaca(label: str, data: Any) -> Iterator[Entry]:
    for place, where, item in _listed(label, data):
        yield from alpaca_entries(place, where, item)


def alpaca_entries(place: str, where: str, item: Any) -> Iterator[Entry]:
    """Words alone, in Alpaca's keys or as a conversation, as one public loader reads them."""
    if isinstance(item, Mapping) and ("conversation" in item or "conversations" in item):
        yield from (_asked(spot, where, human, gpt, ASK["text"]) for spot, human, gpt in _pairs(place, where, item))
        return
    asked, given = _get(where, item, "instruction"), _text(where, {"input": ""} | item, "input")
    yield Entry(place, f"{asked}\n{given}" if given.strip() else asked, _text(where, item, "output"), ASK["text"])


def _instructions(label: str, data: Any) -> Iterator[Entry]:
    for place, where, item in _listed(label, data):
        yield from instruction_entries(place, where, item)


def instruction_entries(place: str, where: str, item: Any) -> Iterator[Entry]:
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
           caption: str | None = None) -> Entry:
    question, answer = _text(where, human, "value"), _text(where, gpt, "value")
    return Entry(place, question, answer if question.strip() else "", task, kind, file, caption)


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


PARSERS: Mapping[str, Callable[[str, Any], Iterator[Entry]]] = {
    "captions": _captions, "captions_to_music": _captions_to_music, "musicqa": _musicqa, "alpaca": _alpaca,
    "instructions": _instructions}


def read_songs(folder: Path) -> Manifest:
    """Two examples a song: its caption asked for, and music with its caption asked for."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of songs {folder}; check the source's media.")
    songs = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower()[1:] in SONGS]
    songs = [song for song in songs if not any(part.startswith(".") for part in song.parts)]  # a system's own files
    if not songs:
        raise ValueError(f"{folder} holds no songs; put {', '.join(SONGS)} files into it.")
    captions = {song.as_posix(): _song_caption(folder / song) for song in songs}
    _check_captions(folder, [song for song, caption in captions.items() if not caption])
    entries = [entry for song, caption in captions.items() for entry in _song_entries(song, caption)]
    return Manifest(folder.name or str(folder), folder, entries)


def _check_captions(folder: Path, silent: Sequence[str]) -> None:
    if silent:
        names = ", ".join(silent[:SHOWN]) + (", ..." if len(silent) > SHOWN else "")
        raise ValueError(f"{len(silent)} song(s) in {folder} have no words about them ({names}); write each a sentence "
                         "into a .txt file of the same name, or fill in their title, artist or genre tags.")


def _song_caption(song: Path) -> str:
    """The text beside the song, else a sentence of its tags, else nothing."""
    text = song.with_suffix(".txt")
    if not text.is_file():
        return _tag_sentence(_tags(song))
    try:
        return " ".join(text.read_text(encoding="utf-8-sig").split()) or _tag_sentence(_tags(song))
    except UnicodeDecodeError as error:
        raise ValueError(f"{text} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error


def _tags(song: Path) -> dict[str, str]:
    with open_container(song) as container:
        found = dict(container.metadata)
        for stream in container.streams.audio:  # where Ogg keeps them
            found |= dict(stream.metadata)
    return {key.lower(): " ".join(value.split()) for key, value in found.items()}


def _tag_sentence(tags: Mapping[str, str]) -> str:
    """'Jazz music called "Blue Night" by Ann Lee from the album "Evening".'"""
    if not any(tags.get(key) for key in ("title", "artist", "genre")):
        return ""
    parts = (("title", 'called "{}"'), ("artist", "by {}"), ("album", 'from the album "{}"'))
    rest = "".join(f" {words.format(tags[key])}" for key, words in parts if tags.get(key))
    return (f"{tags['genre']} music" if tags.get("genre") else "A song") + rest + "."


def _song_entries(song: str, caption: str) -> tuple[Entry, Entry]:
    """Wordings by the song's name, so that each run asks alike."""
    draw = crc32(song.encode())
    asked, given = WISHES[draw % len(WISHES)].format(caption), GIVEN[draw % len(GIVEN)]
    return (Entry(song, QUESTIONS[draw % len(QUESTIONS)], caption, DESCRIBE["audio"], "audio", song),
            Entry(song, asked, given, MAKE["text"], caption=caption))
