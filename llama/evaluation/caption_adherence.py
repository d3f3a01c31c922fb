"""Whether generated notes have the tempo and key that a caption names, as Mustango and Text2midi count it.

Tempo bins, their tolerance and the keys follow Mustango (arXiv 2311.08355), which Text2midi (arXiv 2412.16526) measures text-to-MIDI
models by. Legend: a key is a pitch class, 0 is C, and a mode.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from llama.media.key_finding import mode_of_chroma
from llama.media.midi_notes import MidiNote
from llama.media.score import KEYS, MODES

# Beats a minute between grave, largo, adagio, andante, moderato, allegro, vivace, presto and prestissimo; a mark is of the slower bin.
TEMPO_MARKS = (40, 60, 70, 90, 110, 140, 160, 210)
RELATIVE = {"major": -3, "minor": 3}  # semitones from a tonic to that of the relative key

Key = tuple[int, str]


def tempo_bin(tempo: float) -> int:
    """Number of the bin that a tempo in beats a minute lies in, from 0 (grave) to 8 (prestissimo). Raises ValueError for none."""
    if not 0 < tempo < np.inf:
        raise ValueError(f"The tempo is {tempo}; give beats a minute above 0.")
    return int(np.searchsorted(TEMPO_MARKS, tempo, side="left"))


def tempo_bin_agrees(given: float | None, wanted: float, tolerance: int = 0) -> bool:
    """Whether a tempo lies in the bin of the wanted one (TB), or at most `tolerance` bins away (TBT: 1). None never agrees."""
    return given is not None and abs(tempo_bin(given) - tempo_bin(wanted)) <= tolerance


def key_agrees(given: Key | None, wanted: Key, duplicates: bool = False) -> bool:
    """Whether a key is the wanted one (CK); `duplicates` also accepts its relative key, which has the same notes (CKD).

    The published code accepts other keys as duplicates: for A minor F sharp major instead of C major.
    """
    if given is None:
        return False
    tonic, mode = wanted
    relative = (tonic + RELATIVE[mode]) % 12, next(other for other in MODES if other != mode)
    return given == wanted or (duplicates and given == relative)


def parse_key(text: str) -> Key:
    """The key that a text such as "E flat minor" names. Raises ValueError for another spelling."""
    names = {f"{key} {mode}": (place, mode) for place, key in enumerate(KEYS) for mode in MODES}
    if text not in names:
        raise ValueError(f"The key {text!r} is not known; give one such as 'C major', 'E flat minor' or 'F sharp minor'.")
    return names[text]


def key_of_notes(notes: Iterable[MidiNote]) -> Key | None:
    """Key whose probe-tone profile correlates best with the notes by length (Krumhansl 1990); None without pitched notes."""
    chroma = np.zeros(12)
    for note in notes:
        if not note.is_drum:
            chroma[note.pitch % 12] += note.beats
    return mode_of_chroma(chroma.tolist()) if chroma.any() else None
