"""Which voice of a file is the melody, which the bass, the drums and the accompaniment, by rules of music.

Percussion is the drums. The bass has a bass instrument or the name, or is the lowest voice of three or more if it plays single low
notes. Of the others the melody is the one that its name, single notes, height and share of the piece speak for; where it plays
chords, their highest notes are the melody (the skyline; Uitdenbogerd and Zobel, Manipulation of music for melody matching, 1998).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llama.errors import comma_list, shorten
from llama.media.instruments import FAMILIES
from llama.media.raw_score import RawNote, RawPart, RawScore

BASS_PROGRAMS = range(32, 40)
BASS_NAME = re.compile(
    r"\b(bass|basse|basso|bajo|contrabass|kontrabass|bassus)\b(?! (?:clarinet|drum|flute|trombone|sax|tuba))", re.IGNORECASE
)
LEAD_NAME = re.compile(
    r"melod|\blead\b|vocal|\bvoi(ce|x)\b|\bvox\b|\bsing|\bsolo|sopran|\btune\b|theme|\bcanto\b|cantus|superius|gesang|\bviolin[oe]? (i|1)\b"
    r"|right hand",
    re.IGNORECASE,
)
LOW = 52  # mean pitch below which the lowest voice may be the bass
SINGLE = 0.8  # share of notes that begin alone, from which a voice counts as one of single notes
TOGETHER = 1 / 32  # quarter notes within which notes begin at once
NAMED = 6  # voices of one role that a sentence names
REACH = 16  # semitones below the median of a voice's highest notes, down to which they are the melody


@dataclass(frozen=True, eq=False)
class Voice:
    """A part and its measures. single: share of its notes before the end of which no other begins; time: quarter notes that sound."""

    part: RawPart
    notes: tuple[RawNote, ...]
    mean_pitch: float
    single: float
    time: float


@dataclass(frozen=True)
class Roles:
    """Voices and notes of the parts of a score. skyline: the melody is the highest notes of its voice."""

    voices: Mapping[str, tuple[Voice, ...]]
    notes: Mapping[str, tuple[RawNote, ...]]
    skyline: bool = False


def assign_roles(voices: Sequence[Voice]) -> Roles:
    """The parts of a score that the notes of a file go to, each note to one."""
    drums = tuple(voice for voice in voices if voice.part.is_drum)
    pitched = [voice for voice in voices if not voice.part.is_drum]
    bass = tuple(_bass_voices(pitched))
    taken = set(map(id, bass))
    others = [voice for voice in pitched if id(voice) not in taken]
    lead = _lead_voice(others)
    rest = tuple(voice for voice in others if voice is not lead)
    named = {"lead": (lead,) if lead else (), "accompaniment": rest, "bass": bass, "drums": drums}
    if lead is None or lead.single >= SINGLE:
        return named_roles(named)
    melody, chords = split_skyline(lead.notes)
    notes = named_roles(named).notes
    return Roles(named, {**notes, "lead": melody, "accompaniment": (*chords, *notes["accompaniment"])}, skyline=bool(chords))


def named_roles(voices: Mapping[str, tuple[Voice, ...]]) -> Roles:
    """Whole voices as the parts of a score."""
    return Roles(voices, {name: tuple(note for voice in chosen for note in voice.notes) for name, chosen in voices.items()})


def voices_of(raw: RawScore) -> list[Voice]:
    """The parts of a file that have notes, in its order."""
    notes: dict[int, list[RawNote]] = {}
    for note in raw.notes:
        notes.setdefault(note.part, []).append(note)
    return [make_voice(raw.parts[part], notes[part]) for part in sorted(notes)]


def make_voice(part: RawPart, notes: Sequence[RawNote]) -> Voice:
    """The voice of a part's notes, of which there is at least one."""
    ordered = tuple(sorted(notes, key=lambda note: (note.start, note.pitch)))
    starts, lengths = np.array([note.start for note in ordered]), np.array([note.length for note in ordered])
    overlap = np.zeros(len(ordered), bool)
    overlap[:-1] = starts[1:] < starts[:-1] + np.minimum(lengths[:-1] * 0.75, lengths[:-1] - TOGETHER)
    mean_pitch = float(np.mean([note.pitch for note in ordered]))
    return Voice(part, ordered, mean_pitch, 1 - float(overlap.mean()), float(lengths.sum()))


def _bass_voices(voices: Sequence[Voice]) -> list[Voice]:
    """The voices of the bass; one voice always remains for the melody."""
    if len(voices) < 2:
        return []
    highest = max(voices, key=lambda voice: voice.mean_pitch)
    named = [voice for voice in voices if voice.part.program in BASS_PROGRAMS or BASS_NAME.search(voice.part.name)]
    basses = [voice for voice in named if voice is not highest]
    if basses or len(voices) < 3:
        return basses
    lowest = min(voices, key=lambda voice: voice.mean_pitch)
    return [lowest] if lowest.mean_pitch < LOW and lowest.single >= SINGLE else []


def _lead_voice(voices: Sequence[Voice]) -> Voice | None:
    """The voice that most speaks for as the melody."""
    if not voices:
        return None
    low, high = min(voice.mean_pitch for voice in voices), max(voice.mean_pitch for voice in voices)
    longest = max(voice.time for voice in voices) or 1.0

    def weight(voice: Voice) -> float:
        height = (voice.mean_pitch - low) / (high - low) if high > low else 0.5
        return 2.0 * bool(LEAD_NAME.search(voice.part.name)) + voice.single + 1.5 * height + min(voice.time / longest * 2, 1.0)

    return max(voices, key=weight)  # the first of several


def split_skyline(notes: Sequence[RawNote]) -> tuple[tuple[RawNote, ...], tuple[RawNote, ...]]:
    """The melody within a voice, and its other notes: a note is of the melody if nothing higher sounds when it begins.

    notes: by their begin. Low notes that sound alone, as in the left hand of a piano while the right one rests, are not.
    """
    ordered = sorted(notes, key=lambda note: note.start)
    highest, sounding, place = [], list[tuple[int, float]](), 0
    for note in ordered:
        while place < len(ordered) and ordered[place].start <= note.start + TOGETHER:
            heapq.heappush(sounding, (-ordered[place].pitch, ordered[place].start + ordered[place].length))
            place += 1
        while sounding and sounding[0][1] <= note.start + TOGETHER and -sounding[0][0] > note.pitch:
            heapq.heappop(sounding)
        highest.append(not sounding or -sounding[0][0] <= note.pitch)
    floor = np.median([note.pitch for note, top in zip(ordered, highest, strict=True) if top]) - REACH
    melody = [top and note.pitch >= floor for note, top in zip(ordered, highest, strict=True)]
    return (
        tuple(note for note, chosen in zip(ordered, melody, strict=True) if chosen),
        tuple(note for note, chosen in zip(ordered, melody, strict=True) if not chosen),
    )


def roles_in_words(roles: Roles) -> tuple[str, ...]:
    """Sentences about what became of the voices, where the file has more than one."""
    if sum(map(len, roles.voices.values())) < 2 and not roles.skyline:
        return ()
    words = {"lead": "melody", "accompaniment": "accompaniment", "bass": "bass", "drums": "drums"}
    taken = [f"{words[role]}: {_voice_names(voices)}" for role, voices in roles.voices.items() if voices]
    sentences = [f"Parts were taken so: {'; '.join(taken)}."]
    if roles.skyline:
        sentences.append("The highest notes of the melody's part are the melody, its others belong to the accompaniment.")
    return tuple(sentences)


def _voice_names(voices: Sequence[Voice]) -> str:
    names = [shorten(voice.part.name, 30) or FAMILIES[voice.part.program // 8] for voice in voices[:NAMED]]
    return comma_list(names) + (f" and {len(voices) - NAMED} more" if len(voices) > NAMED else "")
