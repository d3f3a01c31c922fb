"""Sheet music of scores as pages of SVG, engraved by verovio from our MusicXML.

verovio (Pugin, Zitellini and Roland, ISMIR 2014) is imported where it is used, for it reads its fonts then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

from llama.errors import quoted
from llama.media.musicxml import to_musicxml
from llama.media.score import TRACKS, Score

MAX_STAFF_NOTES = 5000  # of a piece that is engraved: some 10 ms a note to write, and 1.7 kB of SVG
SVG = "http://www.w3.org/2000/svg"
ELEMENTS = frozenset({  # that verovio draws with; anything else, such as a script, is refused
    "svg", "g", "defs", "symbol", "use", "path", "polygon", "polyline", "rect", "ellipse", "circle", "line",
    "text", "tspan", "title", "desc", "style",
})  # fmt: skip
# What a style could load or run. A font within the file may be: verovio draws metronome marks with one.
OUTSIDE = re.compile(r"url\s*\((?!data:application/font-woff2;)|@import|expression", re.IGNORECASE)
PAGE_WIDTHS: Mapping[str, int] = {"wide": 2000, "narrow": 900}  # tenths of a millimetre: of a computer's page, and of a phone's
OPTIONS: Mapping[str, Any] = {
    "pageHeight": 2600, "adjustPageHeight": True, "pageMarginLeft": 40, "pageMarginRight": 40, "scale": 40, "svgViewBox": True,
    "svgRemoveXlink": True, "breaks": "auto", "footer": "none", "header": "auto", "xmlIdSeed": 1,
    "defaultBottomMargin": 1.5, "bottomMarginHarm": 1.5, "bottomMarginHeader": 4.0,  # tempo, chords and title touch by default
}


def engrave(score: Score, title: str | None = None, size: str = "wide") -> tuple[str, ...]:
    """The pages of a score, each a complete SVG document without scripts, links and external files, black on nothing.

    title: above the first page; by default what the piece is. size: a key of PAGE_WIDTHS. The same score gives the same pages.
    Raises ValueError for another size, and for a score of more than `MAX_STAFF_NOTES`.
    """
    if size not in PAGE_WIDTHS:
        raise ValueError(f"The size {quoted(size)} of pages is not known; choose from {', '.join(PAGE_WIDTHS)}.")
    notes = sum(len(score.track(name)) for name in TRACKS)
    if notes > MAX_STAFF_NOTES:
        raise ValueError(f"The piece has {notes} notes, and up to {MAX_STAFF_NOTES} are engraved; take its MIDI file, or an excerpt of it.")
    import verovio

    verovio.setDefaultResourcePath(str(files("verovio") / "data"))  # each thread has its own, and only the first one's is set
    verovio.enableLog(verovio.LOG_ERROR)  # it warns of lines that are a little full
    try:
        toolkit = verovio.toolkit()
        if not toolkit.setOptions({**OPTIONS, "pageWidth": PAGE_WIDTHS[size]}):
            raise RuntimeError("verovio does not know all options that sheet_music.py gives.")
        if not toolkit.loadData(to_musicxml(score, title).decode()):
            raise RuntimeError("verovio could not read the MusicXML of a score.")
        return tuple(checked_svg(toolkit.renderToSVG(page)) for page in range(1, toolkit.getPageCount() + 1))
    finally:
        verovio.enableLog(verovio.LOG_WARNING)


def checked_svg(text: str) -> str:
    """The SVG as it is, if it is made of shapes and text alone. Raises ValueError for scripts, links and external files."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"This is no SVG: {error}.") from error
    for element in root.iter():
        _check_element(element)
    return text


def _check_element(element: ElementTree.Element) -> None:
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    if namespace != SVG or name not in ELEMENTS:
        raise ValueError(f"The SVG has an element {quoted(name)}, which is no shape and no text.")
    for key, value in element.attrib.items():
        attribute = key.rpartition("}")[2]
        if attribute.lower().startswith("on") or attribute == "href" and not value.startswith("#") or OUTSIDE.search(value):
            raise ValueError(f"The SVG has an attribute {quoted(attribute)}, which runs or loads something.")
    if name == "style" and OUTSIDE.search(element.text or ""):
        raise ValueError("The SVG has a style that loads something.")

