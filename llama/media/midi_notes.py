"""Notes and tempo of a MIDI file, for measures of music: what a reader of notes needs, and nothing of parts and bars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llama.errors import PATH_LENGTH, shorten
from llama.media.containers import existing_file
from llama.media.midi_reader import MAX_MIDI_BYTES, read_midi
from llama.media.raw_score import mean_tempo


@dataclass(frozen=True)
class MidiNote:
    """A note of a file. start, beats: its begin and its length, in quarter notes."""

    start: float
    beats: float
    pitch: int
    is_drum: bool = False


@dataclass(frozen=True)
class MidiNotes:
    """Notes of a MIDI file in the order of their begin, and its tempo in beats a minute: the mean over its length."""

    notes: tuple[MidiNote, ...]
    tempo: float


def read_notes(path: str | Path) -> MidiNotes:
    """Reads the notes and the tempo of a MIDI file. Raises `FileNotFoundError`, and `ValueError` as `read_midi` does."""
    file = existing_file(path)
    with file.open("rb") as stream:
        raw = read_midi(stream.read(MAX_MIDI_BYTES + 1), shorten(file, PATH_LENGTH))
    notes = (MidiNote(note.start, note.length, note.pitch, raw.parts[note.part].is_drum) for note in raw.notes)
    return MidiNotes(tuple(sorted(notes, key=lambda note: note.start)), mean_tempo(raw.tempi, raw.length))
