"""Scores from files: MIDI and MusicXML, by the file's name.

    score = read_score("song.mid")
    model.respond(Turn("Make it faster", score=score))
"""

from __future__ import annotations

from pathlib import Path

from llama.errors import PATH_LENGTH, shorten
from llama.media.containers import regular_file
from llama.media.midi_reader import MAX_MIDI_BYTES, read_midi
from llama.media.musicxml_file import MAX_FILE_BYTES
from llama.media.musicxml_reader import read_musicxml
from llama.media.raw_score import RawScore
from llama.media.score import Score
from llama.media.score_builder import build_score

MIDI_SUFFIXES = (".mid", ".midi")
MUSICXML_SUFFIXES = (".musicxml", ".xml", ".mxl")
SCORE_SUFFIXES = MIDI_SUFFIXES + MUSICXML_SUFFIXES


def read_score(path: str | Path) -> Score:
    """The score of a MIDI or MusicXML file. Raises FileNotFoundError, and ValueError for what holds no music that can be taken.

    Every note keeps its pitch, its velocity, and its begin and length in beats. `read_score_with_notes` says what else was done.
    """
    return read_score_with_notes(path)[0]


def read_score_with_notes(path: str | Path) -> tuple[Score, tuple[str, ...]]:
    """The score of a file, and sentences for a person: which parts became what, and what the file has that a score has not."""
    _check_suffix(str(path))
    file = regular_file(path)
    with file.open("rb") as stream:
        return score_from_bytes_with_notes(stream.read(max(MAX_MIDI_BYTES, MAX_FILE_BYTES) + 1), str(file))


def score_from_bytes(data: bytes, name: str) -> Score:
    """The score of an uploaded file. name: its name, whose suffix says what it is."""
    return score_from_bytes_with_notes(data, name)[0]


def score_from_bytes_with_notes(data: bytes, name: str) -> tuple[Score, tuple[str, ...]]:
    """As `read_score_with_notes`, for an uploaded file."""
    _check_suffix(name)
    short = shorten(name, PATH_LENGTH)
    return build_score(_read_raw(data, short, Path(name).suffix.lower()), short)


def _read_raw(data: bytes, name: str, suffix: str) -> RawScore:
    return read_midi(data, name) if suffix in MIDI_SUFFIXES else read_musicxml(data, name)


def _check_suffix(name: str) -> None:
    if Path(name).suffix.lower() not in SCORE_SUFFIXES:
        allowed = ", ".join(SCORE_SUFFIXES)
        raise ValueError(f"{shorten(name, PATH_LENGTH)} is no file of notes by its name; give one that ends in {allowed}.")
