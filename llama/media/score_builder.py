"""From the notes of a file to a score: four parts, a chord a bar, one tempo and metre, and a length that holds all bars.

Every note keeps its pitch, its velocity, and its begin and length in beats. Parts, instruments, key, chords and style are the
file's where it says them, else found by the notes; what a person should know about that is returned as sentences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llama.config import MAX_MUSIC_SECONDS
from llama.media.bar_counting import BarCounting, count_bars
from llama.media.chord_finding import bar_basses, bar_chroma, find_chords
from llama.media.instruments import nearest_accompaniment, nearest_lead
from llama.media.key_finding import find_key
from llama.media.part_roles import Roles, Voice, assign_roles, named_roles, roles_in_words, voices_of
from llama.media.raw_score import RawChord, RawNote, RawScore
from llama.media.score import ENDING_REST, FINAL_SECONDS, TRACKS, Attributes, Chord, Note, Score, Timeline
from llama.media.score_description import ScoreDescription, read_description
from llama.media.score_edits import GRID
from llama.media.style_finding import find_style

SAME_TEMPO = 1e-5  # of a tempo: what files may round
ROUNDING = 1 / 96  # beats: likewise, of the begin and the end of a note
MELODY = 0.5  # weight of a melody's notes against the others' in the search for chords


def build_score(raw: RawScore, name: str) -> tuple[Score, tuple[str, ...]]:
    """The score of a file, and sentences about what was not taken as it stands there. name: of the file, for messages.

    Raises ValueError for a file without notes, and for music that is too long.
    """
    if not raw.notes:
        raise ValueError(f"{name} holds no notes; give a file with music.")
    length = max(note.start + note.length for note in raw.notes)
    counting = count_bars(raw, length)
    _check_seconds(counting.seconds_at(length), name)
    description = next(filter(None, map(read_description, raw.texts)), None)
    roles, remarks = _roles(raw, description)
    attributes, more = _attributes(raw, counting, roles, description)
    counting = counting.with_tempo(attributes.tempo)
    tracks = {track: _notes(roles.notes[track], counting) for track in TRACKS}
    seconds = _length(attributes, tracks, description)
    _check_seconds(seconds, name)
    chords, remark = _chords(raw, counting, roles, Timeline(attributes.tempo, attributes.metre, attributes.swing, seconds), attributes)
    score = Score(attributes, seconds, chords=chords, **tracks)
    return score, tuple(filter(None, [*raw.faults, *counting.remarks, *remarks, *more, remark]))


def _check_seconds(seconds: float, name: str) -> None:
    if seconds > MAX_MUSIC_SECONDS:
        raise ValueError(f"{name} lasts {seconds:.0f} seconds, at most {MAX_MUSIC_SECONDS:g} are taken; give a part of it.")


# -- parts --------------------------------------------------------------------------------------------------------


def _roles(raw: RawScore, description: ScoreDescription | None) -> tuple[Roles, tuple[str, ...]]:
    """The parts that the file's description names, or else those that the rules find, with sentences about these."""
    voices = voices_of(raw)
    if description is not None and len(description.parts) == len(voices):
        named = dict(zip(description.parts, voices, strict=True))
        return named_roles({track: (named[track],) if track in named else () for track in TRACKS}), ()
    roles = assign_roles(voices)
    return roles, roles_in_words(roles)


def _attributes(
    raw: RawScore, counting: BarCounting, roles: Roles, description: ScoreDescription | None
) -> tuple[Attributes, tuple[str, ...]]:
    """The attributes, and sentences about those that were found by the notes."""
    lead, accompaniment = roles.voices["lead"], roles.voices["accompaniment"]
    key, mode, key_remark = find_key(raw, trusted=description is not None)
    played = nearest_lead(lead[0].part.program) if lead else description.lead if description else "piano"
    if accompaniment:
        chords = nearest_accompaniment(main_program(accompaniment))
    else:
        chords = description.accompaniment if description else nearest_accompaniment(lead[0].part.program) if lead else "piano"
    same = description is not None and abs(description.tempo - counting.tempo) <= SAME_TEMPO * counting.tempo
    attributes = Attributes(
        lead=played, accompaniment=chords, style=description.style if description else _style(counting, roles),
        tempo=description.tempo if description and same else counting.tempo, mode=mode, metre=counting.metre,
        drums=bool(roles.notes["drums"]) or description is not None and description.drums, key=key,
    )  # fmt: skip
    remarks = (key_remark, "" if description else f"The style was taken as {attributes.style}, by metre, drums, bass and rhythm.")
    return attributes, remarks


def main_program(voices: Sequence[Voice]) -> int:
    """The program that sounds longest in several voices."""
    times: dict[int, float] = {}
    for voice in voices:
        times[voice.part.program] = times.get(voice.part.program, 0.0) + voice.time
    return max(times, key=lambda program: times[program])


def _style(counting: BarCounting, roles: Roles) -> str:
    """The style, found by the notes."""
    drums = [(counting.beat_at(note.start), note.pitch) for note in roles.notes["drums"]]
    begins, lengths, _ = _arrays((note for track in TRACKS[:3] for note in roles.notes[track]), counting)
    bass = [voice.part.program for voice in roles.voices["bass"]]
    return find_style(counting.metre, drums, begins, lengths, bass or [voice.part.program for voice in roles.voices["accompaniment"]])


# -- notes and length ---------------------------------------------------------------------------------------------


def _notes(notes: Sequence[RawNote], counting: BarCounting) -> tuple[Note, ...]:
    """Notes in seconds, by begin and pitch."""
    placed = [Note(counting.seconds_at(note.start), counting.seconds_of(note.length), note.pitch, note.velocity) for note in notes]
    return tuple(sorted(placed, key=lambda note: (note.start, note.pitch)))


def _arrays(
    notes: Iterable[RawNote], counting: BarCounting
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Begins and lengths in beats [n], and pitches [n], of notes."""
    rows = [(counting.beat_at(note.start), note.length / counting.unit, note.pitch) for note in notes]
    table = np.array(rows, np.float64).reshape(len(rows), 3)
    return table[:, 0], table[:, 1], table[:, 2].astype(np.int64)


def _length(attributes: Attributes, tracks: Mapping[str, Sequence[Note]], description: ScoreDescription | None) -> float:
    """Seconds of the score: what the file's description says if all notes lie in it, or else the least that holds them."""
    beat = 60 / attributes.tempo
    last = max(note.start for notes in tracks.values() for note in notes) / beat
    end = max(note.start + note.duration for notes in tracks.values() for note in notes) / beat
    if description is not None and description.tempo == attributes.tempo:
        line = Timeline(attributes.tempo, attributes.metre, attributes.swing, description.seconds)
        if last <= line.eighths / 2 + ROUNDING and end * beat <= description.seconds + ROUNDING * beat:
            return description.seconds
    return fitting_length(attributes, last, end)


def fitting_length(attributes: Attributes, last: float, end: float) -> float:
    """The least seconds, on the grid of note codes, whose bars hold all music.

    last, end: beats at which the last note begins and at which the last one ends. The ending begins with the last note if that
    begins on a beat, and after it otherwise, so that no note begins within the ending.
    """
    beat = 60 / attributes.tempo
    ending = max(math.ceil(last - 1e-6), attributes.metre)  # the beat on which the ending begins
    while True:
        low = ending * beat + max(FINAL_SECONDS, 1.5 * beat)
        seconds = math.ceil((max(low, end * beat) + ENDING_REST) * GRID - 1e-9) / GRID
        if Timeline(attributes.tempo, attributes.metre, attributes.swing, seconds).eighths == 2 * ending:
            return seconds
        ending += 1


# -- chords -------------------------------------------------------------------------------------------------------


def _chords(raw: RawScore, counting: BarCounting, roles: Roles, line: Timeline, attributes: Attributes) -> tuple[tuple[Chord, ...], str]:
    """A chord for each bar and the ending: the file's symbols where it has them, and a sentence if some were found by the notes."""
    edges = [float(bar * line.metre) for bar in range(line.bar_count + 1)]
    edges.append(max(line.end / line.beat, edges[-1] + 1))
    stated = stated_chords(raw.chords, counting, edges)
    melody = _arrays(roles.notes["lead"], counting)
    others = _arrays((*roles.notes["accompaniment"], *roles.notes["bass"]), counting)
    chroma = MELODY * bar_chroma(*melody, edges) + bar_chroma(*others, edges)
    basses = bar_basses(np.concatenate([melody[0], others[0]]), np.concatenate([melody[2], others[2]]), edges)
    found = find_chords(chroma, basses, attributes.key, attributes.mode)
    chosen = [symbol or chord for symbol, chord in zip(stated, found, strict=True)]
    times = [edge * line.beat for edge in edges[:-1]] + [line.end]
    chords = tuple(Chord(begin, end - begin, *chord) for begin, end, chord in zip(times, times[1:], chosen, strict=False))
    if all(stated):
        return chords, ""
    return chords, "Chords were found by the notes, one a bar." if not any(stated) else "Chords without a symbol were found by the notes."


def stated_chords(chords: Sequence[RawChord], counting: BarCounting, edges: Sequence[float]) -> list[tuple[int, str] | None]:
    """Root and quality of the chord symbol that holds longest between each two edges; None before the first symbol."""
    begins = np.array([counting.beat_at(chord.start) for chord in chords] + [edges[-1]])
    out: list[tuple[int, str] | None] = []
    for low, high in zip(edges, edges[1:], strict=False):
        first = max(int(np.searchsorted(begins, low + ROUNDING, side="right")) - 1, 0)
        stop = int(np.searchsorted(begins, high - ROUNDING))
        spans = {place: min(begins[place + 1], high) - max(begins[place], low) for place in range(first, min(stop, len(chords)))}
        place = max(spans, key=lambda place: (spans[place], -place), default=None)
        out.append(None if place is None else (chords[place].root, chords[place].quality))
    return out
