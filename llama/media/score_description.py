"""The line of text by which a file of notes describes the score that it holds, so that reading gives the same score again.

MIDI and MusicXML hold the notes, the tempo, the metre and the key; style, instruments of silent parts, the exact length and which
staff is which part are in this line, a text event of a MIDI file or a miscellaneous field of MusicXML. What the file itself says
comes first, as it may have been changed since. A file without the line is read by musical rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama.media.score import ACCOMPANIMENTS, LEADS, STYLES, TRACKS, Score

DESCRIPTION = re.compile(
    r"MuMu-LLaMA score: style=(\w+) lead=(\w+) accompaniment=(\w+) drums=(yes|no) parts=([\w+]*) tempo=(\d{1,3}(?:\.\d{1,20})?)"
    r" seconds=(\d{1,4}(?:\.\d{1,20})?)"
)


@dataclass(frozen=True)
class ScoreDescription:
    """What the line says. parts: the score's part of each staff or track with notes, in the file's order; seconds: the length."""

    style: str
    lead: str
    accompaniment: str
    drums: bool
    parts: tuple[str, ...]
    tempo: float
    seconds: float


def describe_score(score: Score) -> str:
    """The line for a file whose staves or tracks are the score's parts that have notes, in the order of `TRACKS`."""
    attributes, parts = score.attributes, "+".join(name for name in TRACKS if score.track(name))
    return (
        f"MuMu-LLaMA score: style={attributes.style} lead={attributes.lead} accompaniment={attributes.accompaniment} "
        f"drums={'yes' if attributes.drums else 'no'} parts={parts} tempo={attributes.tempo!r} seconds={float(score.seconds)!r}"
    )


def read_description(text: str) -> ScoreDescription | None:
    """The description in a text; None if it holds none, or one of something unknown."""
    match = DESCRIPTION.search(text)
    if match is None:
        return None
    style, lead, accompaniment, drums, parts, tempo, seconds = match.groups()
    names = tuple(parts.split("+")) if parts else ()
    known = style in STYLES and lead in LEADS and accompaniment in ACCOMPANIMENTS and set(names) <= {*TRACKS}
    return ScoreDescription(style, lead, accompaniment, drums == "yes", names, float(tempo), float(seconds)) if known else None
