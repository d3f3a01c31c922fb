"""The score of a piece for a page that draws it: bars, chords, sections and the notes of each part, as JSON.

Times are seconds of the sound that the score is played as, so that a cursor over the drawing and the player agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from llama.media.edit import NAMES
from llama.media.notation import find_sections
from llama.media.score import TRACKS, Chord, Score, Timeline, timeline
from llama.media.spelling import chord_name, key_name, note_name, spell_pitch_class
from llama.media.staves import DRUM_STAFF, OTHER_DRUM

MAX_DRAWN_NOTES = 60_000  # some 25 bytes each; a file that is read has at most 50 000
MAX_DESCRIBED_CHORDS = 8  # in the description
BASS_NAMES: Mapping[int, str] = {32: "double bass", 33: "electric bass", 38: "synth bass", 43: "bowed bass"}  # by General MIDI program
SPOKEN: Mapping[str, str] = {  # qualities of chords, in the description
    "major": "major", "minor": "minor", "diminished": "diminished",
    "dominant7": "seventh", "major7": "major seventh", "minor7": "minor seventh",
}  # fmt: skip


def score_view(score: Score) -> dict[str, Any]:
    """The score as JSON that a page can draw; every note of the score is in it once.

    seconds: length of the sound; tempo in beats a minute, beat in seconds, metre in beats a bar, key such as "E minor".
    pitches: the names of the twelve pitch classes in this key, from C.
    bars: {start, end, number} of each whole bar, numbered as edits number them. ending: {start, final, end} of what follows them,
    and of the last chord in it. sections: {start, end, name}. chords: {start, end, name}, equal neighbours joined.
    parts: {name, part, label, notes, keys} of each part with notes: its name for people, its name in an `Edit`, its instrument, its
    notes [start, duration, pitch, velocity], and for drums the names of their pitches. summary: the score in words.
    Raises ValueError for a score of more than `MAX_DRAWN_NOTES`.
    """
    count = sum(len(score.track(name)) for name in TRACKS)
    if count > MAX_DRAWN_NOTES:
        raise ValueError(f"The piece has {count} notes, and up to {MAX_DRAWN_NOTES} are drawn; take its MIDI file, or an excerpt of it.")
    line, attributes = timeline(score.attributes, score.seconds), score.attributes
    ending = {"start": _time(line.time(line.bar_count * line.width)), "final": _time(line.time(line.eighths)), "end": _time(line.end)}
    return {
        "seconds": _time(score.seconds), "tempo": attributes.tempo, "beat": _time(line.beat), "metre": attributes.metre,
        "key": key_name(attributes.key, attributes.mode),
        "pitches": [_printed(note_name(pitch, attributes.key, attributes.mode)) for pitch in range(12)],
        "bars": list(_bars(line)), "ending": ending,
        "sections": list(_sections(score, line)), "chords": list(_chords(score)),
        "parts": [_part(score, name) for name in TRACKS if score.track(name)], "summary": describe(score),
    }  # fmt: skip


def part_names(score: Score) -> dict[str, str]:
    """Name for people -> name in an `Edit` of each part that has notes, the melody first."""
    return {NAMES[name]: name for name in TRACKS if score.track(name)}


def instrument(score: Score, name: str) -> str:
    """What plays a part (a name out of TRACKS), such as "double bass"."""
    attributes = score.attributes
    players = {
        "lead": attributes.lead, "accompaniment": attributes.accompaniment, "bass": BASS_NAMES[score.programs["bass"]], "drums": "drums",
    }
    return players[name]


def describe(score: Score) -> str:
    """The score in two sentences, for people who do not see the drawing."""
    attributes, line = score.attributes, timeline(score.attributes, score.seconds)
    key = key_name(attributes.key, attributes.mode)
    bars = _plural(line.bar_count, "bar") if line.bar_count else "less than a bar"
    parts = "; ".join(_described_part(score, name) for name in TRACKS if score.track(name)) or "no notes"
    named = [name for name, _ in groupby(_spoken(chord, score) for chord in score.chords)]
    more = " and so on" if len(named) > MAX_DESCRIBED_CHORDS else ""
    chords = f" Chords: {', '.join(named[:MAX_DESCRIBED_CHORDS])}{more}." if named else ""
    return f"{key}, {attributes.tempo:g} beats a minute, {attributes.metre} beats a bar, {bars}: {parts}.{chords}"


def _time(seconds: float) -> float:
    """To a tenth of a millisecond, which no drawing shows and no cursor needs."""
    return round(seconds, 4)


def _printed(name: str) -> str:
    """A note or a chord with the signs of sharp and flat, and a circle for a diminished one: "B♭7" for "Bb7"."""
    sign = {"#": "♯", "b": "♭"}.get(name[1:2], "")
    return name[0] + (sign + name[2:] if sign else name[1:]).replace("dim", "°")


def _bars(line: Timeline) -> Iterator[dict[str, Any]]:
    for index in range(line.bar_count):
        start, end = (line.time(bar * line.width) for bar in (index, index + 1))
        yield {"start": _time(start), "end": _time(end), "number": index + 1}


def _sections(score: Score, line: Timeline) -> Iterator[dict[str, Any]]:
    if len(score.chords) != line.bar_count + 1:  # such a score has no form
        return
    sections = find_sections(score)
    starts = [line.time(section.bar * line.width) for section in sections]
    for section, start, end in zip(sections, starts, (*starts[1:], line.end), strict=True):
        yield {"start": _time(start), "end": _time(end), "name": section.name}


def _chords(score: Score) -> Iterator[dict[str, Any]]:
    for name, chords in groupby(score.chords, lambda chord: chord_name(chord, score.attributes.key, score.attributes.mode)):
        equal = list(chords)
        yield {"start": _time(equal[0].start), "end": _time(equal[-1].start + equal[-1].duration), "name": _printed(name)}


def _part(score: Score, name: str) -> dict[str, Any]:
    notes = sorted(score.track(name), key=lambda note: (note.start, note.pitch))
    part: dict[str, Any] = {
        "name": NAMES[name], "part": name, "label": instrument(score, name),
        "notes": [[_time(note.start), _time(note.duration), note.pitch, note.velocity] for note in notes],
    }  # fmt: skip
    if name == "drums":
        part["keys"] = {str(pitch): DRUM_STAFF.get(pitch, OTHER_DRUM)[0] for pitch in sorted({note.pitch for note in notes})}
    return part


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _described_part(score: Score, name: str) -> str:
    notes = score.track(name)
    if name == "drums":
        return f"drums, {_plural(len(notes), 'stroke')}"
    low, high = (_pitch(choose(note.pitch for note in notes), score) for choose in (min, max))
    where = f"from {low} to {high}" if low != high else f"on {low}"
    return f"{NAMES[name]} on {instrument(score, name)}, {_plural(len(notes), 'note')} {where}"


def _pitch(pitch: int, score: Score) -> str:
    _, alteration = spell_pitch_class(pitch % 12, score.attributes.key, score.attributes.mode)
    return f"{_said(note_name(pitch % 12, score.attributes.key, score.attributes.mode))} {(pitch - alteration) // 12 - 1}"


def _spoken(chord: Chord, score: Score) -> str:
    return f"{_said(note_name(chord.root, score.attributes.key, score.attributes.mode))} {SPOKEN[chord.quality]}"


def _said(name: str) -> str:
    return name[0] + {"#": " sharp", "b": " flat", "": ""}.get(name[1:], name[1:])
