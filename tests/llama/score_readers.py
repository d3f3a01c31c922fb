"""Independent readers of MIDI and MusicXML files, brought to one form, to judge what is written."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

Notes = list[tuple[float, float, int]]  # (begin, length, pitch) in beats, in order


@dataclass(frozen=True)
class Reading:
    """What a library reads of a file. bar_count: None where it counts none; parts: its pitched staves or tracks; drums: (begin, key)
    of each stroke, or None where the library does not read them."""

    tempo: float
    metre: tuple[int, int]
    fifths: int
    mode: str
    bar_count: int | None
    parts: list[Notes]
    drums: list[tuple[float, int]] | None


def _rounded(notes: Iterable[tuple[float, float, int]]) -> Notes:
    return sorted((round(float(start), 3), round(float(length), 3), int(pitch)) for start, length, pitch in notes)


# -- MusicXML ---------------------------------------------------------------------------------------------------------


def music21_musicxml(data: bytes) -> Reading:
    from music21.musicxml.xmlToM21 import MusicXMLImporter

    importer = MusicXMLImporter()  # music21's converter would keep a pickle of what it read
    importer.xmlRoot = ElementTree.fromstring(data)
    importer.xmlRootToScore(importer.xmlRoot, importer.stream)
    score = importer.stream
    key = score.recurse().getElementsByClass("Key").first()
    metre = score.recurse().getElementsByClass("TimeSignature").first()
    parts = list[Notes]()
    for part in score.parts:
        notes = [note for note in part.stripTies().flatten().notes if "ChordSymbol" not in note.classes]
        if not any("Unpitched" in note.classes or "PercussionChord" in note.classes for note in notes):
            parts.append(_rounded((note.offset, note.quarterLength, pitch.midi) for note in notes for pitch in note.pitches))
    return Reading(
        score.recurse().getElementsByClass("MetronomeMark").first().number, (metre.numerator, metre.denominator), key.sharps, key.mode,
        len(score.parts[0].getElementsByClass("Measure")), parts, None,
    )  # fmt: skip


def partitura_musicxml(data: bytes) -> Reading:
    """Without the drum staff: partitura 1.9 fails at two drums struck at once."""
    from partitura import load_musicxml, score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = load_musicxml(io.BytesIO(_without_drums(data)))
    part = read.parts[0]
    key, metre, tempo = (next(part.iter_all(kind)) for kind in (score.KeySignature, score.TimeSignature, score.Tempo))
    parts = list[Notes]()
    for one in read.parts:
        quarter = one.quarter_durations()[0][1]
        parts.append(_rounded((note.start.t / quarter, note.duration_tied / quarter, note.midi_pitch) for note in one.notes_tied))
    return Reading(tempo.bpm, (metre.beats, metre.beat_type), key.fifths, key.mode, len(part.measures), parts, None)


def _without_drums(data: bytes) -> bytes:
    root = ElementTree.fromstring(data)
    drums = {part.get("id") for part in root.findall("part") if part.find("measure/note/unpitched") is not None}
    for parent in (root, root.find("part-list")):
        for part in [child for child in parent if child.get("id") in drums]:  # type: ignore[union-attr]
            parent.remove(part)  # type: ignore[union-attr]
    return ElementTree.tostring(root)


def verovio_musicxml(data: bytes) -> Reading:
    """What verovio plays, and the bars, metre and key of the MEI that it makes."""
    import verovio

    toolkit = verovio.toolkit()
    assert toolkit.loadData(data.decode()) and not toolkit.getLog()
    played = pretty_midi_midi(base64.b64decode(toolkit.renderToMIDI()))
    mei, name = ElementTree.fromstring(toolkit.getMEI()), "{http://www.music-encoding.org/ns/mei}"
    key = next(mei.iter(f"{name}keySig"))
    metre = next(mei.iter(f"{name}meterSig"))
    count, kind = int(key.get("sig", "0").rstrip("sf") or 0), key.get("sig", "0")[-1:]
    return Reading(
        played.tempo, (int(metre.get("count", 0)), int(metre.get("unit", 0))), -count if kind == "f" else count, key.get("mode", ""),
        len(list(mei.iter(f"{name}measure"))), played.parts, played.drums,
    )  # fmt: skip


def engraved(data: bytes) -> str:
    """The first page as SVG. Fails if verovio finds fault with the file."""
    import verovio

    toolkit = verovio.toolkit()
    assert toolkit.loadData(data.decode()) and not toolkit.getLog()
    return str(toolkit.renderToSVG(1))


# -- MIDI -------------------------------------------------------------------------------------------------------------


def pretty_midi_midi(data: bytes) -> Reading:
    import pretty_midi

    read = pretty_midi.PrettyMIDI(io.BytesIO(data))
    tempo = float(read.get_tempo_changes()[1][0])

    def beats(second: float) -> float:
        return float(read.time_to_tick(second) / read.resolution)

    metre = read.time_signature_changes[0] if read.time_signature_changes else None
    key = read.key_signature_changes[0].key_number if read.key_signature_changes else 0
    pitched = [one.notes for one in read.instruments if not one.is_drum]
    parts = [_rounded((beats(note.start), beats(note.end) - beats(note.start), note.pitch) for note in notes) for notes in pitched]
    drums = [(round(beats(note.start), 3), note.pitch) for one in read.instruments if one.is_drum for note in one.notes]
    fifths = ((key % 12) * 7 + 5) % 12 - 5 if key < 12 else ((key - 12 + 3) % 12 * 7 + 5) % 12 - 5
    return Reading(
        tempo, (metre.numerator, metre.denominator) if metre else (0, 0), fifths, "major" if key < 12 else "minor",
        len(read.get_downbeats()) if metre else None, parts, sorted(drums),
    )  # fmt: skip


def symusic_midi(data: bytes) -> Reading:
    import symusic

    read = symusic.Score.from_midi(data)
    quarter, metre, key = read.ticks_per_quarter, read.time_signatures[0], read.key_signatures[0]
    pitched = [one.notes for one in read.tracks if not one.is_drum]
    parts = [_rounded((note.start / quarter, note.duration / quarter, note.pitch) for note in notes) for notes in pitched]
    drums = sorted((round(note.start / quarter, 3), note.pitch) for one in read.tracks if one.is_drum for note in one.notes)
    return Reading(
        read.tempos[0].qpm, (metre.numerator, metre.denominator), key.key, "minor" if key.tonality else "major", None,
        [part for part in parts if part], drums,
    )  # fmt: skip


def music21_midi(data: bytes) -> Reading:
    from music21 import midi

    file = midi.MidiFile()
    file.readstr(data)
    score = midi.translate.midiFileToStream(file, quantizePost=False)
    key = score.recurse().getElementsByClass("Key").first()
    metre = score.recurse().getElementsByClass("TimeSignature").first()
    parts = list[Notes]()
    for part in score.parts:
        notes = list(part.stripTies().flatten().notes)
        if not any("Unpitched" in note.classes or "PercussionChord" in note.classes for note in notes):
            parts.append(_rounded((note.offset, note.quarterLength, pitch.midi) for note in notes for pitch in note.pitches))
    tempo = score.recurse().getElementsByClass("MetronomeMark").first().number
    return Reading(tempo, (metre.numerator, metre.denominator), key.sharps, key.mode, None, [part for part in parts if part], None)


def partitura_midi(data: bytes) -> Reading:
    import mido
    from partitura import load_performance_midi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (part,) = load_performance_midi(mido.MidiFile(file=io.BytesIO(data)), merge_tracks=True).performedparts
    notes: dict[Any, list[tuple[float, float, int]]] = {}
    for note in part.notes:
        begin, end = note["note_on_tick"] / part.ppq, note["note_off_tick"] / part.ppq
        notes.setdefault((note["track"], note["channel"]), []).append((begin, end - begin, note["midi_pitch"]))
    key, metre, last = part.key_signatures[0], part.time_signatures[0], max(part.notes, key=lambda note: note["note_off_tick"])
    return Reading(
        60 * last["note_off_tick"] / part.ppq / last["note_off"], (metre["beats"], metre["beat_type"]), key["fifths"], key["mode"], None,
        [_rounded(found) for (_, channel), found in sorted(notes.items()) if channel != 9],
        sorted((round(start, 3), pitch) for (_, channel), found in notes.items() if channel == 9 for start, _, pitch in found),
    )  # fmt: skip


MUSICXML_READERS = {"music21": music21_musicxml, "partitura": partitura_musicxml, "verovio": verovio_musicxml}
MIDI_READERS = {"music21": music21_midi, "partitura": partitura_midi, "pretty_midi": pretty_midi_midi, "symusic": symusic_midi}
