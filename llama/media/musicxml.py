"""MusicXML of scores: sheet music for notation programs, with chord symbols, section marks and a drum staff.

music21 writes beams, ties, tuplets and accidentals; what it leaves out is added to its tree: the drums' instruments, each note's
velocity, swing, and the line that describes the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from llama.media.midi import CHANNELS
from llama.media.naming import title_of
from llama.media.notation import WrittenNote, write_notation
from llama.media.score import Score
from llama.media.score_description import describe_score
from llama.media.staves import DRUM_STAFF, OTHER_DRUM, add_directions, build_staff

HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
DESCRIPTION_FIELD = "score"  # name of the miscellaneous field that holds the line of `describe_score`
FULL_VELOCITY = 90  # MIDI velocity that MusicXML counts as 100 percent
NO_INSTRUMENT = ("voice", "type")  # elements of a note before which its instrument stands


def to_musicxml(score: Score, title: str | None = None) -> bytes:
    """An uncompressed MusicXML 4.0 file in concert pitch: a staff for each part with notes, lead first.

    Notes are those of `write_notation`, which states the precision. Swing is written in eighths, with a mark that says how it is
    played. The same score gives the same bytes. title: by default what the piece is, such as "Ballad in E minor".
    """
    from music21 import metadata, stream
    from music21.musicxml.m21ToXml import ScoreExporter

    notation = write_notation(score)
    document = stream.Score()
    document.insert(0, metadata.Metadata(title=_printable(title or "") or title_of(score)))
    names, orders = tuple(notation.parts) or ("lead",), list[list[WrittenNote]]()
    for number, name in enumerate(names):
        part, order = build_staff(score, notation, name)
        orders.append(order)
        if number == 0:
            add_directions(part, score)
        document.insert(0, part)
    tree = ScoreExporter(document).parse()
    _complete_head(tree, score)
    _complete_parts(tree, names, orders)
    _complete_tempo(tree, "Swing" if notation.swing else score.attributes.style.capitalize(), notation.swing)
    ElementTree.indent(tree, " ")
    return HEAD + ElementTree.tostring(tree, "utf-8") + b"\n"


def _printable(title: str) -> str:
    """A title without characters that XML cannot hold."""
    return " ".join("".join(character if character.isprintable() else " " for character in title).split())


def _child(parent: Element, path: str) -> Element:
    element = parent.find(path)
    assert element is not None, f"music21 wrote no {path}"
    return element


def _complete_head(tree: Element, score: Score) -> None:
    """Leaves out the date, which would change the bytes, and the second title; adds the line that describes the score."""
    for element in tree.findall("movement-title"):
        tree.remove(element)
    identification = _child(tree, "identification")
    for element in identification.findall("creator"):
        identification.remove(element)
    encoding = _child(identification, "encoding")
    for element in (*encoding.findall("encoding-date"), *encoding.findall("software")):
        encoding.remove(element)
    software = Element("software")
    software.text = "MuMu-LLaMA"
    encoding.insert(0, software)
    field = SubElement(SubElement(identification, "miscellaneous"), "miscellaneous-field", name=DESCRIPTION_FIELD)
    field.text = describe_score(score)


def _complete_parts(tree: Element, names: Sequence[str], orders: Sequence[Sequence[WrittenNote]]) -> None:
    """Gives parts and instruments names that do not change, each note its velocity, and each drum its instrument."""
    heads, parts = tree.findall("part-list/score-part"), tree.findall("part")
    for number, (name, head, part, order) in enumerate(zip(names, heads, parts, orders, strict=True), start=1):
        identifier = f"P{number}"
        head.set("id", identifier)
        part.set("id", identifier)
        for element in head.findall("part-abbreviation"):
            head.remove(element)
        for element in (*head.findall("score-instrument"), *head.findall("midi-instrument")):
            element.set("id", f"{identifier}-I1")
        if name == "drums":
            _name_drums(head, identifier, sorted({note.pitch for note in order}))
        notes = [element for element in part.iter("note") if element.find("rest") is None]
        for element, note in zip(notes, order, strict=True):
            element.set("dynamics", f"{note.velocity * 100 / FULL_VELOCITY:.2f}")
            if name == "drums":
                place = next(k for k, child in enumerate(element) if child.tag in NO_INSTRUMENT)
                element.insert(place, Element("instrument", id=f"{identifier}-I{note.pitch + 1}"))


def _name_drums(head: Element, identifier: str, pitches: Sequence[int]) -> None:
    """Declares an instrument for each drum, with the key that plays it."""
    for element in (*head.findall("score-instrument"), *head.findall("midi-instrument")):
        head.remove(element)
    for pitch in pitches:
        SubElement(SubElement(head, "score-instrument", id=f"{identifier}-I{pitch + 1}"), "instrument-name").text = _drum_name(pitch)
    for pitch in pitches:
        instrument = SubElement(head, "midi-instrument", id=f"{identifier}-I{pitch + 1}")
        SubElement(instrument, "midi-channel").text = str(CHANNELS["drums"] + 1)
        SubElement(instrument, "midi-program").text = "1"
        SubElement(instrument, "midi-unpitched").text = str(pitch + 1)


def _drum_name(pitch: int) -> str:
    return DRUM_STAFF.get(pitch, OTHER_DRUM)[0]


def _complete_tempo(tree: Element, text: str, swing: bool) -> None:
    """Writes how it is played before the metronome mark, and all marks above the staff."""
    for direction in tree.iter("direction"):
        direction.set("placement", "above")
        for mark in direction.iter("rehearsal"):
            mark.attrib.clear()  # the schema has other names for what music21 writes here
    direction = next(element for element in tree.iter("direction") if element.find("direction-type/metronome") is not None)
    words = Element("direction-type")
    SubElement(words, "words", {"font-weight": "bold"}).text = f"{text}\u2002"  # engravers set the metronome mark right behind it
    direction.insert(0, words)
    if swing:  # the first eighth of a beat is played twice as long as the second
        ratio = SubElement(_child(direction, "sound"), "swing")
        for name, value in (("first", "2"), ("second", "1"), ("swing-type", "eighth")):
            SubElement(ratio, name).text = value
