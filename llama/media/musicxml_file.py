"""MusicXML files of strangers as small trees: compressed ones are unpacked in memory, and what no reader needs is left out.

An XML file of a few kilobytes can stand for gigabytes (entities), a zip for more, and both can name other files. So entities are
refused where they are declared, sizes are counted while they are read, and nothing is unpacked to a disk. This is done with
expat's own handlers: defusedxml, which does the same in Python, takes four times as long.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_FILE_BYTES = 20_000_000  # of a file as it comes; a symphony has 15 MB, compressed 0.5
MAX_XML_BYTES = 20_000_000  # of the XML within a compressed file
MAX_ELEMENTS = 1_000_000  # a note has ten to twenty
MAX_DEPTH = 100  # MusicXML needs about ten
MAX_CONTAINER = 100_000  # bytes of the list of contents of a compressed file
CONTAINER = "META-INF/container.xml"
BLOCK = 1 << 16  # bytes without the end of a tag, beyond which a file is no score
ROOT_FILE = re.compile(rb"""<rootfile\s[^>]*full-path\s*=\s*["']([^"']+)["']""")
KEPT = frozenset(
    """
    score-partwise score-timewise part measure part-list score-part part-name score-instrument instrument-name midi-instrument
    midi-channel midi-program midi-unpitched work work-title movement-title identification miscellaneous miscellaneous-field
    attributes divisions key fifths mode time beats beat-type senza-misura transpose chromatic octave-change
    note pitch step alter octave unpitched display-step display-octave rest duration chord grace cue tie notations tied staff
    instrument notehead backup forward direction direction-type metronome beat-unit beat-unit-dot per-minute sound offset swing straight
    first second swing-type dynamics rehearsal harmony root root-step root-alter kind barline repeat ending
    pppp ppp pp p mp mf f ff fff ffff
    """.split()
)


def read_musicxml_tree(data: bytes, name: str) -> Element:
    """The root, "score-partwise", with the elements of `KEPT`. name: of the file, for messages.

    Raises ValueError for what is damaged, too large, no MusicXML, or refers to other files.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{name} has {len(data)} bytes; a MusicXML file may have up to {MAX_FILE_BYTES}: give a part of the piece.")
    root = _parse(_unpacked(data, name) if data[:2] == b"PK" else data, name)
    if root.tag == "score-timewise":
        return _by_part(root)
    if root.tag != "score-partwise":
        raise ValueError(f"{name} is XML, but no score of MusicXML; export the piece as MusicXML.")
    return root


# -- compressed files -------------------------------------------------------------------------------------------------


def _unpacked(data: bytes, name: str) -> bytes:
    """The score within a compressed file: the one its list of contents names, or its only one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            listing = _entry(archive, CONTAINER, MAX_CONTAINER) if CONTAINER in names else b""
            scores = [found.decode("utf-8", "replace") for found in ROOT_FILE.findall(listing)]
            scores = [score for score in scores if score in names] or [
                found for found in names if found.lower().endswith((".musicxml", ".xml")) and not found.startswith("META-INF")
            ]
            if not scores:
                raise _Refused("is a compressed file without a score; export the piece as MusicXML again.")
            return _entry(archive, scores[0], MAX_XML_BYTES)
    except _Refused as error:
        raise ValueError(f"{name} {error}") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise ValueError(f"{name} is damaged or a compressed file of another kind; export the piece as MusicXML again.") from error


def _entry(archive: zipfile.ZipFile, entry: str, limit: int) -> bytes:
    """The content of an entry, which is counted while it is unpacked: what an entry says of its size may be a lie."""
    with archive.open(entry) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise _Refused(f"holds more than {limit} bytes when it is unpacked; give a part of the piece.")
    return content


# -- XML --------------------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """A file beyond the limits; its text ends the sentence for the user."""


class _Builder:
    """Handlers of expat that keep the elements of `KEPT`, by their names without a namespace."""

    def __init__(self) -> None:
        self.tree = TreeBuilder()
        self._depth = self._count = 0
        self._left_out = 0  # depth of the element that is left out with all that it holds

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"nests more than {MAX_DEPTH} elements, more than a score needs; export the piece again.")
        if self._count > MAX_ELEMENTS:
            raise _Refused(f"has more than {MAX_ELEMENTS} elements; give a part of the piece.")
        if not self._left_out:
            tag = tag.rpartition(":")[2]
            if tag in KEPT or self._depth == 1:
                self.tree.start(tag, attributes)
            else:
                self._left_out = self._depth

    def end(self, tag: str) -> None:
        if not self._left_out:
            self.tree.end(tag.rpartition(":")[2])
        elif self._left_out == self._depth:
            self._left_out = 0
        self._depth -= 1

    def text(self, text: str) -> None:
        if not self._left_out and not text.isspace():
            self.tree.data(text)

    def entity(self, *_: object) -> NoReturn:
        raise _Refused("declares entities, which a score does not need; export the piece again.")


def _parse(data: bytes, name: str) -> Element:
    blocks = range(0, len(data) - BLOCK, BLOCK)
    if any(data.find(b">", start, start + BLOCK) < 0 for start in blocks):
        raise ValueError(f"{name} has a tag or a text of more than {BLOCK} bytes, as no score does; export the piece as MusicXML again.")
    builder, parser = _Builder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = builder.text, builder.entity
    try:
        parser.Parse(data, True)
    except _Refused as error:
        raise ValueError(f"{name} {error}") from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise ValueError(f"{name} is damaged or no MusicXML; export the piece as MusicXML again.") from error
    return builder.tree.close()


def _by_part(root: Element) -> Element:
    """A score that is ordered by measures, ordered by parts."""
    result = Element("score-partwise", root.attrib)
    result.extend(child for child in root if child.tag != "measure")
    parts: dict[str, Element] = {}
    for measure in root.findall("measure"):
        for part in measure.findall("part"):
            identifier = part.get("id", "")
            if identifier not in parts:
                parts[identifier] = Element("part", part.attrib)
            moved = Element("measure", measure.attrib)
            moved.extend(part)
            parts[identifier].append(moved)
    result.extend(parts.values())
    return result
