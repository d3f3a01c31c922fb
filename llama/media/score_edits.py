"""Exact edits of scores: tempo, key, mode, instruments and parts change, and every other note stays as it is.

A model that makes sound can only come near to a piece; notes can be kept exactly. All functions are pure: they return a new
score. Music is kept in bars and beats; its final chord takes the length that the timeline gives it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama.config import MAX_MUSIC_SECONDS
from llama.media.score import (
    ENDING_REST,
    FINAL_SECONDS,
    KEYS,
    QUALITIES,
    SCALES,
    TEMPI,
    TRACKS,
    Attributes,
    Chord,
    Note,
    Score,
    Timeline,
    lead_tonic,
    timeline,
)

PITCHED = tuple(name for name in TRACKS if name != "drums")
GRID = TEMPI[-1] * 2 / 60  # lengths are multiples of an eighth at the fastest tempo, so that note codes can hold the piece
MAX_INTERVAL = 24  # semitones of a transposition
DOMINANT, SEVENTH = 4, 6  # scale degrees: over the dominant, the seventh of minor is raised to a leading note
CLOSE = 1e-6  # seconds


def score_line(score: Score) -> Timeline:
    """The timeline of a score. Raises ValueError if its chords are not those of its bars and its ending."""
    line = timeline(score.attributes, score.seconds)
    if len(score.chords) != line.bar_count + 1:
        raise ValueError(
            f"The score has {len(score.chords)} chords for {line.bar_count} bars; give one a bar and one for the ending, as replies have."
        )
    return line


def fitting_seconds(line: Timeline, attributes: Attributes, bar_count: int, final: float, tag: int | None = None) -> float:
    """Length of a piece of `bar_count` bars whose ending has as many beats as that of `line`, or `tag`, on the grid of note codes.

    final: seconds that the final chord should last. Raises ValueError if no length has these bars.
    """
    beat = 60.0 / attributes.tempo
    tag = line.tag if tag is None else tag
    music = (bar_count * attributes.metre + tag) * beat
    low = music + ENDING_REST + max(FINAL_SECONDS, 1.5 * beat)
    steps = range(math.ceil(low * GRID - CLOSE), math.ceil((low + beat) * GRID))
    lengths = [step / GRID for step in steps if _holds(timeline(attributes, step / GRID), bar_count, tag)]
    if not lengths:
        raise ValueError("The piece is shorter than a bar, so its tempo and its bars cannot change; give a longer one.")
    best = min(lengths, key=lambda seconds: abs(seconds - ENDING_REST - music - final))
    if best > MAX_MUSIC_SECONDS:
        limit = f"at most {MAX_MUSIC_SECONDS:g} are made"
        raise ValueError(f"The piece would last {best:.0f} seconds, {limit}; take a faster tempo or fewer bars.")
    return best


def _holds(line: Timeline, bar_count: int, tag: int) -> bool:
    return (line.bar_count, line.tag) == (bar_count, tag)


def replace_notes(score: Score, tracks: Mapping[str, tuple[Note, ...]], **fields: Any) -> Score:
    """The score with other notes in some tracks, and other values in some fields."""
    values: dict[str, Any] = {**tracks, **fields}
    return replace(score, **values)


# -- tempo --------------------------------------------------------------------------------------------------------


def set_tempo(score: Score, tempo: float) -> Score:
    """The piece at another tempo: all times are scaled, but for the final chord's length and the nominal one of drum strokes."""
    line, attributes = score_line(score), replace(score.attributes, tempo=tempo)
    if attributes == score.attributes:
        return score
    ratio, last = score.attributes.tempo / tempo, line.time(line.eighths)
    seconds = fitting_seconds(line, attributes, line.bar_count, (line.end - last) * ratio)
    end = timeline(attributes, seconds).end

    def scaled(track: str) -> tuple[Note, ...]:
        notes = [(note, note.start * ratio, note.duration * ratio) for note in score.track(track)]
        return tuple(
            replace(note, start=start, duration=final_length(note, track, line, length, end - start)) for note, start, length in notes
        )

    chords = [replace(chord, start=chord.start * ratio, duration=chord.duration * ratio) for chord in score.chords]
    chords[-1] = replace(chords[-1], duration=end - chords[-1].start)
    return replace_notes(score, {name: scaled(name) for name in TRACKS}, attributes=attributes, seconds=seconds, chords=tuple(chords))


def final_length(note: Note, track: str, line: Timeline, duration: float, rest: float) -> float:
    """Duration of a note of a piece with this timeline in its new place: drum strokes keep theirs, and the final chord lasts to the
    end as before; what ends earlier, as in files from elsewhere, keeps its length in beats."""
    if track == "drums":
        return note.duration
    final = note.start >= line.time(line.eighths) - CLOSE
    lasts = note.start + note.duration >= line.end - line.beat / 48
    return (rest if lasts else min(duration, rest)) if final else duration


# -- pitch --------------------------------------------------------------------------------------------------------


def transpose(score: Score, semitones: int) -> Score:
    """The piece so many semitones higher, or lower if negative. Raises ValueError if a note would leave MIDI's range."""
    if isinstance(semitones, bool) or not isinstance(semitones, int) or abs(semitones) > MAX_INTERVAL:
        allowed = f"semitones from -{MAX_INTERVAL} to {MAX_INTERVAL}"
        raise ValueError(f"The interval {semitones!r} is out of range; give a whole number of {allowed}.")
    attributes = replace(score.attributes, key=(score.attributes.key + semitones) % 12)
    chords = tuple(replace(chord, root=(chord.root + semitones) % 12) for chord in score.chords)
    tracks = {name: _shifted(score.track(name), semitones) for name in PITCHED}
    return replace_notes(score, tracks, attributes=attributes, chords=chords)


def _shifted(notes: Sequence[Note], semitones: int) -> tuple[Note, ...]:
    if any(not 0 <= note.pitch + semitones <= 127 for note in notes):
        raise ValueError(f"A note would leave the range of MIDI when it moves by {semitones} semitones; take a smaller interval.")
    return tuple(replace(note, pitch=note.pitch + semitones) for note in notes)


def set_key(score: Score, key: int) -> Score:
    """The piece in another key, `key` a pitch class: all notes move by the shortest way, at most six semitones up or five down."""
    if key not in range(12):
        raise ValueError(f"key {key!r} is not known; give a pitch class from 0 ({KEYS[0]}) to 11 ({KEYS[11]}).")
    return transpose(score, (key - score.attributes.key + 5) % 12 - 5)


def set_mode(score: Score, mode: str) -> Score:
    """The piece in major or minor: the melody keeps its scale degrees, the chords theirs, and all notes their place in the chord.

    The seventh degree over the dominant is a leading note in both modes. Raises ValueError if a note would leave MIDI's range.
    """
    old, attributes = score.attributes, replace(score.attributes, mode=mode)
    if attributes == old:
        return score
    line = score_line(score)
    seventh = any(len(chord.tones) > 3 for chord in score.chords)
    chords = tuple(_in_mode(chord, old, mode, seventh) for chord in score.chords)

    def bar(note: Note) -> int:
        return min(int((note.start + CLOSE) / (line.beat * line.metre)), line.bar_count)

    lead = tuple(replace(note, pitch=_degree_in_mode(note.pitch, old, mode, score.chords[bar(note)])) for note in score.lead)
    moved = {
        name: tuple(
            replace(note, pitch=_chord_note(note.pitch, old, mode, score.chords[bar(note)], chords[bar(note)]))
            for note in score.track(name)
        )
        for name in ("accompaniment", "bass")
    }
    if any(not 0 <= note.pitch <= 127 for notes in (lead, *moved.values()) for note in notes):
        raise ValueError(f"In {mode} a note would leave the range of MIDI; transpose the piece first.")
    return replace_notes(score, {**moved, "lead": lead}, attributes=attributes, chords=chords)


def diatonic_quality(mode: str, degree: int, seventh: bool) -> str:
    """Quality of the chord on a scale degree: thirds of the scale, with a leading note in the dominant of minor."""
    scale = list(SCALES[mode])
    if degree == DOMINANT:
        scale[SEVENTH] = 11
    tones = tuple((scale[(degree + step) % 7] - scale[degree]) % 12 for step in (0, 2, 4, 6)[: 4 if seventh else 3])
    half_diminished = tones[:3] == QUALITIES["diminished"]
    return "diminished" if half_diminished else next(name for name, steps in QUALITIES.items() if steps == tones)


def spell(pitch: int, key: int, mode: str) -> tuple[int, int, bool]:
    """Octave, scale degree (0 is the tonic) and whether it is raised by a semitone, of a pitch; octaves begin at the tonic."""
    octave, semitone = divmod(pitch - key, 12)
    raised = semitone not in SCALES[mode]
    return octave, SCALES[mode].index(semitone - int(raised)), raised


def _degree_in_mode(pitch: int, old: Attributes, mode: str, chord: Chord) -> int:
    """The pitch of the same scale degree in the other mode of the same tonic."""
    octave, degree, raised = spell(pitch, old.key, old.mode)
    if mode == "minor" and degree == SEVENTH and spell(chord.root, old.key, old.mode)[1:] == (DOMINANT, False):
        raised = True
    step = SCALES[mode][degree]
    raised = raised and (step + 1) % 12 not in SCALES[mode]  # what is raised in one mode may be the other one's own degree
    return old.key + 12 * octave + step + int(raised)


def _in_mode(chord: Chord, old: Attributes, mode: str, seventh: bool) -> Chord:
    """The chord on the same degree of the other mode; one that is not of the scale keeps its quality."""
    _, degree, raised = spell(chord.root, old.key, old.mode)
    root = (old.key + SCALES[mode][degree] + int(raised)) % 12
    natural = not raised and chord.quality in {diatonic_quality(old.mode, degree, four) for four in (False, True)}
    four = seventh if chord.quality == "diminished" else len(chord.tones) > 3
    return replace(chord, root=root, quality=diatonic_quality(mode, degree, four) if natural else chord.quality)


def _chord_note(pitch: int, old: Attributes, mode: str, before: Chord, after: Chord) -> int:
    """A note of the accompaniment or the bass: the same member of the new chord, or the same degree of the scale."""
    member = before.tones.index(pitch % 12) if pitch % 12 in before.tones else len(after.tones)
    if member >= len(after.tones):
        return _degree_in_mode(pitch, old, mode, before)
    return pitch + (after.tones[member] - pitch + 6) % 12 - 6


# -- parts --------------------------------------------------------------------------------------------------------


def set_lead(score: Score, instrument: str) -> Score:
    """The melody on another instrument, moved by octaves to its register."""
    attributes = replace(score.attributes, lead=instrument)
    shift = lead_tonic(attributes) - lead_tonic(score.attributes)
    return replace(score, attributes=attributes, lead=_shifted(score.lead, shift))


def set_accompaniment(score: Score, instrument: str) -> Score:
    """The chords on another instrument."""
    return replace(score, attributes=replace(score.attributes, accompaniment=instrument))


def set_part(score: Score, name: str, notes: Sequence[Note]) -> Score:
    """The piece with these notes in a part; none take the part out."""
    score.track(name)  # raises ValueError for an unknown part
    attributes = replace(score.attributes, drums=bool(notes)) if name == "drums" else score.attributes
    ordered = tuple(sorted(notes, key=lambda note: (note.start, note.pitch)))
    return replace_notes(score, {name: ordered}, attributes=attributes)
