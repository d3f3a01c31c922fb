"""The bars of one part of a MusicXML file: what sounds, and the signs that hold for the piece.

Positions within a bar are exact fractions of a quarter note. Tutorial and reference: https://www.w3.org/2021/06/musicxml40/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal
from xml.etree.ElementTree import Element

from llama.errors import quoted
from llama.media.chord_symbols import STEPS, read_chord_symbol
from llama.media.repeats import Barlines
from llama.media.staves import DRUM_STAFF

MAX_BAR = 1000  # quarter notes
MAX_COMMON = 10**24  # multiple of all divisions of a part: sums of fractions without a common one take ever longer
NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?")
BEAT_UNITS: Mapping[str, Fraction] = {  # in quarter notes
    "breve": Fraction(8), "whole": Fraction(4), "half": Fraction(2), "quarter": Fraction(1), "eighth": Fraction(1, 2),
    "16th": Fraction(1, 4), "32nd": Fraction(1, 8), "64th": Fraction(1, 16),
}  # fmt: skip
DYNAMICS: Mapping[str, int] = {  # marks -> velocity
    "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 120, "ffff": 127,
}  # fmt: skip
KINDS: Mapping[str, str | None] = {  # of chord symbols -> the nearest quality; None for no chord
    "major": "major", "augmented": "major", "major-sixth": "major", "suspended-second": "major", "suspended-fourth": "major",
    "power": "major", "pedal": "major", "minor": "minor", "major-minor": "minor", "minor-sixth": "minor",
    "dominant": "dominant7", "augmented-seventh": "dominant7", "dominant-ninth": "dominant7", "dominant-11th": "dominant7",
    "dominant-13th": "dominant7", "dominant-seventh": "dominant7", "major-seventh": "major7", "major-ninth": "major7",
    "major-11th": "major7", "major-13th": "major7", "minor-seventh": "minor7", "minor-ninth": "minor7", "minor-11th": "minor7",
    "minor-13th": "minor7", "diminished": "diminished", "diminished-seventh": "diminished", "half-diminished": "diminished",
    "none": None,
}  # fmt: skip
DRUM_PLACES = {(place, head): key for key, (_, place, head) in sorted(DRUM_STAFF.items(), reverse=True)}  # the lower key wins
SNARE, VELOCITY, FULL_VELOCITY = 38, 80, 90
MAX_TIMES = 20  # that a repeat is played
JUMPS = ("dacapo", "dalsegno")

Swing = tuple[Fraction, Fraction]  # the first note's share of a pair, and the pair's length


@dataclass(frozen=True)
class WrittenNote:
    """A note of a bar. staff: from 1; tied: to the note before, to the one after."""

    start: Fraction
    length: Fraction
    pitch: int
    velocity: int
    staff: int
    is_drum: bool
    tied: tuple[bool, bool]


@dataclass
class Measure:
    """A bar. length: how far its notes and rests reach, 0 if it is empty; the lists hold (place in the bar, value)."""

    implicit: bool = False
    length: Fraction = Fraction(0)
    notes: list[WrittenNote] = field(default_factory=list)
    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    metres: list[tuple[Fraction, tuple[int, int]]] = field(default_factory=list)
    keys: list[tuple[Fraction, tuple[int, Literal["major", "minor"] | None]]] = field(default_factory=list)
    swings: list[tuple[Fraction, Swing | None]] = field(default_factory=list)
    chords: list[tuple[Fraction, tuple[int, str]]] = field(default_factory=list)
    markers: list[tuple[Fraction, str]] = field(default_factory=list)
    barlines: Barlines = Barlines()


@dataclass
class LeftOut:
    """What was left out of a file, counted."""

    grace_notes: int = 0
    cue_notes: int = 0
    out_of_range: int = 0
    between_keys: int = 0
    jumps: int = 0

    def sentences(self) -> list[str]:
        """For a person; none if nothing was left out."""
        counts = (
            (self.grace_notes, "grace notes were left out"), (self.cue_notes, "cue notes were left out"),
            (self.out_of_range, "notes beyond the range of MIDI were left out"),
            (self.between_keys, "notes between the keys of a piano were moved to the nearest key"),
            (self.jumps, 'jumps such as "D.C." and "D.S." were not followed'),
        )  # fmt: skip
        return [f"{count} {words}." for count, words in counts if count]


class MeasureReader:
    """Reads the bars of a part one after the other. drums: instrument -> General MIDI key. Faults raise ValueError, half a sentence."""

    def __init__(self, drums: Mapping[str, int], left_out: LeftOut) -> None:
        self._drums, self._left_out = drums, left_out
        self._divisions, self._transposition, self._velocity = Fraction(1), 0, float(VELOCITY)
        self._common = 1  # multiple of all divisions so far
        self._now = self._last_start = Fraction(0)
        self._measure = Measure()

    def read(self, element: Element) -> Measure:
        self._measure = measure = Measure(element.get("implicit") == "yes" or element.get("number") == "0")
        self._now = self._last_start = Fraction(0)
        readers = {
            "attributes": self._attributes, "note": self._note, "backup": self._move, "forward": self._move,
            "direction": self._direction, "sound": self._sound, "harmony": self._harmony, "barline": self._barline,
        }  # fmt: skip
        for child in element:
            if child.tag in readers:
                readers[child.tag](child)
        return measure

    def _attributes(self, element: Element) -> None:
        if (divisions := element.findtext("divisions")) is not None:
            self._divisions = _number(divisions, "divisions")
            self._common = math.lcm(self._common, self._divisions.numerator)
            if not 0 < self._divisions <= 1_000_000:
                raise ValueError(f"has the divisions {quoted(divisions)}")
            if self._common > MAX_COMMON:
                raise ValueError(f"has the divisions {quoted(divisions)}, which share too little with those before")
        if (transpose := element.find("transpose")) is not None:
            steps = [_number(transpose.findtext(name) or "0", name) for name in ("chromatic", "octave-change")]
            self._transposition = round(steps[0] + 12 * steps[1])
        for key in element.findall("key"):
            if (fifths := key.findtext("fifths")) is not None and key.get("number", "1") == "1":
                self._key(_whole(fifths, "fifths"), key.findtext("mode"))
        time = element.find("time")
        if time is not None and time.find("senza-misura") is None:
            self._measure.metres.append((self._now, _metre(time)))

    def _key(self, fifths: int, mode: str | None) -> None:
        """Keys are written as the notes: those of a transposing instrument are brought to the sounding ones."""
        if self._transposition % 12:
            fifths = (fifths + 7 * self._transposition + 5) % 12 - 5
        if abs(fifths) <= 7:
            known: Literal["major", "minor"] | None = "major" if mode == "major" else "minor" if mode == "minor" else None
            self._measure.keys.append((self._now, (fifths, known)))

    def _duration(self, element: Element) -> Fraction:
        text = element.findtext("duration")
        duration = _number(text or "", "duration") / self._divisions
        if not 0 <= duration <= MAX_BAR or self._now + duration > MAX_BAR:
            raise ValueError(f"has the duration {quoted(text)}, longer than a bar can be")
        return duration

    def _move(self, element: Element) -> None:
        duration = self._duration(element)
        self._now = max(self._now - duration, Fraction(0)) if element.tag == "backup" else self._now + duration
        self._measure.length = max(self._measure.length, self._now)

    def _note(self, element: Element) -> None:
        if element.find("grace") is not None:
            self._left_out.grace_notes += 1
            return
        chord, duration = element.find("chord") is not None, self._duration(element)
        start = self._last_start if chord else self._now
        if not chord:
            self._last_start, self._now = self._now, self._now + duration
            self._measure.length = max(self._measure.length, self._now)
        if element.find("rest") is not None or not duration:
            return
        if element.find("cue") is not None:
            self._left_out.cue_notes += 1
            return
        pitch, is_drum = self._pitch(element)
        if not 0 <= pitch <= 127:
            self._left_out.out_of_range += 1
            return
        percent = element.get("dynamics")
        velocity = self._velocity if percent is None else float(_number(percent, "dynamics")) * FULL_VELOCITY / 100
        staff = _whole(element.findtext("staff") or "1", "staff")
        self._measure.notes.append(
            WrittenNote(start, duration, pitch, min(max(round(velocity), 1), 127), min(max(staff, 1), 9), is_drum, _ties(element))
        )

    def _pitch(self, element: Element) -> tuple[int, bool]:
        """The sounding pitch, or the key of a drum, and whether it is a drum."""
        instrument = element.find("instrument")
        drum = self._drums.get(instrument.get("id", "") if instrument is not None else "")
        pitch = element.find("pitch")
        if pitch is None:
            if (unpitched := element.find("unpitched")) is None:
                raise ValueError("has a note without a pitch")
            place = f"{unpitched.findtext('display-step')}{unpitched.findtext('display-octave')}"
            head = element.findtext("notehead") or "normal"
            return drum if drum is not None else DRUM_PLACES.get((place, head), SNARE), True
        step = (pitch.findtext("step") or "").strip()
        if step not in STEPS:
            raise ValueError(f"has the note {quoted(step)}")
        alteration = _number(pitch.findtext("alter") or "0", "alter")
        self._left_out.between_keys += alteration.denominator != 1
        octave = _whole(pitch.findtext("octave") or "", "octave")
        written = 12 * (octave + 1) + STEPS[step] + round(alteration)
        return (written, True) if drum is not None else (written + self._transposition, False)

    def _direction(self, element: Element) -> None:
        place = self._place(element)
        sound = element.find("sound")
        for kind in element.findall("direction-type"):
            for mark in kind.findall("rehearsal"):
                if mark.text and mark.text.strip():
                    self._measure.markers.append((place, mark.text))
            for dynamics in kind.findall("dynamics"):
                self._velocity = next((DYNAMICS[mark.tag] for mark in dynamics if mark.tag in DYNAMICS), self._velocity)
            metronome = kind.find("metronome")
            if metronome is not None and (sound is None or sound.get("tempo") is None) and (tempo := _metronome_tempo(metronome)):
                self._measure.tempi.append((place, tempo))
        if sound is not None:
            self._sound(sound, place)

    def _sound(self, element: Element, place: Fraction | None = None) -> None:
        place = self._place(element) if place is None else place
        if (text := element.get("tempo")) is not None and (tempo := float(_number(text, "tempo"))) > 0:
            self._measure.tempi.append((place, tempo))
        if (percent := element.get("dynamics")) is not None:
            self._velocity = float(_number(percent, "dynamics")) * FULL_VELOCITY / 100
        self._left_out.jumps += any(element.get(name) for name in JUMPS)
        if (swing := element.find("swing")) is not None:
            self._measure.swings.append((place, _swing(swing)))

    def _harmony(self, element: Element) -> None:
        chord = _chord(element)
        if chord is not None:
            self._measure.chords.append((self._place(element), chord))

    def _place(self, element: Element) -> Fraction:
        """Where a direction or a chord symbol stands."""
        offset = _number(element.findtext("offset") or "0", "offset") / self._divisions
        return min(max(self._now + offset, Fraction(0)), Fraction(MAX_BAR))

    def _barline(self, element: Element) -> None:
        old, repeat, ending = self._measure.barlines, element.find("repeat"), element.find("ending")
        direction = repeat.get("direction") if repeat is not None else None
        times = _whole(repeat.get("times", "2"), "times") if repeat is not None else 2
        begins = ending is not None and ending.get("type") == "start"
        numbers = tuple(map(int, re.findall(r"\d{1,2}", ending.get("number", "1")))) if ending is not None and begins else ()
        self._measure.barlines = Barlines(
            forward=old.forward or direction == "forward",
            backward=min(max(times, 2), MAX_TIMES) if direction == "backward" else old.backward,
            ending=numbers[:MAX_TIMES] or old.ending,
            ends=old.ends or ending is not None and not begins,
        )


def _number(text: str, what: str) -> Fraction:
    if not NUMBER.fullmatch(text.strip()):
        raise ValueError(f"has the {what} {quoted(text)}")
    return Fraction(text.strip())


def _whole(text: str, what: str) -> int:
    return round(_number(text, what))


def _metre(time: Element) -> tuple[int, int]:
    """Beats and their unit, of a simple or a compound signature such as 3+2/8, or of several in a row."""
    total, unit = Fraction(0), 1
    beats, units = time.findall("beats"), time.findall("beat-type")
    for beat, kind in zip(beats, units, strict=False):
        value = _whole(kind.text or "", "beat-type")
        count = sum(_whole(number, "beats") for number in (beat.text or "").split("+"))
        if value not in (1, 2, 4, 8, 16, 32, 64) or not 1 <= count <= 99:
            raise ValueError(f"has the time signature {quoted(beat.text)}/{quoted(kind.text)}")
        unit = max(unit, value)
        total += Fraction(count, value)
    if not total:
        raise ValueError("has a time signature without beats")
    return int(total * unit), unit


def _metronome_tempo(metronome: Element) -> float | None:
    """Quarter notes a minute of a mark such as "dotted quarter = 72"; None for one of another form."""
    unit = BEAT_UNITS.get((metronome.findtext("beat-unit") or "").strip())
    number = re.search(r"\d{1,4}(\.\d{1,6})?", metronome.findtext("per-minute") or "")
    if unit is None or number is None or not float(number[0]):
        return None
    dots = len(metronome.findall("beat-unit-dot"))
    return float(unit * (2 - Fraction(1, 2**min(dots, 4)))) * float(number[0])


def _swing(swing: Element) -> Swing | None:
    if swing.find("straight") is not None:
        return None
    first, second = (_whole(swing.findtext(name) or "", f"swing's {name}") for name in ("first", "second"))
    if not (1 <= first <= 100 and 1 <= second <= 100):
        raise ValueError(f"has a swing of {first} to {second}")
    return Fraction(first, first + second), Fraction(1, 2) if swing.findtext("swing-type") == "16th" else Fraction(1)


def _chord(harmony: Element) -> tuple[int, str] | None:
    """Root and quality of a chord symbol; None for no chord, and for a function of harmony without a root."""
    root, kind = harmony.find("root"), harmony.find("kind")
    if root is None or kind is None:
        return None
    step = (root.findtext("root-step") or "").strip()
    if step not in STEPS:
        raise ValueError(f"has a chord on {quoted(step)}")
    name = (kind.text or "").strip()
    read = read_chord_symbol(step + (kind.get("text") or "")) if name not in KINDS else None
    quality = read[1] if read else KINDS.get(name, "major")
    alteration = _whole(root.findtext("root-alter") or "0", "root-alter")
    return ((STEPS[step] + alteration) % 12, quality) if quality else None


def _ties(element: Element) -> tuple[bool, bool]:
    """Whether a note is tied to the one before, and to the one after."""
    marks: Sequence[Element] = [*element.findall("tie"), *element.findall("notations/tied")]
    kinds = {mark.get("type") for mark in marks}
    return "stop" in kinds or "continue" in kinds, "start" in kinds or "continue" in kinds
