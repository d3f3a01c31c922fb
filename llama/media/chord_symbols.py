"""Reader of chord symbols as musicians write them, such as "Am7", "Bb", "F#dim", "Cmaj7/E", into the chords that a score can have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

STEPS: Mapping[str, int] = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ALTERATIONS: Mapping[str, int] = {"": 0, "#": 1, "b": -1, "♯": 1, "♭": -1}
# Ends of symbols -> the nearest quality: added and altered notes above the seventh are left out, suspended chords are major.
SUFFIXES: Mapping[str, Sequence[str]] = {
    "major": ("", "maj", "M", "major", "5", "6", "add9", "2", "sus", "sus2", "sus4", "aug", "+", "69", "6/9"),
    "minor": ("m", "min", "-", "minor", "m6", "min6", "-6", "madd9"),
    "diminished": ("dim", "°", "o", "dim7", "°7", "o7", "m7b5", "min7b5", "-7b5", "ø", "ø7"),
    "dominant7": ("7", "9", "11", "13", "7sus", "7sus4", "7b9", "7#9", "7b5", "7#5", "7#11", "7b13", "aug7", "+7", "9sus4", "7alt"),
    "major7": ("maj7", "M7", "Δ", "Δ7", "maj9", "M9", "maj13", "maj7#11", "major7"),
    "minor7": ("m7", "min7", "-7", "m9", "min9", "-9", "m11", "m13", "minor7"),
}
QUALITY_OF = {suffix: quality for quality, suffixes in SUFFIXES.items() for suffix in suffixes}
SYMBOL = re.compile(r"([A-G])([#b♯♭]?)([^/\s]{0,8}|6/9)(?:/[A-G][#b♯♭]?)?")


def read_chord_symbol(text: str) -> tuple[int, str] | None:
    """Root (a pitch class) and quality of a symbol, its bass note left out; None for any other text."""
    match = SYMBOL.fullmatch(text.strip())
    if match is None or (suffix := match[3].replace("(", "").replace(")", "")) not in QUALITY_OF:
        return None
    return (STEPS[match[1]] + ALTERATIONS[match[2]]) % 12, QUALITY_OF[suffix]
