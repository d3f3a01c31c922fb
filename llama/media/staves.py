"""Staves of a score as objects of music21: notes with their voices, clefs, instruments, chord symbols and section marks.

music21 (Cuthbert and Ariza, ISMIR 2010) is imported where it is used, for that takes a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama.media.midi import CHANNELS
from llama.media.naming import staff_name
from llama.media.notation import FEET, Notation, WrittenNote, find_sections
from llama.media.rhythm import Symbol, WrittenChord, divide_bars, divide_voices
from llama.media.score import Score
from llama.media.spelling import key_fifths, spell_pitch_class

KINDS: Mapping[str, tuple[str, str]] = {  # of chord symbols: ours -> MusicXML's, and what is printed
    "major": ("major", ""), "minor": ("minor", "m"), "diminished": ("diminished", "dim"),
    "dominant7": ("dominant-seventh", "7"), "major7": ("major-seventh", "maj7"), "minor7": ("minor-seventh", "m7"),
}
DRUM_STAFF: Mapping[int, tuple[str, str, str]] = {  # General MIDI key -> name, place on the staff, head
    35: ("Acoustic bass drum", "E4", "normal"), 36: ("Bass drum", "F4", "normal"), 37: ("Side stick", "C5", "x"),
    38: ("Snare", "C5", "normal"), 39: ("Hand clap", "D5", "x"), 40: ("Electric snare", "C5", "normal"),
    41: ("Low floor tom", "G4", "normal"), 42: ("Closed hi-hat", "G5", "x"), 43: ("High floor tom", "A4", "normal"),
    44: ("Pedal hi-hat", "D4", "x"), 45: ("Low tom", "B4", "normal"), 46: ("Open hi-hat", "G5", "circle-x"),
    47: ("Low-mid tom", "D5", "normal"), 48: ("High-mid tom", "E5", "normal"), 49: ("Crash cymbal", "A5", "x"),
    50: ("High tom", "E5", "normal"), 51: ("Ride cymbal", "F5", "x"), 52: ("China cymbal", "B5", "x"),
    53: ("Ride bell", "F5", "diamond"), 54: ("Tambourine", "B4", "triangle"), 55: ("Splash cymbal", "B5", "x"),
    56: ("Cowbell", "E5", "triangle"), 57: ("Crash cymbal 2", "A5", "x"), 59: ("Ride cymbal 2", "F5", "x"),
}
OTHER_DRUM = ("Percussion", "B4", "normal")


def build_staff(score: Score, notation: Notation, name: str) -> tuple[Any, list[WrittenNote]]:
    """A music21 Part of measures, and its notes in the order of the staff's symbols: a note that is tied comes several times."""
    from music21 import bar, stream

    part, order = stream.Part(), list[WrittenNote]()
    part.insert(0, _instrument(score, name))
    notes = notation.parts.get(name, ())
    voices = [divide_bars(voice, notation.metre, notation.bar_count) for voice in _voices(name, notes)]
    for index in range(notation.bar_count):
        measure = stream.Measure(number=index + 1)
        symbols = [voice[index] for voice in voices if voice[index]]
        order += [note for voice in symbols for symbol in voice for note in symbol.notes]
        if index == 0:
            _open(measure, score, notation, name)
        _fill(measure, symbols, score, notation.metre, name)
        part.insert(index * notation.metre, measure)
    measure.rightBarline = bar.Barline("final")
    return part, order


def _open(measure: Any, score: Score, notation: Notation, name: str) -> None:
    """Clef, key and metre of the first bar; a drum staff has no key."""
    from music21 import key, meter

    measure.insert(0, _clef(name, notation.parts.get(name, ())))
    if name != "drums":
        signature = key.KeySignature(key_fifths(score.attributes.key, score.attributes.mode))
        measure.insert(0, signature.asKey(score.attributes.mode))
    measure.insert(0, meter.TimeSignature(f"{notation.metre}/4"))


def _voices(name: str, notes: tuple[WrittenNote, ...]) -> list[list[WrittenChord]]:
    """Voices of a part; drums have one of the hands and one of the feet."""
    if name != "drums":
        return divide_voices(notes)
    limbs = [[note for note in notes if (note.pitch in FEET) is foot] for foot in (False, True)]
    return [voice for limb in limbs for voice in divide_voices(limb)]


def _fill(measure: Any, voices: list[list[Symbol]], score: Score, metre: int, name: str) -> None:
    from music21 import note, stream

    if not voices:
        measure.insert(0, note.Rest(quarterLength=metre))
    for number, symbols in enumerate(voices, start=1):
        target = stream.Voice(id=str(number)) if len(voices) > 1 else measure
        for symbol in symbols:
            target.insert(symbol.start, _symbol(symbol, score, name))
        if target is not measure:
            measure.insert(0, target)


def _symbol(symbol: Symbol, score: Score, name: str) -> Any:
    """A music21 note, chord or rest."""
    from music21 import chord, note, percussion, tie

    if not symbol.notes:
        return note.Rest(quarterLength=symbol.length)
    if name == "drums":
        heads = [_stroke(written.pitch) for written in symbol.notes]
        result = heads[0] if len(heads) == 1 else percussion.PercussionChord(heads)
    else:
        heads = [note.Note(_pitch(written.pitch, score)) for written in symbol.notes]
        result = heads[0] if len(heads) == 1 else chord.Chord(heads)
    result.quarterLength = symbol.length
    if any(symbol.tied):
        result.tie = tie.Tie({(False, True): "start", (True, True): "continue", (True, False): "stop"}[symbol.tied])
    return result


def _spelled(pitch_class: int, score: Score) -> tuple[str, int]:
    """A name in music21's writing, where flats are minus signs, and its alteration in semitones."""
    step, alteration = spell_pitch_class(pitch_class, score.attributes.key, score.attributes.mode)
    return step + ("#" * alteration if alteration > 0 else "-" * -alteration), alteration


def _pitch(number: int, score: Score) -> Any:
    from music21 import pitch

    name, alteration = _spelled(number % 12, score)
    return pitch.Pitch(f"{name}{(number - alteration) // 12 - 1}")


def _stroke(number: int) -> Any:
    from music21 import note

    _, place, head = DRUM_STAFF.get(number, OTHER_DRUM)
    stroke = note.Unpitched(place)
    stroke.notehead = head
    return stroke


def _instrument(score: Score, name: str) -> Any:
    from music21 import instrument

    result = instrument.Instrument()
    result.partName = result.instrumentName = staff_name(score, name)
    result.midiChannel = CHANNELS[name]
    result.midiProgram = None if name == "drums" else score.programs[name]
    return result


def _clef(name: str, notes: tuple[WrittenNote, ...]) -> Any:
    """The clef in which the notes lie near the staff; small 8s keep guitar and double bass in concert pitch."""
    from music21 import clef

    if name == "drums":
        return clef.PercussionClef()
    middle = sorted(note.pitch for note in notes)[len(notes) // 2] if notes else 71
    clefs = ((60, clef.TrebleClef), (54, clef.Treble8vbClef), (43, clef.BassClef), (0, clef.Bass8vbClef))
    return next(kind for lowest, kind in clefs if middle >= lowest)()


def add_directions(part: Any, score: Score) -> None:
    """Writes tempo, section marks and chord symbols above a staff; a chord is named where it changes and where a section begins."""
    from music21 import expressions, harmony, tempo

    measures = list(part.getElementsByClass("Measure"))
    measures[0].insert(0, tempo.MetronomeMark(number=score.attributes.tempo))
    heads = {section.bar: section.name for section in find_sections(score)}
    for bar, head in heads.items():
        measures[bar].insert(0, expressions.RehearsalMark(head))
    last = None
    for bar, sounding in enumerate(score.chords):
        if (sounding.root, sounding.quality) != last or bar in heads:
            kind, text = KINDS[sounding.quality]
            symbol = harmony.ChordSymbol(root=_spelled(sounding.root, score)[0], kind=kind)
            symbol.chordKindStr = text
            measures[bar].insert(0, symbol)
        last = sounding.root, sounding.quality
