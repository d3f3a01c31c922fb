"""A folder of one's own songs as examples, with the words that lie beside them or in their tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

from llama.data.examples import MAX_NAMED, ExampleList, ExampleRecord
from llama.data.formats import DESCRIBE, MAKE
from llama.media.containers import open_container

AUDIO_SUFFIXES = ("wav", "flac", "mp3", "ogg", "opus", "m4a")

QUESTIONS = ("Describe this music.", "What does this song sound like?", "Write a caption for this recording.",
             "Tell me what you hear in this piece.")
PROMPTS = ("Make music like this: {}", "Compose a song: {}", "I would like to hear this: {}", "Generate music: {}")
GIVEN = ("Here is your music.", "Here is a song like that.", "This is what I made for you.")


def read_audio_folder(folder: Path) -> ExampleList:
    """Two examples a song: its caption asked for, and music with its caption asked for."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of songs {folder}; check the source's media.")
    songs = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower()[1:] in AUDIO_SUFFIXES]
    songs = [song for song in songs if not any(part.startswith(".") for part in song.parts)]  # a system's own files
    if not songs:
        raise ValueError(f"{folder} holds no songs; put {', '.join(AUDIO_SUFFIXES)} files into it.")
    captions = {song.as_posix(): _song_caption(folder / song) for song in songs}
    _check_captions(folder, [song for song, caption in captions.items() if not caption])
    entries = [entry for song, caption in captions.items() for entry in _song_entries(song, caption)]
    return ExampleList(folder.name or str(folder), folder, entries)


def _check_captions(folder: Path, silent: Sequence[str]) -> None:
    if silent:
        names = ", ".join(silent[:MAX_NAMED]) + (", ..." if len(silent) > MAX_NAMED else "")
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


def _song_entries(song: str, caption: str) -> tuple[ExampleRecord, ExampleRecord]:
    """Wordings by the song's name, so that each run asks alike."""
    draw = crc32(song.encode())
    asked, given = PROMPTS[draw % len(PROMPTS)].format(caption), GIVEN[draw % len(GIVEN)]
    return (ExampleRecord(song, QUESTIONS[draw % len(QUESTIONS)], caption, DESCRIBE["audio"], "audio", song),
            ExampleRecord(song, asked, given, MAKE["text"], caption=caption))
