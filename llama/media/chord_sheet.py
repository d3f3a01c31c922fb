"""Chord sheets: the chords of a piece bar by bar as text, to play from."""

from __future__ import annotations

from llama.media.naming import title_of
from llama.media.notation import find_sections
from llama.media.score import Score
from llama.media.score_edits import score_line
from llama.media.spelling import chord_name, key_name

ROW = 4  # bars
LABELS = 78  # characters of the longest title that is kept on one line


def to_chord_sheet(score: Score, title: str | None = None) -> str:
    """The sheet as ASCII text, but for a title of other letters: key, tempo and metre, then sections with their bars in rows of four.

    title: by default what the piece is, such as "Ballad in E minor". Raises ValueError for a score without a chord a bar.
    """
    score_line(score)
    attributes = score.attributes
    drums = "drums" if score.drums else "no drums"
    lines = [
        " ".join((title or title_of(score)).split())[:LABELS],
        f"Key: {key_name(attributes.key, attributes.mode)}   Tempo: {attributes.tempo:g} bpm   Metre: {attributes.metre}/4",
        f"Style: {attributes.style}   Lead: {attributes.lead}   Accompaniment: {attributes.accompaniment}, {drums}",
    ]
    names = [chord_name(chord, attributes.key, attributes.mode) for chord in score.chords]
    width = max(map(len, names))
    sections = find_sections(score)
    ends = [*(section.bar for section in sections[1:]), len(names)]
    for section, end in zip(sections, ends, strict=True):
        lines += ["", f"[{section.name}]"]
        for first in range(section.bar, end, ROW):
            lines.append("| " + " | ".join(name.ljust(width) for name in names[first : min(first + ROW, end)]) + " |")
    return "\n".join(lines) + "\n"
