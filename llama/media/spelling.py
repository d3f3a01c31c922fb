"""Names of keys, notes and chords as musicians write them: with the flats or sharps of the key.

A pitch class has several names. The right one lies near the key on the line of fifths (... B flat, F, C, G, D ...): F sharp in
G major, G flat in D flat major. Longuet-Higgins, Letter to a musical friend, 1962.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from llama.media.score import KEYS, MODES, Chord

LINE = "FCGDAEB"  # steps on the line of fifths, where C is 0
FIFTHS: Mapping[str, tuple[int, ...]] = {  # sharps (negative: flats) of the key on a pitch class: the fewest possible
    "major": (0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5),
    "minor": (-3, 4, -1, -6, 1, -4, 3, -2, 5, 0, -5, 2),
}
SUFFIXES: Mapping[str, str] = {  # of chord names
    "major": "", "minor": "m", "diminished": "dim", "dominant7": "7", "major7": "maj7", "minor7": "m7",
}


def key_fifths(key: int, mode: str) -> int:
    """Sharps of the key signature, negative for flats."""
    return FIFTHS[mode][key]


def spell_pitch_class(pitch_class: int, key: int, mode: str) -> tuple[str, int]:
    """Step ("A" to "G") and alteration in semitones of a pitch class in a key.

    What is not of the scale is its nearest name on the line of fifths; in minor that includes the leading note.
    """
    low = key_fifths(key, mode) - (3 if mode == "minor" else 4)
    place = low + (pitch_class * 7 - low) % 12
    return LINE[(place + 1) % 7], (place + 1) // 7


def note_name(pitch_class: int, key: int, mode: str) -> str:
    """Such as "F#", "Bb", "C"."""
    step, alteration = spell_pitch_class(pitch_class, key, mode)
    return step + ("#" * alteration if alteration > 0 else "b" * -alteration)


def tonic_name(key: int, mode: str) -> str:
    """Such as "E", "B flat": the tonic of a key, whose name depends on the mode: D flat major, but C sharp minor."""
    step, alteration = spell_pitch_class(key, key, mode)
    return f"{step}{('', ' sharp', ' flat')[alteration]}"


def key_name(key: int, mode: str) -> str:
    """Such as "E minor", "B flat major"."""
    return f"{tonic_name(key, mode)} {mode}"


def tonic_choice(key: int) -> str:
    """The tonic where the mode is open: "E", or "C sharp / D flat" for the two that are named otherwise in the other mode."""
    return " / ".join(dict.fromkeys(tonic_name(key, mode) for mode in reversed(MODES)))


OTHER_NAMES: Mapping[str, str] = {  # keys as the model writes them, where musicians name them otherwise
    f"{name} {mode}": key_name(key, mode) for key, name in enumerate(KEYS) for mode in MODES if key_name(key, mode) != f"{name} {mode}"
}
OTHER_NAME = re.compile(rf"\b(?:{'|'.join(OTHER_NAMES)})\b")


def respell_keys(text: str) -> str:
    """The text with its keys named as `key_name` does. The model writes C sharp major and A flat minor, as in its training."""
    return OTHER_NAME.sub(lambda match: OTHER_NAMES[match[0]], text)


def chord_name(chord: Chord, key: int, mode: str) -> str:
    """Such as "Am", "F", "G7", "Bdim", "Cmaj7"."""
    return note_name(chord.root, key, mode) + SUFFIXES[chord.quality]
