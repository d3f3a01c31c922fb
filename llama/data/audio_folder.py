"""Audio folder: the user's own songs as examples, captioned by the text file beside each or by its tags."""

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
ANSWERS = ("Here is your music.", "Here is a song like that.", "This is what I made for you.")


def read_audio_folder(folder: Path) -> ExampleList:
    """Two examples a song: one to describe it, one to make music from its description.

    Raises FileNotFoundError without the folder, and ValueError if it has no songs or a song has no description.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of songs {folder}; check the source's media.")
    songs = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower()[1:] in AUDIO_SUFFIXES]
    songs = [song for song in songs if not any(part.startswith(".") for part in song.parts)]  # files of the operating system
    if not songs:
        raise ValueError(f"{folder} holds no songs; put {', '.join(AUDIO_SUFFIXES)} files into it.")
    captions = {song.as_posix(): _song_caption(folder / song) for song in songs}
    _check_captions(folder, [song for song, caption in captions.items() if not caption])
    records = [record for song, caption in captions.items() for record in _song_records(song, caption)]
    return ExampleList(folder.name or str(folder), folder, records)


def _check_captions(folder: Path, missing: Sequence[str]) -> None:
    if missing:
        names = ", ".join(missing[:MAX_NAMED]) + (", ..." if len(missing) > MAX_NAMED else "")
        raise ValueError(f"{len(missing)} song(s) in {folder} have no words about them ({names}); write each a sentence "
                         "into a .txt file of the same name, or fill in their title, artist or genre tags.")


def _song_caption(song: Path) -> str:
    """The text file beside the song, else a sentence made of its tags, else ""."""
    text = song.with_suffix(".txt")
    if not text.is_file():
        return _tag_sentence(_tags(song))
    try:
        return " ".join(text.read_text(encoding="utf-8-sig").split()) or _tag_sentence(_tags(song))
    except UnicodeDecodeError as error:
        raise ValueError(f"{text} is no text in UTF-8 (byte {error.start}); save it as UTF-8.") from error


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
    draw = crc32(song.encode())
    prompt, answer = PROMPTS[draw % len(PROMPTS)].format(caption), ANSWERS[draw % len(ANSWERS)]
    return (ExampleRecord(song, QUESTIONS[draw % len(QUESTIONS)], caption, DESCRIBE["audio"], "audio", song),
            ExampleRecord(song, prompt, answer, MAKE["text"], caption=caption))
