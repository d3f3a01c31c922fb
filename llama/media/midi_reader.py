"""Reader of standard MIDI files of types 0 and 1 (RP-001 v1.0 of the MIDI Association), also within RIFF (RP-029).

It reads bytes of strangers: an event costs a bounded time and no memory but that of its notes, so that a file of thousands of
tracks or of a million events is read or refused in seconds. What does not sound, such as pedals, bends and lyrics, is left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llama.media.chord_symbols import read_chord_symbol
from llama.media.midi_chunks import read_chunks, read_header, unwrap
from llama.media.raw_score import RawChord, RawKey, RawMarker, RawMetre, RawNote, RawPart, RawScore, RawTempo
from llama.media.xf_chords import decode_chord

MAX_MIDI_BYTES = 5_000_000  # of a file that is read; long orchestral pieces have a tenth
MAX_NOTES = 50_000  # of a file; ten minutes of a full orchestra have fewer
MAX_CHANGES = 20_000  # of tempo, metre and key together; a performance that is recorded beat by beat has fewer
MAX_TEXTS = 1000  # texts and markers that are kept
TEXT_LENGTH = 200  # characters of each
PERCUSSION = 9  # channel, from 0: the tenth is percussion in General MIDI
DATA_BYTES = (2, 2, 2, 2, 1, 1, 2)  # of channel messages 0x8n to 0xEn
SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # data bytes of system messages; the others have none
TEXT, TRACK_NAME, INSTRUMENT_NAME, MARKER, END_OF_TRACK, TEMPO, METRE, KEY = 0x01, 0x03, 0x04, 0x06, 0x2F, 0x51, 0x58, 0x59
SEQUENCER_SPECIFIC = 0x7F


def read_midi(data: bytes, name: str) -> RawScore:
    """The notes of a MIDI file. name: of the file, for messages.

    Note-offs end the notes of their pitch in the order of their begin. A note that never ends lasts until the next of its pitch
    begins or ends, or to the end of its track; one of no length lasts a tick.

    Raises ValueError for what is no such file, damaged, or too large.
    """
    if len(data) > MAX_MIDI_BYTES:
        raise ValueError(f"{name} has more than the {MAX_MIDI_BYTES} bytes that a MIDI file may have; give a part of it.")
    chunks = read_chunks(unwrap(data, name), name)
    file_type, quarter = read_header(next(chunks, (b"", b"")), name)
    piece = _Piece(name, one_track=file_type == 0)
    for kind, content in chunks:
        if kind == b"MTrk":
            piece.read_track(content)
    if not piece.tracks:
        raise ValueError(f"{name} has no track; export it as a MIDI file of type 1.")
    return piece.score(quarter)


@dataclass
class _Piece:
    """What the tracks of a file say, in ticks, while they are read."""

    name: str
    one_track: bool  # so that channels tell its parts, not tracks
    tracks: list[_Track] = field(default_factory=list)
    note_count: int = 0
    change_count: int = 0
    tempi: list[tuple[int, int]] = field(default_factory=list)
    metres: list[tuple[int, int, int]] = field(default_factory=list)
    keys: list[tuple[int, int, Literal["major", "minor"]]] = field(default_factory=list)
    markers: list[tuple[int, str]] = field(default_factory=list)
    chords: list[tuple[int, tuple[int, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    faults: dict[str, None] = field(default_factory=dict)  # an ordered set

    def damage(self, what: str) -> ValueError:
        return ValueError(f"{self.name} is damaged: track {len(self.tracks) + 1} {what}; export it again.")

    def read_track(self, content: bytes) -> None:
        """Reads the events of a track."""
        track = _Track(self)
        track.read(content)
        track.end_notes()
        self.tracks.append(track)

    def read_meta(self, kind: int, tick: int, content: bytes) -> None:
        """Reads an event that is of the whole piece."""
        if kind in (TEMPO, METRE, KEY):
            self.change_count += 1
            if self.change_count > MAX_CHANGES:
                raise ValueError(f"{self.name} changes its tempo, metre or key more than {MAX_CHANGES} times; give a part of it.")
        if kind == TEMPO and len(content) >= 3:
            tempo = int.from_bytes(content[:3], "big")
            if tempo:
                self.tempi.append((tick, tempo))
            else:
                self.faults["A tempo of no length was left out."] = None
        elif kind == METRE and len(content) >= 2:
            if content[0] and content[1] <= 6:
                self.metres.append((tick, content[0], 2 ** content[1]))
            else:
                self.faults["A time signature that is none was left out."] = None
        elif kind == KEY and len(content) >= 2:
            fifths = content[0] - 256 * (content[0] > 127)
            if abs(fifths) <= 7 and content[1] <= 1:
                self.keys.append((tick, fifths, "minor" if content[1] else "major"))
            else:
                self.faults["A key signature that is none was left out."] = None
        elif kind in (TEXT, MARKER) and len(self.markers) + len(self.texts) < MAX_TEXTS and content:
            if kind == MARKER:
                self.markers.append((tick, _text(content)))
            else:
                self.texts.append(_text(content))
        elif kind == SEQUENCER_SPECIFIC and len(self.chords) < MAX_TEXTS and (chord := decode_chord(content)):
            self.chords.append((tick, chord))

    def score(self, quarter: int) -> RawScore:
        """All that was read, in quarter notes of so many ticks."""
        parts, notes, names = list[RawPart](), list[RawNote](), list[str]()
        for track in self.tracks:
            name = track.name if len({channel for channel, _ in track.parts}) == 1 else ""  # else it names no part
            if track.name and not name:
                names.append(track.name)
            for part, start, end, pitch, velocity in track.notes:
                ticks = max(end - start, 1)  # a note of no length lasts a tick, as in our own files
                notes.append(RawNote(len(parts) + part, start / quarter, ticks / quarter, pitch, velocity))
            for channel, program in track.parts:
                parts.append(RawPart(name, program, channel == PERCUSSION))
        chords, markers = self._chords_and_markers(quarter)
        metres = tuple(RawMetre(tick / quarter, beats, unit) for tick, beats, unit in sorted(self.metres, key=_tick))
        return RawScore(
            tuple(parts), tuple(notes), max(track.tick for track in self.tracks) / quarter, metres=metres, chords=chords, markers=markers,
            tempi=tuple(RawTempo(tick / quarter, beats_a_minute(time)) for tick, time in sorted(self.tempi, key=_tick)),
            keys=tuple(RawKey(tick / quarter, fifths, mode) for tick, fifths, mode in sorted(self.keys, key=_tick)),
            upbeat=_upbeat(metres), texts=(*names, *self.texts), faults=tuple(self.faults),
        )  # fmt: skip

    def _chords_and_markers(self, quarter: int) -> tuple[tuple[RawChord, ...], tuple[RawMarker, ...]]:
        """Chord symbols are events of their own, or markers where there are none of these."""
        markers = sorted(self.markers, key=_tick)
        if not self.chords:
            return _chords_and_markers(markers, quarter)
        chords = tuple(RawChord(tick / quarter, *chord) for tick, chord in sorted(self.chords, key=_tick))
        return chords, tuple(RawMarker(tick / quarter, text) for tick, text in markers)


class _Track:
    """The events of one track. tick: at which it ends."""

    def __init__(self, piece: _Piece) -> None:
        self._piece = piece
        self.tick, self.name = 0, ""
        self.parts: dict[tuple[int, int], int] = {}  # (channel, program) -> number of the part in the track
        self.notes: list[list[int]] = []  # part, start, end, pitch, velocity
        self._programs = [0] * 16
        self._open: dict[int, deque[int]] = {}  # channel * 128 + pitch -> notes that sound, by their begin
        self._changes: dict[int, list[int]] = {}  # likewise -> ticks at which notes begin and end
        self._stray_ends: dict[int, int] = {}  # likewise -> tick of the last end of no note
        self._momentary: set[int] = set()  # notes whose end is written before their begin, at the same tick

    def read(self, content: bytes) -> None:
        """Reads all events. A status byte holds for the events that follow, also beyond meta events, as other readers have it."""
        size, content = len(content), content + bytes(8)  # so that the last event may look beyond the end
        position = status = 0
        while position < size:
            if content[position] < 0x80:
                self.tick += content[position]
                position += 1
            else:
                delta, position = self._number(content, position)
                self.tick += delta
            if content[position] >= 0x80:
                status_or_system = content[position]
                position += 1
                if status_or_system >= 0xF0:
                    position = self._system(status_or_system, content, position, size)
                    continue
                status = status_or_system
            if status < 0xA0:
                self._note(status, content[position], content[position + 1])
            elif status >> 4 == 0xC:
                self._programs[status & 15] = content[position] & 0x7F
            position += DATA_BYTES[(status >> 4) - 8]
        if position > size:
            raise self._piece.damage("ends within an event")

    def _number(self, content: bytes, position: int) -> tuple[int, int]:
        """A number of up to four bytes of seven bits, and the position behind it."""
        value = 0
        for place in range(position, position + 4):
            value = value << 7 | content[place] & 0x7F
            if content[place] < 0x80:
                return value, place + 1
        raise self._piece.damage("has a number of more than four bytes")

    def _system(self, kind: int, content: bytes, position: int, size: int) -> int:
        """Reads a meta event or skips a system message. Returns the position behind it: `size` at the end of the track."""
        if kind not in (0xF0, 0xF7, 0xFF):
            return position + SYSTEM_BYTES.get(kind, 0)
        meta = content[position] if kind == 0xFF else None
        length, start = self._number(content, position + (kind == 0xFF))
        if start + length > size:
            raise self._piece.damage("ends within an event")
        if meta == END_OF_TRACK:
            return size
        if meta in (TRACK_NAME, INSTRUMENT_NAME) and (meta == TRACK_NAME or not self.name):
            self.name = _text(content[start : start + min(length, 4 * TEXT_LENGTH)])
        elif meta is not None:
            self._piece.read_meta(meta, self.tick, content[start : start + min(length, 4 * TEXT_LENGTH)])
        return start + length

    def _note(self, status: int, pitch: int, velocity: int) -> None:
        """A note begins or ends."""
        if pitch > 127 or velocity > 127 or status < 0x80:
            raise self._piece.damage("holds bytes that are no event")
        key = (status & 15) * 128 + pitch
        if status >= 0x90 and velocity:
            self._piece.note_count += 1
            if self._piece.note_count > MAX_NOTES:
                raise ValueError(f"{self._piece.name} has more than {MAX_NOTES} notes; give a part of it.")
            part = self.parts.setdefault(self._part_name(status & 15), len(self.parts))
            self._open.setdefault(key, deque()).append(len(self.notes))
            if self._stray_ends.get(key, -1) == self.tick:
                self._momentary.add(len(self.notes))
            self._changes.setdefault(key, []).append(self.tick)
            self.notes.append([part, self.tick, self.tick, pitch, velocity])
        elif self._open.get(key):
            self.notes[self._open[key].popleft()][2] = self.tick
            self._changes[key].append(self.tick)
        else:
            self._stray_ends[key] = self.tick

    def _part_name(self, channel: int) -> tuple[int, int]:
        """Channel and program of a part: a track is one part for each program, whatever the channels, but for percussion."""
        if channel == PERCUSSION:
            return channel, 0
        return channel if self._piece.one_track else 0, self._programs[channel]

    def end_notes(self) -> None:
        """Ends the notes that never did: where the next of their pitch begins or one ends, or with the track."""
        for key, numbers in self._open.items():
            changes = self._changes[key]
            for number in numbers:
                if number in self._momentary:
                    continue  # it ends where it begins
                later = bisect_right(changes, self.notes[number][1])
                self.notes[number][2] = changes[later] if later < len(changes) else self.tick
                self._piece.faults["Some notes of the file never end; they end with the next of their pitch, or with their track."] = None


def _tick(event: tuple[Any, ...]) -> int:
    return int(event[0])


def _text(content: bytes) -> str:
    """A text of the file, in UTF-8 or else in Latin-1, without characters that do not print."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return "".join(character if character.isprintable() else " " for character in text[:TEXT_LENGTH]).strip()


def beats_a_minute(microseconds: int) -> float:
    """The tempo of a MIDI file's time of a beat: the number of the fewest decimals, up to three, whose time of a beat it is.

    A whole number may be a microsecond away, as programs round up or down.
    """
    tempo = 60e6 / microseconds
    whole = round(tempo)
    if whole and abs(60e6 / whole - microseconds) <= 1:
        return float(whole)
    return next((short for digits in (1, 2, 3) if (short := round(tempo, digits)) and round(60e6 / short) == microseconds), tempo)


def _upbeat(metres: Sequence[RawMetre]) -> float:
    """Quarter notes of a first bar that is shorter than the next, as its own time signature says; 0 without one."""
    if len(metres) < 2 or metres[0].start > 0:
        return 0.0
    first, second = (4 * metre.beats / metre.unit for metre in metres[:2])
    return first if first == metres[1].start and first < second else 0.0


def _chords_and_markers(texts: Sequence[tuple[int, str]], quarter: int) -> tuple[tuple[RawChord, ...], tuple[RawMarker, ...]]:
    """Chord symbols among the markers. Single letters are sections, as in "A B A", unless some symbol is more than a letter."""
    symbols = [read_chord_symbol(text) for _, text in texts]
    named = any(symbol and len(text) > 1 for symbol, (_, text) in zip(symbols, texts, strict=True))
    chords, markers = [], []
    for symbol, (tick, text) in zip(symbols, texts, strict=True):
        if symbol and named:
            chords.append(RawChord(tick / quarter, *symbol))
        else:
            markers.append(RawMarker(tick / quarter, text))
    return tuple(chords), tuple(markers)
