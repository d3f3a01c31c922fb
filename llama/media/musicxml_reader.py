"""Reader of MusicXML (4.0 and older) into the common form of files of notes, in bounded time and memory.

music21 reads more, but takes several times as long, and it has no limits. What does not sound is left out: layout, lyrics,
fingerings; grace and cue notes and jumps such as "D.C." are left out and said.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, islice
from typing import Any
from xml.etree.ElementTree import Element

from llama.errors import quoted
from llama.media.musicxml_file import read_musicxml_tree
from llama.media.musicxml_measures import LeftOut, Measure, MeasureReader, Swing, WrittenNote
from llama.media.raw_score import RawChord, RawKey, RawMarker, RawMetre, RawNote, RawPart, RawScore, RawTempo
from llama.media.repeats import Barlines, play_order

MAX_NOTES = 50_000  # with repeats written out
MAX_PARTS = 256
MAX_BARS = 10_000  # with repeats written out
MAX_SIGNS = 10_000  # of one kind, such as chord symbols
MAX_TEXTS, TEXT_LENGTH = 1000, 200
CLOSE = 1e-6  # quarter notes
DRUM_CHANNEL = "10"


@dataclass(frozen=True)
class _Part:
    """A part of the file: its names and sounds, and its bars."""

    name: str
    program: int
    is_drum: bool
    measures: list[Measure]


def read_musicxml(data: bytes, name: str) -> RawScore:
    """The notes of a MusicXML file, also of a compressed one (.mxl), as they sound: transposed, swung, repeats written out.

    name: of the file, for messages. Raises ValueError for what is no such file, damaged, or too large.
    """
    root = read_musicxml_tree(data, name)
    left_out = LeftOut()
    parts = _read_parts(root, name, left_out)
    order, lengths = _order(parts, name)
    starts = [Fraction(0), *accumulate(lengths[index] for index in order)]
    if sum(len(part.measures[index].notes) for part in parts for index in order if index < len(part.measures)) > MAX_NOTES:
        raise ValueError(f"{name} has more than {MAX_NOTES} notes with its repeats; give a part of the piece.")
    swings = _timeline(parts, order, starts, "swings")
    raw_parts, notes = _notes(parts, order, starts, swings)
    if not notes:
        raise ValueError(f"{name} has no notes; export the piece again.")
    faults = left_out.sentences()
    if len(order) != len(lengths):
        faults.append(f"Repeats were written out: {len(lengths)} bars became {len(order)}.")
    tempi, metres, keys = (_timeline(parts, order, starts, kind) for kind in ("tempi", "metres", "keys"))
    chords, markers = (_signs(parts, order, starts, kind) for kind in ("chords", "markers"))
    return RawScore(
        tuple(raw_parts), tuple(notes), max(float(starts[-1]), max(note.start + note.length for note in notes)),
        tempi=tuple(RawTempo(float(start), tempo) for start, tempo in tempi),
        metres=tuple(RawMetre(float(start), *metre) for start, metre in metres),
        keys=tuple(RawKey(float(start), *key) for start, key in keys),
        chords=tuple(RawChord(float(start), *chord) for start, chord in chords),
        markers=tuple(RawMarker(float(start), _text(mark)) for start, mark in markers[:MAX_TEXTS]),
        upbeat=_upbeat(parts, lengths), texts=_texts(root), faults=tuple(faults),
    )  # fmt: skip


# -- parts ------------------------------------------------------------------------------------------------------------


def _read_parts(root: Element, name: str, left_out: LeftOut) -> list[_Part]:
    heads = {head.get("id"): head for head in root.findall("part-list/score-part")}
    elements = root.findall("part")
    if not elements or len(elements) > MAX_PARTS:
        raise ValueError(f"{name} has {len(elements)} parts; a score may have 1 to {MAX_PARTS}.")
    return [_read_part(element, heads.get(element.get("id")), name, left_out) for element in elements]


def _read_part(element: Element, head: Element | None, name: str, left_out: LeftOut) -> _Part:
    sounds = head.findall("midi-instrument") if head is not None else []
    title = _text(head.findtext("part-name") or "") if head is not None else ""
    is_drum = any((sound.findtext("midi-channel") or "").strip() == DRUM_CHANNEL for sound in sounds)
    program = next((number for sound in sounds if (number := _midi_number(sound.findtext("midi-program"))) is not None), 0)
    keys = {sound.get("id", ""): _midi_number(sound.findtext("midi-unpitched")) for sound in sounds}
    reader = MeasureReader({sound: key for sound, key in keys.items() if key is not None}, left_out)
    measures = list[Measure]()
    for number, measure in enumerate(element.findall("measure"), start=1):
        if number > MAX_BARS:
            raise ValueError(f"{name} has more than {MAX_BARS} bars; give a part of the piece.")
        try:
            measures.append(reader.read(measure))
        except ValueError as error:
            where = f"bar {number} of part {quoted(title or element.get('id'))}"
            raise ValueError(f"{name} is damaged: {where} {error}; export the piece again.") from error
    return _Part(title, program, is_drum, measures)


def _midi_number(text: str | None) -> int | None:
    """A program or a key as MIDI counts them, from 0; None for no number."""
    text = (text or "").strip()
    return int(text) - 1 if text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 128 else None


# -- time -------------------------------------------------------------------------------------------------------------


def _order(parts: Sequence[_Part], name: str) -> tuple[list[int], list[Fraction]]:
    """The bars in the order in which they are played, and the length of each in quarter notes."""
    count = max(len(part.measures) for part in parts)
    lengths, bars, nominal = list[Fraction](), list[Barlines](), Fraction(4)
    for index in range(count):
        measures = [part.measures[index] for part in parts if index < len(part.measures)]
        nominal = next((Fraction(4 * beats, unit) for measure in measures for _, (beats, unit) in measure.metres), nominal)
        lengths.append(_length(measures, nominal))
        lines = [measure.barlines for measure in measures]
        bars.append(
            Barlines(
                any(line.forward for line in lines), max(line.backward for line in lines),
                next((line.ending for line in lines if line.ending), ()), any(line.ends for line in lines),
            )  # fmt: skip
        )
    order = play_order(bars, MAX_BARS + 1)
    if len(order) > MAX_BARS:
        raise ValueError(f"{name} has more than {MAX_BARS} bars with its repeats; give a part of the piece.")
    return order, lengths


def _length(measures: Sequence[Measure], nominal: Fraction) -> Fraction:
    """Length of a bar: as far as any part reaches, but rests do not lengthen it beyond its time signature."""
    reached = max(measure.length for measure in measures)
    sounding = max((note.start + note.length for measure in measures for note in measure.notes), default=Fraction(0))
    return max(nominal, sounding) if reached > nominal else reached or nominal


def _upbeat(parts: Sequence[_Part], lengths: Sequence[Fraction]) -> float:
    """Quarter notes of an incomplete first bar that the file marks as one; 0 without."""
    first = [part.measures[0] for part in parts if part.measures]
    metre = next((Fraction(4 * beats, unit) for measure in first for _, (beats, unit) in measure.metres), Fraction(4))
    return float(lengths[0]) if any(measure.implicit for measure in first) and lengths[0] < metre else 0.0


def _timeline(parts: Sequence[_Part], order: Sequence[int], starts: Sequence[Fraction], kind: str) -> list[tuple[Fraction, Any]]:
    """The values of a kind that hold from a place on, changes alone. Bars that come again have what held when they first began."""
    count = max(order, default=-1) + 1
    changes = [_of_bar(parts, index, kind) for index in range(count)]
    held, state = list[Any](), None
    for bar in changes:
        held.append(state)
        state = bar[-1][1] if bar else state
    result = list[tuple[Fraction, Any]]()
    for start, before, index in zip(starts, [None, *order], order, strict=False):
        jumped = before is not None and index != before + 1 and held[index] is not None
        for place, value in ([(Fraction(0), held[index])] if jumped else []) + changes[index]:
            if len(result) < MAX_SIGNS and (not result or result[-1][1] != value):
                result.append((start + place, value))
    return result


def _signs(parts: Sequence[_Part], order: Sequence[int], starts: Sequence[Fraction], kind: str) -> list[tuple[Fraction, Any]]:
    """Chord symbols or marks at their places, each time they are played."""
    bars = {index: _of_bar(parts, index, kind) for index in set(order)}
    signs = ((start + place, value) for start, index in zip(starts, order, strict=False) for place, value in bars[index])
    return list(islice(signs, MAX_SIGNS))


def _of_bar(parts: Sequence[_Part], index: int, kind: str) -> list[tuple[Fraction, Any]]:
    """The signs of a kind in a bar, from the first part that has some: most files write them in each part."""
    pitched = [part for part in parts if not part.is_drum] or parts
    lists = [getattr(part.measures[index], kind) for part in (pitched if kind == "keys" else parts) if index < len(part.measures)]
    return sorted(next((found for found in lists if found), []), key=lambda sign: sign[0])


# -- notes ------------------------------------------------------------------------------------------------------------


def _notes(
    parts: Sequence[_Part], order: Sequence[int], starts: Sequence[Fraction], swings: Sequence[tuple[Fraction, Swing | None]]
) -> tuple[list[RawPart], list[RawNote]]:
    """A raw part for each staff with notes, and the notes with their ties joined."""
    raw_parts, notes = list[RawPart](), list[RawNote]()
    for part in parts:
        staves: dict[int, int] = {}
        open_ties: dict[int, int] = {}  # pitch -> index of the note that goes on
        for written, first, last in _sounding(part, order, starts, swings):
            at = open_ties.pop(written.pitch, None) if written.tied[0] else None
            if at is not None and abs(notes[at].start + notes[at].length - first) < CLOSE:
                notes[at] = replace(notes[at], length=last - notes[at].start)
            else:
                at = len(notes)
                if written.staff not in staves:
                    is_drum = part.is_drum or written.is_drum
                    staves[written.staff] = len(raw_parts)
                    raw_parts.append(RawPart(part.name, 0 if is_drum else part.program, is_drum))
                notes.append(RawNote(staves[written.staff], first, last - first, written.pitch, written.velocity))
            if written.tied[1]:
                open_ties[written.pitch] = at
    return raw_parts, notes


def _sounding(
    part: _Part, order: Sequence[int], starts: Sequence[Fraction], swings: Sequence[tuple[Fraction, Swing | None]]
) -> Iterator[tuple[WrittenNote, float, float]]:
    """The notes of a part by their begin, each with begin and end in quarter notes of the piece."""
    places = [start for start, _ in swings]
    bars = [sorted(measure.notes, key=lambda note: note.start) for measure in part.measures]
    for start, index in zip(starts, order, strict=False):
        for note in bars[index] if index < len(bars) else ():
            held = bisect_right(places, start + note.start)
            swing = swings[held - 1][1] if held else None
            yield note, float(start + _swung(note.start, swing)), float(start + _swung(note.start + note.length, swing))


def _swung(place: Fraction, swing: Swing | None) -> Fraction:
    """Where a place of the bar sounds: the first note of a pair gets its share of the pair's length."""
    if swing is None:
        return place
    share, pair = swing
    whole, rest = divmod(place, pair)
    half = pair / 2
    return whole * pair + (rest * share * 2 if rest < half else share * pair + (rest - half) * (1 - share) * 2)


# -- texts ------------------------------------------------------------------------------------------------------------


def _texts(root: Element) -> tuple[str, ...]:
    paths = ("work/work-title", "movement-title", "identification/miscellaneous/miscellaneous-field")
    texts: Iterable[str] = (element.text or "" for path in paths for element in root.findall(path))
    return tuple(_text(text) for text in texts if text.strip())[:MAX_TEXTS]


def _text(text: str) -> str:
    """One line of bounded length, without characters that are not printed."""
    clean = "".join(character if character.isprintable() else " " for character in text[: 4 * TEXT_LENGTH])
    return " ".join(clean.split())[:TEXT_LENGTH]
