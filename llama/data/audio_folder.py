"""Audio folder: the user's own songs as examples, captioned by the text file beside each or by its tags."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from llama.data.examples import MAX_NAMED, ExampleList, ExampleRecord
from llama.data.file_names import composed
from llama.data.formats import DESCRIBE, MAKE, SUFFIXES
from llama.errors import PATH_LENGTH, shorten
from llama.files import special_file
from llama.media.containers import describe_file
from llama.media.demuxer import open_container

TEXT_SUFFIX = ".txt"

QUESTIONS = ("Describe this music.", "What does this song sound like?", "Write a caption for this recording.",
             "Tell me what you hear in this piece.")
PROMPTS = ("Make music like this: {}", "Compose a song: {}", "I would like to hear this: {}", "Generate music: {}")
ANSWERS = ("Here is your music.", "Here is a song like that.", "This is what I made for you.")


@dataclass
class FolderContents:
    """What an audio folder holds, as paths relative to it: the songs, each with the text file beside it, and what is left out, with why."""

    songs: dict[Path, Path | None] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)


def read_audio_folder(folder: Path) -> ExampleList:
    """Two examples a song: one to describe it, one to make music from its description.

    Every file that holds sound is a song, whatever its suffix. The rest is counted in a warning, but for hidden files, which are
    the operating system's. Raises FileNotFoundError without the folder, and ValueError if it has no songs or a song no description.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{shorten(folder, PATH_LENGTH)} is a file, not a folder of songs; give the folder that it lies in.")
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of songs {shorten(folder, PATH_LENGTH)}; check its name.")
    contents = scan_folder(folder)
    left_out = describe_left_out(contents.left_out)
    if not contents.songs:
        raise ValueError(f"{folder} holds no songs; put {', '.join(SUFFIXES['audio'])} files into it{left_out and f' ({left_out})'}.")
    if left_out:
        warnings.warn(f"{folder}: {left_out}.", stacklevel=2)
    captions = {song: _song_caption(folder, song, text) for song, text in contents.songs.items()}
    _check_captions(folder, [song.as_posix() for song, caption in captions.items() if not caption])
    records = [record for song, caption in captions.items() for record in _song_records(song.as_posix(), caption)]
    return ExampleList(folder.name or str(folder), folder, records)


def scan_folder(folder: Path) -> FolderContents:
    """Sorts the entries of a folder and of the folders in it, by their names. Raises OSError for one that may not be read."""
    contents, texts = FolderContents(), list[Path]()
    for path in sorted(_entries(folder)):
        if path.suffix.casefold() == TEXT_SUFFIX and (folder / path).is_file():
            texts.append(path)
        elif reason := _no_song(folder / path):
            contents.left_out[path] = reason
        else:
            contents.songs[path] = None
    contents.songs = _with_texts(contents.songs, texts)
    used = set(contents.songs.values())
    contents.left_out |= {text: "no song of this name" for text in texts if text not in used}
    return contents


def describe_left_out(left_out: Mapping[Path, str]) -> str:
    """'3 files left out: a.pdf (a PDF document), ...', or "" for none."""
    names = [f"{shorten(path.as_posix(), PATH_LENGTH)} ({reason})" for path, reason in left_out.items()]
    count = f"{len(names)} file{'s' if len(names) > 1 else ''} left out"
    return f"{count}: {_some(names)}" if names else ""


def _entries(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it, relative to it; also links to folders, which are not followed. No hidden ones."""
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        yield from (Path(parent, name).relative_to(folder) for name in (*files, *links) if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def _no_song(path: Path) -> str | None:
    """Why an entry is no song, in words; None for a song. Where the first bytes do not tell, the suffix does, then the streams."""
    try:
        special = special_file(path)
    except OSError:
        if not path.is_symlink():
            raise
        return "a link to nowhere"
    if special or path.is_dir():
        return special or "a link to a folder"
    content = describe_file(path)
    if content != "not a known format":
        return {"text": "a text", "empty": "an empty file"}.get(content, content)
    if path.suffix.lower()[1:] in SUFFIXES["audio"]:
        return None
    try:
        with open_container(path) as container:
            return None if container.streams.audio else "no sound"
    except ValueError:
        return "no sound"


def _with_texts(songs: Iterable[Path], texts: Sequence[Path]) -> dict[Path, Path | None]:
    """Each song with the text file of its name: of its very name, else one that differs in its Unicode form or in its suffix's case."""
    exact = set(texts)
    alike = {_name_key(text): text for text in reversed(texts)}
    beside = {song: song.with_suffix(TEXT_SUFFIX) for song in songs}
    return {song: text if text in exact else alike.get(_name_key(song)) for song, text in beside.items()}


def _name_key(path: Path) -> tuple[Path, str]:
    return path.parent, composed(path.stem)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")


def _check_captions(folder: Path, missing: Sequence[str]) -> None:
    if missing:
        raise ValueError(f"{len(missing)} song(s) in {folder} have no words about them ({_some(missing)}); write each a sentence "
                         "into a .txt file of the same name, or fill in their title, artist or genre tags.")


def _song_caption(folder: Path, song: Path, text: Path | None) -> str:
    """The text file beside the song, else a sentence made of its tags, else ""."""
    if text is None:
        return _tag_sentence(_tags(folder / song))
    try:
        return " ".join((folder / text).read_text(encoding="utf-8-sig").split()) or _tag_sentence(_tags(folder / song))
    except UnicodeDecodeError as error:
        raise ValueError(f"{folder / text} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error


def _tags(song: Path) -> dict[str, str]:
    with open_container(song) as container:
        tags = dict(container.metadata)
        for stream in container.streams.audio:  # Ogg has its tags in the stream
            tags |= dict(stream.metadata)
    return {key.lower(): " ".join(value.split()) for key, value in tags.items()}


def _tag_sentence(tags: Mapping[str, str]) -> str:
    """A sentence like 'Jazz music called "Blue Night" by Ann Lee from the album "Evening".'; "" without usable tags."""
    if not any(tags.get(key) for key in ("title", "artist", "genre")):
        return ""
    parts = (("title", 'called "{}"'), ("artist", "by {}"), ("album", 'from the album "{}"'))
    rest = "".join(f" {phrase.format(tags[key])}" for key, phrase in parts if tags.get(key))
    return (f"{tags['genre']} music" if tags.get("genre") else "A song") + rest + "."


def _song_records(song: str, caption: str) -> tuple[ExampleRecord, ExampleRecord]:
    """The two examples of a song. Its name decides the wording, so every run has the same."""
    draw, position = crc32(os.fsencode(song)), song if song.isprintable() else shorten(song, PATH_LENGTH)
    prompt, answer = PROMPTS[draw % len(PROMPTS)].format(caption), ANSWERS[draw % len(ANSWERS)]
    return (ExampleRecord(position, QUESTIONS[draw % len(QUESTIONS)], caption, DESCRIBE["audio"], "audio", song),
            ExampleRecord(position, prompt, answer, MAKE["text"], caption=caption))
