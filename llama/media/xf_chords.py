"""Chord symbols in MIDI files as Yamaha's XF format has them: the one form that notation programs and keyboards read.

A sequencer-specific meta event of seven bytes: 43 7B 01, root, kind, and the bass note with its kind, 7F 7F where it is the root's.
"""

from __future__ import annotations

from collections.abc import Mapping

HEAD = (0x43, 0x7B, 0x01)
STEPS = {"C": 1, "D": 2, "E": 3, "F": 4, "G": 5, "A": 6, "B": 7}
STEP_PITCHES = (0, 2, 4, 5, 7, 9, 11)
NATURAL = 3  # flats and sharps are counted from here
KINDS: Mapping[str, tuple[int, ...]] = {  # quality -> kinds of which it is the nearest, its own first
    "major": (0, 1, 4, 6, 7, 32, 33), "major7": (2, 3, 5, 28), "minor": (8, 9, 12, 15, 16), "minor7": (10, 13, 14),
    "diminished": (17, 11, 18), "dominant7": (19, 20, 21, 22, 23, 24, 25, 26, 27, 29),
}  # fmt: skip
QUALITIES = {kind: quality for quality, kinds in KINDS.items() for kind in kinds}


def encode_chord(step: str, alteration: int, quality: str) -> tuple[int, ...]:
    """The event's data. step: "A" to "G"; alteration: semitones, of which the format has three either way."""
    return (*HEAD, (NATURAL + alteration) << 4 | STEPS[step], KINDS[quality][0], 0x7F, 0x7F)


def decode_chord(data: bytes) -> tuple[int, str] | None:
    """Root (a pitch class) and nearest quality of a chord; None for any other event, and for one that ends the chords."""
    if tuple(data[:3]) != HEAD or len(data) < 5:
        return None
    alteration, step = (data[3] >> 4) - NATURAL, data[3] & 0x0F
    if not 1 <= step <= 7 or abs(alteration) > NATURAL or data[4] not in QUALITIES:
        return None
    return (STEP_PITCHES[step - 1] + alteration) % 12, QUALITIES[data[4]]
